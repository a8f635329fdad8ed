package catalogue

import (
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"offgrid/builder/internal/strictyaml"
	"offgrid/bundle"
)

type linter struct {
	*strictyaml.Linter
	c *Catalogue
}

func at(path ...any) []any { return path }

// below returns the place of something inside the place.
func below(place []any, more ...any) []any { return append(slices.Clone(place), more...) }

func (l *linter) run() {
	if l.c.Schema != Schema {
		l.Wrong(at("schema"), "is %d, this program reads %d", l.c.Schema, Schema)
	}
	l.need(at("name"), l.c.Name)
	if l.c.Platform.OS != "linux" || l.c.Platform.Arch == "" || l.c.Platform.Family == "" {
		l.Wrong(at("platform"), "want os linux, an arch and a family")
	}
	l.mirrors()
	l.keys()
	l.repositories()
	l.downloads()
	l.packageSets()
	l.kernel()
	l.images()
	l.addons()
	l.roles()
}

// need says that a value is missing.
func (l *linter) need(place []any, value string) bool {
	if value == "" {
		l.Wrong(place, "is missing")
	}
	return value != ""
}

// once says that a name is missing or was used before.
func (l *linter) once(seen map[string]bool, place []any, value string) {
	if l.need(place, value) && seen[value] {
		l.Wrong(place, "%q is there already", value)
	}
	seen[value] = true
}

// address checks a URL: https, or http from the machine itself, or http when a literal digest pins the bytes.
func (l *linter) address(place []any, raw string, pinned bool) {
	if !l.need(place, raw) {
		return
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		l.Wrong(place, "%q is not an address, want https://...", raw)
	case u.User != nil || u.Fragment != "":
		l.Wrong(place, "%q: neither user nor password nor fragment may stand in an address", u.Redacted())
	case u.Scheme == "http" && !pinned && !loopback(u.Hostname()):
		l.Wrong(place, "%q: http protects nothing: use https, or give the sha256 of the bytes", raw)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (l *linter) mirrors() {
	seen := map[string]bool{}
	for i, m := range l.c.Mirrors {
		l.once(seen, at("mirrors", i, "name"), m.Name)
		for j, r := range m.Rules {
			l.address(at("mirrors", i, "rules", j, "from"), r.From, false)
			l.address(at("mirrors", i, "rules", j, "to"), r.To, false)
			if strings.HasSuffix(r.From, "/") != strings.HasSuffix(r.To, "/") {
				l.Wrong(at("mirrors", i, "rules", j, "to"), "both addresses must end in \"/\", or neither")
			}
		}
	}
}

func (l *linter) keys() {
	seen := map[string]bool{}
	for i, k := range l.c.Keys {
		l.once(seen, at("keys", i, "id"), k.ID)
		l.hex(at("keys", i, "fingerprint"), strings.ToLower(k.Fingerprint), 40)
		if k.Fingerprint != strings.ToUpper(k.Fingerprint) {
			l.Wrong(at("keys", i, "fingerprint"), "want upper-case digits")
		}
		l.address(at("keys", i, "url"), k.URL, false)
	}
}

// hex checks a lower-case hexadecimal number of n digits.
func (l *linter) hex(place []any, value string, n int) {
	if len(value) != n || strings.Trim(value, "0123456789abcdef") != "" {
		l.Wrong(place, "%q: want %d hex digits", value, n)
	}
}

func (l *linter) repositories() {
	seen := map[string]bool{}
	for i, r := range l.c.Repositories {
		place := at("repositories", i)
		l.once(seen, below(place, "id"), r.ID)
		l.address(below(place, "baseURL"), r.BaseURL, false)
		if r.Key != "" && !slices.ContainsFunc(l.c.Keys, func(k Key) bool { return k.ID == r.Key }) {
			l.Wrong(below(place, "key"), "there is no key %q", r.Key)
		}
		if r.Key == "" && r.SignedMetadata {
			l.Wrong(below(place, "signedMetadata"), "signed metadata needs a key")
		}
	}
}

func (l *linter) images() {
	seen := map[string]bool{}
	form := regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]*(/[a-z0-9][a-z0-9._-]*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	for i, m := range l.c.Images {
		place := at("images", i)
		l.once(seen, below(place, "ref"), m.Ref)
		for _, v := range []struct{ key, value string }{{"ref", m.Ref}, {"source", m.Source}} {
			if v.value != "" && !form.MatchString(v.value) {
				l.Wrong(below(place, v.key), "%q: want registry/repository:tag", v.value)
			}
		}
		l.need(below(place, "source"), m.Source)
		if m.Digest != "" {
			if _, err := bundle.ParseDigest(m.Digest); err != nil {
				l.Wrong(below(place, "digest"), "%q: want \"sha256:\" and 64 hex digits", m.Digest)
			}
		}
	}
}

func (l *linter) roles() {
	seen := map[string]bool{}
	known := bundle.RoleOrder()
	for i, r := range l.c.Roles {
		place := at("roles", i)
		l.once(seen, below(place, "name"), r.Name)
		if !slices.Contains(known, r.Name) {
			l.Wrong(below(place, "name"), "%q: want one of %s", r.Name, strings.Join(known, ", "))
		}
		paths := map[string]bool{}
		for j, p := range r.Programs {
			if _, _, ok := l.c.Artifact(p.Artifact); !ok {
				l.Wrong(below(place, "programs", j, "artifact"), "no download gives %q", p.Artifact)
			}
			l.once(paths, below(place, "programs", j, "path"), p.Path)
			if !path.IsAbs(p.Path) || path.Clean(p.Path) != p.Path {
				l.Wrong(below(place, "programs", j, "path"), "%q: want a plain absolute path", p.Path)
			}
		}
		for j, id := range r.PackageSets {
			if !slices.ContainsFunc(l.c.PackageSets, func(s PackageSet) bool { return s.ID == id }) {
				l.Wrong(below(place, "packageSets", j), "there is no package set %q", id)
			}
		}
		for j, ref := range r.Images {
			if !slices.ContainsFunc(l.c.Images, func(m Image) bool { return m.Ref == ref }) {
				l.Wrong(below(place, "images", j), "there is no image %q", ref)
			}
		}
	}
}
