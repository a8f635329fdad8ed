package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
)

// emulate answers calls whose output differs between the hosts' tool and el7's: `rpm -K` prints a line of another form.
func (s standIn) emulate(name string, argv []string) (int, bool) {
	if name != "rpm" && name != "rpmkeys" {
		return 0, false
	}
	t, err := loadTable(name)
	if err != nil {
		return 0, false
	}
	p, err := t.parse(argv[1:])
	if err != nil || p.has("v", "verbose") || !p.has("K", "checksig") || len(p.operands) == 0 {
		return 0, false
	}
	failed := 0
	for _, file := range p.operands {
		if !s.checksig(name, argv, p, file) {
			failed++
		}
	}
	return min(failed, 254), true
}

// checksig prints what rpm 4.11.3 says of one file, and says whether all was well. What is right and what not comes from the
// hosts' rpm, asked to be verbose.
func (s standIn) checksig(name string, argv []string, p *parsed, file string) bool {
	f, err := readRPM(file)
	if err != nil {
		fmt.Fprintf(s.stderr, "error: %s: open failed: %v\n", file, err)
		return false
	}
	original, err := s.original(name)
	if err != nil {
		fmt.Fprintln(s.stderr, "error:", err)
		return false
	}
	args := []string{"-v"}
	for _, a := range argv[1:] {
		if !slices.Contains(p.operands, a) {
			args = append(args, a)
		}
	}
	cmd := exec.Command(original, append(args, file)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	said, err := cmd.Output()
	line, ok := oldLine(file, f.signatures, string(said), err != nil)
	fmt.Fprint(s.stdout, line)
	return ok
}

// oldLine writes the line of rpm 4.11.3: each signature and digest of the signature header by name, in capitals when it is not
// right, in parentheses from the first one on whose key is missing.
func oldLine(file string, tags []int, said string, failed bool) (string, bool) {
	line, missing := file+": ", ""
	good := true
	for _, tag := range tags {
		low, up := oldName(tag)
		if low == "" {
			continue
		}
		status, key := statusOf(tag, said)
		if status == "OK" || status == "" && !failed {
			line += low + " "
			continue
		}
		good = false
		if status == "NOKEY" && (tag == sigPGP || tag == sigGPG) {
			missing += " " + up + "#" + key
		}
		if missing != "" && status == "NOKEY" {
			up = "(" + up + ")"
		}
		line += up + " "
	}
	if good {
		return line + "OK\n", true
	}
	line += "NOT OK"
	if missing != "" {
		line += " (MISSING KEYS:" + missing + ") "
	}
	return line + "\n", false
}

// oldName is how rpm 4.11.3 names a tag of the signature header: when right, and when not.
func oldName(tag int) (string, string) {
	switch tag {
	case sigSHA1:
		return "sha1", "SHA1"
	case sigMD5:
		return "md5", "MD5"
	case sigRSA:
		return "rsa", "RSA"
	case sigPGP:
		return "(md5) pgp", "(MD5) PGP"
	case sigDSA:
		return "(sha1) dsa", "(SHA1) DSA"
	case sigGPG:
		return "gpg", "GPG"
	}
	return "", ""
}

// statusOf finds what the newer rpm said of a tag: "OK", "NOKEY", "BAD", ..., or "" when it said nothing.
func statusOf(tag int, said string) (status, key string) {
	patterns := map[int]string{
		sigSHA1: `(?m)^\s+Header SHA1 digest: (\w+)`,
		sigMD5:  `(?m)^\s+MD5 digest: (\w+)`,
		sigRSA:  `(?m)^\s+Header V\d \S+ Signature, key ID ([0-9a-f]+): (\w+)`,
		sigDSA:  `(?m)^\s+Header V\d \S+ Signature, key ID ([0-9a-f]+): (\w+)`,
		sigPGP:  `(?m)^\s+V\d \S+ Signature, key ID ([0-9a-f]+): (\w+)`,
		sigGPG:  `(?m)^\s+V\d \S+ Signature, key ID ([0-9a-f]+): (\w+)`,
	}
	m := regexp.MustCompile(patterns[tag]).FindStringSubmatch(said)
	switch len(m) {
	case 2:
		return m[1], ""
	case 3:
		return m[2], m[1]
	}
	return "", ""
}
