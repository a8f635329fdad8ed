package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const (
	realCatalogue = "../../manifests/catalogue.yaml"
	testAddress   = "127.0.0.1:20000"
)

// flatten names every leaf of a catalogue; list elements by what identifies them, so that an inserted one shifts nothing.
func flatten(at string, v any, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			flatten(strings.TrimPrefix(at+"."+k, "."), e, into)
		}
	case []any:
		for i, e := range v {
			flatten(fmt.Sprintf("%s[%s]", at, name(e, i)), e, into)
		}
	default:
		into[at] = fmt.Sprint(v)
	}
}

func name(v any, i int) string {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	for _, key := range []string{"id", "version", "name", "ref", "artifact"} {
		if s, ok := m[key].(string); ok {
			return s
		}
	}
	return fmt.Sprint(i)
}

func flat(t *testing.T, v any) map[string]string {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	leaves := make(map[string]string)
	flatten("", tree, leaves)
	return leaves
}

// moved says whether the lab's value is the real one with the mirror's address, or a digest of the lab's bytes.
func moved(path, real, lab string) bool {
	if lab == "http://"+testAddress+"/"+strings.TrimPrefix(real, "https://") {
		return strings.HasPrefix(real, "https://")
	}
	switch last := path[strings.LastIndex(path, ".")+1:]; last {
	case "source":
		return lab == testAddress+"/"+real
	case "sha256", "sha512", "fingerprint", "digest":
		return len(lab) == len(real)
	}
	return false
}

func TestTheLabsCatalogueDiffersFromTheRealOneOnlyAsListed(t *testing.T) {
	real, err := read(realCatalogue)
	if err != nil {
		t.Fatal(err)
	}
	lab, err := read(realCatalogue)
	if err != nil {
		t.Fatal(err)
	}
	if err := differ(lab); err != nil {
		t.Fatal(err)
	}
	fake := map[string]string{"sha256": strings.Repeat("1", 64), "sha512": strings.Repeat("2", 128), "image": strings.Repeat("3", 64), "fingerprint": strings.Repeat("4", 40)}
	err = upstream{address: testAddress, digest: func(kind, _ string) (string, error) { return fake[kind], nil }}.move(lab)
	if err != nil {
		t.Fatal(err)
	}

	used := make(map[string]bool)
	was, is := flat(t, real), flat(t, lab)
	for _, path := range slices.Sorted(maps.Keys(union(was, is))) {
		if was[path] == is[path] || moved(path, was[path], is[path]) {
			continue
		}
		i := slices.IndexFunc(differences(), func(d difference) bool { return strings.HasPrefix(path, d.path) })
		if i < 0 {
			t.Errorf("%s: real %q, lab %q, and no difference is listed there", path, was[path], is[path])
			continue
		}
		used[differences()[i].path] = true
	}
	for _, d := range differences() {
		if !used[d.path] {
			t.Errorf("the difference at %s is listed, but there is none", d.path)
		}
		if d.reason == "" {
			t.Errorf("the difference at %s has no reason", d.path)
		}
	}
	if len(differences()) != 6 {
		t.Errorf("%d differences are listed, want 6", len(differences()))
	}
}

func union(a, b map[string]string) map[string]bool {
	all := make(map[string]bool)
	for _, m := range []map[string]string{a, b} {
		for k := range m {
			all[k] = true
		}
	}
	return all
}

func TestEveryHostInTheLabsCatalogueIsTheMirror(t *testing.T) {
	lab, err := read(realCatalogue)
	if err != nil {
		t.Fatal(err)
	}
	if err := differ(lab); err != nil {
		t.Fatal(err)
	}
	err = upstream{address: testAddress, digest: func(string, string) (string, error) { return "0", nil }}.move(lab)
	if err != nil {
		t.Fatal(err)
	}
	for path, value := range flat(t, lab) {
		if strings.HasSuffix(path, ".note") {
			continue
		}
		if strings.Contains(value, "://") && !strings.HasPrefix(value, "http://"+testAddress+"/") {
			t.Errorf("%s = %q, want an address of the mirror", path, value)
		}
		if strings.HasSuffix(path, ".source") && !strings.HasPrefix(value, testAddress+"/") {
			t.Errorf("%s = %q, want an image of the mirror", path, value)
		}
	}
}

func TestAReleaseThatTheLabServesBesidesIsAdded(t *testing.T) {
	lab, err := read(realCatalogue)
	if err != nil {
		t.Fatal(err)
	}
	lists := t.TempDir()
	served := strings.Repeat("5", 128) + "  ./dl.k8s.io/v1.20.13/kubernetes-server-linux-amd64.tar.gz\n" +
		strings.Repeat("6", 128) + "  ./dl.k8s.io/v1.20.15/kubernetes-server-linux-amd64.tar.gz\n"
	if err := os.WriteFile(filepath.Join(lists, "sha512"), []byte(served), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time there is nothing to add
		if err := addReleases(lab, lists); err != nil {
			t.Fatal(err)
		}
	}
	d, err := download(lab, "kubernetes-server")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range d.Releases {
		got = append(got, r.Version+" "+r.URL)
	}
	want := []string{
		"v1.20.15 https://dl.k8s.io/v1.20.15/kubernetes-server-linux-amd64.tar.gz",
		"v1.20.13 https://dl.k8s.io/v1.20.13/kubernetes-server-linux-amd64.tar.gz",
	}
	if !slices.Equal(got, want) {
		t.Errorf("releases:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
