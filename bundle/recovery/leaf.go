package recovery

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The table lies in the record twice, before and behind the parity, in leaves that are protected one by one: as long as one
// of the two copies of each leaf is whole, the table is.
const (
	leafSize    = 4096
	leafMagic   = "offgridR"
	leafHead    = 32 // magic, format, index, count, used, first half of the table's digest
	leafPayload = leafSize - leafHead - sha256.Size
	maxLeaves   = (maxTable + leafPayload - 1) / leafPayload
)

// leafCount is the number of leaves of a table of n bytes.
func leafCount(n int) int { return (n + leafPayload - 1) / leafPayload }

// tableID tells the leaves of two tables apart.
func tableID(table []byte) [16]byte {
	s := sha256.Sum256(table)
	return [16]byte(s[:16])
}

// leaves returns the table as it is written.
func leaves(table []byte) []byte {
	id, count := tableID(table), leafCount(len(table))
	out := make([]byte, 0, count*leafSize)
	for i := range count {
		part := table[i*leafPayload : min((i+1)*leafPayload, len(table))]
		leaf := make([]byte, 0, leafSize)
		leaf = append(leaf, leafMagic...)
		for _, n := range []int{Format, i, count, len(part)} {
			leaf = binary.BigEndian.AppendUint16(leaf, uint16(n))
		}
		leaf = append(append(leaf, id[:]...), part...)
		leaf = append(leaf, make([]byte, leafSize-sha256.Size-len(leaf))...)
		sum := sha256.Sum256(leaf)
		out = append(out, append(leaf, sum[:]...)...)
	}
	return out
}

// leaf is one that was found whole.
type leaf struct {
	index, count int
	id           [16]byte
	part         []byte
}

// FormatError says that a record was made by a release that knows a newer format.
type FormatError struct {
	Path  string
	Found int
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: recovery record of format %d; this program reads %d", e.Path, e.Found, Format)
}

// parseLeaf reads a leaf; false means that it is damaged or none.
func parseLeaf(b []byte) (l leaf, format int, ok bool) {
	sum := sha256.Sum256(b[:leafSize-sha256.Size])
	if !bytes.HasPrefix(b, []byte(leafMagic)) || !bytes.Equal(sum[:], b[leafSize-sha256.Size:]) {
		return leaf{}, 0, false
	}
	number := func(i int) int { return int(binary.BigEndian.Uint16(b[len(leafMagic)+2*i:])) }
	used := number(3)
	l = leaf{index: number(1), count: number(2), id: [16]byte(b[16:leafHead])}
	if format = number(0); format != Format {
		return l, format, false
	}
	last := l.index == l.count-1
	if l.count < 1 || l.count > maxLeaves || l.index >= l.count || used < 1 || used > leafPayload || !last && used != leafPayload {
		return l, format, false
	}
	if len(bytes.TrimRight(b[leafHead+used:leafSize-sha256.Size], "\x00")) > 0 {
		return l, format, false
	}
	l.part = bytes.Clone(b[leafHead : leafHead+used])
	return l, format, true
}

// table is one that was put together from leaves.
type table struct {
	data   []byte
	count  int // leaves of one copy
	broken int // leaves of both copies that are damaged
}

// readTable collects the leaves at both ends of a record and puts the table together.
func readTable(path string, r io.ReaderAt, size int64) (*table, error) {
	found := map[[16]byte]map[int]leaf{}
	var order [][16]byte
	seen := map[[16]byte]int{}
	other := 0
	buf := make([]byte, leafSize)
	for _, at := range leafPlaces(size) {
		if n, err := r.ReadAt(buf, at); n < leafSize && err != nil {
			continue
		}
		l, format, ok := parseLeaf(buf)
		if !ok {
			if format != 0 && format != Format {
				other = format
			}
			continue
		}
		if found[l.id] == nil {
			found[l.id] = map[int]leaf{}
			order = append(order, l.id)
		}
		found[l.id][l.index] = l
		seen[l.id]++
	}
	for _, id := range order {
		if data, ok := join(found[id], id); ok {
			count := leafCount(len(data))
			return &table{data: data, count: count, broken: 2*count - seen[id]}, nil
		}
	}
	if other != 0 {
		return nil, &FormatError{path, other}
	}
	return nil, errors.New("neither copy of its table is whole")
}

// leafPlaces are the offsets at which leaves may lie: from the beginning on, and up to the end.
func leafPlaces(size int64) []int64 {
	var places []int64
	whole := min(size/leafSize, 2*maxLeaves)
	for i := range min(whole, maxLeaves) {
		places = append(places, i*leafSize)
	}
	for i := min(whole, maxLeaves); i >= 1; i-- {
		at := size - i*leafSize
		if at%leafSize != 0 || at/leafSize >= min(whole, maxLeaves) {
			places = append(places, at)
		}
	}
	return places
}

// join puts leaves together.
func join(found map[int]leaf, id [16]byte) ([]byte, bool) {
	var data []byte
	count := 1
	for i := 0; i < count; i++ {
		l, ok := found[i]
		if !ok {
			return nil, false
		}
		count = l.count
		data = append(data, l.part...)
	}
	return data, tableID(data) == id
}
