package bundle

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// BaselineFormat is the number of the baseline's form.
const BaselineFormat = 1

// Limits on a baseline. A full desktop installation of CentOS 7 has 1,500 packages; glibc provides 100 things, a kernel 2,500.
const (
	// MaxBaseline bounds the file in bytes.
	MaxBaseline = 64 << 20
	// MaxBaselinePackages bounds its packages.
	MaxBaselinePackages = 16384
	// MaxCapabilities bounds each list of a package in a baseline.
	MaxCapabilities = 65536
)

// Baseline is what a host has before anything is installed on it: the packages of a named installation. `./install baseline`
// writes that of a real host; a build then ships what such a host lacks, and nothing that it has.
type Baseline struct {
	Format   int               `json:"format"`   // BaselineFormat
	OS       string            `json:"os"`       // "centos-7.9.2009": ID and version of the system, for people
	Packages []BaselinePackage `json:"packages"` // sorted by name, version and architecture; keys (gpg-pubkey) are none
}

// BaselinePackage is one installed package. A list that is absent (null) is not known: it is then taken from the repository
// that has the very same package. An empty list says that there is nothing.
type BaselinePackage struct {
	Name      string       `json:"name"`
	Epoch     int          `json:"epoch"`
	Version   string       `json:"version"`
	Release   string       `json:"release"`
	Arch      string       `json:"arch"` // "x86_64", "noarch", as rpm writes it
	Provides  []Capability `json:"provides,omitzero"`
	Requires  []Capability `json:"requires,omitzero"` // without rpmlib(...)
	Conflicts []Capability `json:"conflicts,omitzero"`
	Obsoletes []Capability `json:"obsoletes,omitzero"`
	Files     []string     `json:"files,omitzero"` // absolute paths; those of programs (…/bin/…, …/sbin/…) and /etc are enough
}

// Capability is what a package provides or asks for: a name, and with Flags a range of versions.
type Capability struct {
	Name  string `json:"name"`            // "docker-ce", "libc.so.6(GLIBC_2.17)(64bit)", "/bin/sh"
	Flags string `json:"flags,omitempty"` // "", "=", "<", "<=", ">" or ">="
	EVR   string `json:"evr,omitempty"`   // "[EPOCH:]VERSION[-RELEASE]"; "" exactly when Flags is
}

// EVR writes epoch, version and release as rpm does: "3:20.10.24-3.el7"; an epoch of 0 is left out.
func (p BaselinePackage) EVR() string {
	if p.Epoch == 0 {
		return p.Version + "-" + p.Release
	}
	return fmt.Sprintf("%d:%s-%s", p.Epoch, p.Version, p.Release)
}

// String returns the whole name: "bash-4.2.46-34.el7.x86_64".
func (p BaselinePackage) String() string { return p.Name + "-" + p.EVR() + "." + p.Arch }

func (p BaselinePackage) compare(o BaselinePackage) int {
	return cmp.Or(cmp.Compare(p.Name, o.Name), cmp.Compare(p.EVR(), o.EVR()), cmp.Compare(p.Arch, o.Arch))
}

// ParseBaseline reads a baseline strictly: nothing unknown, nothing missing, sorted.
func ParseBaseline(data []byte) (*Baseline, error) {
	if len(data) > MaxBaseline {
		return nil, fmt.Errorf("reading baseline: it has %d bytes, the limit is %d", len(data), MaxBaseline)
	}
	var head struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("reading baseline: %w", err)
	}
	if head.Format == nil || *head.Format != BaselineFormat {
		return nil, fmt.Errorf("reading baseline: its format is not %d, which this program reads; make it anew with \"./install baseline\" of this release", BaselineFormat)
	}
	b := &Baseline{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(b); err != nil {
		return nil, fmt.Errorf("reading baseline: %w", err)
	}
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("reading baseline: %w", err)
	}
	return b, nil
}

