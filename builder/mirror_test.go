package builder_test

import (
	"strings"
	"testing"
	"time"

	"offgrid/builder"
	"offgrid/builder/catalogue"
	"offgrid/bundle/progress"
)

func TestAMirrorThatVouchesForItselfIsWarnedOf(t *testing.T) {
	s := newSite(t)
	sums := s.up.Sums("/mirror"+etcdSum, etcdTar)
	download := quick()
	download.Mirrors = []catalogue.Mirror{{From: s.up.URL + "/etcd/", To: s.up.URL + "/mirror/etcd/"}}
	l, err := builder.MakeLock(t.Context(), builder.LockOptions{
		Cluster: s.cluster, Catalogue: s.cat, CatalogueBytes: []byte("the catalogue"), Store: s.store, Download: download,
		Now: time.Unix(1_800_000_000, 0), Report: s.report,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := l.Entries[1].Vouched, "sha256 in "+sums; got != want {
		t.Errorf("vouched for by %q, want %q", got, want)
	}
	var warnings []string
	for _, e := range s.events {
		if e.Kind == progress.Warn && strings.Contains(e.Text, "checksums") {
			warnings = append(warnings, e.Item+": "+e.Text)
		}
	}
	want := "etcd v3.4.26: its checksums come from the mirror " + sums + " and not from " + s.up.URL + etcdSum + ": "
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], want) {
		t.Errorf("warned %q, want one that begins with %q", warnings, want)
	}
}
