package installer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// baselineQuery prints all that a baseline holds of a package, a line for each thing. A list that is empty prints "(none)"
// without the letter and the newline that stand around its entries.
const baselineQuery = `P\t%{NAME}\t%|EPOCH?{%{EPOCH}}:{0}|\t%{VERSION}\t%{RELEASE}\t%{ARCH}\n` +
	`[p\t%{PROVIDENAME}\t%{PROVIDEFLAGS}\t%{PROVIDEVERSION}\n]\n[r\t%{REQUIRENAME}\t%{REQUIREFLAGS}\t%{REQUIREVERSION}\n]\n` +
	`[c\t%{CONFLICTNAME}\t%{CONFLICTFLAGS}\t%{CONFLICTVERSION}\n]\n[o\t%{OBSOLETENAME}\t%{OBSOLETEFLAGS}\t%{OBSOLETEVERSION}\n]\n[f\t%{FILENAMES}\n]\n`

// Baseline lists the packages of this host with what they provide and need, for a build that ships only what such a host
// lacks. It only reads.
func (s *Session) Baseline(ctx context.Context) (*bundle.Baseline, error) {
	ctx, cancel := context.WithTimeout(ctx, rpmTestTime)
	defer cancel()
	out, err := s.Host.Run(ctx, nil, "rpm", "-qa", "--qf", baselineQuery)
	if err != nil {
		return nil, fmt.Errorf("asking rpm what is installed: %w", err)
	}
	packages, err := parseBaseline(string(out))
	if err != nil {
		return nil, fmt.Errorf("reading what rpm says of the packages: %w", err)
	}
	if len(packages) == 0 {
		return nil, errors.New("asking rpm what is installed: it names no package: its database is empty or damaged; see: rpm -qa")
	}
	name, err := s.systemName()
	if err != nil {
		return nil, err
	}
	return &bundle.Baseline{Format: bundle.BaselineFormat, OS: name, Packages: packages}, nil
}

// systemName is the system with its full version: "centos-7.9.2009". /etc/os-release of el7 says only "7".
func (s *Session) systemName() (string, error) {
	text, err := host.ReadFile(s.Host, "/etc/os-release", inlineMax)
	if err != nil {
		return "", fmt.Errorf("looking at the system: %w", err)
	}
	system := parseOSRelease(string(text))
	release, err := readOptional(s.Host, "/etc/redhat-release")
	if err != nil {
		return "", err
	}
	if _, rest, ok := strings.Cut(release, " release "); ok {
		if words := strings.Fields(rest); len(words) > 0 {
			system.VersionID = words[0]
		}
	}
	if system.ID == "" || system.VersionID == "" {
		return "", errors.New("looking at the system: /etc/os-release has no ID or no VERSION_ID")
	}
	return system.ID + "-" + system.VersionID, nil
}

// parseBaseline reads what baselineQuery prints.
func parseBaseline(text string) ([]bundle.BaselinePackage, error) {
	var all []bundle.BaselinePackage
	keys := false // what is read belongs to a key, which is no package
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line == "(none)" {
			continue
		}
		fields := strings.Split(line, "\t")
		if fields[0] == "P" {
			p, err := baselinePackage(fields)
			if err != nil {
				return nil, err
			}
			if keys = p.Name == "gpg-pubkey"; !keys {
				all = append(all, p)
			}
			continue
		}
		if keys {
			continue
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("line %.80q stands before any package", line)
		}
		if err := baselineLine(&all[len(all)-1], fields); err != nil {
			return nil, fmt.Errorf("%s: %w", all[len(all)-1], err)
		}
	}
	slices.SortFunc(all, func(a, b bundle.BaselinePackage) int {
		return strings.Compare(a.Name+"\x00"+a.EVR()+"\x00"+a.Arch, b.Name+"\x00"+b.EVR()+"\x00"+b.Arch)
	})
	// rpm names a package twice when a transaction was cut off between the new one and the old one.
	return slices.CompactFunc(all, func(a, b bundle.BaselinePackage) bool { return a.String() == b.String() }), nil
}

// baselinePackage reads the line that begins a package. Its lists are known, so that an empty one is not a missing one.
func baselinePackage(fields []string) (bundle.BaselinePackage, error) {
	if len(fields) != 6 {
		return bundle.BaselinePackage{}, fmt.Errorf("a package has %d fields, want 6: %.80q", len(fields), fields)
	}
	epoch, err := strconv.Atoi(fields[2])
	if err != nil {
		return bundle.BaselinePackage{}, fmt.Errorf("package %q: epoch %q is no number", fields[1], fields[2])
	}
	return bundle.BaselinePackage{Name: fields[1], Epoch: epoch, Version: fields[3], Release: fields[4], Arch: fields[5], Provides: []bundle.Capability{},
		Requires: []bundle.Capability{}, Conflicts: []bundle.Capability{}, Obsoletes: []bundle.Capability{}, Files: []string{}}, nil
}

// baselineLine adds one line to a package.
func baselineLine(p *bundle.BaselinePackage, fields []string) error {
	list := map[string]*[]bundle.Capability{"p": &p.Provides, "r": &p.Requires, "c": &p.Conflicts, "o": &p.Obsoletes}[fields[0]]
	switch {
	case fields[0] == "f" && len(fields) == 2:
		if baselineFile(fields[1]) {
			p.Files = append(p.Files, fields[1])
		}
		return nil
	case list == nil || len(fields) != 4:
		return fmt.Errorf("a line with %d fields is not understood: %.80q", len(fields), fields)
	case strings.HasPrefix(fields[1], "rpmlib("):
		return nil
	}
	c, err := capability(fields[1], fields[2], fields[3])
	if err != nil {
		return err
	}
	if !slices.Contains(*list, c) {
		*list = append(*list, c)
	}
	return nil
}

// baselineFile tells the files that a package may be asked for by path.
func baselineFile(name string) bool {
	return strings.HasPrefix(name, "/etc/") || strings.Contains(name, "/bin/") || strings.Contains(name, "/sbin/") || name == "/usr/lib/sendmail"
}

// Bits of rpm's flags that say how versions compare; all others say when a thing is needed.
const (
	rpmLess    = 1 << 1
	rpmGreater = 1 << 2
	rpmEqual   = 1 << 3
)

// capability makes one of what rpm says. Without a way to compare there is no version, and the other way round.
func capability(name, flags, evr string) (bundle.Capability, error) {
	bits, err := strconv.ParseUint(flags, 10, 32)
	if err != nil {
		return bundle.Capability{}, fmt.Errorf("flags %q of %q are no number", flags, name)
	}
	c := bundle.Capability{Name: name}
	if evr == "" || evr == "(none)" || bits&(rpmLess|rpmGreater|rpmEqual) == 0 {
		return c, nil
	}
	c.EVR = evr
	switch {
	case bits&rpmLess != 0:
		c.Flags = "<"
	case bits&rpmGreater != 0:
		c.Flags = ">"
	}
	if bits&rpmEqual != 0 {
		c.Flags += "="
	}
	return c, nil
}
