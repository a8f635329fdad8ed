package inflate

import (
	"compress/flate"
	"encoding/binary"
)

const (
	window = 32 << 10 // bytes that a copy may reach back, by the format
	// chunk is how many bytes are made at a time. With the window it stays in a processor's second cache.
	chunk     = 128 << 10
	maxLength = 258 // of a copy, by the format
	// margin is what the fast loop writes beyond a chunk at most: a copy, in steps of 16 bytes.
	margin = maxLength + 16
	// look is how many bytes of input the fast loop needs: two looks of 8 bytes, the second one 7 bytes later.
	look = 16
)

// The three parts of a stream that a call may be in.
const (
	inHeader = iota // of a block
	inStored
	inCodes
	atEnd
)

// decoder decodes one DEFLATE stream (RFC 1951) after the other.
type decoder struct {
	in    *input
	out   [window + chunk + margin]byte
	made  int // bytes in out
	start int // in out: of the stream

	state  int
	last   bool // this is the last block
	stored int  // bytes that are left of a stored block
	fixed  bool // lit and dist are the format's own codes

	lit, dist table
	header    table
	lengths   [maxSymbols + 32]uint8
	// entries without codes
	litEntries, distEntries, plainEntries []uint32
}

func newDecoder(in *input) *decoder {
	return &decoder{
		in:           in,
		litEntries:   entries(maxSymbols, litEntry),
		distEntries:  entries(32, distEntry),
		plainEntries: entries(19, plainEntry),
	}
}

// reset begins a new stream. What the last one made can no longer be copied from.
func (d *decoder) reset() {
	d.start, d.state, d.last = d.made, inHeader, false
}

// slide makes room for a chunk: what can no longer be copied from goes away.
func (d *decoder) slide() {
	if gone := d.made - window; gone > 0 {
		copy(d.out[:], d.out[gone:d.made])
		d.made -= gone
		d.start = max(0, d.start-gone)
	}
}

// more makes the next bytes, up to a chunk of them, and reports where in out they begin. At the end of the stream there
// are none, and state is atEnd.
func (d *decoder) more() (from int, err error) {
	d.slide()
	from = d.made
	for err == nil && d.state != atEnd && d.made < window+chunk {
		switch d.state {
		case inHeader:
			err = d.block()
		case inStored:
			err = d.copyStored()
		case inCodes:
			err = d.codes()
		}
	}
	return from, err
}

// ended is what comes after a block.
func (d *decoder) ended() {
	d.state = inHeader
	if d.last {
		d.state = atEnd
	}
}

// noSymbol is what comes after an entry that is exceptional and has no second table.
func (d *decoder) noSymbol(e uint32) error {
	if e&blockEnd == 0 {
		return d.corrupt()
	}
	d.ended()
	return nil
}

// corrupt says at which byte of the input it is that the stream is none.
func (d *decoder) corrupt() error { return flate.CorruptInputError(d.in.offset()) }

// codes decodes symbols until the block ends, the chunk is full or the input is at its end.
func (d *decoder) codes() error {
	for d.state == inCodes && d.made < window+chunk {
		if d.in.fill(look); d.in.left() >= look {
			if err := d.fast(); err != nil {
				return err
			}
			continue
		}
		if err := d.symbol(); err != nil {
			return err
		}
	}
	return nil
}

// ahead is input's place while the fast loop reads ahead: a value, which the compiler keeps in registers.
type ahead struct {
	hold uint64
	have uint
	at   int
}

// refill reads 8 bytes and takes as many whole ones as there is room for: there are 56 bits at least afterwards. What lies
// above have is what will be read next.
func (a ahead) refill(in []byte) ahead {
	a.hold |= binary.LittleEndian.Uint64(in[a.at:]) << (a.have & 63)
	a.at += int((63 - a.have) >> 3)
	a.have |= 56
	return a
}

// drop drops the bits of an entry.
func (a ahead) drop(e uint32) ahead {
	a.hold >>= e & 63
	a.have -= uint(e & 63)
	return a
}

// value is what the bits of an entry that is no literal say.
func (a ahead) value(e uint32) int { return int(e>>16) + int(a.hold&(1<<(e&63)-1)>>(e>>8&15)) }

// look2 looks into a second table when e says so.
func (t *table) look2(e uint32, hold uint64, index int) uint32 {
	if e&second == 0 {
		return e
	}
	return t.second[(e>>16+uint32(hold>>index)&(1<<(e>>8&15)-1))%secondSize]
}

// fast decodes symbols as long as there are look bytes of input and the chunk is not full. A round decodes up to three
// literals of 11 bits, or up to two and a copy: its length has 20 bits with all that belongs to it, its distance 28.
func (d *decoder) fast() (err error) {
	lit, dist, in, out := &d.lit, &d.dist, d.in.buf[:d.in.end], &d.out
	a, to := ahead{d.in.hold, d.in.have, d.in.at}, d.made
	for a.at <= len(in)-look && to < window+chunk {
		a = a.refill(in)
		e := lit.first[a.hold&(1<<litBits-1)]
		if e&literal != 0 {
			out[to] = byte(e >> 16)
			to++
			a = a.drop(e)
			e = lit.first[a.hold&(1<<litBits-1)]
			if e&literal != 0 {
				out[to] = byte(e >> 16)
				to++
				a = a.drop(e)
				e = lit.first[a.hold&(1<<litBits-1)]
			}
		}
		if e&exceptional != 0 {
			e = lit.look2(e, a.hold, litBits)
		}
		if e&literal != 0 {
			out[to] = byte(e >> 16)
			to++
			a = a.drop(e)
			continue
		}
		if e&exceptional != 0 {
			a, err = a.drop(e), d.noSymbol(e)
			break
		}
		end := to + a.value(e)
		a = a.drop(e).refill(in)
		e = dist.first[a.hold&(1<<distBits-1)]
		if e&exceptional != 0 {
			e = dist.look2(e, a.hold, distBits)
		}
		from := to - a.value(e)
		a = a.drop(e)
		if e&exceptional != 0 || from < d.start {
			err = d.corrupt()
			break
		}
		if to-from >= 16 {
			for ; to < end; to, from = to+16, from+16 {
				*(*[16]byte)(out[to:]) = *(*[16]byte)(out[from:])
			}
		} else {
			for to < end {
				to += copy(out[to:end], out[from:to])
			}
		}
		to = end
	}
	d.in.hold, d.in.have, d.in.at, d.made = a.hold, a.have, a.at, to
	d.in.giveBack()
	return err
}
