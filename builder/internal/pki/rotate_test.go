package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func rotateAt(t *testing.T, dir string, change func(*RotateRequest)) (*Rotation, error) {
	t.Helper()
	req := RotateRequest{Request: Request{Cluster: load(t, table), Now: spring()}}
	if change != nil {
		change(&req)
	}
	return Rotate(t.Context(), dir, req)
}

func next(r *RotateRequest)   { r.Next = true }
func cancel(r *RotateRequest) { r.Cancel = true }

// accepts reports whether a host that trusts the authorities of one state accepts the certificates of another one.
func accepts(t *testing.T, trusting, presenting *Set) bool {
	t.Helper()
	all := true
	for _, l := range presenting.Leaves() {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(trusting.Trust(l.CA)) {
			t.Fatalf("nothing is trusted for %s", l.CA)
		}
		_, err := l.Parsed.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: spring(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		all = all && err == nil
	}
	return all
}

func TestHostsOfTwoNeighbouringStepsUnderstandEachOtherAndOthersDoNot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	steps := []*Set{mustEnsure(t, dir, table)}
	serial := int64(0)
	for want, change := range []func(*RotateRequest){nil, next, next} {
		r, err := rotateAt(t, dir, change)
		if err != nil {
			t.Fatal(err)
		}
		if r.Step != want+1 || r.Serial <= serial || len(r.Authorities) != []int{6, 6, 3}[want] || len(r.Leaves) != []int{0, 27, 0}[want] {
			t.Errorf("step %d, serial %d, %d authorities, %d leaves", r.Step, r.Serial, len(r.Authorities), len(r.Leaves))
		}
		serial = r.Serial
		set, err := ensure(t, dir, table, spring())
		if err != nil || len(set.Made) > 0 || set.Serial != serial {
			t.Fatalf("step %d: %v", r.Step, err)
		}
		steps = append(steps, set)
	}
	for i, a := range steps {
		for j, b := range steps {
			neighbours := j-i <= 1 && i-j <= 1
			if both := accepts(t, a, b) && accepts(t, b, a); both != neighbours {
				t.Errorf("hosts of step %d and of step %d understand each other: %v", i, j, both)
			}
		}
	}
	first, last := steps[0], steps[3]
	if first.ClusterID != last.ClusterID || first.EncryptionKey != last.EncryptionKey || !bytes.Equal(first.ServiceKey, last.ServiceKey) {
		t.Error("what is no authority has changed")
	}
	for _, name := range caNames() {
		if bytes.Equal(first.CA(name).Cert, last.CA(name).Cert) || bytes.Count(last.Trust(name), []byte("BEGIN")) != 1 || bytes.Count(steps[2].Trust(name), []byte("BEGIN")) != 2 {
			t.Errorf("the %s authority of the end", name)
		}
		if !bytes.HasPrefix(steps[1].Trust(name), steps[1].CA(name).Cert) || !bytes.HasPrefix(steps[2].Trust(name), steps[2].CA(name).Cert) {
			t.Errorf("the %s authority that signs is not the first", name)
		}
	}
	if last.Step != StepNone || exists(filepath.Join(dir, rotationDir)) {
		t.Errorf("at the end it is in step %d", last.Step)
	}
}

