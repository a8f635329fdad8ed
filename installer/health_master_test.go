package installer

import (
	"context"
	"testing"
)

func TestAMemberThatIsNotThereYetDoesNotSpoilTheComponentStatuses(t *testing.T) {
	item := func(name, status, message string) string {
		return `{"metadata":{"name":"` + name + `"},"conditions":[{"type":"Healthy","status":"` + status + `","message":"` + message + `"}]}`
	}
	for _, c := range []struct {
		name, items string
		ok          bool
		text        string
	}{
		{"all are well", item("scheduler", "True", "ok") + "," + item("etcd-0", "True", ""), true, "etcd-0, scheduler are Healthy"},
		{
			"one member of three is not installed yet",
			item("etcd-0", "True", "") + "," + item("etcd-2", "False", "no route to host") + "," + item("etcd-1", "True", ""),
			true, "etcd-0, etcd-1 are Healthy; not there: etcd-2: no route to host",
		},
		{
			"most members are gone",
			item("etcd-0", "True", "") + "," + item("etcd-1", "False", "refused") + "," + item("etcd-2", "False", "refused"),
			false, "etcd-0 are Healthy; not there: etcd-1: refused; etcd-2: refused",
		},
		{"the scheduler of this host", item("scheduler", "False", "refused") + "," + item("etcd-0", "True", ""), false, "scheduler: refused"},
		{"nothing at all", "", false, " are Healthy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Session{Probe: func(context.Context, Probe) (Answer, error) {
				return Answer{Status: 200, Body: []byte(`{"items":[` + c.items + `]}`)}, nil
			}}
			text, ok := apiAsker{s: s, server: "https://127.0.0.1:6443"}.componentStatuses(t.Context())
			if ok != c.ok || text != c.text {
				t.Errorf("%v %q, want %v %q", ok, text, c.ok, c.text)
			}
		})
	}
}
