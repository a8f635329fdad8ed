package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

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

// Check implements Step. useradd writes the user before the group, so that what ends it in between leaves a user whose
// group has no name: that is ours to finish. A user of another group is somebody else's.
func (s *UserStep) Check(_ context.Context, h host.Host) (Status, error) {
	user, err := account(h, "/etc/passwd", s.Name)
	if err != nil {
		return Status{}, err
	}
	group, err := hasAccount(h, "/etc/group", s.Name)
	switch {
	case err != nil:
		return Status{}, err
	case user == nil:
		return Status{State: Needed, Why: "there is none"}, nil
	case group:
		return Status{State: Satisfied}, nil
	}
	named, err := namesGroup(h, user.gid())
	if err != nil || named {
		return Status{State: Conflict, Why: fmt.Sprintf("there is a user %s but no group of that name", s.Name)}, err
	}
	return Status{State: Needed, Why: fmt.Sprintf("its group, number %s, has no name", user.gid())}, nil
}

// Before implements Undoer.
func (s *UserStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	group, err := hasAccount(h, "/etc/group", s.Name)
	if err != nil {
		return nil, err
	}
	return json.Marshal(userBefore{Group: group})
}

// Do implements Step. What an earlier try made of the two is kept.
func (s *UserStep) Do(ctx context.Context, h host.Host) error {
	user, err := account(h, "/etc/passwd", s.Name)
	if err != nil {
		return err
	}
	group, err := hasAccount(h, "/etc/group", s.Name)
	if err != nil {
		return err
	}
	if user != nil {
		_, err = h.Run(ctx, nil, "groupadd", "-r", "-g", user.gid(), s.Name)
		return err
	}
	argv := []string{"useradd", "-r", "-M", "-s", "/sbin/nologin"}
	if group {
		argv = append(argv, "-g", s.Name)
	} else {
		argv = append(argv, "-U")
	}
	if s.Home != "" {
		argv = append(argv, "-d", s.Home)
	}
	_, err = h.Run(ctx, nil, append(argv, s.Name)...)
	return err
}

// accountLine is a line of passwd or group, split at its colons.
type accountLine []string

// gid is the group of a line of passwd: its fourth field.
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

// hasAccount looks for a name in passwd or group.
func hasAccount(h host.Host, file, name string) (bool, error) {
	line, err := account(h, file, name)
	return line != nil, err
}

// namesGroup reports whether a group has that number.
func namesGroup(h host.Host, gid string) (bool, error) {
	text, err := readOptional(h, "/etc/group")
	for line := range strings.Lines(text) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > 2 && f[2] == gid {
			return true, err
		}
	}
	return false, err
}

// undoUser removes the user, and userdel the group with it.
func undoUser(ctx context.Context, u Undoing) error {
	var b userBefore
	if err := u.first(&b); err != nil {
		return err
	}
	there, err := hasAccount(u.Host, "/etc/passwd", u.Object)
	if err != nil {
		return err
	}
	if there {
		if _, err := u.Host.Run(ctx, nil, "userdel", u.Object); err != nil {
			return err
		}
	}
	if there, err = hasAccount(u.Host, "/etc/group", u.Object); err != nil || !there || b.Group {
		return err
	}
	_, err = u.Host.Run(ctx, nil, "groupdel", u.Object)
	return err
}
