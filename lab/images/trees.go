package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A packed layer is its bytes and the digest of them uncompressed.
type packed struct {
	diffID string
	data   []byte
}

// trees packs directories into layers, each once.
type trees struct {
	dir    string
	packed map[string]packed
}

// of packs the layers of a recipe for one platform.
func (t *trees) of(r recipe, arch string) ([]packed, error) {
	if r.program != "" {
		p, err := t.once(r.program+" "+arch, func(w *tar.Writer) error {
			return addFile(w, filepath.Join(t.dir, "program-"+arch), &tar.Header{Name: r.program, Mode: 0o755})
		})
		return []packed{p}, err
	}
	var all []packed
	for _, name := range r.layers {
		p, err := t.once(name, func(w *tar.Writer) error { return addTree(w, filepath.Join(t.dir, name)) })
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (t *trees) once(key string, write func(*tar.Writer) error) (packed, error) {
	if p, ok := t.packed[key]; ok {
		return p, nil
	}
	var data bytes.Buffer
	sum := sha256.New()
	z := gzip.NewWriter(&data)
	w := tar.NewWriter(io.MultiWriter(z, sum))
	if err := write(w); err != nil {
		return packed{}, fmt.Errorf("packing %s: %w", key, err)
	}
	if err := w.Close(); err != nil {
		return packed{}, err
	}
	if err := z.Close(); err != nil {
		return packed{}, err
	}
	p := packed{diffID: fmt.Sprintf("sha256:%x", sum.Sum(nil)), data: data.Bytes()}
	t.packed[key] = p
	return p, nil
}

// addTree adds what is below a directory, in the order of names, owned by root, at the beginning of time.
func addTree(w *tar.Writer, dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: inside, Mode: int64(info.Mode().Perm())}
		switch {
		case d.IsDir():
			header.Name, header.Typeflag, header.ModTime = inside+"/", tar.TypeDir, time.Unix(0, 0)
			return w.WriteHeader(header)
		case info.Mode()&fs.ModeSymlink != 0:
			if header.Linkname, err = os.Readlink(name); err != nil {
				return err
			}
			header.Typeflag, header.ModTime = tar.TypeSymlink, time.Unix(0, 0)
			return w.WriteHeader(header)
		}
		return addFile(w, name, header)
	})
}

func addFile(w *tar.Writer, name string, header *tar.Header) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	header.Typeflag, header.Size, header.ModTime = tar.TypeReg, int64(len(data)), time.Unix(0, 0)
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
