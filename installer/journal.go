package installer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"offgrid/bundle"
)

// JournalFormat is the number of the journal's format that this package writes. JOURNAL.md says what it means.
const JournalFormat = 0

// recordMax is the longest line that a journal may have, and journalMax the largest journal.
const (
	recordMax  = 8 << 20
	journalMax = 256 << 20
)

// Event is what a record says about a step.
type Event string

// Events of records.
const (
	Begin   Event = "begin"   // Do is about to run; Before is what was there
	DoneOK  Event = "done"    // Do ran and the check after it is satisfied
	Failed  Event = "failed"  // Do or the check after it failed; Err says why
	Share   Event = "share"   // the role needs what another role's step has already done
	Release Event = "release" // the role needs it no longer; another one still does
	Undone  Event = "undone"  // the step was taken back
)

// Record is one line of the journal.
type Record struct {
	Seq    int64           `json:"seq"`  // 1, 2, 3, ...
	Time   time.Time       `json:"time"` // UTC; for people, nothing depends on it
	Run    string          `json:"run"`  // the run of the installer that wrote it
	Role   string          `json:"role"` // "" in records of an uninstall of everything
	Step   string          `json:"step"` // the step's ID
	Event  Event           `json:"event"`
	Before json.RawMessage `json:"before,omitempty"`
	Err    string          `json:"err,omitempty"`
}

// journalHeader is the first line of a journal.
type journalHeader struct {
	Format    int    `json:"format"`
	Installer string `json:"installer"` // version of the installer that made the journal
}

// JournalOptions is what a journal is written with.
type JournalOptions struct {
	Installer string // version
	Run       string // names this run in every record
	Now       func() time.Time
}

// Journal is the record of what the installer did to a host, written ahead of doing it. It is for one goroutine.
type Journal struct {
	file *os.File // nil when it was only read
	opt  JournalOptions
	recs []Record
}

// OpenJournal opens the journal at path for writing, and makes it unless it is there. What a crash left of a half-written
// record at its end is cut off.
func OpenJournal(path string, o JournalOptions) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	j := &Journal{file: f, opt: o}
	if err := j.load(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

// load reads what is there and makes the file ready for appending.
func (j *Journal) load(path string) error {
	data, err := io.ReadAll(io.LimitReader(j.file, journalMax+1))
	if err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	good := 0
	if j.recs, good, err = parseJournal(data); err != nil {
		return fmt.Errorf("reading the journal %s: %w", path, err)
	}
	if good < len(data) {
		if err := j.file.Truncate(int64(good)); err != nil {
			return fmt.Errorf("cutting the journal: %w", err)
		}
	}
	if _, err := j.file.Seek(int64(good), io.SeekStart); err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	if good > 0 {
		return nil
	}
	if err := j.write(journalHeader{Format: JournalFormat, Installer: j.opt.Installer}); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("making the journal durable: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// ReadJournal returns the journal at path for looking at. A missing one is the system's error (fs.ErrNotExist).
func ReadJournal(path string) (*Journal, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	recs, _, err := parseJournal(data)
	if err != nil {
		return nil, fmt.Errorf("reading the journal %s: %w", path, err)
	}
	return &Journal{recs: recs}, nil
}

// Close closes the file. Every record is on the disk already.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// Records returns all records, oldest first.
func (j *Journal) Records() []Record { return append([]Record(nil), j.recs...) }

// Append writes a record and returns when it is on the disk. Seq, Time and Run are filled in.
func (j *Journal) Append(r Record) error {
	r.Seq, r.Run = int64(len(j.recs))+1, j.opt.Run
	if j.opt.Now != nil {
		r.Time = j.opt.Now().UTC()
	}
	if err := j.write(r); err != nil {
		return err
	}
	j.recs = append(j.recs, r)
	return nil
}

// write appends one line and makes it durable.
func (j *Journal) write(v any) error {
	if j.file == nil {
		return errors.New("writing the journal: internal error: it was opened for reading")
	}
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a journal record: %w", err)
	}
	if len(line) > recordMax {
		return fmt.Errorf("writing the journal: a record of %d bytes is longer than the limit of %d", len(line), recordMax)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// parseJournal reads a journal. good is how many of its bytes are complete records: what follows them was being written
// when the power went. A complete line that is no record is an error that names the line.
func parseJournal(data []byte) (recs []Record, good int, err error) {
	if len(data) > journalMax {
		return nil, 0, fmt.Errorf("it is larger than %d bytes", journalMax)
	}
	for line := 1; ; line++ {
		end := bytes.IndexByte(data[good:], '\n')
		if end < 0 {
			return recs, good, nil
		}
		text := data[good : good+end]
		last := good+end+1 == len(data)
		if last && bytes.IndexByte(text, 0) >= 0 {
			return recs, good, nil // a block of the last record that never reached the disk reads as zeros
		}
		if line == 1 {
			err = parseHeader(text)
		} else {
			var r Record
			if r, err = parseRecord(text, line-1); err == nil {
				recs = append(recs, r)
			}
		}
		if err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", line, err)
		}
		good += end + 1
	}
}

// parseHeader reads the first line.
func parseHeader(text []byte) error {
	var format struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(text, &format); err != nil {
		return fmt.Errorf("reading the header: %w", err)
	}
	if format.Format == nil {
		return errors.New("reading the header: it has no format number")
	}
	if *format.Format != JournalFormat {
		return fmt.Errorf("the journal has format %d and this installer reads format %d: use the installer that wrote it", *format.Format, JournalFormat)
	}
	var h journalHeader
	return bundle.DecodeStrict(text, &h, recordMax)
}

// parseRecord reads a record that must have the given number.
func parseRecord(text []byte, seq int) (Record, error) {
	var r Record
	if err := bundle.DecodeStrict(text, &r, recordMax); err != nil {
		return r, err
	}
	switch r.Event {
	case Begin, DoneOK, Failed, Share, Release, Undone:
	default:
		return r, fmt.Errorf("unknown event %q", r.Event)
	}
	if r.Seq != int64(seq) {
		return r, fmt.Errorf("it has number %d where %d should be", r.Seq, seq)
	}
	if r.Step == "" {
		return r, errors.New("it names no step")
	}
	return r, nil
}
