package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
)

// Normalise makes nil slices empty, so that nothing and an empty list are the same bytes. Write does it by itself.
func (r *RoleIndex) Normalise() {
	if r.Format == 0 {
		r.Format = Format
	}
	fill(&r.Artifacts)
	fill(&r.Files)
	fill(&r.Packages)
	if r.Kernel != nil {
		k := *r.Kernel // not the caller's
		r.Kernel = &k
		fill(&k.Packages)
	}
	fill(&r.Images)
	fill(&r.Modules)
	fill(&r.Sysctls)
	fill(&r.Dirs)
	fill(&r.Links)
	fill(&r.Units)
	fill(&r.Checks)
	fill(&r.Hosts)
	fill(&r.Addons)
	fill(&r.Cluster.JoinCIDRs)
	fill(&r.Cluster.Policy.NTPServers)
	r.Units = slices.Clone(r.Units) // fields of the elements change below: not in the caller's slice
	for i := range r.Units {
		fill(&r.Units[i].Restarts)
	}
	r.Hosts = slices.Clone(r.Hosts)
	for i := range r.Hosts {
		fill(&r.Hosts[i].Roles)
	}
}

func fill[T any](s *[]T) {
	if *s == nil {
		*s = []T{}
	}
}

// Host returns the host of the given name.
func (r *RoleIndex) Host(name string) (Host, bool) {
	i := slices.IndexFunc(r.Hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		return Host{}, false
	}
	return r.Hosts[i], true
}

// hasPack reports whether a pack of that name may be aboard.
func (r *RoleIndex) hasPack(name string) bool {
	_, ok := r.Host(name)
	return ok || name == JoinPack && r.Role == RoleNode
}

// Validate checks everything that FORMAT.md says of a role index and returns all faults, joined.
func (r *RoleIndex) Validate() error {
	v := &checker{}
	v.check(r.Format == Format, "format is %d, want %d", r.Format, Format)
	v.check(slices.Contains(RoleOrder(), r.Role), "role is %q", r.Role)
	v.text("platform.os", r.Platform.OS, true)
	v.text("platform.arch", r.Platform.Arch, true)
	v.text("platform.family", r.Platform.Family, true)
	v.cluster(&r.Cluster)
	v.artifacts(r.Artifacts)
	v.files(r)
	v.dirs(r.Dirs)
	v.settings(r)
	v.images(r.Images)
	v.units(r)
	v.hosts(r.Hosts)
	v.addons(r)
	return errors.Join(v.faults...)
}

// maxFaults bounds what Validate reports of a hostile index.
const maxFaults = 100

// checker gathers faults.
type checker struct {
	what   string // that is checked; "" means the role index
	faults []error
}

func (v *checker) check(ok bool, format string, args ...any) {
	if !ok && len(v.faults) < maxFaults {
		v.faults = append(v.faults, fmt.Errorf(cmp.Or(v.what, "role index")+": "+format, args...))
	}
}

// text checks a text that people read or that becomes part of a file.
func (v *checker) text(what, s string, required bool) {
	v.check(!required || s != "", "%s is empty", what)
	v.check(len(s) <= MaxString, "%s has %d bytes, more than the limit of %d", what, len(s), MaxString)
	v.check(!strings.ContainsFunc(s, unicode.IsControl), "%s has a control character: %.80q", what, s)
}

// path checks an absolute path on a host: clean, no control characters, not the root itself.
func (v *checker) path(what, p string) {
	ok := checkPath(p) == nil
	v.check(ok, "%s: %v", what, checkPath(p))
}

// checkPath says what is wrong with a path on a host.
func checkPath(p string) error {
	switch {
	case len(p) > MaxPath:
		return fmt.Errorf("a path of %d bytes is longer than the limit of %d", len(p), MaxPath)
	case !path.IsAbs(p) || path.Clean(p) != p || p == "/":
		return fmt.Errorf("path %q is not absolute and clean", p)
	case strings.ContainsFunc(p, unicode.IsControl):
		return fmt.Errorf("path %q has a control character", p)
	}
	return nil
}

