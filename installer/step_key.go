package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"offgrid/installer/host"
)

const kindKey = "key"

// selinuxConfig is where SELinux's mode at boot is set, and autorelabel is what makes the next boot label every file anew.
const (
	selinuxConfig = "/etc/selinux/config"
	selinuxKey    = "SELINUX"
	autorelabel   = "/.autorelabel"
)

// KeyStep makes KEY=value stand exactly once in a file of such lines. Comments, and keys that merely begin the same, are
// not touched. Where the directory of the file is missing, there is nothing to set.
type KeyStep struct {
	Path  string
	Key   string
	Value string
	Why   string
}

// keyPart is what undo needs of a KeyStep when the file was edited since.
type keyPart struct {
	Line string `json:"line"` // ours, without newline
	Was  string `json:"was"`  // the line that ours replaced, with its newline; "" when there was none
}

// ID implements Step.
func (s *KeyStep) ID() string { return kindKey + ":" + s.Path + ":" + s.Key }

// Line implements Step.
func (s *KeyStep) Line() Line {
	return Line{Verb: "set", Object: s.Key + "=" + s.Value + " in " + s.Path, Why: s.Why}
}

// Check implements Step.
func (s *KeyStep) Check(_ context.Context, h host.Host) (Status, error) {
	return checkEdit(h, s.Path, s.change)
}

// Before implements Undoer.
func (s *KeyStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	now, _, err := readEdited(h, s.Path)
	if err != nil {
		return nil, err
	}
	part := keyPart{Line: s.Key + "=" + s.Value}
	for _, line := range textLines(now) {
		if isKey(line, s.Key) {
			part.Was = string(line)
			break
		}
	}
	return beforeEdit(h, s.Path, s.change, part)
}

// Do implements Step.
func (s *KeyStep) Do(_ context.Context, h host.Host) error { return doEdit(h, s.Path, s.change) }

// change sets the key where it stands first, drops further ones, and adds it at the end when there is none.
func (s *KeyStep) change(now []byte) ([]byte, error) {
	ours := []byte(s.Key + "=" + s.Value + "\n")
	var out []byte
	found := false
	for _, line := range textLines(now) {
		switch {
		case !isKey(line, s.Key):
			out = append(out, line...)
		case !found:
			out, found = append(out, ours...), true
		}
	}
	if !found {
		out = append(endLine(out), ours...)
	}
	return out, nil
}

// isKey reports whether a line sets the key.
func isKey(line []byte, key string) bool {
	return bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte(key+"="))
}

// undoKey puts the key's old line back. When SELinux comes back, files made while it was off have no labels, so the next
// boot has to make them.
func undoKey(_ context.Context, u Undoing) error {
	at := strings.LastIndexByte(u.Object, ':')
	if at < 0 {
		return errors.New("the step's ID has no key")
	}
	path, key := u.Object[:at], u.Object[at+1:]
	if err := relabel(u, path, key); err != nil {
		return err
	}
	return undoEdit(u, path, func(now []byte, raw json.RawMessage) ([]byte, error) {
		var part keyPart
		if err := decodeBefore(raw, &part); err != nil {
			return nil, err
		}
		var out []byte
		for _, line := range textLines(now) {
			if string(bytes.TrimSpace(line)) == part.Line {
				out = append(out, part.Was...)
				continue
			}
			out = append(out, line...)
		}
		return out, nil
	})
}

// relabel asks for new labels at the next boot when the key is SELinux's mode and ours was "disabled". It comes before
// the mode itself is put back: a host must never boot enforcing without it.
func relabel(u Undoing, path, key string) error {
	if path != selinuxConfig || key != selinuxKey {
		return nil
	}
	var b editBefore
	if err := u.first(&b); err != nil {
		return err
	}
	var part keyPart
	if err := decodeBefore(b.Part, &part); err != nil {
		return err
	}
	if part.Line != selinuxKey+"=disabled" || strings.TrimSpace(part.Was) == part.Line {
		return nil
	}
	u.note("SELinux comes back with the next boot, which is slow: it labels every file anew")
	return u.Host.Write(autorelabel, bytes.NewReader(nil), host.Meta{Mode: 0o644})
}
