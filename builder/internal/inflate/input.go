package inflate

import (
	"encoding/binary"
	"errors"
	"io"
)

// inputSize is how many bytes are asked of the source at a time.
const inputSize = 64 << 10

// input is the compressed bytes, and the bits of the next one of them that are not used up. Between the methods' calls
// there are fewer than 8 of these, so that what follows is at a byte.
type input struct {
	r    io.Reader
	buf  [inputSize]byte
	at   int    // next byte
	end  int    // of what was read
	base int64  // offset of buf in the source
	hold uint64 // bits that were read, the next one lowest; zero beyond have
	have uint
	err  error // of the source; io.EOF at its end
}

// offset is how many bytes were used.
func (in *input) offset() int64 { return in.base + int64(in.at) }

func (in *input) left() int { return in.end - in.at }

// fill reads until there are n bytes, if the source has them.
func (in *input) fill(n int) {
	for empty := 0; in.left() < n && in.err == nil; {
		if in.at > 0 {
			in.base += int64(in.at)
			in.end = copy(in.buf[:], in.buf[in.at:in.end])
			in.at = 0
		}
		var k int
		k, in.err = in.r.Read(in.buf[in.end:])
		in.end += k
		if k > 0 {
			empty = 0
		} else if empty++; empty == 100 && in.err == nil {
			in.err = io.ErrNoProgress
		}
	}
}

// failed is the error of a stream that ends too early.
func (in *input) failed() error {
	if errors.Is(in.err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return in.err
}

// bytes returns the next n bytes, which are valid until the next call. The bits of the byte before are dropped.
func (in *input) bytes(n int) ([]byte, error) {
	in.hold, in.have = 0, 0
	if in.fill(n); in.left() < n {
		return nil, in.failed()
	}
	in.at += n
	return in.buf[in.at-n : in.at], nil
}

// byte takes one more byte into hold.
func (in *input) byte() error {
	if in.at == in.end {
		if in.fill(1); in.left() < 1 {
			return in.failed()
		}
	}
	in.hold |= uint64(in.buf[in.at]) << (in.have & 63)
	in.have += 8
	in.at++
	return nil
}

// number reads a number of n bits, at most 16.
func (in *input) number(n uint) (int, error) {
	for in.have < n {
		if err := in.byte(); err != nil {
			return 0, err
		}
	}
	v := int(in.hold & (1<<n - 1))
	in.drop(n)
	return v, nil
}

func (in *input) drop(n uint) {
	in.hold >>= n
	in.have -= n
}

// symbol reads a symbol with the number that follows it. It returns what the two say, and the entry for its flags.
func (in *input) symbol(t *table, index int) (value int, e uint32, err error) {
	for {
		e = t.first[in.hold&(1<<index-1)]
		if e&second != 0 && e&exceptional != 0 {
			e = t.second[int(e>>16)+int(in.hold>>index)&(1<<(e>>8&15)-1)]
		}
		if uint(e&63) <= in.have {
			break // the missing bits were taken as 0, but these are not among the missing ones
		}
		if err = in.byte(); err != nil {
			return 0, e, err
		}
	}
	value = int(e&^literal>>16) + int(in.hold&(1<<(e&63)-1)>>(e>>8&15))
	in.drop(uint(e & 63))
	return value, e, nil
}

// giveBack returns the whole bytes of hold, after a loop that reads ahead.
func (in *input) giveBack() {
	in.at -= int(in.have >> 3)
	in.have &= 7
	in.hold &= 1<<in.have - 1
}

func (in *input) uint32() (uint32, error) {
	b, err := in.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}
