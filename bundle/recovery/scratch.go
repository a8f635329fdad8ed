package recovery

import (
	"fmt"
	"os"
)

// scratchMemory is how many bytes of repaired blocks are kept in memory; more go to a file.
const scratchMemory = 8 << 20

// scratch keeps repaired blocks.
type scratch struct {
	block  int64
	slots  map[int]int64 // by block: where it is
	memory []byte
	file   *os.File
}

func newScratch(block int64) *scratch { return &scratch{block: block, slots: map[int]int64{}} }

func (s *scratch) has(i int) bool {
	_, ok := s.slots[i]
	return ok
}

// put keeps a block.
func (s *scratch) put(i int, b []byte) error {
	if err := s.reserve(i); err != nil {
		return err
	}
	return s.write(i, 0, b)
}

// reserve makes room for a block.
func (s *scratch) reserve(i int) error {
	if s.has(i) {
		return nil
	}
	at := int64(len(s.slots)) * s.block
	if at+s.block <= scratchMemory {
		s.memory = append(s.memory, make([]byte, s.block)...)
	} else if s.file == nil {
		f, err := os.CreateTemp("", "offgrid-repair-*") // mode 0600: a bundle holds secrets
		if err != nil {
			return fmt.Errorf("keeping repaired blocks: %w", err)
		}
		s.file = f
		os.Remove(f.Name()) // so that nothing stays, however this process ends; where that fails, close does it
	}
	s.slots[i] = at
	return nil
}

func (s *scratch) write(i int, at int64, b []byte) error {
	place := s.slots[i] + at
	if s.slots[i]+s.block <= scratchMemory {
		copy(s.memory[place:], b)
		return nil
	}
	if _, err := s.file.WriteAt(b, place-scratchMemory/s.block*s.block); err != nil {
		return fmt.Errorf("keeping repaired blocks: %w", err)
	}
	return nil
}

func (s *scratch) read(i int, at int64, b []byte) error {
	place := s.slots[i] + at
	if s.slots[i]+s.block <= scratchMemory {
		copy(b, s.memory[place:])
		return nil
	}
	if n, err := s.file.ReadAt(b, place-scratchMemory/s.block*s.block); n < len(b) {
		return fmt.Errorf("reading repaired blocks: %w", err)
	}
	return nil
}

func (s *scratch) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	os.Remove(s.file.Name())
	s.file = nil
	return err
}
