package recovery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/reedsolomon"
)

// memory is a file in memory.
type memory []byte

func (m memory) ReadAt(b []byte, off int64) (int, error) { return bytes.NewReader(m).ReadAt(b, off) }
func (m memory) Forget(int64, int64)                     {}
func (m memory) WriteAt(b []byte, off int64) (int, error) {
	return copy(m[off:], b), nil
}

// made is a file and its record in memory.
func made(t testing.TB, size int64, parity int) (content, record memory) {
	t.Helper()
	content = make(memory, size)
	rand.NewChaCha8([32]byte{7}).Read(content)
	f, err := os.Create(filepath.Join(t.TempDir(), "record"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Create(t.Context(), f, content, Spec{Name: "file", Size: size, Parity: parity}, nil); err != nil {
		t.Fatal(err)
	}
	record, err = os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return content, record
}

// rebuilt scans the spoilt file and computes what is bad.
func rebuilt(t testing.TB, spoilt, record memory) (memory, bool) {
	t.Helper()
	rec, err := decode("record", record, int64(len(record)))
	if err != nil {
		t.Fatal(err)
	}
	faults, err := rec.Scan(t.Context(), spoilt, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	broken, err := rec.badParity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := &reconstruction{rec: rec, src: spoilt}
	for _, f := range faults {
		r.bad = append(r.bad, f.Block)
	}
	for j, b := range broken {
		if !b && len(r.parity) < len(r.bad) {
			r.parity = append(r.parity, j)
		}
	}
	if len(r.parity) < len(r.bad) {
		return nil, false
	}
	out := bytes.Clone(spoilt)
	err = r.run(t.Context(), func(n int, at int64, b []byte) error {
		copy(out[int64(r.bad[n])*rec.BlockSize()+at:], b)
		return nil
	}, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	return out, true
}

// TestEveryChoiceOfBlocksIsRebuilt: for every number of bad blocks up to the limit, hundreds of choices of them among file
// and parity; one more is refused.
func TestEveryChoiceOfBlocksIsRebuilt(t *testing.T) {
	seeds := uint64(200)
	if raceDetector {
		seeds = 5
	}
	const blocks, parity = 23, 6
	content, record := made(t, blocks*MinBlock-9, parity)
	table := int64(len(record)-parity*MinBlock) / 2
	for k := 1; k <= parity+1; k++ {
		for seed := range seeds {
			r := rand.New(rand.NewPCG(seed, uint64(k)))
			spoilt, spoiltRecord := bytes.Clone(content), bytes.Clone(record)
			inFile := 0
			for _, i := range r.Perm(blocks + parity)[:k] {
				if i < blocks {
					inFile++
					spoilt[min(i*MinBlock+r.IntN(MinBlock), len(spoilt)-1)] ^= 1 << r.IntN(8)
				} else {
					spoiltRecord[int(table)+(i-blocks)*MinBlock+r.IntN(MinBlock)] ^= 1 << r.IntN(8)
				}
			}
			out, ok := rebuilt(t, spoilt, spoiltRecord)
			if want := k <= parity || inFile == 0; ok != want {
				t.Fatalf("%d bad blocks of %d, seed %d: repaired %v, want %v", k, parity, seed, ok, want)
			}
			if ok && !bytes.Equal(out, content) {
				t.Fatalf("%d bad blocks, seed %d: what was computed is wrong", k, seed)
			}
		}
	}
}

// TestParityDoesNotDependOnColumnsOrProcessors pins what the format says: the parity of a file is the same, however wide the
// columns are and whatever the processor can do.
func TestParityDoesNotDependOnColumnsOrProcessors(t *testing.T) {
	content, record := made(t, 300*MinBlock, 33)
	rec, err := decode("record", record, int64(len(record)))
	if err != nil {
		t.Fatal(err)
	}
	plain := []reedsolomon.Option{reedsolomon.WithLeopardGF16(true), reedsolomon.WithSSSE3(false), reedsolomon.WithAVX2(false), reedsolomon.WithAVX512(false), reedsolomon.WithGFNI(false), reedsolomon.WithAVXGFNI(false), reedsolomon.WithNEON(false), reedsolomon.WithSVE(false)}
	code, err := reedsolomon.New(300, 33, plain...)
	if err != nil {
		t.Fatal(err)
	}
	shards := make([][]byte, 333)
	for i := range shards {
		shards[i] = make([]byte, MinBlock)
		if i < 300 {
			copy(shards[i], content[i*MinBlock:])
		}
	}
	if err := code.Encode(shards); err != nil {
		t.Fatal(err)
	}
	for j := range 33 {
		if Sum(sha256.Sum256(shards[300+j])) != rec.Parity[j] {
			t.Fatalf("parity block %d is another one", j)
		}
	}
	sum := sha256.Sum256(record)
	if got, want := hex.EncodeToString(sum[:]), goldenRecord; got != want {
		t.Errorf("the record of a known file is %s, want %s: format 1 has changed", got, want)
	}
}

func TestMemoryIsBoundedForTheLargestFiles(t *testing.T) {
	for _, parity := range []int{1, 77, 384, 1000, MaxBlocks} {
		all := MaxBlocks + parity
		for name, buffers := range map[string]int{"making": all + 2*powerOfTwo(parity), "using": all + powerOfTwo(powerOfTwo(parity)+MaxBlocks)} {
			if got := columnWidth(MaxBlock, buffers) * int64(buffers); got > 32<<20 {
				t.Errorf("%s %d parity blocks takes %d bytes", name, parity, got)
			}
		}
	}
}

func TestADoneContextEndsTheWork(t *testing.T) {
	content, record := made(t, 50*MinBlock, 5)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rec, err := decode("record", record, int64(len(record)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rec.Scan(ctx, content, nil, nil); err == nil {
		t.Error("the scan went on")
	}
	if _, err := rec.Check(ctx); err == nil {
		t.Error("the check went on")
	}
}

// unsteady is a reader that fails: fail may spoil what was read of the n-th reading at an offset, or return an error.
type unsteady struct {
	memory
	readings map[int64]int
	fail     func(off int64, n int, b []byte) error
}

func (u unsteady) ReadAt(b []byte, off int64) (int, error) {
	n, err := u.memory.ReadAt(b, off)
	u.readings[off]++
	if failed := u.fail(off, u.readings[off], b); failed != nil {
		return 0, failed
	}
	return n, err
}

// TestReadingAgainTellsABadCopyFromABadReader, with faults at the file layer.
func TestReadingAgainTellsABadCopyFromABadReader(t *testing.T) {
	content, record := made(t, 8*MinBlock, 1)
	rec, err := decode("record", record, int64(len(record)))
	if err != nil {
		t.Fatal(err)
	}
	spoilt := errors.New("input/output error")
	for want, fail := range map[Verdict]func(n int, b []byte) error{
		BadCopy:    func(_ int, b []byte) error { b[7] ^= 1; return nil },
		BadReader:  func(n int, b []byte) error { b[7] ^= byte(n); return nil },
		Unreadable: func(int, []byte) error { return spoilt },
		RightLater: func(n int, b []byte) error {
			if n < 3 {
				b[7] ^= 1
			}
			return nil
		},
		Absent: func(int, []byte) error { return io.ErrUnexpectedEOF },
	} {
		src := unsteady{content, map[int64]int{}, func(off int64, n int, b []byte) error {
			if off != 3*MinBlock {
				return nil
			}
			return fail(n, b)
		}}
		saved := 0
		faults, err := rec.Scan(t.Context(), src, func(i int, b []byte) error {
			if saved++; i != 3 || !bytes.Equal(b, content[3*MinBlock:4*MinBlock]) {
				t.Errorf("block %d was kept with other bytes", i)
			}
			return nil
		}, nil)
		if err != nil || len(faults) != 1 || faults[0].Block != 3 || faults[0].Verdict != want || (saved == 1) != (want == RightLater) {
			t.Errorf("want %q: %v %+v, kept %d", want, err, faults, saved)
		}
	}
}

// FuzzOpen: no record makes the reader panic, and what it accepts is what would have been written.
func FuzzOpen(f *testing.F) {
	for _, size := range []int64{1, 5000, 90000} {
		_, record := made(f, size, 1)
		f.Add([]byte(record))
		f.Add([]byte(record[:len(record)/2]))
	}
	f.Add([]byte(leafMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := decode("record", memory(data), int64(len(data)))
		if err != nil {
			return
		}
		if err := rec.validate(); err != nil {
			t.Fatalf("an invalid record was accepted: %v", err)
		}
		damage, err := rec.Check(t.Context())
		if err != nil || !damage.Whole() {
			return
		}
		table := leaves(rec.marshal())
		if !bytes.HasPrefix(data, table) || !bytes.HasSuffix(data, table) {
			t.Fatal("a whole record is not the canonical one")
		}
	})
}

// FuzzTable: the table has one form.
func FuzzTable(f *testing.F) {
	r := Record{Name: "node.bundle", Size: 9000, Blocks: make([]Sum, 3), Parity: make([]Sum, 1)}
	f.Add(r.marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := unmarshal(data)
		if err == nil && !bytes.Equal(rec.marshal(), data) {
			t.Fatal("two tables mean the same")
		}
	})
}

// goldenRecord is the sha256 of the record of 300 blocks of ChaCha8 with the seed 7, with 33 parity blocks.
const goldenRecord = "68f570b6c96a607c301d8cf1c41dd2b287e68ac397a75fd74d2a060e3dd1aadd"
