package rpmrepo

import (
	"fmt"
	"io"
	"path"
	"strings"

	"offgrid/builder/internal/xmlscan"
	"offgrid/bundle"
)

// InPrimary reports whether the index of packages names all files of such a path (createrepo's rule): programs, and what is in
// /etc.
func InPrimary(file string) bool {
	return strings.HasPrefix(file, "/etc/") || file == "/usr/lib/sendmail" || strings.HasSuffix(path.Dir(file), "bin")
}

// ReadFilelists reads filelists.xml, one package at a time, and calls found for each file that is wanted.
func ReadFilelists(r io.Reader, wanted map[string]bool, found func(pkg bundle.Digest, file string)) error {
	s := xmlscan.New(r)
	err := eachPackage(s, "filelists", func() error {
		id, err := s.Attr("pkgid")
		if err != nil {
			return err
		}
		pkg, err := bundle.ParseDigest("sha256:" + string(id))
		if err != nil {
			return fmt.Errorf("a package's checksum is no sha256: %w", err)
		}
		for depth := s.Depth() - 1; s.Depth() > depth; {
			kind, err := s.Next()
			if err != nil {
				return err
			}
			if kind != xmlscan.Start {
				continue
			}
			if string(s.Name()) != "file" {
				if err := s.Skip(); err != nil {
					return err
				}
				continue
			}
			file, err := s.Content()
			if err != nil {
				return err
			}
			if wanted[string(file)] {
				found(pkg, string(file))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading filelists.xml: %w", err)
	}
	return nil
}
