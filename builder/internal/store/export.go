package store

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"offgrid/bundle"
)

// Export writes the blobs and records of the store to w as one plain tar; with a keep that is not nil, only the blobs
// and records named in it. The same content gives the same bytes. Each blob is checked on the way: one whose bytes have changed ends the
// export with a *bundle.DigestError.
func (s *Store) Export(ctx context.Context, w io.Writer, keep *Keep) error {
	tw := tar.NewWriter(w)
	err := writeMember(tw, "format", int64(len(formatLine)), strings.NewReader(formatLine))
	if err == nil {
		err = s.each(ctx, "blobs/sha256", func(name string, info fs.FileInfo) error {
			return s.exportBlob(ctx, tw, path.Base(name), info.Size(), keep)
		})
	}
	if err == nil {
		err = s.each(ctx, "records", func(name string, _ fs.FileInfo) error {
			return s.exportRecord(tw, path.Base(name), keep)
		})
	}
	if err == nil {
		err = tw.Close()
	}
	if err != nil {
		return fmt.Errorf("exporting store %q: %w", s.dir, err)
	}
	return nil
}

func (s *Store) exportBlob(ctx context.Context, tw *tar.Writer, hex string, size int64, keep *Keep) error {
	d, err := bundle.ParseDigest("sha256:" + hex)
	if err != nil || (keep != nil && !keep.Blobs[d]) {
		return nil // not a blob, or not asked for
	}
	if err := s.Verify(ctx, d); err != nil {
		return err
	}
	f, err := s.Open(d)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeMember(tw, "blobs/sha256/"+hex[:2]+"/"+hex, size, &ctxReader{ctx, f})
}

func (s *Store) exportRecord(tw *tar.Writer, hex string, keep *Keep) error {
	d, err := bundle.ParseDigest("sha256:" + hex)
	if err != nil || (keep != nil && !keep.Records[d]) {
		return nil
	}
	data, ok := s.Record(d)
	if !ok {
		return nil
	}
	sum := bundle.DigestOf(data).Hex() + "\n"
	return writeMember(tw, "records/"+hex, int64(len(sum)+len(data)), io.MultiReader(strings.NewReader(sum), strings.NewReader(string(data))))
}

func writeMember(tw *tar.Writer, name string, size int64, r io.Reader) error {
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o444, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.Copy(tw, r)
	return err
}

// Imported says what Import found.
type Imported struct {
	Blobs   int   `json:"blobs"`
	Records int   `json:"records"`
	Bytes   int64 `json:"bytes"` // of blobs
}

// Import takes what Export wrote into the store. Every blob is checked against its name before it can be seen; blobs that
// came before a fault stay, for each is right by itself.
func (s *Store) Import(ctx context.Context, r io.Reader) (Imported, error) {
	var done Imported
	tr := tar.NewReader(r)
	for first := true; ; first = false {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) && !first {
			return done, nil
		}
		if err == nil {
			err = s.importMember(ctx, h, tr, first, &done)
		}
		if err != nil {
			return done, fmt.Errorf("importing into store %q: %w", s.dir, err)
		}
	}
}

func (s *Store) importMember(ctx context.Context, h *tar.Header, r io.Reader, first bool, done *Imported) error {
	if first {
		line, err := io.ReadAll(io.LimitReader(r, 100))
		if err != nil {
			return err
		}
		if h.Name != "format" || string(line) != formatLine {
			return fmt.Errorf("this is not an exported store: it begins with %q", h.Name)
		}
		return nil
	}
	dir, base := path.Split(h.Name)
	d, err := bundle.ParseDigest("sha256:" + base)
	switch {
	case err != nil || h.Typeflag != tar.TypeReg:
		return fmt.Errorf("member %q does not belong into an exported store", h.Name)
	case dir == "blobs/sha256/"+base[:2]+"/":
		done.Blobs++
		done.Bytes += h.Size
		return s.Put(ctx, r, d, h.Size)
	case dir == "records/" && h.Size <= recordLimit:
		done.Records++
		return s.importRecord(r, d)
	}
	return fmt.Errorf("member %q does not belong into an exported store", h.Name)
}

func (s *Store) importRecord(r io.Reader, key bundle.Digest) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	data, ok := checkRecord(raw)
	if !ok {
		return fmt.Errorf("record %s is damaged", key.Short())
	}
	if _, err := os.Stat(s.recordPath(key)); err == nil {
		return nil // ours may name blobs that we have
	}
	return s.PutRecord(key, data)
}
