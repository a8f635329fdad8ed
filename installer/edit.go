package installer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// edit turns the content of a file into what a step wants it to be; nil content is a file that is not there.
type edit func(now []byte) ([]byte, error)

// editBefore is the begin record of the steps that change a part of somebody else's file.
type editBefore struct {
	Ours bundle.Digest   `json:"ours"` // of the whole file after the edit
	Was  snapshot        `json:"was"`
	Part json.RawMessage `json:"part,omitempty"` // what the step's undo needs when the file was edited since
}

// readEdited returns the content of name, nil when it is not there, and what name really is when it is a link.
func readEdited(h host.Host, name string) (data []byte, real string, err error) {
	if real, err = followLinks(h, name); err != nil {
		return nil, "", err
	}
	data, err = host.ReadFile(h, real, saveMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, real, nil
	}
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, real, err
}

// checkEdit is Check of the editing steps: they are satisfied when the edit would change nothing.
func checkEdit(h host.Host, name string, change edit) (Status, error) {
	now, real, err := readEdited(h, name)
	if err != nil {
		return Status{}, err
	}
	if _, err := h.Stat(path.Dir(real)); errors.Is(err, fs.ErrNotExist) {
		return Status{State: Satisfied, Why: "this host has no " + path.Dir(real)}, nil
	}
	want, err := change(now)
	if err != nil {
		return Status{}, err
	}
	if now != nil && bytes.Equal(now, want) || now == nil && want == nil {
		return Status{State: Satisfied}, nil
	}
	return Status{State: Needed}, nil
}

// beforeEdit is Before of the editing steps. These files are small, so every begin record holds all of the file.
func beforeEdit(h host.Host, name string, change edit, part any) (json.RawMessage, error) {
	now, real, err := readEdited(h, name)
	if err != nil {
		return nil, err
	}
	want, err := change(now)
	if err != nil {
		return nil, err
	}
	b := editBefore{Ours: bundle.DigestOf(want)}
	if b.Was, err = takeSnapshot(h, real, false); err != nil {
		return nil, err
	}
	if part != nil {
		if b.Part, err = json.Marshal(part); err != nil {
			return nil, err
		}
	}
	return json.Marshal(b)
}

// doEdit is Do of the editing steps. The file keeps its mode and owner; a new one is readable by everybody.
func doEdit(h host.Host, name string, change edit) error {
	now, real, err := readEdited(h, name)
	if err != nil {
		return err
	}
	want, err := change(now)
	if err != nil {
		return err
	}
	return rewrite(h, real, want)
}

// rewrite replaces a file's content and nothing else of it.
func rewrite(h host.Host, name string, data []byte) error {
	meta := host.Meta{Mode: 0o644}
	info, err := h.Lstat(name)
	if err == nil {
		meta.Mode = info.Mode().Perm()
		meta.Owner, meta.Group, err = h.Owner(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return h.Write(name, bytes.NewReader(data), meta)
}

// undoEdit puts the file back, byte for byte, when nobody but us has changed it. Otherwise revert takes only our part out
// of it; it gets the part of the oldest begin record.
func undoEdit(u Undoing, name string, revert func(now []byte, part json.RawMessage) ([]byte, error)) error {
	begins := make([]editBefore, len(u.Begins))
	for i, raw := range u.Begins {
		if err := decodeBefore(raw, &begins[i]); err != nil {
			return err
		}
	}
	if len(begins) == 0 {
		return errors.New("the journal has no begin record")
	}
	now, real, err := readEdited(u.Host, name)
	if err != nil {
		return err
	}
	first, last := begins[0], begins[len(begins)-1]
	if now == nil {
		if first.Was.Kind != wasAbsent {
			u.note("%s is gone and stays so", name)
		}
		return nil
	}
	if untouched(begins, bundle.DigestOf(now)) {
		return first.Was.restore(u.Host, real)
	}
	back, err := revert(now, first.Part)
	if err != nil {
		return err
	}
	if bytes.Equal(back, now) {
		return nil
	}
	if last.Ours != bundle.DigestOf(now) {
		u.note("%s was changed since: only our part of it is taken back", name)
	}
	if len(back) == 0 && first.Was.Kind == wasAbsent {
		return u.Host.Remove(real)
	}
	if err := rewrite(u.Host, real, back); err != nil || first.Was.Kind != wasAbsent {
		return err
	}
	// The file is ours and its directory may be, too, and then goes with all in it but what was saved.
	return saveBeside(u)
}

// untouched reports whether a file whose content is now has had no other writer since the first begin record: each
// begin found what the one before it wrote, or was about to replace.
func untouched(begins []editBefore, now bundle.Digest) bool {
	for i := 1; i < len(begins); i++ {
		if was := begins[i].Was.Digest; was != begins[i-1].Ours && was != begins[i-1].Was.Digest {
			return false
		}
	}
	last := begins[len(begins)-1]
	return now == last.Ours || now == last.Was.Digest
}

// textLines splits text after each newline; a last line without one is a line, too.
func textLines(text []byte) [][]byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	if n := len(lines); len(lines[n-1]) == 0 {
		lines = lines[:n-1]
	}
	return lines
}

// endLine returns text with a newline at its end, unless it is empty.
func endLine(text []byte) []byte {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return append(bytes.Clone(text), '\n')
	}
	return text
}
