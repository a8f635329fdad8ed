// Package solver finds which packages have to be installed besides those that a host has, so that what is wanted works: every
// requirement met, nothing in conflict, nothing of the host's broken.
package solver

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// EVR is epoch, version and release of a package, or one end of a range. In a range the release may be missing, which means
// any.
type EVR struct {
	Epoch   int
	Version string
	Release string
}

// ParseEVR reads "[EPOCH:]VERSION[-RELEASE]".
func ParseEVR(s string) (EVR, error) {
	var e EVR
	rest := s
	if epoch, after, ok := strings.Cut(s, ":"); ok {
		n, err := strconv.ParseInt(epoch, 10, 32)
		if err != nil || n < 0 {
			return e, fmt.Errorf("reading version %q: its epoch is not a number", s)
		}
		e.Epoch, rest = int(n), after
	}
	e.Version = rest
	if i := strings.LastIndexByte(rest, '-'); i >= 0 {
		e.Version, e.Release = rest[:i], rest[i+1:]
	}
	if e.Version == "" {
		return e, fmt.Errorf("reading version %q: there is no version in it", s)
	}
	return e, nil
}

// String writes it as rpm does; an epoch of 0 is left out.
func (e EVR) String() string {
	s := e.Version
	if e.Release != "" {
		s += "-" + e.Release
	}
	if e.Epoch != 0 {
		s = strconv.Itoa(e.Epoch) + ":" + s
	}
	return s
}

// Compare orders whole versions of packages: negative when e is older than o.
func (e EVR) Compare(o EVR) int {
	return cmp.Or(cmp.Compare(e.Epoch, o.Epoch), CompareVersions(e.Version, o.Version), CompareVersions(e.Release, o.Release))
}

// CompareVersions orders versions, or releases, as rpm 4.11 does (lib/rpmvercmp.c): runs of digits are numbers, runs of letters
// are text, a number is newer than letters, everything else only separates, and "~" is older than the end.
func CompareVersions(a, b string) int {
	for a != b {
		a, b = skipSeparators(a), skipSeparators(b)
		if tildeA, tildeB := strings.HasPrefix(a, "~"), strings.HasPrefix(b, "~"); tildeA || tildeB {
			if !tildeB {
				return -1
			}
			if !tildeA {
				return 1
			}
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			return cmp.Compare(len(a), len(b))
		}
		kind := isLetter
		if isDigit(a[0]) {
			kind = isDigit
		}
		var x, y string
		x, a = run(a, kind)
		y, b = run(b, kind)
		if y == "" { // one is a number, the other is letters
			if isDigit(x[0]) {
				return 1
			}
			return -1
		}
		if isDigit(x[0]) {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return cmp.Compare(len(x), len(y))
			}
		}
		if x != y {
			return strings.Compare(x, y)
		}
	}
	return 0
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func skipSeparators(s string) string {
	for s != "" && !isDigit(s[0]) && !isLetter(s[0]) && s[0] != '~' {
		s = s[1:]
	}
	return s
}

// run cuts off the bytes of one kind.
func run(s string, kind func(byte) bool) (head, rest string) {
	n := 0
	for n < len(s) && kind(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

// Op says which versions a Dep means. Less, Equal and Greater may be added up; 0 means all.
type Op uint8

// The parts of an Op.
const (
	Less    Op = 1
	Equal   Op = 2
	Greater Op = 4
)

// ParseOp reads "", "=", "<", "<=", ">" or ">=".
func ParseOp(s string) (Op, bool) {
	for op, text := range opTexts() {
		if s == text && (op == 0 || text != "") {
			return Op(op), true
		}
	}
	return 0, false
}

// String returns the sign: ">=".
func (o Op) String() string { return opTexts()[o&7] }

func opTexts() [8]string { return [8]string{"", "<", "=", "<=", ">", "", ">=", ""} }

// Dep is a name with a range of versions: what a package provides, requires, conflicts with or obsoletes.
type Dep struct {
	Name string
	Op   Op
	EVR  EVR
}

// String writes it as rpm does: "docker-ce >= 3:20.10".
func (d Dep) String() string {
	if d.Op == 0 {
		return d.Name
	}
	return d.Name + " " + d.Op.String() + " " + d.EVR.String()
}

// Overlaps reports whether the ranges of two Deps of the same name have a version in common, as rpm 4.11 decides it
// (lib/rpmds.c): without a range all versions are meant, and an end without a release that may be equal meets every release.
func (d Dep) Overlaps(o Dep) bool {
	if d.Op == 0 || o.Op == 0 || d.Op&o.Op&(Less|Greater) != 0 {
		return true
	}
	sense := cmp.Or(cmp.Compare(d.EVR.Epoch, o.EVR.Epoch), CompareVersions(d.EVR.Version, o.EVR.Version))
	if sense == 0 {
		switch has, other := d.EVR.Release != "", o.EVR.Release != ""; {
		case has && other:
			sense = CompareVersions(d.EVR.Release, o.EVR.Release)
		case has && o.Op&Equal != 0, other && d.Op&Equal != 0:
			return true
		}
	}
	switch {
	case sense < 0:
		return d.Op&Greater != 0 || o.Op&Less != 0
	case sense > 0:
		return d.Op&Less != 0 || o.Op&Greater != 0
	}
	return d.Op&o.Op&Equal != 0
}
