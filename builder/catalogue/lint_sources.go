package catalogue

import (
	"path"
	"slices"
	"strings"
)

func (l *linter) downloads() {
	ids, names := map[string]bool{}, map[string]bool{}
	for i, d := range l.c.Downloads {
		place := at("downloads", i)
		l.once(ids, below(place, "id"), d.ID)
		l.need(below(place, "component"), d.Component)
		switch {
		case d.Kind == KindFile && len(d.Members) > 0:
			l.Wrong(below(place, "members"), "only an archive has members")
		case d.Kind == KindFile:
			l.once(names, below(place, "id"), d.ID)
		case d.Kind != KindArchive:
			l.Wrong(below(place, "kind"), "%q: want %q or %q", d.Kind, KindArchive, KindFile)
		case len(d.Members) == 0:
			l.Wrong(below(place, "members"), "nothing is wanted from the archive")
		}
		var versions []string
		for j, r := range d.Releases {
			l.release(below(place, "releases", j), d, r)
			versions = append(versions, r.Version)
		}
		l.versions(place, d.Default, versions)
		l.members(place, d, names)
	}
}

func (l *linter) members(place []any, d Download, names map[string]bool) {
	paths := map[string]bool{}
	for j, m := range d.Members {
		l.once(names, below(place, "members", j, "name"), m.Name)
		l.once(paths, below(place, "members", j, "path"), m.Path)
		if m.Path != "" && (path.IsAbs(m.Path) || path.Clean(m.Path) != m.Path || strings.HasPrefix(m.Path, "../") || m.Path == "..") {
			l.Wrong(below(place, "members", j, "path"), "%q: want a plain path inside the archive", m.Path)
		}
	}
}

// versions checks that versions differ and that the default is one of them.
func (l *linter) versions(place []any, def string, versions []string) {
	if len(versions) == 0 {
		l.Wrong(below(place, "releases"), "there is no release")
		return
	}
	seen := map[string]bool{}
	for j, v := range versions {
		l.once(seen, below(place, "releases", j, "version"), v)
	}
	if !seen[def] {
		l.Wrong(below(place, "default"), "%q is not among the releases", def)
	}
}

// release checks that exactly one thing vouches for the bytes.
func (l *linter) release(place []any, d Download, r Release) {
	l.address(below(place, "url"), r.URL, r.SHA256 != "" || r.SHA512 != "")
	n := 0
	if r.SHA256 != "" {
		n++
		l.hex(below(place, "sha256"), r.SHA256, 64)
	}
	if r.SHA512 != "" {
		n++
		l.hex(below(place, "sha512"), r.SHA512, 128)
	}
	if r.Sums != nil {
		n++
		l.address(below(place, "sums", "url"), r.Sums.URL, false)
		if r.Sums.Algorithm != "sha256" && r.Sums.Algorithm != "sha512" {
			l.Wrong(below(place, "sums", "algorithm"), "%q: want sha256 or sha512", r.Sums.Algorithm)
		}
	}
	switch {
	case n == 0:
		l.Wrong(place, "nothing vouches for %s %s: give the sha256 or sha512 of its bytes, or sums with the address of the checksum list that upstream publishes", d.ID, r.Version)
	case n > 1:
		l.Wrong(place, "%s %s has more than one of sha256, sha512 and sums: keep the strongest", d.ID, r.Version)
	}
}

func (l *linter) packageSets() {
	ids := map[string]bool{}
	for i, s := range l.c.PackageSets {
		place := at("packageSets", i)
		l.once(ids, below(place, "id"), s.ID)
		if s.Component != "" {
			var versions []string
			for _, r := range s.Releases {
				versions = append(versions, r.Version)
			}
			l.versions(place, s.Default, versions)
		} else if len(s.Releases) != 1 || s.Default != "" || s.Releases[0].Version != "" {
			l.Wrong(below(place, "releases"), "a set that no component chooses has one release without a version, and no default")
		}
		for j, r := range s.Releases {
			if len(r.Packages) == 0 {
				l.Wrong(below(place, "releases", j), "there is no package")
			}
			seen := map[string]bool{}
			for k, p := range r.Packages {
				l.once(seen, below(place, "releases", j, "packages", k, "name"), p.Name)
				l.pkg(below(place, "releases", j, "packages", k), p)
			}
		}
	}
}

func (l *linter) pkg(place []any, p Package) {
	if p.EVR != "" {
		if v, r, ok := strings.Cut(p.EVR, "-"); !ok || v == "" || r == "" || strings.Contains(r, "-") {
			l.Wrong(below(place, "evr"), "%q: want VERSION-RELEASE or EPOCH:VERSION-RELEASE", p.EVR)
		}
	}
	if p.SHA256 != "" {
		l.hex(below(place, "sha256"), p.SHA256, 64)
	}
	i := slices.IndexFunc(l.c.Repositories, func(r Repository) bool { return r.ID == p.Repository })
	switch {
	case !l.need(below(place, "repository"), p.Repository):
	case i < 0:
		l.Wrong(below(place, "repository"), "there is no repository %q", p.Repository)
	case l.c.Repositories[i].Key == "" && p.SHA256 == "":
		l.Wrong(place, "nothing vouches for %s: give its sha256, or pin the key that signs the packages of %s", p.Name, p.Repository)
	}
}

func (l *linter) kernel() {
	k := l.c.Kernel
	if k == nil {
		return
	}
	i := slices.IndexFunc(l.c.PackageSets, func(s PackageSet) bool { return s.ID == k.PackageSet && s.Component == ComponentKernel })
	if i < 0 {
		l.Wrong(at("kernel", "packageSet"), "there is no package set %q with the component %q", k.PackageSet, ComponentKernel)
		return
	}
	if !slices.Contains(k.Beside, k.Image) {
		l.Wrong(at("kernel", "beside"), "%q, the kernel's image, must be among them", k.Image)
	}
	for _, r := range l.c.PackageSets[i].Releases {
		if !slices.ContainsFunc(r.Packages, func(p Package) bool { return p.Name == k.Image && p.EVR != "" }) {
			l.Wrong(at("kernel", "image"), "release %q of package set %s does not name a version of %q", r.Version, k.PackageSet, k.Image)
		}
	}
}
