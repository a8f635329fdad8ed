package installer

import (
	"errors"
	"strings"
	"testing"
)

func TestAUserWhoseGroupWasLostGetsItBack(t *testing.T) {
	h := busyHost(t)
	passwd := h.Get("/etc/passwd") + "etcd:x:998:995::/var/lib/etcd:/sbin/nologin\n"
	h.Put(t, "/etc/passwd", passwd)
	must(t, applyAll(h, "etcd", []Step{&UserStep{Name: "etcd", Home: "/var/lib/etcd"}}))
	if got := h.Get("/etc/group"); !strings.HasSuffix(got, "\netcd:x:995:\n") {
		t.Errorf("/etc/group ends otherwise than with etcd:x:995: :\n%s", got)
	}
	if got := h.Get("/etc/passwd"); got != passwd {
		t.Errorf("/etc/passwd is\n%s\nwant\n%s", got, passwd)
	}
}

func TestAUserOfAnotherGroupIsAConflict(t *testing.T) {
	h := busyHost(t)
	h.Put(t, "/etc/passwd", h.Get("/etc/passwd")+"etcd:x:998:995::/var/lib/etcd:/sbin/nologin\n")
	h.Put(t, "/etc/group", h.Get("/etc/group")+"databases:x:995:\n")
	err := applyAll(h, "etcd", []Step{&UserStep{Name: "etcd", Home: "/var/lib/etcd"}})
	var conflict *ConflictError
	if !errors.As(err, &conflict) || conflict.Why != "there is a user etcd but no group of that name" {
		t.Errorf("error is %v, want a conflict that says that the group is missing", err)
	}
}
