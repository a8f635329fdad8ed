package installer

import (
	"cmp"
	"strings"
)

// compareEVR orders two versions of a package the way rpm 4.11 does: epoch, then version, then release. A missing epoch
// is 0.
func compareEVR(a, b string) int {
	ea, va, ra := splitEVR(a)
	eb, vb, rb := splitEVR(b)
	return cmp.Or(compareVersions(ea, eb), compareVersions(va, vb), compareVersions(ra, rb))
}

// splitEVR cuts "3:20.10.24-3.el7" into its three parts.
func splitEVR(s string) (epoch, version, release string) {
	epoch, rest, found := strings.Cut(s, ":")
	if !found {
		epoch, rest = "0", s
	}
	if epoch == "" || epoch == "(none)" {
		epoch = "0"
	}
	if at := strings.LastIndexByte(rest, '-'); at >= 0 {
		return epoch, rest[:at], rest[at+1:]
	}
	return epoch, rest, ""
}

// compareVersions is rpm's own order of two version strings: runs of digits are compared as numbers, runs of letters as
// text, a number is newer than letters, "~" is older than the end, and all else only separates.
func compareVersions(a, b string) int {
	for a != "" || b != "" {
		a, b = strings.TrimLeftFunc(a, isSeparator), strings.TrimLeftFunc(b, isSeparator)
		ta, tb := strings.HasPrefix(a, "~"), strings.HasPrefix(b, "~")
		switch {
		case ta && tb:
			a, b = a[1:], b[1:]
			continue
		case ta:
			return -1
		case tb:
			return 1
		case a == "" || b == "":
			return cmp.Compare(len(a), len(b))
		}
		class := isLetter
		if isDigit(rune(a[0])) {
			class = isDigit
		}
		sa, restA := cutRun(a, class)
		sb, restB := cutRun(b, class)
		if sb == "" { // different kinds: a number is newer than letters
			if isDigit(rune(a[0])) {
				return 1
			}
			return -1
		}
		if isDigit(rune(a[0])) {
			sa, sb = strings.TrimLeft(sa, "0"), strings.TrimLeft(sb, "0")
			if c := cmp.Compare(len(sa), len(sb)); c != 0 {
				return c
			}
		}
		if c := strings.Compare(sa, sb); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return 0
}

// cutRun splits s after the run of runes of a class that it begins with.
func cutRun(s string, class func(rune) bool) (run, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool { return !class(r) })
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

func isDigit(r rune) bool     { return '0' <= r && r <= '9' }
func isLetter(r rune) bool    { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
func isSeparator(r rune) bool { return !isDigit(r) && !isLetter(r) && r != '~' }