// CheckPath says whether p may be the path of a file, directory or link on a host: absolute, clean, not "/", at most
// MaxPath bytes, no control characters.
func CheckPath(p string) error { return checkPath(p) }

// list checks the length of a list and that its keys ascend, each once.
func list[T any](v *checker, what string, items []T, limit int, key func(T) string) {
	v.check(len(items) <= limit, "%s: %d entries are more than the limit of %d", what, len(items), limit)
	for i := 1; i < len(items) && i < limit; i++ {
		a, b := key(items[i-1]), key(items[i])
		v.check(a < b, "%s: %.200q comes before %.200q: not sorted, or twice", what, a, b)
	}
}

func (v *checker) cluster(c *Cluster) {
	v.check(len(c.ID) == 32 && strings.Trim(c.ID, "0123456789abcdef") == "", "cluster.id is %.80q, want 32 hex digits", c.ID)
	v.text("cluster.name", c.Name, true)
	v.check(c.Serial >= 0, "cluster.serial is %d", c.Serial)
	v.check(c.NotBefore.Location().String() == "UTC" && c.NotBefore.Nanosecond() == 0, "cluster.notBefore is not in whole seconds, UTC")
	for _, t := range []struct{ what, s string }{
		{"apiServer", c.APIServer}, {"serviceCIDR", c.ServiceCIDR}, {"podCIDR", c.PodCIDR}, {"dnsIP", c.DNSIP}, {"dnsDomain", c.DNSDomain},
		{"policy.firewall", c.Policy.Firewall}, {"policy.selinux", c.Policy.SELinux}, {"policy.ntpFallback", c.Policy.NTPFallback},
		{"policy.etcdDataDir", c.Policy.EtcdDataDir}, {"policy.proxyMode", c.Policy.ProxyMode}, {"policy.kubeVersion", c.Policy.KubeVersion},
		{"policy.etcdVersion", c.Policy.EtcdVersion}, {"policy.dockerVersion", c.Policy.DockerVersion},
		{"vip", c.VIP}, {"policy.cni", c.Policy.CNI}, {"policy.checkImage", c.Policy.CheckImage}, {"policy.snapshotDir", c.Policy.SnapshotDir},
	} {
		v.text("cluster."+t.what, t.s, false)
	}
	v.check(slices.Contains([]string{"", "upgrade", "require", "skip"}, c.Policy.KernelMode), "cluster.policy.kernelMode is %.80q, want upgrade, require or skip", c.Policy.KernelMode)
	v.check(c.Policy.SnapshotKeep >= 0, "cluster.policy.snapshotKeep is %d", c.Policy.SnapshotKeep)
	v.check(len(c.JoinCIDRs) <= MaxEntries && len(c.Policy.NTPServers) <= MaxEntries, "cluster: too many joinCIDRs or ntpServers")
	for _, cidr := range c.JoinCIDRs {
		_, err := netip.ParsePrefix(cidr)
		v.check(err == nil, "cluster.joinCIDRs: %v", err)
	}
	for _, s := range c.Policy.NTPServers {
		v.text("cluster.policy.ntpServers", s, true)
	}
}

func (v *checker) artifacts(all []Artifact) {
	list(v, "artifacts", all, MaxArtifacts, func(a Artifact) string { return a.Name })
	for _, a := range all {
		v.text("artifact name", a.Name, true)
		v.text("artifact version", a.Version, false)
		v.text("artifact source", a.Source, false)
		v.text("artifact vouched", a.Vouched, false)
		v.check(slices.Contains([]string{KindProgram, KindPackage, KindText}, a.Kind), "artifact %q: kind is %q", a.Name, a.Kind)
		err := a.Blob.validate()
		v.check(err == nil, "artifact %q: %v", a.Name, err)
	}
}

// validate checks the arithmetic of a blob.
func (b Blob) validate() error {
	if b.Size < 0 || b.Size > MaxBlobSize || b.StoredSize < 0 || b.StoredSize > MaxBlobSize {
		return fmt.Errorf("size %d or stored size %d is beyond the limit of %d", b.Size, b.StoredSize, int64(MaxBlobSize))
	}
	if b.Digest.IsZero() || b.Stored.IsZero() {
		return errors.New("no digest")
	}
	switch b.Encoding {
	case EncodingRaw:
		if len(b.Frames) > 0 || b.Stored != b.Digest || b.StoredSize != b.Size {
			return errors.New("stored raw, but the stored bytes are not the content")
		}
		return nil
	case EncodingZstd:
		return b.validateFrames()
	default:
		return fmt.Errorf("encoding is %q", b.Encoding)
	}
}

