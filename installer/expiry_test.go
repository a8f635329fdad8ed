package installer

import (
	"testing"
	"time"
)

func TestTheHealthLineOfCertificatesNamesWhatIsOverAndWhatEndsSoon(t *testing.T) {
	day := func(state string, path string, days int) CertificateStatus {
		return CertificateStatus{Path: path, State: state, Days: days, Expires: pfNow().Add(time.Duration(days) * 24 * time.Hour)}
	}
	const renew = "on the machine with internet: bundle pki renew --expiring 90 && bundle build --renewal"
	for _, c := range []struct {
		all  []CertificateStatus
		want string
		ok   bool
	}{
		{nil, "none is on this host", true},
		{[]CertificateStatus{day("ok", "/a.pem", 100), day("ok", "/b.pem", 700)}, "2, the first ends in 100 days", true},
		{[]CertificateStatus{day("soon", "/a.pem", 10), day("soon", "/b.pem", 20), day("ok", "/c.pem", 700)},
			"2 of 3 end within 90 days, the first is /a.pem (2026-03-11 12:00:00 UTC); " + renew, true},
		{[]CertificateStatus{day("expired", "/a.pem", -1), day("soon", "/b.pem", 20)}, "expired: /a.pem (2026-02-28 12:00:00 UTC); if the clock is right, " + renew, false},
		{[]CertificateStatus{day("early", "/a.pem", 700)}, "not valid yet: /a.pem; this host's clock is behind; look at: date; chronyc tracking", false},
	} {
		if text, ok := judgeCertificates(c.all); text != c.want || ok != c.ok {
			t.Errorf("got %v %q, want %v %q", ok, text, c.ok, c.want)
		}
	}
}
