package bundle

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// noise returns n bytes that zstd makes about a quarter of: pseudo-random words of eight bytes, of which there are 4096.
// Under the race detector, where encoding is a hundred times slower, nearly all of them are zero.
func noise(n int) []byte {
	out := make([]byte, n+8)
	x := uint64(88172645463325252)
	step := 8
	if raceEnabled {
		step = 8 << 12
	}
	for i := 0; i < n; i += step {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(out[i:], (x>>52+1)*0x9e3779b97f4a7c15)
	}
	return out[:n]
}

func encode(t testing.TB, content []byte, workers int) (Blob, []byte) {
	t.Helper()
	var out bytes.Buffer
	blob, err := Encode(t.Context(), bytes.NewReader(content), &out, workers)
	if err != nil {
		t.Fatal(err)
	}
	if err := blob.validate(); err != nil {
		t.Fatalf("%d bytes: %v", len(content), err)
	}
	return blob, out.Bytes()
}

// bundleOf makes a bundle that can read one blob.
func bundleOf(blob Blob, stored []byte) *Bundle {
	return &Bundle{Path: "test", src: &archive{r: bytes.NewReader(stored), blobs: map[Digest]extent{
		blob.Stored: {r: bytes.NewReader(stored), size: int64(len(stored))},
	}}}
}

func TestContentOfEverySizeComesBack(t *testing.T) {
	all := noise(3*FrameSize + 1)
	for _, n := range []int{0, 1, rawBelow - 1, rawBelow, rawBelow + 1, FrameSize - 1, FrameSize, FrameSize + 1, 2 * FrameSize, 3*FrameSize + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			blob, stored := encode(t, all[:n], 0)
			if wantRaw := n <= rawBelow; (blob.Encoding == EncodingRaw) != wantRaw {
				t.Errorf("encoding is %s with %d frames", blob.Encoding, len(blob.Frames))
			}
			b := bundleOf(blob, stored)
			r, err := b.Content(t.Context(), blob, "content")
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, all[:n]) {
				t.Errorf("%d bytes, error %v", len(got), err)
			}
			if err := errors.Join(r.Close(), r.Close()); err != nil {
				t.Errorf("closing twice: %v", err)
			}
			b.codec.close()
		})
	}
}

func TestTheNumberOfWorkersDoesNotShowInTheBytes(t *testing.T) {
	content := noise(5*FrameSize + 12345)
	blob, stored := encode(t, content, 1)
	for _, workers := range []int{2, 3, 4, 9} {
		other, otherStored := encode(t, content, workers)
		if !reflect.DeepEqual(blob, other) || !bytes.Equal(stored, otherStored) {
			t.Errorf("%d workers give %s, one gives %s", workers, other.Stored, blob.Stored)
		}
	}
	var out bytes.Buffer
	odd, err := Encode(t.Context(), iotest.HalfReader(bytes.NewReader(content)), &out, 2)
	if err != nil || odd.Stored != blob.Stored {
		t.Errorf("a reader that gives little at a time: %s, error %v", odd.Stored, err)
	}
}

func TestCodecIDBelongsToTheseBytes(t *testing.T) {
	if raceEnabled {
		t.Skip("the content is another one under the race detector")
	}
	// When one of these digests changes, CodecID must change too: caches keep encoded content under it.
	for level, want := range map[Level]string{
		Default: "zstd-klauspost-1.20.3-default-4MiB 8ca7958cfb523f55c738bb2422554b25b3e6da52d4798f9e0f8787aa781fec84",
		Best:    "zstd-klauspost-1.20.3-best-4MiB 1ba68916d5065da0c2a0ed2c1a050fbc262542b3394eef89fa2c0304a7fd8cb5",
	} {
		for _, workers := range []int{1, 3} {
			x, err := NewEncoder(level, workers)
			if err != nil {
				t.Fatal(err)
			}
			blob, err := x.Encode(t.Context(), bytes.NewReader(noise(FrameSize+FrameSize/2)), io.Discard)
			if got := level.CodecID() + " " + blob.Stored.Hex(); err != nil || got != want {
				t.Errorf("%d workers: the codec gives\n%s, want\n%s, %v", workers, got, want, err)
			}
		}
	}
}

