package recovery_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"offgrid/bundle/recovery"
	damage "offgrid/bundle/recovery/damagetest"
)

// sample writes a file of random bytes and its record.
func sample(t testing.TB, size int64, parity int) (path string, content []byte) {
	t.Helper()
	content = noise(size, 1)
	path = filepath.Join(t.TempDir(), "node.bundle")
	must(t, os.WriteFile(path, content, 0o600))
	_, err := recovery.CreateFile(t.Context(), path, parity, nil)
	must(t, err)
	return path, content
}

func noise(size int64, seed byte) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// heal opens and heals the file and compares it with what it was.
func heal(t testing.TB, path string, want []byte) (*recovery.Healing, error) {
	t.Helper()
	p, err := recovery.Find(path)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	h, err := p.Heal(t.Context(), nil)
	if err != nil {
		return h, err
	}
	if p.Size() != int64(len(want)) {
		t.Errorf("the healed file has %d bytes, want %d", p.Size(), len(want))
	}
	got := make([]byte, len(want))
	if _, err := p.ReadAt(got, 0); err != nil {
		t.Errorf("reading the healed file: %v", err)
	}
	if i := different(got, want); i >= 0 {
		t.Errorf("the healed file differs from byte %d on", i)
	}
	return h, nil
}

func different(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(path, content, 0o600))
}

const block = recovery.MinBlock

// TestAnyDamageWithinTheParityIsRepairedAndNoneBeyond: k random blocks of file and parity, every k up to the limit and some
// beyond it.
func TestAnyDamageWithinTheParityIsRepairedAndNoneBeyond(t *testing.T) {
	const blocks, parity = 60, 12
	path, content := sample(t, blocks*block-77, parity)
	record, err := os.ReadFile(path + recovery.Suffix)
	must(t, err)
	head := int64(len(record)-parity*block) / 2
	const seeds = 4 // TestEveryChoiceOfBlocksIsRebuilt has hundreds, without files
	for k := 0; k <= parity+3; k++ {
		for seed := range uint64(seeds) {
			r := damage.Random(seed<<16 | uint64(k))
			write(t, path, content)
			write(t, path+recovery.Suffix, record)
			chosen := r.Perm(blocks + parity)[:k]
			for _, i := range chosen {
				if i < blocks {
					must(t, damage.Block(path, block, i, r))
				} else {
					must(t, damage.Flip(path+recovery.Suffix, head+int64(i-blocks)*block+r.Int64N(block)))
				}
			}
			inFile := 0
			for _, i := range chosen {
				if i < blocks {
					inFile++
				}
			}
			h, err := heal(t, path, content)
			var beyond *recovery.BeyondError
			switch {
			case k > parity && inFile > 0:
				if !errors.As(err, &beyond) || beyond.Bad != inFile || beyond.Power != parity-(k-inFile) {
					t.Fatalf("%d bad blocks, seed %d: %v; want a refusal that says %d and %d", k, seed, err, inFile, parity-(k-inFile))
				}
			case err != nil:
				t.Fatalf("%d bad blocks, seed %d: %v", k, seed, err)
			case h.Bad() != inFile || h.Rebuilt != inFile:
				t.Fatalf("%d bad blocks, seed %d: found %d, rebuilt %d", inFile, seed, h.Bad(), h.Rebuilt)
			}
		}
	}
}

func TestLongRunsAreRepairedWhereverTheyBegin(t *testing.T) {
	const blocks, parity = 60, 12
	path, content := sample(t, blocks*block-77, parity)
	for first := 0; first+parity <= blocks; first += 4 {
		write(t, path, content)
		must(t, damage.Run(path, block, first, parity, damage.Random(uint64(first))))
		if h, err := heal(t, path, content); err != nil || h.Rebuilt != parity {
			t.Errorf("a run from block %d on: %v, %+v", first, err, h)
		}
	}
}

func TestEverySizeHasItsRecord(t *testing.T) {
	for _, size := range []int64{1, 63, 64, 65, block - 1, block, block + 1, 3*block - 1, 255 * block, 256*block + 1} {
		for _, percent := range []int{0, 1, 5, 50, 100} {
			parity := recovery.ParityBlocks(size, percent)
			path, content := sample(t, size, parity)
			info, err := os.Stat(path + recovery.Suffix)
			must(t, err)
			if want := recovery.RecordSize("node.bundle", size, parity); info.Size() != want {
				t.Errorf("%d bytes, %d %%: the record has %d bytes, RecordSize says %d", size, percent, info.Size(), want)
			}
			if h, err := heal(t, path, content); err != nil || len(h.Faults) != 0 {
				t.Errorf("%d bytes, %d %%: %v %+v", size, percent, err, h)
			}
			if parity == 0 {
				continue
			}
			must(t, damage.Flip(path, size-1))
			if h, err := heal(t, path, content); err != nil || h.Rebuilt != 1 {
				t.Errorf("%d bytes, %d %%, a bad last byte: %v %+v", size, percent, err, h)
			}
		}
	}
}

