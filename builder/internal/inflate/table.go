package inflate

import "math/bits"

// A table turns the next bits of the input into a symbol with one look, or with two when the code is longer than the
// table's index. What it finds is an entry:
//
//	bit 31      a literal, which is in bits 16 to 23
//	bit 15      anything but a symbol: a second table, the end of the block, or no code at all
//	bits 16-30  what the length or distance is counted from; where a second table begins
//	bits 8-11   bits of the code; bits of a second table's index
//	bits 0-5    bits of the code and of the number that follows it
const (
	literal     = 1 << 31
	exceptional = 1 << 15
	second      = 1 << 14 // with exceptional
	blockEnd    = 1 << 13 // with exceptional
)

const (
	maxCode    = 15 // bits, by the format
	litBits    = 11 // of the first table's index, for literals and lengths
	distBits   = 9  // for distances
	headerBits = 7  // for the code that the other two are written in
	maxSymbols = 288

	// secondSize is a power of two in which all second tables of a code have room: at most 294 entries for 288 symbols, 11 bits
	// and 15 bits, by zlib's examples/enough.c.
	secondSize = 512
)

// table is one code. The codes with an index of fewer bits use the beginning of it.
type table struct {
	first  [1 << litBits]uint32
	second [secondSize]uint32
}

// litEntry is the entry of a literal or length without its code.
func litEntry(symbol int) uint32 {
	switch {
	case symbol < 256:
		return literal | uint32(symbol)<<16
	case symbol == 256:
		return exceptional | blockEnd
	case symbol < 265:
		return uint32(symbol-257+3) << 16
	case symbol < 285:
		extra := uint32(symbol-261) / 4
		return ((4+uint32(symbol-261)%4)<<extra+3)<<16 | extra
	case symbol == 285:
		return 258 << 16
	}
	return exceptional
}

// distEntry is the entry of a distance without its code.
func distEntry(symbol int) uint32 {
	switch {
	case symbol < 4:
		return uint32(symbol+1) << 16
	case symbol < 30:
		extra := uint32(symbol-2) / 2
		return ((2+uint32(symbol)%2)<<extra+1)<<16 | extra
	}
	return exceptional
}

// plainEntry is the entry of a symbol that is only a number.
func plainEntry(symbol int) uint32 { return uint32(symbol) << 16 }

// entries makes the entries of n symbols.
func entries(n int, of func(symbol int) uint32) []uint32 {
	list := make([]uint32, n)
	for i := range list {
		list[i] = of(i)
	}
	return list
}

// build makes the table of the code whose symbols have codes of these lengths, 0 for none; index is the bits of the first
// table's index. It is false when that is not one code for every sequence of bits. Two incomplete codes are allowed, as
// by zlib: none at all and one of a single bit; what has no code is an error when it comes.
func (t *table) build(lengths []uint8, symbols []uint32, index int) bool {
	var count [maxCode + 1]int
	for _, n := range lengths {
		count[n]++
	}
	used := len(lengths) - count[0]
	count[0] = 0
	var begin [maxCode + 2]int // in the list of symbols, by length
	free := 1 << maxCode
	for n := 1; n <= maxCode; n++ {
		free -= count[n] << (maxCode - n)
		begin[n+1] = begin[n] + count[n]
	}
	if free < 0 || free > 0 && used != 0 && (used != 1 || count[1] != 1) {
		return false
	}
	var order [maxSymbols]uint16 // symbols by length
	for s, n := range lengths {
		if n > 0 {
			order[begin[n]] = uint16(s)
			begin[n]++
		}
	}
	if free > 0 {
		t.incomplete(symbols, order[:used], index)
		return true
	}
	f := filling{t: t, index: index, count: &count}
	for _, s := range order[:used] {
		if !f.add(symbols[s], int(lengths[s])) {
			return false
		}
	}
	f.widen(index)
	return true
}

// incomplete makes the table of no code, or of one with a single bit, which is 0.
func (t *table) incomplete(symbols []uint32, order []uint16, index int) {
	for i := range t.first[:1<<index] {
		switch {
		case len(order) == 0:
			t.first[i] = exceptional
		case i%2 == 0:
			t.first[i] = withCode(symbols[order[0]], 1)
		default:
			t.first[i] = withCode(exceptional, 1)
		}
	}
}

// withCode adds the bits of a symbol's code to its entry.
func withCode(entry uint32, n int) uint32 { return entry + uint32(n)<<8 + uint32(n) }

// filling is a complete code on its way into a table: the shortest codes first, each with its first bit lowest.
type filling struct {
	t      *table
	index  int
	count  *[maxCode + 1]int // codes by length, without those that were added
	code   int               // the next one
	have   int               // bits that the first table is filled for
	prefix int               // of the last second table
	start  int               // of the last second table
	bits   int               // of its index; 0: there is none
}

// widen fills the first table for an index of n bits: each bit more repeats it.
func (f *filling) widen(n int) {
	for ; f.have < n; f.have++ {
		size := 1 << f.have
		copy(f.t.first[size:2*size], f.t.first[:size])
	}
}

// add enters the next symbol, whose code has n bits. It is false when there is no room, which cannot be.
func (f *filling) add(entry uint32, n int) bool {
	if n <= f.index {
		f.widen(n)
		f.t.first[f.code] = withCode(entry, n)
	} else if !f.addSecond(entry, n) {
		return false
	}
	f.count[n]--
	// Counting up begins with the highest bit, which comes last.
	if rest := f.code ^ (1<<n - 1); rest != 0 {
		bit := 1 << (bits.Len(uint(rest)) - 1)
		f.code = f.code&(bit-1) | bit
	}
	return true
}

// addSecond enters a symbol into a second table, after the bits that lead there.
func (f *filling) addSecond(entry uint32, n int) bool {
	f.widen(f.index)
	prefix := f.code & (1<<f.index - 1)
	if f.bits == 0 || prefix != f.prefix {
		f.start += 1 << f.bits &^ 1 // there are no tables of one entry: 1<<0 is none yet
		f.prefix, f.bits = prefix, n-f.index
		for codes := f.count[n]; codes < 1<<f.bits; {
			f.bits++
			codes = codes<<1 + f.count[f.index+f.bits]
		}
		if f.start+1<<f.bits > secondSize {
			return false
		}
		f.t.first[prefix] = exceptional | second | uint32(f.start)<<16 | uint32(f.bits)<<8 | uint32(f.index)
	}
	for i := f.code >> f.index; i < 1<<f.bits; i += 1 << (n - f.index) {
		f.t.second[f.start+i] = withCode(entry, n)
	}
	return true
}
