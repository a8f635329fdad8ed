package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/reedsolomon"
)

// workingMemory bounds what the columns take, in bytes: 24 MiB leave room for the buffers around them.
const workingMemory = 24 << 20

// The code is computed in columns: the same few bytes of every block make one code word after the other, so that memory is
// bounded whatever the size of the blocks.

// columnWidth is how many bytes of each block are worked on at once, when that takes the given number of buffers. The code
// works on 64 bytes at a time; what it makes of a block does not depend on the width.
func columnWidth(block int64, buffers int) int64 {
	width := max(int64(workingMemory/buffers)&^511, 512)
	return min(width, block)
}

// powerOfTwo rounds up.
func powerOfTwo(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

func newCode(data, parity int) (reedsolomon.Encoder, error) {
	code, err := reedsolomon.New(data, parity, reedsolomon.WithLeopardGF16(true))
	if err != nil {
		return nil, fmt.Errorf("internal error: a code of %d and %d blocks: %w", data, parity, err)
	}
	return code, nil
}

// column holds the same bytes of all blocks and all parity blocks.
type column struct {
	rec    *Record
	shards [][]byte // of the width at hand; nil is unknown
	memory [][]byte
}

func newColumn(rec *Record, width int64) *column {
	c := &column{rec: rec}
	n := len(rec.Blocks) + len(rec.Parity)
	flat := make([]byte, int64(n)*width)
	for i := range int64(n) {
		c.memory = append(c.memory, flat[i*width:(i+1)*width:(i+1)*width])
	}
	c.shards = make([][]byte, n)
	return c
}

// read fills in the bytes [at, at+width) of block i. What lies behind the end of the file is zero.
func (c *column) read(src io.ReaderAt, i int, at, width int64) error {
	buf := c.memory[i][:width]
	c.shards[i] = buf
	offset, length := c.rec.span(i)
	have := max(min(width, length-at), 0)
	clear(buf[have:])
	n, err := src.ReadAt(buf[:have], offset+at)
	if int64(n) == have {
		return nil
	}
	return fmt.Errorf("reading block %d: %w", i, err)
}

// encode computes the parity of src and writes parity block j to dst at base + j*BlockSize.
func encode(ctx context.Context, rec *Record, src io.ReaderAt, dst io.WriterAt, base int64, advance func(int64)) error {
	if len(rec.Parity) == 0 {
		return nil
	}
	code, err := newCode(len(rec.Blocks), len(rec.Parity))
	if err != nil {
		return err
	}
	block := rec.BlockSize()
	step := columnWidth(block, len(rec.Blocks)+len(rec.Parity)+2*powerOfTwo(len(rec.Parity)))
	c := newColumn(rec, step)
	for at := int64(0); at < block; at += step {
		width := min(step, block-at)
		for i := range rec.Blocks {
			if err := errors.Join(ctx.Err(), c.read(src, i, at, width)); err != nil {
				return err
			}
		}
		for j := range rec.Parity {
			k := len(rec.Blocks) + j
			c.shards[k] = c.memory[k][:width]
		}
		if err := code.Encode(c.shards); err != nil {
			return fmt.Errorf("internal error: encoding: %w", err)
		}
		for j := range rec.Parity {
			if _, err := dst.WriteAt(c.shards[len(rec.Blocks)+j], base+int64(j)*block+at); err != nil {
				return err
			}
		}
		advance(width * int64(len(rec.Blocks)))
	}
	return nil
}

// reconstruction says what is to be made from what.
type reconstruction struct {
	rec    *RecordFile
	src    io.ReaderAt
	bad    []int // blocks, ascending
	parity []int // as many good parity blocks as there are bad blocks
}

// run computes the bad blocks and hands their bytes to put, piece by piece: n is an index in bad, at an offset in the block.
// They are not checked yet.
func (r *reconstruction) run(ctx context.Context, put func(n int, at int64, b []byte) error, advance func(int64)) error {
	rec := &r.rec.Record
	code, err := newCode(len(rec.Blocks), len(rec.Parity))
	if err != nil {
		return err
	}
	lost := map[int]bool{}
	for _, i := range r.bad {
		lost[i] = true
	}
	block := rec.BlockSize()
	buffers := len(rec.Blocks) + len(rec.Parity) + powerOfTwo(powerOfTwo(len(rec.Parity))+len(rec.Blocks))
	step := columnWidth(block, buffers)
	c := newColumn(rec, step)
	for at := int64(0); at < block; at += step {
		width := min(step, block-at)
		if err := r.fill(ctx, c, lost, at, width); err != nil {
			return err
		}
		if err := code.ReconstructData(c.shards); err != nil {
			return fmt.Errorf("internal error: reconstructing: %w", err)
		}
		for n, i := range r.bad {
			_, length := rec.span(i)
			if have := min(width, length-at); have > 0 {
				if err := put(n, at, c.shards[i][:have]); err != nil {
					return err
				}
			}
		}
		advance(width * int64(len(rec.Blocks)))
	}
	return nil
}

// fill reads a column: the good blocks, and of the parity what is needed.
func (r *reconstruction) fill(ctx context.Context, c *column, lost map[int]bool, at, width int64) error {
	for i := range c.shards {
		c.shards[i] = nil
	}
	for i := range r.rec.Blocks {
		if lost[i] {
			c.shards[i] = c.memory[i][:0] // the code puts the result there
			continue
		}
		if err := errors.Join(ctx.Err(), c.read(r.src, i, at, width)); err != nil {
			return err
		}
	}
	for _, j := range r.parity {
		k := len(r.rec.Blocks) + j
		c.shards[k] = c.memory[k][:width]
		if _, err := r.rec.r.ReadAt(c.shards[k], r.rec.parityAt+int64(j)*r.rec.BlockSize()+at); err != nil {
			return fmt.Errorf("reading %s: parity block %d: %w", r.rec.Path, j, err)
		}
	}
	return nil
}
