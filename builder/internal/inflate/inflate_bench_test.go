package inflate_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"offgrid/builder/internal/inflate"
)

// BenchmarkAProgram decodes 3 MiB of this program, against compress/gzip.
func BenchmarkAProgram(b *testing.B) {
	data := contents(b)["a program"]
	packed := pack(b, data, gzip.BestCompression)
	for name, open := range map[string]func(io.Reader) (io.Reader, error){
		"own":      func(r io.Reader) (io.Reader, error) { return inflate.NewReader(r) },
		"standard": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				r, err := open(bytes.NewReader(packed))
				if err == nil {
					_, err = io.Copy(io.Discard, r)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
