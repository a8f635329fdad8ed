package recovery

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Format is the number of the record's format that this package writes and reads.
const Format = 1

// Suffix is what a record's name has more than its file's.
const Suffix = ".recovery"

// Limits. A reader refuses what goes beyond them.
const (
	// MinBlock is the smallest block in bytes: what flash and disks read and lose at once.
	MinBlock = 4 << 10
	// MaxBlocks bounds the blocks of a file. With it a digest table has at most 240 KiB, and with 5 % of parity the code's
	// transform has 8192 points, which is what 32 MiB of working memory have room for.
	MaxBlocks = 7680
	// MaxBlock is the largest block in bytes, and MaxSize the largest file: 60 GiB.
	MaxBlock = 8 << 20
	MaxSize  = MaxBlocks * MaxBlock
	// MaxName bounds the file's name in bytes: no file system has longer ones.
	MaxName = 255
	// MaxPercent bounds the parity. Beyond it a second copy is the better choice.
	MaxPercent = 100
	// DefaultPercent is the parity that is made unless asked otherwise.
	DefaultPercent = 5
)

// Sum is a sha256.
type Sum [sha256.Size]byte

// String returns 64 lower-case hex digits.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// Record says what a file was when it was finished.
type Record struct {
	Name   string // of the file, without a directory
	Size   int64  // bytes, at least 1
	SHA256 Sum    // of the whole file
	Blocks []Sum  // of each block; the last may be short
	Parity []Sum  // of each parity block
}

// BlockSize returns the size of a block in bytes. It follows from the size of the file.
func (r *Record) BlockSize() int64 { return BlockSize(r.Size) }

// BlockSize returns the block size for a file of the given size: the smallest power of two from MinBlock on with which the
// file has at most MaxBlocks blocks.
func BlockSize(size int64) int64 {
	block := int64(MinBlock)
	for block < MaxBlock && (size+block-1)/block > MaxBlocks {
		block *= 2
	}
	return block
}

// blockCount returns the number of blocks of a file.
func blockCount(size int64) int { return int((size + BlockSize(size) - 1) / BlockSize(size)) }

// ParityBlocks returns how many parity blocks percent of a file's size are, rounded up.
func ParityBlocks(size int64, percent int) int { return (blockCount(size)*percent + 99) / 100 }

// span is where block i lies in the file.
func (r *Record) span(i int) (offset, length int64) {
	offset = int64(i) * r.BlockSize()
	return offset, min(r.BlockSize(), r.Size-offset)
}

// validate refuses what Create does not make.
func (r *Record) validate() error {
	switch {
	case r.Size < 1 || r.Size > MaxSize:
		return fmt.Errorf("the file has %d bytes, a record is for 1 to %d", r.Size, int64(MaxSize))
	case len(r.Blocks) != blockCount(r.Size):
		return fmt.Errorf("%d blocks, a file of %d bytes has %d", len(r.Blocks), r.Size, blockCount(r.Size))
	case len(r.Parity) > len(r.Blocks):
		return fmt.Errorf("%d parity blocks for %d blocks", len(r.Parity), len(r.Blocks))
	}
	return checkName(r.Name)
}

func checkName(name string) error {
	bad := func(c rune) bool { return c < ' ' || c == 0x7f || c == '/' || c == '\\' }
	if name == "" || name == "." || name == ".." || len(name) > MaxName || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%q is not the name of a file", name)
	}
	return nil
}

// The table: sizes and counts, the name, the digests. Numbers are big-endian.
const tableHead = 8 + 4 + 4 + 2

// maxTable bounds a table in bytes.
const maxTable = tableHead + MaxName + (1+2*MaxBlocks)*sha256.Size

// marshal returns the table.
func (r *Record) marshal() []byte {
	b := make([]byte, 0, tableHead+len(r.Name)+(1+len(r.Blocks)+len(r.Parity))*sha256.Size)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Size))
	b = binary.BigEndian.AppendUint32(b, uint32(r.BlockSize()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Parity)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Name)))
	b = append(b, r.Name...)
	b = append(b, r.SHA256[:]...)
	for _, sums := range [][]Sum{r.Blocks, r.Parity} {
		for _, s := range sums {
			b = append(b, s[:]...)
		}
	}
	return b
}

// unmarshal reads a table. What it accepts, marshal writes.
func unmarshal(b []byte) (*Record, error) {
	if len(b) < tableHead || len(b) > maxTable {
		return nil, fmt.Errorf("a table of %d bytes", len(b))
	}
	size, block := binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])
	parity, name := binary.BigEndian.Uint32(b[12:]), int(binary.BigEndian.Uint16(b[16:]))
	if size < 1 || size > MaxSize || int64(block) != BlockSize(int64(size)) || parity > MaxBlocks || name > MaxName {
		return nil, fmt.Errorf("a file of %d bytes in blocks of %d, %d parity blocks, a name of %d bytes", size, block, parity, name)
	}
	r := &Record{Size: int64(size)}
	blocks := blockCount(r.Size)
	if len(b) != tableHead+name+(1+blocks+int(parity))*sha256.Size {
		return nil, errors.New("its length does not fit its counts")
	}
	b = b[tableHead:]
	r.Name, b = string(b[:name]), b[name:]
	next := func() (s Sum) { b = b[copy(s[:], b):]; return s }
	r.SHA256 = next()
	for range blocks {
		r.Blocks = append(r.Blocks, next())
	}
	for range parity {
		r.Parity = append(r.Parity, next())
	}
	return r, r.validate()
}
