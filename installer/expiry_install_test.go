package installer_test

import (
	"testing"
	"time"

	"offgrid/installer"
)

func TestStatusTellsWhatEndsAndWhoIsAway(t *testing.T) {
	s, e := runningEtcd(t)
	systemctl(t, s, "20.0.0.104", "stop", "etcd.service")
	session := e.Session("20.0.0.100")
	for _, c := range []struct {
		later time.Duration
		state string
	}{{0, "ok"}, {100 * 365 * 24 * time.Hour, "expired"}} {
		session.Now = func() time.Time { return s.Now().Add(c.later) }
		all, err := session.Status(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%v %+v", err, all)
		}
		var names []string
		for _, cert := range all[0].Certificates {
			names = append(names, cert.Path)
			if cert.State != c.state && !(c.later == 0 && cert.State == "soon") {
				t.Errorf("%s is %s, want %s: %+v", cert.Path, cert.State, c.state, cert)
			}
		}
		if len(names) != 3 { // the authority, the server's and the admin's
			t.Errorf("certificates: %q", names)
		}
		if c.later > 0 {
			continue
		}
		var away []installer.MemberStatus
		leaders := 0
		for _, m := range all[0].Etcd {
			if !m.Healthy {
				away = append(away, m)
			}
			if m.Leader {
				leaders++
			}
		}
		if len(all[0].Etcd) != 3 || len(away) != 1 || away[0].Name != "etcd03" || away[0].Text == "" || all[0].VIP != nil || all[0].Serial == 0 {
			t.Errorf("%+v", all[0])
		}
	}
}
