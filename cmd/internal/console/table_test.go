package console

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func lockRows() [][]string {
	const signed = "primary index of os signed by 771617AC5A03F8C1A58D9C21B6863A21AE66C2F1; header and payload signed by 771617AC5A03F8C1A58D9C21B6863A21AE66C2F1"
	return [][]string{
		{"etcd", "v3.4.26", "14.1 MB", "sha256 in https://upstream.example/SHA256SUMS"},
		{"image/docker.io/rancher/mirrored-flannelcni-flannel-cni-plugin:v1.0.0", "v1.0.0", "2.4 MB", "digest in the catalogue"},
		{"image/k8s.gcr.io/pause:3.2", "3.2", "2.4 MB", "digest in the catalogue"},
		{"rpm/chrony", "3.4-1.el7", "212.3 kB", signed},
		{"rpm/container-selinux", "2:2.119.2-1.911c772.el7_8", "5.9 kB", signed},
		{"rpm/socat", "1.7.3.2-2.el7", "158.3 kB", signed},
	}
}

func TestATableKeepsToTheTerminalAndLosesNothing(t *testing.T) {
	want := `WHAT                          VERSION                        SIZE  VOUCHED FOR BY
etcd                          v3.4.26                     14.1 MB  [1]
image/docker.io/rancher/      v1.0.0                       2.4 MB  [2]
mirrored-flannelcni-flannel-
cni-plugin:v1.0.0
image/k8s.gcr.io/pause:3.2    3.2                          2.4 MB  [2]
rpm/chrony                    3.4-1.el7                  212.3 kB  [3]
rpm/container-selinux         2:2.119.2-1.911c772.el7_8    5.9 kB  [3]
rpm/socat                     1.7.3.2-2.el7              158.3 kB  [3]

[1] sha256 in https://upstream.example/SHA256SUMS
[2] digest in the catalogue
[3] primary index of os signed by 771617AC5A03F8C1A58D9C21B6863A21AE66C2F1;
    header and payload signed by 771617AC5A03F8C1A58D9C21B6863A21AE66C2F1
`
	headers := []string{"WHAT", "VERSION", "SIZE", "VOUCHED FOR BY"}
	if got := table(headers, lockRows(), 81); got != want {
		t.Errorf("81 cells wide it is\n%s, want\n%s", got, want)
	}
	for limit := 50; limit < 250; limit++ {
		for line := range strings.Lines(table(headers, lockRows(), limit)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > limit {
				t.Fatalf("limit %d: a line of %d cells: %q", limit, n, line)
			}
		}
	}
}

func TestManyDifferentTextsAreFoldedAndAnEmptyOneIsNoNote(t *testing.T) {
	rows := [][]string{{"a", ""}, {"b", ""}, {"c", "one two three four five six"}, {"d", "one two three four five six"}}
	want := "NAME  NAMES\na\nb\nc     [1]\nd     [1]\n\n[1] one two three\n    four five six\n"
	if got := table([]string{"NAME", "NAMES"}, rows, 18); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	rows = rows[2:]
	rows[1][1] = "another that is as long as that"
	want = "NAME  NAMES\nc     one two\n      three four\n      five six\nd     another that\n      is as long\n      as that\n"
	if got := table([]string{"NAME", "NAMES"}, rows, 18); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestATableInAPipeHasEachRowOnOneLine(t *testing.T) {
	got := table([]string{"WHAT", "VERSION", "SIZE", "VOUCHED FOR BY"}, lockRows(), 0)
	if n := strings.Count(got, "\n"); n != 7 {
		t.Errorf("%d lines, want 7:\n%s", n, got)
	}
	if !strings.Contains(got, "rpm/socat  ") || !strings.HasSuffix(got, "signed by 771617AC5A03F8C1A58D9C21B6863A21AE66C2F1\n") {
		t.Errorf("a row is not whole:\n%s", got)
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 8, ""},
		{"short", 8, "short"},
		{"exactly8", 8, "exactly8"},
		{"two words here", 9, "two words|here"},
		{"two words here", 8, "two|words|here"},
		{"hosts/master01/apiserver/cert.pem", 16, "hosts/master01/|apiserver/|cert.pem"},
		{"0123456789abcdef", 6, "012345|6789ab|cdef"},
		{"größer-als-das", 7, "größer-|als-das"},
		{"a  b", 2, "a|b"},
		{"sha256:0123456789abcdef0123456789abcdef", 24, "sha256:0123456789abcdef0|123456789abcdef"},
		{"CN=system:node:20.0.0.103", 22, "CN=system:node:|20.0.0.103"},
	} {
		if got := strings.Join(fold(c.text, c.width), "|"); got != c.want {
			t.Errorf("fold(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

func TestTextsAreBrokenAtSpacesAndAddressesStayWhole(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"one two three four", 0, "one two three four"},
		{"one two three four", 10, "one two |three |four"},
		{"one two three", 14, "one two three"},
		{"one two three", 13, "one two |three"},
		{"from http://upstream.example/a/long/path: 404", 12, "from |http://upstream.example/a/long/path: |404"},
		{"a.yaml:1: no\na.yaml:2: not this either", 16, "a.yaml:1: no|a.yaml:2: not |this either"},
		{"aligned:     far away", 80, "aligned:     far away"},
		{"", 10, ""},
	} {
		if got := strings.ReplaceAll(wrap(c.text, c.width), "\n", "|"); got != c.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}
