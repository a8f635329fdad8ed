// Package damagetest spoils files as media and people do. It knows nothing of what the files are, and imports nothing of offgrid.
package damagetest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// Random returns the source of a seed: the same damage for the same seed.
func Random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x0ff9_41d0)) }

// Change applies f to n bytes of the file at path from off on.
func Change(path string, off, n int64, f func([]byte)) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(file, off, n), b); err != nil {
		return fmt.Errorf("%s, %d bytes from %d on: %w", path, n, off, err)
	}
	f(b)
	_, err = file.WriteAt(b, off)
	return err
}

// Flip turns one bit over.
func Flip(path string, off int64) error {
	return Change(path, off, 1, func(b []byte) { b[0] ^= 1 << (off % 8) })
}

// Zero is what a lost erase block of flash often reads as.
func Zero(path string, off, n int64) error {
	return Change(path, off, n, func(b []byte) { clear(b) })
}

// Noise is a sector that belongs to something else.
func Noise(path string, off, n int64, r *rand.Rand) error {
	return Change(path, off, n, func(b []byte) {
		for i := range b {
			b[i] ^= byte(1 + r.IntN(255))
		}
	})
}

// Cut takes n bytes from the end: a copy that was not finished.
func Cut(path string, n int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, max(info.Size()-n, 0))
}

// Append adds n bytes of noise.
func Append(path string, n int, r *rand.Rand) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.IntN(256))
	}
	_, err = file.Write(b)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Insert puts n bytes into the middle: everything behind them moves.
func Insert(path string, off int64, n int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(append(append([]byte{}, b[:off]...), make([]byte, n)...), b[off:]...), 0o600)
}

// Blocks spoils k different blocks of the given size, somewhere in each: one bit, a run of zeros or noise.
func Blocks(path string, block int64, k int, r *rand.Rand) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	count := int((info.Size() + block - 1) / block)
	if k > count {
		return fmt.Errorf("%s has %d blocks, not %d", path, count, k)
	}
	for _, i := range r.Perm(count)[:k] {
		if err := Block(path, block, i, r); err != nil {
			return err
		}
	}
	return nil
}

// Run spoils k blocks in a row.
func Run(path string, block int64, first, k int, r *rand.Rand) error {
	for i := range k {
		if err := Block(path, block, first+i, r); err != nil {
			return err
		}
	}
	return nil
}

// Block spoils one block.
func Block(path string, block int64, i int, r *rand.Rand) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	off := int64(i) * block
	length := min(block, info.Size()-off)
	at := r.Int64N(length)
	n := min(1+r.Int64N(512), length-at)
	if r.IntN(2) == 0 {
		return Flip(path, off+at)
	}
	return Noise(path, off+at, n, r)
}
