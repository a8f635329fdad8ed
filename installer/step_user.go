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

// Check implements Step.
func (s *UserStep) Check(_ context.Context, h host.Host) (Status, error) {
	user, err := hasAccount(h, "/etc/passwd", s.Name)
	if err != nil {
		return Status{}, err
	}
	group, err := hasAccount(h, "/etc/group", s.Name)
	switch {
	case err != nil:
		return Status{}, err
	case user && !group:
		return Status{State: Conflict, Why: fmt.Sprintf("there is a user %s but no group of that name", s.Name)}, nil
	case !user:
		return Status{State: Needed, Why: "there is none"}, nil
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *UserStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	group, err := hasAccount(h, "/etc/group", s.Name)
	if err != nil {
		return nil, err
	}
	return json.Marshal(userBefore{Group: group})
}

// Do implements Step. A killed useradd may have made the group alone; -g takes it then.
func (s *UserStep) Do(ctx context.Context, h host.Host) error {
	group, err := hasAccount(h, "/etc/group", s.Name)
	if err != nil {
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

// hasAccount looks for a name in a file of lines that begin with one and a colon.
func hasAccount(h host.Host, file, name string) (bool, error) {
	text, err := readOptional(h, file)
	return strings.Contains("\n"+text, "\n"+name+":"), err
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
