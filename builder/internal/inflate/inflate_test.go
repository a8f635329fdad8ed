package inflate_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"offgrid/builder/internal/inflate"
)

// result is what a reader made of a file.
type result struct {
	data []byte
	err  error
}

// read decodes with small and odd reads, so that results do not depend on them.
func read(r io.Reader, err error) result {
	if err != nil {
		return result{err: err}
	}
	var b bytes.Buffer
	_, err = io.CopyBuffer(struct{ io.Writer }{&b}, r, make([]byte, 4099))
	return result{b.Bytes(), err}
}

func own(r io.Reader) result {
	z, err := inflate.NewReader(r)
	return read(z, err)
}

func standard(r io.Reader) result {
	z, err := gzip.NewReader(r)
	return read(z, err)
}

// kind is what a caller can tell errors by.
func kind(err error) string {
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &corrupt):
		return "corrupt"
	case err == nil:
		return "none"
	}
	return err.Error()
}

// differ compares with compress/gzip. Where a file is cut, both notice it, but not at the same bit: compress/gzip asks for
// as many bits as the end of a block has.
func differ(data []byte) error {
	got, want := own(bytes.NewReader(data)), standard(bytes.NewReader(data))
	if (got.err == nil) != (want.err == nil) {
		return fmt.Errorf("the error is %v, compress/gzip's is %v", got.err, want.err)
	}
	cut := errors.Is(got.err, io.ErrUnexpectedEOF) || errors.Is(want.err, io.ErrUnexpectedEOF)
	if g, w := kind(got.err), kind(want.err); g != w && !cut {
		return fmt.Errorf("the error is %v, compress/gzip's is %v", got.err, want.err)
	}
	short, long := got.data, want.data
	if len(short) > len(long) {
		short, long = long, short
	}
	if !bytes.HasPrefix(long, short) || len(short) != len(long) && !cut {
		return fmt.Errorf("%d bytes, compress/gzip has %d; the first difference is at %d", len(got.data), len(want.data), firstDifference(got.data, want.data))
	}
	return nil
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// contents are things that compress in different ways.
func contents(t testing.TB) map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	skewed := make([]byte, 400_000) // codes of up to 15 bits
	for i := range skewed {
		skewed[i] = byte(255 * random.ExpFloat64() / 20)
	}
	var near bytes.Buffer // copies from every short distance
	for n := 1; n < 70; n++ {
		near.Write(bytes.Repeat(noise[n*100:n*100+n], 300/n+2))
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	far := bytes.Repeat(noise[:window], 9) // copies from the greatest distance
	return map[string][]byte{
		"nothing": nil, "one byte": {'x'}, "noise": noise, "skewed": skewed, "near": near.Bytes(), "far": far,
		"zeros": make([]byte, 1<<20), "text": []byte(strings.Repeat("the quick brown fox jumps over the lazy dog\n", 9999)),
		"a program": program[:min(len(program), 3<<20)], "mixed": bytes.Join([][]byte{noise[:70_000], skewed, noise, near.Bytes()}, nil),
	}
}

const window = 32 << 10

func pack(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatWasCompressedComesBack(t *testing.T) {
	for name, data := range contents(t) {
		for _, level := range []int{gzip.HuffmanOnly, gzip.NoCompression, gzip.BestSpeed, 6, gzip.BestCompression} {
			packed := pack(t, data, level)
			for how, r := range map[string]io.Reader{
				"whole": bytes.NewReader(packed), "byte by byte": iotest.OneByteReader(bytes.NewReader(packed)),
				"by halves": iotest.HalfReader(bytes.NewReader(packed)), "with the end": iotest.DataErrReader(bytes.NewReader(packed)),
			} {
				if how != "whole" && level != gzip.BestCompression {
					continue
				}
				if got := own(r); got.err != nil || !bytes.Equal(got.data, data) {
					t.Errorf("%s, level %d, read %s: %v, the first difference of %d and %d bytes is at %d", name, level, how, got.err, len(got.data), len(data), firstDifference(got.data, data))
				}
			}
		}
	}
}

func TestMembersFollowEachOther(t *testing.T) {
	var packed, plain []byte
	for name, data := range contents(t) {
		packed, plain = append(packed, pack(t, data, 6)...), append(plain, data...)
		if got := own(bytes.NewReader(packed)); got.err != nil || !bytes.Equal(got.data, plain) {
			t.Fatalf("with %s: %v, %d bytes of %d", name, got.err, len(got.data), len(plain))
		}
	}
	for _, tail := range []string{"x", "\x1f", "\x1f\x8b\x08\x00", strings.Repeat("\x00", 512), "no gzip header"} {
		if err := differ(append(packed[:len(packed):len(packed)], tail...)); err != nil {
			t.Errorf("followed by %q: %v", tail, err)
		}
	}
}

func TestACopyDoesNotReachIntoTheMemberBefore(t *testing.T) {
	first := pack(t, []byte("abcdefgh"), 6)
	second := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
	// A block of the fixed codes: literal "x", copy 3 bytes from distance 4, end.
	bits := &bitWriter{}
	bits.add(1, 1)
	bits.add(1, 2)
	bits.code(0x30+'x', 8)
	bits.code(1, 7)
	bits.code(3, 5)
	bits.code(0, 7)
	data := append(append(first, second...), append(bits.bytes(), make([]byte, 8)...)...)
	if got := own(bytes.NewReader(data)); kind(got.err) != "corrupt" {
		t.Errorf("the error is %v", got.err)
	}
	if err := differ(data); err != nil {
		t.Error(err)
	}
}

// bitWriter writes blocks that no compressor writes.
type bitWriter struct {
	out  []byte
	hold uint64
	have int
}

// add writes a number, lowest bit first.
func (w *bitWriter) add(v uint64, n int) {
	w.hold |= v << w.have
	for w.have += n; w.have >= 8; w.have -= 8 {
		w.out = append(w.out, byte(w.hold))
		w.hold >>= 8
	}
}

// code writes a code, highest bit first.
func (w *bitWriter) code(v, n int) {
	for n--; n >= 0; n-- {
		w.add(uint64(v>>n&1), 1)
	}
}

func (w *bitWriter) bytes() []byte {
	if w.have > 0 {
		w.add(0, 8-w.have)
	}
	return w.out
}

// dynamic begins the last block, with codes of its own of these lengths. Each length is written with 4 bits.
func dynamic(lits, dists []int) *bitWriter {
	w := &bitWriter{}
	w.add(1, 1)
	w.add(2, 2)
	w.add(uint64(len(lits)-257), 5)
	w.add(uint64(len(dists)-1), 5)
	w.add(15, 4)
	for _, s := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
		if s < 16 {
			w.add(4, 3)
		} else {
			w.add(0, 3)
		}
	}
	for _, n := range append(lits, dists...) {
		w.code(n, 4)
	}
	return w
}

func member(deflated []byte) []byte {
	return append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, deflated...)
}

