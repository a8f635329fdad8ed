package sbom

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"offgrid/bundle"
)

// FuzzProgram lists programs of any bytes as the installer, beside a bundle of nothing: whatever they say of themselves, both
// formats are written.
func FuzzProgram(f *testing.F) {
	f.Add([]byte("#!/bin/sh\n"))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Add([]byte("\xff Go buildinf:\x08\x02go1.26\x00"))
	in := bundle.Input{
		Open: func(bundle.Digest) (io.ReadCloser, error) { return nil, errors.New("there is nothing") },
		Role: bundle.RoleIndex{Role: bundle.RoleEtcd, Platform: bundle.Platform{OS: "linux", Arch: "amd64", Family: "el7"}, Cluster: bundle.Cluster{ID: "0123456789abcdef0123456789abcdef", Name: "demo"}},
	}
	var data bytes.Buffer
	if _, err := bundle.Write(f.Context(), &data, in); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		b, err := bundle.OpenReaderAt("test.bundle", bytes.NewReader(data.Bytes()), int64(data.Len()))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		doc, err := Collect(t.Context(), b, Options{Tool: "test-0", Installer: append([]byte{}, program...)})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := errors.Join(doc.WriteSPDX(&out), doc.WriteCycloneDX(&out)); err != nil {
			t.Error(err)
		}
	})
}