func TestTheSameFileHasTheSameRecord(t *testing.T) {
	path, content := sample(t, 40*block+5, 3)
	first, err := os.ReadFile(path + recovery.Suffix)
	must(t, err)
	write(t, path, content)
	_, err = recovery.CreateFile(t.Context(), path, 3, nil)
	must(t, err)
	second, err := os.ReadFile(path + recovery.Suffix)
	must(t, err)
	if !bytes.Equal(first, second) {
		t.Error("two records of one file differ")
	}
}

func TestAFileThatIsCutShortOrGrownIsHealed(t *testing.T) {
	const blocks, parity = 60, 12
	path, content := sample(t, blocks*block-77, parity)
	for _, cut := range []int64{1, block, parity*block - 77} {
		write(t, path, content)
		must(t, damage.Cut(path, cut))
		if h, err := heal(t, path, content); err != nil || h.Files[0].Missing != cut {
			t.Errorf("cut by %d: %v %+v", cut, err, h)
		}
	}
	write(t, path, content)
	must(t, damage.Cut(path, parity*block-76))
	var beyond *recovery.BeyondError
	if _, err := heal(t, path, content); !errors.As(err, &beyond) || beyond.Again[0] != "node.bundle" {
		t.Errorf("one byte too much cut: %v", err)
	}
	write(t, path, content)
	must(t, damage.Append(path, 5000, damage.Random(1)))
	if h, err := heal(t, path, content); err != nil || len(h.Faults) != 0 || len(h.Notes) != 1 {
		t.Errorf("grown: %v %+v", err, h)
	}
	write(t, path, content)
	must(t, damage.Insert(path, 100, 1))
	if _, err := heal(t, path, content); err == nil {
		t.Error("a byte put in near the beginning was taken for nothing")
	}
}

func TestARecordSurvivesDamageOfItsOwn(t *testing.T) {
	const blocks, parity = 300, 20
	path, content := sample(t, blocks*block, parity)
	record, err := os.ReadFile(path + recovery.Suffix)
	must(t, err)
	table := int64(len(record)-parity*block) / 2
	cases := map[string]func(string) error{
		"first table gone":  func(p string) error { return damage.Zero(p, 0, table) },
		"second table gone": func(p string) error { return damage.Zero(p, int64(len(record))-table, table) },
		"a leaf of each, not the same": func(p string) error {
			return errors.Join(damage.Flip(p, 10), damage.Flip(p, int64(len(record))-10))
		},
		"cut behind the parity": func(p string) error { return damage.Cut(p, table+1) },
		"longer":                func(p string) error { return damage.Append(p, 777, damage.Random(2)) },
	}
	for name, spoil := range cases {
		write(t, path, content)
		must(t, damage.Run(path, block, 17, parity-1, damage.Random(3)))
		write(t, path+recovery.Suffix, record)
		must(t, spoil(path+recovery.Suffix))
		if h, err := heal(t, path, content); err != nil || h.Rebuilt != parity-1 {
			t.Errorf("%s: %v %+v", name, err, h)
		}
	}
	write(t, path+recovery.Suffix, record)
	must(t, errors.Join(damage.Flip(path+recovery.Suffix, 10), damage.Flip(path+recovery.Suffix, int64(len(record))-table+10)))
	var gone *recovery.RecordError
	if _, err := heal(t, path, content); !errors.As(err, &gone) {
		t.Errorf("the same leaf gone twice: %v", err)
	}
}

func TestARecordOfAnotherBuildRepairsNothing(t *testing.T) {
	path, content := sample(t, 30*block, 3)
	write(t, path, noise(30*block, 2))
	var other *recovery.OtherBuildError
	if _, err := heal(t, path, content); !errors.As(err, &other) {
		t.Errorf("another build's file: %v", err)
	}
}

func TestWithoutParityDamageIsFoundAndRefused(t *testing.T) {
	path, content := sample(t, 30*block, 0)
	must(t, damage.Flip(path, 5*block))
	var beyond *recovery.BeyondError
	if _, err := heal(t, path, content); !errors.As(err, &beyond) || beyond.Bad != 1 || beyond.Power != 0 {
		t.Errorf("no parity: %v", err)
	}
}

func TestRepairMendsTheFileAndItsRecord(t *testing.T) {
	path, content := sample(t, 60*block-77, 12)
	record, err := os.ReadFile(path + recovery.Suffix)
	must(t, err)
	must(t, damage.Run(path, block, 17, 5, damage.Random(3)))
	must(t, damage.Flip(path+recovery.Suffix, 20))
	res, err := recovery.Repair(t.Context(), path, nil, nil)
	must(t, err)
	if fmt.Sprint(res.Written) != "[node.bundle]" || !res.Record {
		t.Errorf("repaired %+v", res)
	}
	for name, want := range map[string][]byte{path: content, path + recovery.Suffix: record} {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what it was: %v", name, err)
		}
	}
	if res, err = recovery.Repair(t.Context(), path, nil, nil); err != nil || !res.Nothing() {
		t.Errorf("a second time: %v %+v", err, res)
	}
	must(t, damage.Flip(path, 20))
	var space *recovery.SpaceError
	if _, err := recovery.Repair(t.Context(), path, func(string) (int64, bool) { return 10, true }, nil); !errors.As(err, &space) {
		t.Errorf("no room: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	if len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}
