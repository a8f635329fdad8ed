package pki

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/bundle/progress"
)

// spring is a day on which certificates of now have two months left.
func spring() time.Time { return time.Date(2027, 4, 1, 9, 0, 0, 0, time.UTC) }

func renewAt(t *testing.T, dir, text string, at time.Time, change func(*RenewRequest)) (*Renewal, error) {
	t.Helper()
	req := RenewRequest{Request: Request{Cluster: load(t, text), Now: at}}
	if change != nil {
		change(&req)
	}
	return Renew(t.Context(), dir, req)
}

func TestARenewalMakesNewKeysUnderTheSameAuthoritiesAndKeepsTheOldOnes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first := mustEnsure(t, dir, table)
	before := tree(t, dir)
	r, err := renewAt(t, dir, table, spring(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Serial != spring().Unix() || len(r.Leaves) != 27 || r.Leaves[0] != (Renewed{"master01", EtcdServer, time.Date(2027, 6, 1, 12, 0, 0, 0, time.UTC), time.Date(2029, 4, 1, 9, 0, 0, 0, time.UTC)}) {
		t.Errorf("serial %d, %d leaves, the first %+v", r.Serial, len(r.Leaves), r.Leaves[0])
	}
	after, err := ensure(t, dir, table, spring())
	if err != nil {
		t.Fatal(err)
	}
	if after.Serial != r.Serial || !after.NotBefore.Equal(spring().Add(-time.Hour)) || len(after.Made) != 0 {
		t.Errorf("serial %d, not before %s, made %q", after.Serial, after.NotBefore, after.Made)
	}
	for _, ca := range caNames() {
		if string(first.CA(ca).Cert) != string(after.CA(ca).Cert) {
			t.Errorf("the %s authority has changed", ca)
		}
	}
	for i, l := range after.Leaves() {
		was := first.Leaves()[i]
		if l.Host != was.Host || l.Name != was.Name || string(l.Key) == string(was.Key) || !slices.Equal(l.Parsed.DNSNames, was.Parsed.DNSNames) {
			t.Errorf("%s of %s: the same key, or another place or name", l.Name, l.Host)
		}
		if err := l.Parsed.CheckSignatureFrom(after.CA(l.CA).Parsed); err != nil {
			t.Error(err)
		}
	}
	now := tree(t, dir)
	for path, data := range before {
		if strings.HasPrefix(path, "hosts") {
			path = filepath.Join("old", fmt.Sprint(r.Serial), path)
		}
		if now[path] != data {
			t.Errorf("%s is not as it was", path)
		}
	}
	if len(now) != len(before)+2*27+1 {
		t.Errorf("%d files, before %d", len(now), len(before))
	}
}

func TestOnlyWhatIsChosenIsRenewed(t *testing.T) {
	joining := strings.Replace(table, "\nhosts", "\nnodes: {joinCIDRs: [20.0.0.0/24]}\nhosts", 1)
	for _, c := range []struct {
		name   string
		change func(*RenewRequest)
		want   string
	}{
		{"a role of a host", func(r *RenewRequest) { r.Role, r.Hosts = "etcd", []string{"node01"} }, "node01/etcd-server node01/etcd-peer node01/etcd-admin"},
		{"a role", func(r *RenewRequest) { r.Role = "node" }, "node01/kube-proxy node01/kubelet-server node02/kube-proxy node02/kubelet-server join/kube-proxy"},
		{"those that join", func(r *RenewRequest) { r.Hosts = []string{"join"} }, "join/kube-proxy"},
		{"nothing ends so soon", func(r *RenewRequest) { r.Within = 60 * 24 * time.Hour }, ""},
		{"what ends soon", func(r *RenewRequest) { r.Within, r.Hosts = 62*24*time.Hour, []string{"node02"} }, "node02/etcd-server node02/etcd-peer node02/etcd-admin node02/kube-proxy node02/kubelet-server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "pki")
			mustEnsure(t, dir, joining)
			before := tree(t, dir)
			r, err := renewAt(t, dir, joining, spring(), c.change)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range r.Leaves {
				got = append(got, l.Host+"/"+l.Name)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			changed := 0
			now := tree(t, dir)
			for path, data := range before {
				if now[path] != data {
					changed++
				}
			}
			if changed != 2*len(got) || c.want == "" && !maps.Equal(now, before) {
				t.Errorf("%d files have changed", changed)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	for want, change := range map[string]func(*RenewRequest){
		`the cluster file has no host "node09"`: func(r *RenewRequest) { r.Hosts = []string{"node09"} },
		`the cluster file has no host "join"`:   func(r *RenewRequest) { r.Hosts = []string{"join"} },
		`certificates for the role "lb"`:        func(r *RenewRequest) { r.Role = "lb" },
	} {
		_, err := renewAt(t, dir, table, spring(), change)
		var choice *ChoiceError
		if !errors.As(err, &choice) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestARenewalThatWasCutOffAnywhereIsAllOrNothing(t *testing.T) {
	made := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, made, table)
	staged := filepath.Join(t.TempDir(), "pki")
	copyTree(t, made, staged)
	pairs := map[string]Pair{}
	all, err := choose(staged, RenewRequest{Request: Request{Cluster: load(t, table), Now: spring()}}, &Problems{})
	if err != nil {
		t.Fatal(err)
	}
	set := mustEnsure(t, staged, table)
	for _, c := range all {
		if pairs[c.rel()], err = issue(set.cas[c.spec.ca], c.spec, Request{Cluster: load(t, table), Now: spring()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := (&staging{leaves: pairs}).write(staged, 7); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(t.TempDir(), "pki")
	copyTree(t, staged, whole)
	if err := finish(whole); err != nil {
		t.Fatal(err)
	}
	want := tree(t, whole)
	// Every move of finish, done up to the n-th.
	var moves [][2]string
	for _, c := range all {
		moves = append(moves, [2]string{c.rel(), filepath.Join("old/7", c.rel())}, [2]string{filepath.Join("renewing", c.rel()), c.rel()})
	}
	moves = append(moves, [2]string{"renewing/renewal.json", "renewal.json"})
	for n := range len(moves) + 1 {
		dir := filepath.Join(t.TempDir(), "pki")
		copyTree(t, staged, dir)
		for _, m := range moves[:n] {
			to := filepath.Join(dir, m[1])
			if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(filepath.Join(dir, m[0]), to)); err != nil {
				t.Fatal(err)
			}
		}
		if set, err := ensure(t, dir, table, spring()); err != nil || set.Serial != 7 || len(set.Made) != 0 {
			t.Fatalf("cut off after %d moves: %v", n, err)
		}
		if !maps.Equal(tree(t, dir), want) {
			t.Errorf("cut off after %d moves: another end state", n)
		}
	}
	// Before it stands there whole, nothing has happened.
	dir := filepath.Join(t.TempDir(), "pki")
	copyTree(t, made, dir)
	if err := os.Mkdir(filepath.Join(dir, tempPrefix+"1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if set := mustEnsure(t, dir, table); set.Serial != 0 {
		t.Error("half a renewal counts")
	}
}

func TestTheSerialGrowsWhateverTheClockSays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	var got []int64
	for _, c := range []struct {
		at    time.Time
		after int64
	}{{spring(), 0}, {spring().Add(-time.Hour), 0}, {spring(), spring().Unix() + 100}} {
		r, err := renewAt(t, dir, table, c.at, func(r *RenewRequest) { r.After = c.after })
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Serial-spring().Unix())
	}
	if want := []int64{0, 1, 101}; !slices.Equal(got, want) {
		t.Errorf("serials %d, want %d", got, want)
	}
	if err := os.WriteFile(filepath.Join(dir, serialFile), []byte(`{"format":2,"serial":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ensure(t, dir, table, spring()); err == nil || !strings.Contains(err.Error(), "renewal.json: format 2") {
		t.Errorf("a newer file: %v", err)
	}
}

func TestExpiredCertificatesAreRenewedAndNoneOutlivesItsAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	late := time.Date(2034, 6, 1, 0, 0, 0, 0, time.UTC)
	var said []string
	if _, err := renewAt(t, dir, table, late, func(r *RenewRequest) {
		r.Report = func(e progress.Event) { said = append(said, e.Text) }
	}); err != nil {
		t.Fatal(err)
	}
	if set, err := ensure(t, dir, table, late); err != nil || !set.Leaves()[0].Parsed.NotAfter.Equal(time.Date(2035, 6, 1, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("got %v", err)
	}
	if len(said) != 3 || said[0] != "the kubernetes authority itself ends at 2035-06-01, and no certificate outlives it" {
		t.Errorf("said %q", said)
	}
	if _, err := renewAt(t, dir, table, late.AddDate(2, 0, 0), nil); err == nil || strings.Count(err.Error(), "expired at 2035-06-01; every certificate of the site ends with it") != 3 {
		t.Errorf("under dead authorities: %v", err)
	}
}

func TestARenewalTakesTheNamesThatTheClusterFileHasNow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	changed := strings.ReplaceAll(table, "20.0.0.104", "20.0.0.114")
	_, err := ensure(t, dir, changed, now())
	if err == nil || !strings.Contains(err.Error(), "or have it made anew with `bundle pki renew --host node02`") {
		t.Fatalf("got %v", err)
	}
	if _, err := renewAt(t, dir, changed, now(), func(r *RenewRequest) { r.Hosts = []string{"node02"} }); err != nil {
		t.Fatal(err)
	}
	if _, err := ensure(t, dir, changed, now()); err != nil {
		t.Error(err)
	}
}
