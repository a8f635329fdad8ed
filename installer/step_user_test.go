package installer

import (
	"errors"
	"strings"
	"testing"

	"offgrid/installer/hosttest"
)

// etcdUser is what useradd of el7 leaves of the user in each file.
var etcdUser = map[string]string{
	"/etc/passwd": "etcd:x:998:998::/var/lib/etcd:/sbin/nologin\n", "/etc/shadow": "etcd:!!:20000::::::\n",
	"/etc/group": "etcd:x:998:\n", "/etc/gshadow": "etcd:!::\n",
}

func userHost(t *testing.T) *hosttest.Host {
	h := busyHost(t)
	h.Put(t, "/etc/shadow", "root:!!:20000:0:99999:7:::\n")
	h.Put(t, "/etc/gshadow", "root:::\n")
	return h
}

// The power may fail after any of the four files that useradd writes, in this order.
func TestAUserThatWasHalfMadeIsMadeAnew(t *testing.T) {
	step := &UserStep{Name: "etcd", Home: "/var/lib/etcd"}
	want := userHost(t)
	before := want.Tree(t)
	must(t, applyAll(want, "etcd", []Step{step}))
	for _, files := range []string{"", "/etc/passwd", "/etc/passwd /etc/shadow", "/etc/passwd /etc/shadow /etc/group", "/etc/passwd /etc/shadow /etc/group /etc/gshadow"} {
		t.Run("what stands in "+files, func(t *testing.T) {
			h := userHost(t)
			h.Script("useradd", hosttest.Fails(1, "")) // as one that is ended before it does anything
			if err := applyAll(h, "etcd", []Step{step}); err == nil {
				t.Fatal("a user was made by a useradd that fails")
			}
			h.Script("useradd", nil)
			for _, file := range strings.Fields(files) {
				h.Put(t, file, h.Get(file)+etcdUser[file])
			}
			must(t, applyAll(h, "etcd", []Step{step}))
			for file := range etcdUser {
				if got := h.Get(file); got != want.Get(file) {
					t.Errorf("%s is\n%s\nwant\n%s", file, got, want.Get(file))
				}
			}
			notes, err := undoAll(h, false)
			if err != nil || len(notes) > 0 {
				t.Errorf("error %v, notes %q", err, notes)
			}
			if d := hosttest.Diff(before, h.Tree(t)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAGroupThatWasThereBeforeItsUserStays(t *testing.T) {
	h := userHost(t)
	h.Put(t, "/etc/group", h.Get("/etc/group")+"etcd:x:998:\n")
	h.Put(t, "/etc/gshadow", h.Get("/etc/gshadow")+"etcd:!::\n")
	before := h.Tree(t)
	must(t, applyAll(h, "etcd", []Step{&UserStep{Name: "etcd", Home: "/var/lib/etcd"}}))
	if got := h.Get("/etc/passwd"); !strings.HasSuffix(got, "\n"+etcdUser["/etc/passwd"]) {
		t.Errorf("/etc/passwd is\n%s", got)
	}
	if notes, err := undoAll(h, false); err != nil || len(notes) > 0 {
		t.Errorf("error %v, notes %q", err, notes)
	}
	if d := hosttest.Diff(before, h.Tree(t)); d != "" {
		t.Error(d)
	}
}

func TestAUserWithoutAGroupOfItsNameIsAConflict(t *testing.T) {
	h := busyHost(t)
	h.Put(t, "/etc/passwd", h.Get("/etc/passwd")+"etcd:x:998:995::/var/lib/etcd:/sbin/nologin\n")
	h.Put(t, "/etc/group", h.Get("/etc/group")+"databases:x:995:\n")
	err := applyAll(h, "etcd", []Step{&UserStep{Name: "etcd", Home: "/var/lib/etcd"}})
	var conflict *ConflictError
	if !errors.As(err, &conflict) || conflict.Why != "there is a user etcd but no group of that name" {
		t.Errorf("error is %v, want a conflict that says that the group is missing", err)
	}
}