func TestContentsThatAreEncodedAtOnceShareTheBuffers(t *testing.T) {
	x, err := NewEncoder(Default, 2)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 9 {
		group.Go(func() {
			content := noise(i * FrameSize / 3)
			want, stored := encode(t, content, 1)
			var out bytes.Buffer
			got, err := x.Encode(t.Context(), iotest.HalfReader(bytes.NewReader(content)), &out)
			if err != nil || !reflect.DeepEqual(got, want) || !bytes.Equal(out.Bytes(), stored) {
				t.Errorf("%d bytes: %v, the blob is %v, want %v", len(content), err, got, want)
			}
		})
	}
	for _, r := range []io.Reader{iotest.ErrReader(io.ErrClosedPipe), io.MultiReader(bytes.NewReader(noise(FrameSize+1)), iotest.ErrReader(io.ErrClosedPipe))} {
		group.Go(func() {
			if _, err := x.Encode(t.Context(), r, io.Discard); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("a reader that fails: %v", err)
			}
		})
		group.Go(func() {
			if _, err := x.Encode(t.Context(), bytes.NewReader(noise(3*FrameSize)), failingWriter{}); !errors.Is(err, io.ErrShortWrite) {
				t.Errorf("a writer that fails: %v", err)
			}
		})
	}
	group.Wait()
	if n := len(x.slots); n != cap(x.slots) {
		t.Errorf("%d of %d buffers are free in the end", n, cap(x.slots))
	}
}

// failingWriter takes nothing.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWhatDoesNotShrinkIsStoredAsItIs(t *testing.T) {
	once, stored := encode(t, noise(100000), 1)
	if once.Encoding != EncodingZstd {
		t.Fatalf("encoding is %s", once.Encoding)
	}
	twice, again := encode(t, stored, 1)
	if twice.Encoding != EncodingRaw || !bytes.Equal(stored, again) {
		t.Errorf("compressed bytes are stored as %s", twice.Encoding)
	}
	var out bytes.Buffer
	raw, err := EncodeRaw(t.Context(), bytes.NewReader(stored), &out)
	if err != nil || !reflect.DeepEqual(raw, twice) || !bytes.Equal(out.Bytes(), stored) {
		t.Errorf("EncodeRaw gives %+v, error %v", raw, err)
	}
}

// failAfter fails after n bytes written.
type failAfter struct{ n int }

func (f *failAfter) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}

