package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const kindUser = "user"

// UserStep makes a system user without a login, and a group of the same name.
type UserStep struct {
	Name string
	Home string // only named, not made; "" is the system's own choice
}

// userBefore is a UserStep's begin record.
type userBefore struct {
	Group bool `json:"group"` // there was a group of that name already
}

// ID implements Step.
func (s *UserStep) ID() string { return kindUser + ":" + s.Name }

// Line implements Step.
func (s *UserStep) Line() Line { return Line{Verb: "make", Object: "system user " + s.Name} }

// makingMark exists while the user is made. useradd writes four files, one after the other; what stands in some of them and
// not in the others is ours, and is made anew.
func (s *UserStep) makingMark() string { return path.Join(StateDir, "user-"+s.Name+".json") }

// makingUser is the content of the mark.
type makingUser struct {
	Format int  `json:"format"` // 0
	Group  bool `json:"group"`  // there was a group of that name already
}

// making returns what the mark says, nil when there is none.
func (s *UserStep) making(h host.Host) (*makingUser, error) {
	text, err := readOptional(h, s.makingMark())
	if err != nil || text == "" {
		return nil, err
	}
	m := &makingUser{}
	if err := bundle.DecodeStrict([]byte(text), m, saveMax); err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.makingMark(), err)
	}
	return m, nil
}

// Check implements Step. A user of another group is somebody else's.
func (s *UserStep) Check(_ context.Context, h host.Host) (Status, error) {
	interrupted, err := host.Exists(h, s.makingMark())
	if err != nil || interrupted {
		return Status{State: Needed, Why: "making it was interrupted"}, err
	}
	user, err := account(h, "/etc/passwd", s.Name)
	if err != nil {
		return Status{}, err
	}
	group, err := account(h, "/etc/group", s.Name)
	switch {
	case err != nil:
		return Status{}, err
	case user == nil:
		return Status{State: Needed, Why: "there is none"}, nil
	case group == nil:
		return Status{State: Conflict, Why: fmt.Sprintf("there is a user %s but no group of that name", s.Name)}, nil
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *UserStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	group, err := account(h, "/etc/group", s.Name)
	if err != nil {
		return nil, err
	}
	return json.Marshal(userBefore{Group: group != nil})
}

// Do implements Step.
func (s *UserStep) Do(ctx context.Context, h host.Host) error {
	before, err := s.making(h)
	if err != nil {
		return err
	}
	if before == nil {
		group, err := account(h, "/etc/group", s.Name)
		if err != nil {
			return err
		}
		before = &makingUser{Group: group != nil}
		if err := writeJSON(h, s.makingMark(), before, 0o600); err != nil {
			return err
		}
	} else if err := removeUser(ctx, h, s.Name, before.Group); err != nil {
		return err
	}
	argv := []string{"useradd", "-r", "-M", "-s", "/sbin/nologin"}
	if before.Group {
		argv = append(argv, "-g", s.Name)
	} else {
		argv = append(argv, "-U")
	}
	if s.Home != "" {
		argv = append(argv, "-d", s.Home)
	}
	if _, err := h.Run(ctx, nil, append(argv, s.Name)...); err != nil {
		return err
	}
	return h.Remove(s.makingMark())
}

// accountLine is a line of passwd or group, split at its colons.
type accountLine []string

// gid is the number of the group in a line of passwd: its fourth field.
func (l accountLine) gid() string {
	if len(l) < 4 {
		return ""
	}
	return l[3]
}

// account returns the line of a name, nil when there is none.
func account(h host.Host, file, name string) (accountLine, error) {
	text, err := readOptional(h, file)
	for line := range strings.Lines(text) {
		if f := strings.Split(strings.TrimSpace(line), ":"); f[0] == name {
			return f, err
		}
	}
	return nil, err
}

// undoUser removes the user, and the group unless it was there before.
func undoUser(ctx context.Context, u Undoing) error {
	var b userBefore
	if err := u.first(&b); err != nil {
		return err
	}
	return removeUser(ctx, u.Host, u.Object, b.Group)
}

// removeUser removes a user, and the group of its name unless that is to stay: userdel takes it along, and then it is made again.
func removeUser(ctx context.Context, h host.Host, name string, keep bool) error {
	user, err := account(h, "/etc/passwd", name)
	if err != nil {
		return err
	}
	if user != nil {
		if _, err := h.Run(ctx, nil, "userdel", name); err != nil {
			return err
		}
	}
	group, err := account(h, "/etc/group", name)
	switch {
	case err != nil:
		return err
	case group != nil && !keep:
		_, err = h.Run(ctx, nil, "groupdel", name)
	case group == nil && keep && user != nil:
		_, err = h.Run(ctx, nil, "groupadd", "-r", "-g", user.gid(), name)
	}
	return err
}
