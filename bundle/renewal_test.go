package bundle

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestARenewalBundleIsTheWholeOneWithoutItsBulk(t *testing.T) {
	s := newSample(t)
	whole, renewal := mustOpen(t, s.write(t)), mustOpen(t, s.renewal(t))
	if !renewal.Renewal || whole.Renewal || renewal.RootDigest != whole.RootDigest {
		t.Errorf("renewal %v with root %s, whole %v with root %s", renewal.Renewal, renewal.RootDigest, whole.Renewal, whole.RootDigest)
	}
	var out []string
	for _, b := range renewal.Blobs() {
		if !renewal.HasStored(b.Digest) {
			out = append(out, b.Name)
		}
	}
	slices.Sort(out)
	want := []string{"conntrack-1.rpm", "image example.org/a:1, config", "image example.org/a:1, layer 1 of 2", "image example.org/a:1, layer 2 of 2",
		"image example.org/b:2, config", "kubelet"}
	if !slices.Equal(out, want) {
		t.Errorf("left out\n got %q\nwant %q", out, want)
	}
	if faults := renewal.Verify(t.Context(), nil); len(faults) > 0 {
		t.Errorf("Verify: %v", faults)
	}
	if faults := renewal.VerifyContent(t.Context(), nil); len(faults) > 0 {
		t.Errorf("VerifyContent: %v", faults)
	}
	kubelet, _ := renewal.Artifact("kubelet")
	_, err := renewal.Content(t.Context(), kubelet.Blob, kubelet.Name)
	if !errors.Is(err, ErrNotCarried) || !strings.Contains(err.Error(), "a renewal bundle does not bring it") {
		t.Errorf("reading kubelet: %v", err)
	}
}

func TestAHostThatHasTheRestCarriesWithARenewalWhatTheWholeBundleCarries(t *testing.T) {
	before := newSample(t)
	before.in.Packs = map[string]PackInput{"node01": {Pack: []byte(`{"old":1}`)}, "node02": {Pack: []byte(`{"old":2}`)}}
	old, now := mustOpen(t, before.write(t)), newSample(t)
	dir := &dirTarget{dir: t.TempDir()}
	if err := old.Carry(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	carried := func(data []byte) string {
		b, target := mustOpen(t, data), &dirTarget{dir: t.TempDir()}
		if err := os.CopyFS(target.dir, os.DirFS(dir.dir)); err != nil {
			t.Fatal(err)
		}
		if err := b.Carry(t.Context(), target); err != nil {
			t.Fatal(err)
		}
		opened, err := Open(target.dir)
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		idx, err := os.ReadFile(filepath.Join(target.dir, indexName))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(target.put, "\n") + "\n" + string(idx) + opened.RootDigest.String()
	}
	if whole, renewal := carried(now.write(t)), carried(now.renewal(t)); whole != renewal {
		t.Errorf("the whole bundle leaves\n%s\nthe renewal\n%s", whole, renewal)
	}
	err := mustOpen(t, now.renewal(t)).Carry(t.Context(), &dirTarget{dir: t.TempDir()})
	var missing *NotCarriedError
	if !errors.As(err, &missing) || !missing.Renewal {
		t.Errorf("to a host that has nothing: %v", err)
	}
}

func TestWhatIsTextAsWellIsAboardOfARenewal(t *testing.T) {
	s := newSample(t)
	s.artifact(t, "zz-program", KindProgram, []byte("[Unit]\nDescription=Kubernetes Kubelet\n")) // the unit's bytes
	b := mustOpen(t, s.renewal(t))
	a, _ := b.Artifact("zz-program")
	if !b.HasStored(a.Blob.Stored) {
		t.Error("it was left out")
	}
}

func TestADamagedRenewalIsNoticed(t *testing.T) {
	data := newSample(t).renewal(t)
	for _, at := range boundaries(t, data) {
		for _, cut := range []int64{at, at + 1, at + 100} {
			if cut >= int64(len(data)) || cut == 0 {
				continue
			}
			var damage *DamageError
			if _, err := openBytes(data[:cut]); !errors.As(err, &damage) || !errors.Is(err, ErrCutShort) || damage.Offset != cut {
				t.Errorf("cut to %d bytes: %v", cut, err)
			}
		}
	}
	step := 7 // the test of whole bundles flips them all
	if raceEnabled {
		step = 211
	}
	each(len(data)/step, func(i int) {
		i *= step
		flipped := bytes.Clone(data)
		flipped[i] ^= 1
		if problem := flipProblem(openAndVerify(t, flipped), int64(i)); problem != "" {
			t.Errorf("byte %d: %s", i, problem)
		}
	})
}

func TestARenewalHasExactlyWhatARenewalHas(t *testing.T) {
	s := newSample(t)
	index := func(data []byte) string { b := mustOpen(t, data); idx, _ := b.src.index(); return string(idx) }
	whole, renewal := s.write(t), s.renewal(t)
	mixed := func(data []byte, from, to string) []byte {
		return bytes.Replace(data, rawMember(indexName, from), rawMember(indexName, to), 1)
	}
	if _, err := openBytes(mixed(whole, index(whole), index(renewal))); err == nil || strings.Count(err.Error(), "a renewal bundle leaves it out") != 6 {
		t.Errorf("a whole bundle that says it is a renewal: %v", err)
	}
	if _, err := openBytes(mixed(renewal, index(renewal), index(whole))); err == nil || strings.Count(err.Error(), "it is missing") != 6 {
		t.Errorf("a renewal that says it is whole: %v", err)
	}
	strange := strings.Replace(index(renewal), `"renewal"`, `"renewed"`, 1)
	if _, err := openBytes(mixed(renewal, index(renewal), strange)); err == nil || !strings.Contains(err.Error(), "does not belong to the root index") {
		t.Errorf("another part: %v", err)
	}
	dir := &dirTarget{dir: t.TempDir()}
	if err := mustOpen(t, whole).Carry(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir.dir, indexName), []byte(index(renewal)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir.dir); err == nil {
		t.Error("a directory that says it is a renewal opens")
	}
}