// Bytes returns the baseline as it is written, one package a line. Packages are sorted first; the same host gives the same
// bytes.
func (b *Baseline) Bytes() ([]byte, error) {
	sorted := *b
	sorted.Format = BaselineFormat
	sorted.Packages = slices.Clone(b.Packages)
	slices.SortFunc(sorted.Packages, BaselinePackage.compare)
	if err := sorted.check(); err != nil {
		return nil, fmt.Errorf("writing baseline: %w", err)
	}
	name, err := json.Marshal(sorted.OS)
	if err != nil {
		return nil, fmt.Errorf("writing baseline: %w", err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\"format\": %d, \"os\": %s, \"packages\": [", BaselineFormat, name)
	for i, p := range sorted.Packages {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
		var line bytes.Buffer
		e := json.NewEncoder(&line)
		e.SetEscapeHTML(false) // "<=" is for people, too
		if err := e.Encode(p); err != nil {
			return nil, fmt.Errorf("writing baseline: %w", err)
		}
		out.Write(bytes.TrimSuffix(line.Bytes(), []byte("\n")))
	}
	out.WriteString("\n]}\n")
	return out.Bytes(), nil
}

func (b *Baseline) check() error {
	if err := plainText("os", b.OS); err != nil {
		return err
	}
	if n := len(b.Packages); n == 0 || n > MaxBaselinePackages {
		return fmt.Errorf("it has %d packages, want 1 to %d", n, MaxBaselinePackages)
	}
	for i := range b.Packages {
		p := &b.Packages[i]
		if err := p.check(); err != nil {
			return fmt.Errorf("package %d %q: %w", i, p.Name, err)
		}
		if i > 0 && b.Packages[i-1].compare(*p) >= 0 {
			return fmt.Errorf("package %d: %q must come before %q: packages are sorted and there once", i, p, b.Packages[i-1])
		}
	}
	return nil
}

func (p *BaselinePackage) check() error {
	for _, f := range [][2]string{{"name", p.Name}, {"version", p.Version}, {"release", p.Release}, {"arch", p.Arch}} {
		if err := plainText(f[0], f[1]); err != nil {
			return err
		}
	}
	if p.Epoch < 0 || p.Epoch > 1<<31-1 {
		return fmt.Errorf("its epoch is %d", p.Epoch)
	}
	for _, list := range [][]Capability{p.Provides, p.Requires, p.Conflicts, p.Obsoletes} {
		if len(list) > MaxCapabilities {
			return fmt.Errorf("one of its lists has %d entries, the limit is %d", len(list), MaxCapabilities)
		}
		for _, c := range list {
			if err := c.check(); err != nil {
				return err
			}
		}
	}
	if len(p.Files) > MaxCapabilities {
		return fmt.Errorf("it has %d files, the limit is %d", len(p.Files), MaxCapabilities)
	}
	for _, f := range p.Files {
		if len(f) == 0 || len(f) > MaxString || f[0] != '/' {
			return fmt.Errorf("its file %q is not an absolute path", f)
		}
	}
	return nil
}

func (c Capability) check() error {
	if len(c.Name) == 0 || len(c.Name) > MaxString || len(c.EVR) > MaxString {
		return fmt.Errorf("the capability %q has no name, or a long one", c.Name)
	}
	if !slices.Contains([]string{"", "=", "<", "<=", ">", ">="}, c.Flags) || (c.Flags == "") != (c.EVR == "") {
		return fmt.Errorf("the capability %q has flags %q and version %q: want one of = < <= > >= and a version, or neither", c.Name, c.Flags, c.EVR)
	}
	return nil
}

// plainText refuses what is empty, long, or holds a blank or a control character.
func plainText(what, s string) error {
	if s == "" || len(s) > MaxString {
		return fmt.Errorf("its %s has %d bytes, want 1 to %d", what, len(s), MaxString)
	}
	for _, r := range s {
		if r <= ' ' || r == 0x7f {
			return fmt.Errorf("its %s %q holds a blank or a control character", what, s)
		}
	}
	return nil
}