func lengths(n int, set map[int]int) []int {
	list := make([]int, n)
	for s, bits := range set {
		list[s] = bits
	}
	return list
}

func TestCodesThatNoCompressorWritesAreTakenAsTheStandardLibraryTakesThem(t *testing.T) {
	chain := map[int]int{} // 1, 2, 3, ... 14, 15, 15 bits
	for n := 1; n <= 15; n++ {
		chain[250+n-1] = n
	}
	chain[265] = 15
	deep := lengths(286, chain)
	for name, c := range map[string]struct{ lits, dists []int }{
		"no end":               {lengths(257, map[int]int{'a': 1, 'b': 1}), []int{0}},
		"one literal":          {lengths(257, map[int]int{'a': 1}), []int{0}},
		"the end alone":        {lengths(257, map[int]int{256: 1}), []int{0}},
		"the end with 2 bits":  {lengths(257, map[int]int{256: 2}), []int{0}},
		"too many":             {lengths(257, map[int]int{'a': 1, 'b': 1, 256: 1}), []int{1}},
		"too few":              {lengths(257, map[int]int{'a': 2, 'b': 2, 256: 2}), []int{1}},
		"nothing":              {lengths(257, nil), []int{0}},
		"one distance":         {lengths(258, map[int]int{'a': 2, 256: 2, 257: 1}), []int{1}},
		"one distance, 2 bits": {lengths(258, map[int]int{'a': 2, 256: 2, 257: 1}), []int{2}},
		"no distance":          {lengths(258, map[int]int{'a': 2, 256: 2, 257: 1}), []int{0}},
		"15 bits":              {deep, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15}},
		"31 distances":         {deep, make([]int, 31)},
		"287 lengths":          {append(deep[:286:286], 0), []int{1, 1}},
	} {
		w := dynamic(c.lits, c.dists)
		head := *w
		for tail := range 60 {
			w := head
			w.out = append([]byte(nil), head.out...)
			random := rand.New(rand.NewPCG(uint64(tail), 7))
			for range tail {
				w.add(uint64(random.Uint32N(256)), 8)
			}
			if err := differ(member(w.bytes())); err != nil {
				t.Errorf("%s, %d bytes more: %v", name, tail, err)
				break
			}
		}
	}
}

