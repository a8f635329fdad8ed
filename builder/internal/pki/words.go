package pki

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"offgrid/builder/cluster"
)

// Secrets that only some sites have stand in directories of their own: a site may come to need one later.
const (
	balancersDir   = "balancers"
	vrrpFile       = "vrrp-secret"
	vrrpLength     = 8 // VRRP's simple authentication takes no more
	staticTokenDir = "static-token"
	tokenFile      = "token"
	tokenBytes     = 16 // the tutorial's token: 32 hex digits
)

// word is such a secret: one line in a file of its own.
type word struct {
	dir, file string
	what      string              // for people
	again     string              // where bundles are installed again when a new one was made
	make      func() string       // a new one
	good      func(s string) bool // a usable one
	want      string              // what a usable one is
}

// ensureWords reads the words that this site needs, or makes them.
func ensureWords(dir string, req Request, set *Set) (err error) {
	if len(req.Cluster.With(cluster.RoleLB)) > 0 {
		set.VRRPSecret, err = vrrpWord().ensure(dir, set)
	}
	if err == nil && req.Cluster.Security.Profile == cluster.ProfileSeed {
		set.StaticToken, err = staticToken().ensure(dir, set)
	}
	return err
}

// vrrpWord is what the load balancers know each other by.
func vrrpWord() word {
	return word{
		dir: balancersDir, file: vrrpFile, what: "the secret of the load balancers", again: "all load balancers",
		make: func() string { return strings.ToLower(rand.Text()[:vrrpLength]) },
		good: func(s string) bool { return isToken(s, vrrpLength) },
		want: fmt.Sprintf("%d characters of a-z and 0-9", vrrpLength),
	}
}

// staticToken is the one that API servers read from a file and that never ends: the tutorial's.
func staticToken() word {
	return word{
		dir: staticTokenDir, file: tokenFile, what: "the static token", again: "all masters and nodes",
		make: func() string {
			var raw [tokenBytes]byte
			rand.Read(raw[:]) // never fails: it ends the program instead
			return hex.EncodeToString(raw[:])
		},
		good: func(s string) bool {
			return len(s) == 2*tokenBytes && strings.Trim(s, "0123456789abcdef") == ""
		},
		want: fmt.Sprintf("%d hex digits", 2*tokenBytes),
	}
}

func (w word) ensure(dir string, set *Set) (string, error) {
	path := filepath.Join(dir, w.dir)
	if !exists(path) {
		if err := writeDir(dir, w.dir, map[string][]byte{w.file: []byte(w.make() + "\n")}); err != nil {
			return "", fmt.Errorf("making %s: %w", w.what, err)
		}
		set.Made = append(set.Made, w.dir)
	}
	data, err := readSecret(filepath.Join(path, w.file))
	secret := string(bytes.TrimSuffix(data, []byte("\n")))
	if err == nil && !w.good(secret) {
		err = fmt.Errorf("want %s", w.want)
	}
	if err != nil {
		return "", &Problems{Dir: dir, Items: []Problem{{filepath.Join(w.dir, w.file), err.Error() + "; put the file back from a copy, or move the directory " + w.dir +
			" away to have a new one made, then build and install again on " + w.again}}}
	}
	return secret, nil
}
