package sitetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"offgrid/bundle"
)

// Delta is the path of the role's bundle at hand as a delta since an older one.
func (s *Site) Delta(t testing.TB, role, since string) string {
	t.Helper()
	old, err := bundle.Open(since)
	must(t, err)
	defer old.Close()
	now, err := bundle.Open(s.Bundle(role))
	must(t, err)
	defer now.Close()
	in, differences := s.inputs[s.Bundle(role)], map[bundle.Digest][]byte{}
	var changed []bundle.ChangedProgram
	in.Delta, changed = bundle.PlanDelta(old, &now.Role)
	for _, c := range changed {
		base, content := contentOf(t, old, c.Was), contentOf(t, now, c.Now)
		d := encodeDelta(t, base, content)
		p := d.program
		p.Name, p.Path, p.Digest = c.Now.Name, c.Path, c.Was.Blob.Digest
		differences[p.Stored] = d.stored
		in.Delta.Programs = append(in.Delta.Programs, p)
	}
	open := in.Open
	in.Open = func(d bundle.Digest) (io.ReadCloser, error) {
		if data, ok := differences[d]; ok {
			return io.NopCloser(bytes.NewReader(data)), nil
		}
		return open(d)
	}
	path := filepath.Join(s.dir, role+"-delta.bundle")
	f, err := os.Create(path)
	must(t, err)
	in.Sign = s.Key.Sign
	_, err = bundle.Write(context.Background(), f, in)
	must(t, errors.Join(err, f.Close()))
	return path
}

func contentOf(t testing.TB, b *bundle.Bundle, a bundle.Artifact) []byte {
	t.Helper()
	r, err := b.Content(context.Background(), a.Blob, a.Name)
	must(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	must(t, err)
	return data
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
