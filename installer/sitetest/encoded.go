package sitetest

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"offgrid/bundle"
)

// Encoders have megabytes of tables, and sites are made of the same contents again and again: what is encoded once is kept for the
// whole program.
var (
	encoder     = sync.OnceValues(func() (*bundle.Encoder, error) { return bundle.NewEncoder(bundle.Default, 1) })
	encodings   sync.Map // content -> encoded
	differences sync.Map // base and content -> difference
)

type encoded struct {
	blob   bundle.Blob
	stored []byte
}

type difference struct {
	program bundle.DeltaProgram
	stored  []byte
}

func encode(t testing.TB, content []byte) encoded {
	t.Helper()
	key := bundle.DigestOf(content)
	if e, ok := encodings.Load(key); ok {
		return e.(encoded)
	}
	x, err := encoder()
	must(t, err)
	var out bytes.Buffer
	blob, err := x.Encode(context.Background(), bytes.NewReader(content), &out)
	must(t, err)
	e := encoded{blob, out.Bytes()}
	encodings.Store(key, e)
	return e
}

func encodeDelta(t testing.TB, base, content []byte) difference {
	t.Helper()
	key := [2]bundle.Digest{bundle.DigestOf(base), bundle.DigestOf(content)}
	if d, ok := differences.Load(key); ok {
		return d.(difference)
	}
	var out bytes.Buffer
	p, err := bundle.EncodeDelta(context.Background(), bytes.NewReader(base), int64(len(base)), bytes.NewReader(content), int64(len(content)), &out)
	must(t, err)
	d := difference{p, out.Bytes()}
	differences.Store(key, d)
	return d
}
