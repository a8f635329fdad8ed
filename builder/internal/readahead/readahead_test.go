package readahead_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"offgrid/builder/internal/readahead"
)

func noise(n int) []byte {
	r, b := rand.New(rand.NewPCG(uint64(n), 0)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestTheSourcesBytesComeOutInOrder(t *testing.T) {
	for _, n := range []int{0, 1, 256 << 10, 1 << 20, 3<<20 + 7} {
		want := noise(n)
		for how, r := range map[string]io.Reader{"whole": bytes.NewReader(want), "by halves": iotest.HalfReader(bytes.NewReader(want)), "with the end": iotest.DataErrReader(bytes.NewReader(want))} {
			a := readahead.New(r)
			got, err := io.ReadAll(a)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %s: %v, got %d", n, how, err, len(got))
			}
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("%d bytes, %s: after the end: %v", n, how, err)
			}
			a.Close()
		}
	}
}

func TestAnErrorComesAfterTheBytesBeforeIt(t *testing.T) {
	broken, want := errors.New("the disk is on fire"), noise(700_000)
	a := readahead.New(io.MultiReader(bytes.NewReader(want), iotest.ErrReader(broken)))
	defer a.Close()
	got, err := io.ReadAll(a)
	if !errors.Is(err, broken) || !bytes.Equal(got, want) {
		t.Errorf("%v after %d bytes of %d", err, len(got), len(want))
	}
}

// endless is a source without an end that counts what was read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

func TestWhatIsClosedReadsNoMore(t *testing.T) {
	for _, first := range []int64{0, 1, 5 << 20} {
		source := &endless{}
		a := readahead.New(source)
		if n, err := io.CopyN(io.Discard, a, first); err != nil {
			t.Fatalf("%v after %d bytes", err, n)
		}
		a.Close()
		read := source.read // no race: the goroutine has ended
		if ahead := int64(read) - first; ahead < 0 || ahead > 1<<20 {
			t.Errorf("%d bytes were read ahead", ahead)
		}
		a.Close()
		if _, err := io.Copy(io.Discard, a); err == nil {
			t.Error("it is closed and read to an end that the source does not have")
		}
		if source.read != read {
			t.Error("the source was read after the close")
		}
	}
}
