package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"offgrid/installer/host"
)

const kindLink = "link"

// LinkStep makes Path a symbolic link to Target. A link to something else is replaced; anything but a link is a conflict.
type LinkStep struct {
	Path   string
	Target string
}

// linkBefore is a LinkStep's begin record.
type linkBefore struct {
	Ours string `json:"ours"`
	Was  string `json:"was,omitempty"` // target of the link that was there; "" when there was none
}

// ID implements Step.
func (s *LinkStep) ID() string { return kindLink + ":" + s.Path }

// Line implements Step.
func (s *LinkStep) Line() Line { return Line{Verb: "link", Object: s.Path + " -> " + s.Target} }

// Check implements Step.
func (s *LinkStep) Check(_ context.Context, h host.Host) (Status, error) {
	target, link, err := linkTarget(h, s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Status{State: Needed, Why: "it is not there"}, nil
	case err != nil:
		return Status{}, err
	case !link:
		return Status{State: Conflict, Why: fmt.Sprintf("%s is there and is not a link", s.Path)}, nil
	case target != s.Target:
		return Status{State: Needed, Why: "it leads to " + target}, nil
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *LinkStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	was, _, err := linkTarget(h, s.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return json.Marshal(linkBefore{Ours: s.Target, Was: was})
}

// Do implements Step.
func (s *LinkStep) Do(_ context.Context, h host.Host) error { return h.Symlink(s.Target, s.Path) }

// linkTarget returns where name leads, and whether it is a link at all.
func linkTarget(h host.Host, name string) (target string, link bool, err error) {
	info, err := h.Lstat(name)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return "", false, err
	}
	target, err = h.Readlink(name)
	return target, true, err
}

// undoLink puts the old link back, or removes ours.
func undoLink(_ context.Context, u Undoing) error {
	var b linkBefore
	if err := u.first(&b); err != nil {
		return err
	}
	target, link, err := linkTarget(u.Host, u.Object)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return err
	}
	ours := gone
	for _, raw := range u.Begins {
		var each linkBefore
		if err := decodeBefore(raw, &each); err != nil {
			return err
		}
		ours = ours || (link && target == each.Ours)
	}
	switch {
	case link && b.Was != "" && target == b.Was:
		return nil
	case !ours:
		u.note("%s is no longer our link and stays", u.Object)
		return nil
	case b.Was != "":
		return u.Host.Symlink(b.Was, u.Object)
	}
	return u.Host.Remove(u.Object)
}