func (b Blob) validateFrames() error {
	if want := (b.Size + FrameSize - 1) / FrameSize; int64(len(b.Frames)) != want || want == 0 {
		return fmt.Errorf("%d frames for %d bytes, want %d", len(b.Frames), b.Size, want)
	}
	var sum int64
	for i, f := range b.Frames {
		if f.Stored < 1 || f.Stored > MaxFrameStored || f.Digest.IsZero() {
			return fmt.Errorf("frame %d has %d stored bytes and digest %s", i+1, f.Stored, f.Digest.Short())
		}
		sum += f.Stored
	}
	if sum != b.StoredSize {
		return fmt.Errorf("the frames have %d stored bytes, the blob %d", sum, b.StoredSize)
	}
	return nil
}

func (v *checker) files(r *RoleIndex) {
	artifacts := map[string]bool{}
	for _, a := range r.Artifacts {
		artifacts[a.Name] = true
	}
	list(v, "files", r.Files, MaxEntries, func(f File) string { return f.Path })
	for _, f := range r.Files {
		v.path("files", f.Path)
		v.meta("file "+f.Path, f.Mode, f.Owner, f.Group)
		v.check(artifacts[f.Artifact], "file %q: no artifact %q", f.Path, f.Artifact)
	}
	v.packages("packages", r.Packages, artifacts)
	if k := r.Kernel; k != nil {
		v.text("kernel: release", k.Release, true)
		v.packages("kernel packages", k.Packages, artifacts)
		v.check(artifacts[k.Modules], "kernel: no artifact %q", k.Modules)
	}
	list(v, "links", r.Links, MaxEntries, func(l Link) string { return l.Path })
	for _, l := range r.Links {
		v.path("links", l.Path)
		v.path("link target", l.Target)
	}
}

func (v *checker) packages(what string, packages []Package, artifacts map[string]bool) {
	list(v, what, packages, MaxEntries, func(p Package) string { return p.Name + "\x00" + p.Arch + "\x00" + p.Version + "-" + p.Release })
	for _, p := range packages {
		for _, s := range []string{p.Name, p.Version, p.Release, p.Arch} {
			v.text(what+": package "+p.Name, s, true)
		}
		v.check(p.Epoch >= 0, "%s: package %q: epoch %d", what, p.Name, p.Epoch)
		v.check(artifacts[p.Artifact], "%s: package %q: no artifact %q", what, p.Name, p.Artifact)
	}
}

// meta checks mode, owner and group. Bundles place nothing with setuid, setgid or the sticky bit.
func (v *checker) meta(what string, mode uint32, owner, group string) {
	v.check(mode <= 0o777, "%s: mode is %#o", what, mode)
	v.text(what+": owner", owner, false)
	v.text(what+": group", group, false)
}

func (v *checker) dirs(dirs []Dir) {
	v.check(len(dirs) <= MaxEntries, "dirs: %d entries are more than the limit of %d", len(dirs), MaxEntries)
	seen := map[string]bool{}
	for _, d := range dirs {
		v.path("dirs", d.Path)
		v.meta("dir "+d.Path, d.Mode, d.Owner, d.Group)
		v.check(slices.Contains([]string{"", "data", "empty"}, d.Keep), "dir %q: keep is %q", d.Path, d.Keep)
		v.check(!seen[d.Path], "dir %q comes twice, or after a directory in it", d.Path)
		for p := d.Path; len(p) > 1 && len(p) <= MaxPath && !seen[p]; p = path.Dir(p) {
			seen[p] = true // a parent that comes later finds itself seen
		}
	}
}