func TestHeadersAreReadAsTheStandardLibraryReadsThem(t *testing.T) {
	plain := pack(t, []byte("content"), 6)
	for name, head := range map[string]string{
		"extra":             "\x04\x00\x00\x00\x00\x00\xff\x03\x00abc",
		"extra of 64 KiB":   "\x04\x00\x00\x00\x00\x00\xff\xff\xff" + strings.Repeat("x", 65535),
		"a name":            "\x08\x00\x00\x00\x00\x00\xffname\x00",
		"a name, no end":    "\x08\x00\x00\x00\x00\x00\xffname",
		"name and comment":  "\x18\x00\x00\x00\x00\x00\xffname\x00comment\xff\x00",
		"511 bytes of name": "\x08\x00\x00\x00\x00\x00\xff" + strings.Repeat("n", 511) + "\x00",
		"512 bytes of name": "\x08\x00\x00\x00\x00\x00\xff" + strings.Repeat("n", 512) + "\x00",
		"wrong checksum":    "\x02\x00\x00\x00\x00\x00\xffab",
		"right checksum":    "\x02\x00\x00\x00\x00\x00\xff\x26\x8f",
		"reserved flags":    "\xe0\x00\x00\x00\x00\x00\xff",
	} {
		if err := differ([]byte("\x1f\x8b\x08" + head + string(plain[10:]))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, head := range []string{"", "\x1f", "\x1f\x8b\x07" + strings.Repeat("\x00", 20), "plain text, longer than a header"} {
		if err := differ([]byte(head)); err != nil {
			t.Errorf("%q: %v", head, err)
		}
	}
}

func TestEveryCutAndEveryChangedByteIsNoticedAsTheStandardLibraryDoes(t *testing.T) {
	all := contents(t)
	for name, data := range map[string][]byte{
		"text": all["text"][:1000], "near": all["near"][:2000], "noise": all["noise"][:100], "a program": all["a program"][:2000],
		"skewed": all["skewed"][:400],
	} {
		for _, level := range []int{gzip.HuffmanOnly, gzip.BestSpeed, gzip.BestCompression} {
			packed := pack(t, data, level)
			for i := range packed {
				if err := differ(packed[:i]); err != nil {
					t.Fatalf("%s, level %d, %d bytes of %d: %v", name, level, i, len(packed), err)
				}
				changed := bytes.Clone(packed)
				changed[i] ^= 1 << (i % 8)
				if err := differ(changed); err != nil {
					t.Fatalf("%s, level %d, byte %d changed: %v", name, level, i, err)
				}
			}
		}
	}
}

func TestTheSourcesErrorIsPassedOn(t *testing.T) {
	broken := errors.New("the disk is on fire")
	packed := pack(t, contents(t)["a program"], 6)
	for _, n := range []int{0, 5, 10, 11, 1000, len(packed) - 8, len(packed) - 1, len(packed)} {
		got := own(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(broken)))
		if !errors.Is(got.err, broken) {
			t.Errorf("after %d bytes: the error is %v", n, got.err)
		}
	}
	if got := own(io.MultiReader(bytes.NewReader(packed[:1000]), silent{})); !errors.Is(got.err, io.ErrNoProgress) {
		t.Errorf("a source that gives nothing: the error is %v", got.err)
	}
}

// silent is a source that neither reads nor ends.
type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func FuzzAgainstTheStandardLibrary(f *testing.F) {
	for _, data := range contents(f) {
		f.Add(pack(f, data[:min(len(data), 3000)], gzip.BestCompression))
		f.Add(pack(f, data[:min(len(data), 500)], gzip.HuffmanOnly))
	}
	f.Add(append(pack(f, []byte("one"), 1), pack(f, []byte("two"), 9)...))
	f.Add(member(dynamic(lengths(258, map[int]int{'a': 2, 256: 2, 257: 1}), []int{1}).bytes()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := differ(data); err != nil {
			t.Error(err)
		}
	})
}

// FuzzDeflateAgainstTheStandardLibrary spares the fuzzer header and checksum.
func FuzzDeflateAgainstTheStandardLibrary(f *testing.F) {
	for _, data := range contents(f) {
		packed := pack(f, data[:min(len(data), 3000)], gzip.BestCompression)
		f.Add(packed[10 : len(packed)-8])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := differ(member(data)); err != nil {
			t.Error(err)
		}
	})
}
