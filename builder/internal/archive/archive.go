// Package archive reads upstream's tar.gz files, once and as a stream, and hands out the wanted members. Nothing is
// unpacked to a path that an archive names.
package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"offgrid/builder/internal/inflate"
	"offgrid/builder/internal/readahead"
)

// Limits on an archive. The largest known upstream one (kubernetes-server) has 40 members and 1.2 GB in all.
const (
	MaxMembers       = 100_000
	MaxSize    int64 = 16 << 30 // bytes, uncompressed
	maxName          = 4096
)

// Member is a wanted file that was found.
type Member struct {
	Path string // as it was asked for
	Size int64  // bytes
}

// Read calls take for each wanted path with its content, in the order of the archive, and stops after the last one; it may
// have read more of r by then. What take does not read is skipped. Errors name the member. A wanted path that is no regular
// file, that comes twice before the last one is found, or that is missing is an error, and so is any member whose name
// leads out of the archive.
func Read(ctx context.Context, r io.Reader, wanted []string, take func(Member, io.Reader) error) error {
	// One goroutine reads, one decodes, and take has this one.
	in := readahead.New(&contextReader{ctx, r})
	defer in.Close()
	z, err := inflate.NewReader(in)
	if err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	content := readahead.New(z)
	defer content.Close()
	s := scan{tr: tar.NewReader(io.LimitReader(content, MaxSize)), open: map[string]bool{}, take: take}
	for _, w := range wanted {
		if err := checkName(w); err != nil {
			return err
		}
		s.open[path.Clean(w)] = true
	}
	for n := 0; s.missing() > 0; n++ {
		if n >= MaxMembers {
			return fmt.Errorf("the archive has more than %d members", MaxMembers)
		}
		h, err := s.tr.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the archive has no %s", strings.Join(s.names(), ", "))
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if err := s.member(h); err != nil {
			return err
		}
	}
	return nil
}

type scan struct {
	tr   *tar.Reader
	open map[string]bool // wanted; false when it was found
	take func(Member, io.Reader) error
}

func (s *scan) missing() int { return len(s.names()) }

func (s *scan) names() []string {
	var list []string
	for name, open := range s.open {
		if open {
			list = append(list, fmt.Sprintf("%q", name))
		}
	}
	slices.Sort(list)
	return list
}

func (s *scan) member(h *tar.Header) error {
	if err := checkName(h.Name); err != nil {
		return err
	}
	name := path.Clean(h.Name)
	open, wanted := s.open[name]
	if !wanted {
		return nil
	}
	if !open {
		return fmt.Errorf("the archive has %q twice", name)
	}
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("member %q of the archive is no regular file", name)
	}
	s.open[name] = false
	if err := s.take(Member{Path: name, Size: h.Size}, &memberReader{s.tr, h.Size}); err != nil {
		return fmt.Errorf("member %q of the archive: %w", name, err)
	}
	return nil
}

// checkName refuses names that are absolute or lead out of the archive.
func checkName(name string) error {
	switch {
	case len(name) > maxName:
		return fmt.Errorf("the archive has a name of %d bytes, the limit is %d", len(name), maxName)
	case path.IsAbs(name), strings.ContainsAny(name, "\x00\\"), slices.Contains(strings.Split(name, "/"), ".."):
		return fmt.Errorf("the archive has a member %q, which leads out of it", name)
	}
	return nil
}

// memberReader turns the end of a cut archive into an error that says so, whoever reads.
type memberReader struct {
	r    io.Reader
	left int64
}

func (m *memberReader) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.left -= int64(n)
	if errors.Is(err, io.EOF) && m.left > 0 {
		return n, fmt.Errorf("%d bytes are missing: %w", m.left, io.ErrUnexpectedEOF)
	}
	return n, err
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