func (v *checker) settings(r *RoleIndex) {
	list(v, "modules", r.Modules, MaxEntries, func(s string) string { return s })
	for _, m := range r.Modules {
		v.text("module", m, true)
	}
	list(v, "sysctls", r.Sysctls, MaxEntries, func(s Setting) string { return s.Key })
	for _, s := range r.Sysctls {
		v.text("sysctl", s.Key, true)
		v.text("sysctl "+s.Key, s.Value, true)
	}
}

func (v *checker) images(images []Image) {
	list(v, "images", images, MaxImages, func(i Image) string { return i.Ref })
	for _, i := range images {
		v.check(validRef(i.Ref), "image ref %.200q: want letters and digits, separated by . _ - : @ / or +", i.Ref)
		v.check(!i.Manifest.IsZero() && !i.ID.IsZero(), "image %q: no digest", i.Ref)
	}
}

// validRef says whether s may be an OCI ref name.
func validRef(s string) bool {
	alnum := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }
	if s == "" || len(s) > 255 || !alnum(s[0]) || !alnum(s[len(s)-1]) {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool { return c > 127 || !alnum(byte(c)) && !strings.ContainsRune("._-:@/+", c) })
}

func (v *checker) units(r *RoleIndex) {
	v.check(len(r.Units) <= MaxEntries && len(r.Checks) <= MaxEntries, "more than %d units or checks", MaxEntries)
	for _, u := range r.Units {
		v.text("unit", u.Name, true)
		v.check(!strings.Contains(u.Name, "/"), "unit %q has a slash", u.Name)
		v.text("unit "+u.Name+": package", u.Package, false)
		v.check(len(u.Restarts) <= MaxEntries, "unit %q: %d restarts", u.Name, len(u.Restarts))
		for _, p := range u.Restarts {
			v.path("unit "+u.Name, p)
		}
	}
	for _, c := range r.Checks {
		v.text("check", c.Unit, true)
		u, err := url.Parse(c.URL)
		v.check(err == nil && len(c.URL) <= MaxString, "check of %q: URL %.200q", c.Unit, c.URL)
		if err == nil {
			local := u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost"
			v.check(local && (u.Scheme == "http" || u.Scheme == "https"), "check of %q: %q is not http or https on the host itself", c.Unit, c.URL)
		}
		if c.CA != "" {
			v.path("check of "+c.Unit, c.CA)
		}
		v.check(c.TimeoutSeconds >= 0 && c.TimeoutSeconds <= 3600, "check of %q: timeout %d s", c.Unit, c.TimeoutSeconds)
	}
}

func (v *checker) hosts(hosts []Host) {
	v.check(len(hosts) <= MaxHosts, "hosts: %d are more than the limit of %d", len(hosts), MaxHosts)
	seen := map[string]bool{}
	for _, h := range hosts {
		v.check(validRef(h.Name) && !strings.ContainsAny(h.Name, "/:@+") && h.Name != JoinPack, "host name %.200q", h.Name)
		_, err := netip.ParseAddr(h.IP)
		v.check(err == nil, "host %q: %v", h.Name, err)
		v.check(!seen[h.Name] && !seen[h.IP], "host %q (%s): name or address comes twice", h.Name, h.IP)
		seen[h.Name], seen[h.IP] = true, true
		list(v, "roles of "+h.Name, h.Roles, 16, func(s string) string { return s })
		v.text("host "+h.Name+": etcdName", h.EtcdName, false)
		v.text("host "+h.Name+": nodeName", h.NodeName, false)
	}
}

// addons checks that each name comes once and each file is one that the role places.
func (v *checker) addons(r *RoleIndex) {
	v.check(len(r.Addons) <= MaxEntries, "addons: %d entries are more than the limit of %d", len(r.Addons), MaxEntries)
	files := map[string]bool{}
	for _, f := range r.Files {
		files[f.Path] = true
	}
	seen := map[string]bool{}
	for _, m := range r.Addons {
		plain := strings.Trim(m.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
		v.check(m.Name != "" && len(m.Name) <= 200 && plain, "addon name %.200q: want lower-case letters, digits and -", m.Name)
		v.check(!seen[m.Name], "addon %q comes twice", m.Name)
		v.check(files[m.Path], "addon %q: the role places no file %.200q", m.Name, m.Path)
		seen[m.Name] = true
	}
}