func TestEncodingStopsAtTheFirstErrorOfReaderOrWriter(t *testing.T) {
	content := noise(6 * FrameSize)
	_, err := Encode(t.Context(), bytes.NewReader(content), &failAfter{1000}, 2)
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("full disk: %v", err)
	}
	for _, n := range []int{0, 100, FrameSize, 3*FrameSize + 5} {
		cut := io.MultiReader(bytes.NewReader(content[:n]), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := Encode(t.Context(), cut, io.Discard, 2); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a source that breaks off after %d bytes: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Encode(ctx, bytes.NewReader(content), io.Discard, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestContentCanBeClosedOrCancelledAtAnyPoint(t *testing.T) {
	content := noise(8 * FrameSize)
	blob, stored := encode(t, content, 2)
	b := bundleOf(blob, stored)
	defer b.codec.close()
	for _, n := range []int{0, 1, FrameSize, FrameSize + 1, 5 * FrameSize} {
		r, err := b.Content(t.Context(), blob, "content")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
			t.Errorf("reading %d bytes: %v", n, err)
		}
		r.Close()
		if n, err := r.Read(make([]byte, 10)); n != 0 || err == nil || errors.Is(err, io.EOF) {
			t.Errorf("reading after Close: %d bytes, %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := b.Content(ctx, blob, "content")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestBeingStoppedIsNotDamage(t *testing.T) {
	for _, content := range [][]byte{[]byte("raw"), noise(2 * FrameSize)} {
		blob, stored := encode(t, content, 2)
		b := bundleOf(blob, stored)
		ctx, cancel := context.WithCancel(t.Context())
		r, err := b.Content(ctx, blob, "content")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		_, err = io.ReadAll(r)
		r.Close()
		var damage *DamageError
		if !errors.Is(err, context.Canceled) || errors.As(err, &damage) {
			t.Errorf("%s: %v", blob.Encoding, err)
		}
		b.codec.close()
	}
}

func TestContentRefusesAFrameTableThatDoesNotAddUp(t *testing.T) {
	blob, stored := encode(t, noise(2*FrameSize), 1)
	b := bundleOf(blob, stored)
	tests := map[string]func(*Blob){
		"a frame too few":       func(x *Blob) { x.Frames = x.Frames[:1] },
		"a frame too large":     func(x *Blob) { x.Frames[0].Stored = MaxFrameStored + 1 },
		"a negative frame":      func(x *Blob) { x.Frames[0].Stored = -1 },
		"sizes that do not sum": func(x *Blob) { x.Frames[0].Stored-- },
		"negative content":      func(x *Blob) { x.Size = -1 },
		"too much content":      func(x *Blob) { x.Size = MaxBlobSize + 1 },
		"no frames":             func(x *Blob) { x.Frames, x.Size = nil, 0 },
		"an unknown encoding":   func(x *Blob) { x.Encoding = "xz" },
		"raw with frames":       func(x *Blob) { x.Encoding = EncodingRaw },
	}
	for name, hack := range tests {
		t.Run(name, func(t *testing.T) {
			bad := blob
			bad.Frames = slices.Clone(blob.Frames)
			hack(&bad)
			if r, err := b.Content(t.Context(), bad, "content"); err == nil {
				r.Close()
				t.Error("it was accepted")
			}
		})
	}
}

func TestAFrameThatDecodesToMoreThanItsShareIsRefused(t *testing.T) {
	blob, stored := encode(t, make([]byte, FrameSize), 1)
	blob.Size = 100 // the frame holds 4 MiB: a bomb, seen from 100 bytes
	b := bundleOf(blob, stored)
	defer b.codec.close()
	r, err := b.Content(t.Context(), blob, "bomb")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	var damage *DamageError
	if !errors.As(err, &damage) || len(got) != 0 {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
}

// peak runs f and returns by how much the memory in use grew at most, in bytes, as seen between reads and writes.
type peak struct {
	base, max uint64
}

func (p *peak) look() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if p.base == 0 {
		p.base = m.HeapAlloc
	}
	p.max = max(p.max, m.HeapAlloc)
}

// endless gives n bytes of a repeated block and looks at memory once per MiB.
type endless struct {
	block []byte
	n     int64
	peak  *peak
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	e.peak.look()
	n := copy(p[:min(int64(len(p)), e.n)], e.block)
	e.n -= int64(n)
	return n, nil
}

func TestMemoryDoesNotGrowWithTheContent(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	name := t.TempDir() + "/stored"
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	runtime.GC()
	var p peak
	p.look()
	blob, err := Encode(t.Context(), &endless{block: noise(1 << 20), n: 192 << 20, peak: &p}, f, 4)
	if err != nil {
		t.Fatal(err)
	}
	if grown := p.max - p.base; grown > 110<<20 {
		t.Errorf("encoding 192 MiB took %d MiB", grown>>20)
	}
	t.Logf("encoding: %d MiB", (p.max-p.base)>>20)
	b := &Bundle{Path: "test", src: &archive{r: f, blobs: map[Digest]extent{blob.Stored: {r: f, size: blob.StoredSize}}}}
	defer b.codec.close()
	runtime.GC()
	p = peak{}
	p.look()
	for range 3 {
		r, err := b.Content(t.Context(), blob, "content")
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			p.look()
			_, err = io.CopyN(io.Discard, r, 1<<20)
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		r.Close()
	}
	if grown := p.max - p.base; grown > 44<<20 {
		t.Errorf("reading 192 MiB took %d MiB", grown>>20)
	}
	t.Logf("reading: %d MiB", (p.max-p.base)>>20)
}

func BenchmarkEncode(b *testing.B) {
	content := noise(64 << 20)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := Encode(b.Context(), bytes.NewReader(content), io.Discard, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkContent(b *testing.B) {
	content := noise(64 << 20)
	blob, stored := encode(b, content, 0)
	bundle := bundleOf(blob, stored)
	defer bundle.codec.close()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		r, err := bundle.Content(b.Context(), blob, "content")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}
