package host

import (
	"context"
	"errors"
	"io"
	"testing"
)

// oneUnit is a host that knows one unit.
type oneUnit struct {
	Host
	path, lib string // FragmentPath; where /lib leads, "" for a directory
}

func (h oneUnit) Run(context.Context, io.Reader, ...string) ([]byte, error) {
	return []byte("LoadState=loaded\nFragmentPath=" + h.path + "\n"), nil
}

func (h oneUnit) Readlink(string) (string, error) {
	if h.lib == "" {
		return "", errors.New("no link")
	}
	return h.lib, nil
}

func TestAUnitHasOnePathHoweverSystemdNamesIt(t *testing.T) {
	for _, c := range []struct{ path, lib, want string }{
		{"/usr/lib/systemd/system/x.service", "usr/lib", "/usr/lib/systemd/system/x.service"},
		{"/lib/systemd/system/x.service", "usr/lib", "/usr/lib/systemd/system/x.service"},
		{"/lib/systemd/system/x.service", "/usr/lib", "/usr/lib/systemd/system/x.service"},
		{"/lib/systemd/system/x.service", "", "/lib/systemd/system/x.service"},
		{"/etc/systemd/system/x.service", "usr/lib", "/etc/systemd/system/x.service"},
		{"", "usr/lib", ""},
	} {
		u, err := ShowUnit(t.Context(), oneUnit{path: c.path, lib: c.lib}, "x.service")
		if err != nil || u.Path != c.want {
			t.Errorf("%q with /lib -> %q: %q (%v), want %q", c.path, c.lib, u.Path, err, c.want)
		}
	}
}
