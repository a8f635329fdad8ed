package pki

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/bundle/signature"
)

func TestTheSigningKeyIsMadeOnceAndNeverReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	req := Request{Cluster: load(t, table), Now: now()}
	if set, err := Ensure(t.Context(), dir, req); err != nil || set.Signing != nil || exists(filepath.Join(dir, signingDir)) {
		t.Fatalf("not asked for: %v, %v", set.Signing, err)
	}
	req.Signing = true
	first, err := Ensure(t.Context(), dir, req)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Ensure(t.Context(), dir, req)
	if err != nil || second.Signing.Public() != first.Signing.Public() || len(second.Made) != 0 || len(first.Made) != 1 {
		t.Errorf("made %q, then %q, %v", first.Made, second.Made, err)
	}
	other, err := signature.Generate()
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(dir, signingDir, signingPublic)
	for want, spoil := range map[string]func() error{
		"is not its public half":      func() error { return os.WriteFile(public, other.Public().File(), 0o600) },
		signingPublic + " is missing": func() error { return os.Remove(public) },
		"not a minisign secret key":   func() error { return os.WriteFile(filepath.Join(dir, signingDir, signingSecret), []byte("x"), 0o600) },
	} {
		kept := t.TempDir()
		copyTree(t, dir, filepath.Join(kept, "pki"))
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		before := tree(t, dir)
		if _, err := Ensure(t.Context(), dir, req); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if len(tree(t, dir)) != len(before) {
			t.Error("a new key was made")
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		copyTree(t, filepath.Join(kept, "pki"), dir)
	}
}