func TestAStepIsNotSkippedRepeatedOrTakenBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	refused := func(change func(*RotateRequest), want string) {
		t.Helper()
		before := tree(t, dir)
		_, err := rotateAt(t, dir, change)
		var out *RotationError
		if !errors.As(err, &out) || !strings.Contains(err.Error(), want) || out.Hint == "" || !maps.Equal(tree(t, dir), before) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	must := func(change func(*RotateRequest), step int) {
		t.Helper()
		if r, err := rotateAt(t, dir, change); err != nil || r.Step != step {
			t.Fatalf("%v %+v, want step %d", err, r, step)
		}
		if got, err := ReadStep(dir); err != nil || got != step%StepEnd {
			t.Errorf("step %d, %v", got, err)
		}
	}
	refused(next, "none is under way")
	refused(cancel, "none is under way")
	must(nil, StepTrust)
	refused(nil, "one is under way, in step 1 of 3")
	was := mustRead(t, dir)
	must(cancel, StepNone)
	if now := mustRead(t, dir); !bytes.Equal(was.CA(CAEtcd).Cert, now.CA(CAEtcd).Cert) || now.Serial <= was.Serial || bytes.Count(now.Trust(CAEtcd), []byte("BEGIN")) != 1 {
		t.Error("what was given up has changed the authority, or has no greater serial")
	}
	must(nil, StepTrust)
	must(next, StepSwitch)
	refused(nil, "one is under way, in step 2 of 3")
	refused(cancel, "cannot be given up any more")
	must(next, StepEnd)
	refused(next, "none is under way")
}

func mustRead(t *testing.T, dir string) *Set {
	t.Helper()
	set, err := ensure(t, dir, table, spring())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestAStepThatWasCutOffAnywhereIsAllOrNothing(t *testing.T) {
	at := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, at, table)
	if _, err := rotateAt(t, at, nil); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(t.TempDir(), "pki")
	copyTree(t, at, half)
	req := RotateRequest{Request: Request{Cluster: load(t, table), Now: spring()}, Next: true}
	s := &staging{dirs: map[string]map[string][]byte{}}
	if err := stageSwitch(t.Context(), half, req, mustRead(t, at), &Rotation{}, s); err != nil {
		t.Fatal(err)
	}
	if err := s.write(half, 1<<40); err != nil {
		t.Fatal(err)
	}
	const old = "old/1099511627776/"
	var moves [][2]string
	for rel := range s.leaves {
		moves = append(moves, [2]string{rel, old + rel}, [2]string{"renewing/" + rel, rel})
		break // the others are as this one: a renewal's test cuts them all off
	}
	for _, name := range []string{authorityDir, rotationDir} {
		moves = append(moves, [2]string{name, old + name}, [2]string{"renewing/" + name, name})
	}
	var want map[string]string
	for n := len(moves); n >= 0; n-- {
		dir := filepath.Join(t.TempDir(), "pki")
		copyTree(t, half, dir)
		for _, m := range moves[:n] {
			to := filepath.Join(dir, m[1])
			if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(filepath.Join(dir, m[0]), to)); err != nil {
				t.Fatal(err)
			}
		}
		if set := mustRead(t, dir); set.Step != StepSwitch || set.Serial != 1<<40 || len(set.Made) > 0 {
			t.Fatalf("cut off after %d moves: step %d", n, set.Step)
		}
		if want == nil {
			want = tree(t, dir)
		}
		if !maps.Equal(tree(t, dir), want) {
			t.Errorf("cut off after %d moves: another end", n)
		}
	}
}

func TestARenewalWithinAChangeIsSignedByTheAuthorityOfItsStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	for _, change := range []func(*RotateRequest){nil, next} {
		if _, err := rotateAt(t, dir, change); err != nil {
			t.Fatal(err)
		}
		if _, err := renewAt(t, dir, table, spring(), nil); err != nil {
			t.Fatal(err)
		}
		mustRead(t, dir) // finds certificates that somebody else signed
	}
}

func TestADamagedChangeIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	if _, err := rotateAt(t, dir, nil); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{rotationFile: `{"format": 1, "step": 9}`, "etcd-ca.pem": "nothing"} {
		broken := filepath.Join(t.TempDir(), "pki")
		copyTree(t, dir, broken)
		if err := os.WriteFile(filepath.Join(broken, rotationDir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ensure(t, broken, table, spring()); err == nil || !strings.Contains(err.Error(), filepath.Join(rotationDir, file)+": ") || !strings.Contains(err.Error(), "put the file back") {
			t.Errorf("%s: %v", file, err)
		}
	}
}
