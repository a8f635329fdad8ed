package store

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"

	"offgrid/bundle"
)

// recordLimit bounds a record in bytes: the frame table of a 100 GB file needs about 3 MB.
const recordLimit = 16 << 20

// RecordKey names a derived result by the parts of the question it answers.
func RecordKey(parts ...string) bundle.Digest {
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString(p)
		b.WriteByte(0)
	}
	return bundle.DigestOf(b.Bytes())
}

func (s *Store) recordPath(key bundle.Digest) string {
	return filepath.Join(s.dir, "records", key.Hex())
}

// PutRecord keeps data under key and replaces what was there. A record is only a memory: losing one costs time, so
// whoever reads it must be able to do without.
func (s *Store) PutRecord(key bundle.Digest, data []byte) error {
	sum := bundle.DigestOf(data).Hex() + "\n"
	return s.writeFile(s.recordPath(key), append([]byte(sum), data...), 0o444)
}

// Record returns the data under key. A record that was damaged is not there.
func (s *Store) Record(key bundle.Digest) ([]byte, bool) {
	name := s.recordPath(key)
	info, err := os.Stat(name)
	if err != nil || info.Size() > recordLimit {
		return nil, false
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, false
	}
	data, ok := checkRecord(raw)
	if ok {
		now := time.Now()
		_ = os.Chtimes(name, now, now) // a hint for GC
	}
	return data, ok
}

// checkRecord takes the checksum line off a record's file.
func checkRecord(raw []byte) ([]byte, bool) {
	line, data, ok := bytes.Cut(raw, []byte("\n"))
	if !ok {
		return nil, false
	}
	sum := bundle.DigestOf(data)
	return data, string(line) == hex.EncodeToString(sum[:])
}
