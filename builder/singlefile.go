package builder

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// singlePrefix begins the names of the files that are installer and bundle in one.
const singlePrefix = installerName + "-"

// key is a digest of the options that decide what dist/ holds.
func (o BuildOptions) key() bundle.Digest {
	return bundle.DigestOf(fmt.Appendf(nil, "single=%v site=%v codec=%s", o.SingleFile, o.Site, o.level().CodecID()))
}

// writeSingleFiles writes install-ROLE for each bundle that is in dist/ already: installer, bundle, trailer.
func (s *Site) writeSingleFiles(ctx context.Context, dist string, st *stamp) error {
	digests := map[string]bundle.Digest{}
	for _, f := range st.Files {
		digests[f.Name] = f.SHA256
	}
	written := map[string]string{}
	for i := range st.Bundles {
		b := &st.Bundles[i]
		if written[b.Path] == "" {
			name := singlePrefix + strings.TrimSuffix(b.Path, bundleSuffix)
			f, err := s.writeSingleFile(ctx, dist, name, b.Path, digests)
			if err != nil {
				return err
			}
			st.Files, written[b.Path] = append(st.Files, f), name
		}
		b.Install = written[b.Path]
	}
	return nil
}

// writeSingleFile writes one of them. What it is made of has been written by this build, and is checked once more.
func (s *Site) writeSingleFile(ctx context.Context, dist, name, bundleName string, digests map[string]bundle.Digest) (DistFile, error) {
	s.report(progress.Event{Phase: "seal", Item: name, Kind: progress.Start})
	h := sha256.New()
	var total int64
	err := WriteFile(filepath.Join(dist, name), 0o700, func(w io.Writer) error {
		w = io.MultiWriter(w, h)
		program, err := appendFile(ctx, w, filepath.Join(dist, installerName), digests[installerName])
		if err != nil {
			return err
		}
		size, err := appendFile(ctx, w, filepath.Join(dist, bundleName), digests[bundleName])
		if err != nil {
			return err
		}
		trailer := bundle.Trailer(bundle.Appended{Offset: program, Size: size})
		total = program + size + int64(len(trailer))
		_, err = w.Write(trailer)
		return err
	})
	if err != nil {
		return DistFile{}, err
	}
	s.report(progress.Event{Phase: "seal", Item: name, Kind: progress.Done, Done: total, Total: total})
	return DistFile{name, total, bundle.Digest(h.Sum(nil))}, nil
}

// appendFile copies a file of this build to w and returns its size.
func appendFile(ctx context.Context, w io.Writer, path string, want bundle.Digest) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("reading what was just written: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), bundle.Stoppable(ctx, f))
	if err != nil {
		return n, err
	}
	if got := bundle.Digest(h.Sum(nil)); got != want {
		return n, errors.Join(&bundle.DigestError{Name: path, Want: want, Got: got, Size: n}, errors.New("it was written a moment ago: is the disk sound?"))
	}
	return n, nil
}
