package hosttest

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"offgrid/installer/host"
)

// rpmDB is the fake's database: a file NAME.ARCH per package, which is the package itself.
const rpmDB = "/var/lib/rpm/hosttest/"

// Package is what the fake rpm installs.
type Package struct {
	Name, EVR, Arch string
	Requires        []string // names of packages
	Units           []string // names of units whose files it brings
	Configs         []string // settings that it brings, each in a directory of its own
	Kernel          string   // release of the kernel that it is: several versions may be there
}

// File is the content of the package's file.
func (p Package) File() string {
	return fmt.Sprintf("rpm %s %s %s\nrequires %s\nunits %s\nconfigs %s\nkernel %s\n", p.Name, p.EVR, p.Arch,
		strings.Join(p.Requires, " "), strings.Join(p.Units, " "), strings.Join(p.Configs, " "), p.Kernel)
}

// key is the package's file in the database.
func (p Package) key() string {
	if p.Kernel != "" {
		return p.full()
	}
	return p.Name + "." + p.Arch
}

// full is the package's name with its version, without its epoch.
func (p Package) full() string { return p.format("%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}") }

// named reports whether a word of a command means the package.
func (p Package) named(word string) bool {
	return word == p.Name || word == p.Name+"."+p.Arch || word == p.full()
}

// parsePackage is the reverse of File.
func parsePackage(text string) (Package, bool) {
	lines := strings.Split(text, "\n")
	head := strings.Fields(lines[0])
	if len(head) != 4 || head[0] != "rpm" || len(lines) < 4 {
		return Package{}, false
	}
	words := func(i int) []string { return strings.Fields(lines[i])[1:] }
	p := Package{Name: head[1], EVR: head[2], Arch: head[3], Requires: words(1), Units: words(2), Configs: words(3)}
	if len(lines) > 4 && lines[4] != "" {
		p.Kernel = strings.Join(words(4), "")
	}
	return p, true
}

// Files of the database that say what is wrong with it: of a process that died in it, and damaged themselves.
const (
	RPMDead    = "/var/lib/rpm/__db.001"
	RPMDamaged = "/var/lib/rpm/Packages"
)

// rpmRecovery is what rpm 4.11 says of a database in which a process died.
const rpmRecovery = `error: rpmdb: BDB0113 Thread/process 15933/140093127161920 failed: BDB1507 Thread died in Berkeley DB library
error: db5 error(-30973) from dbenv->failchk: BDB0087 DB_RUNRECOVERY: Fatal error, run database recovery
error: cannot open Packages index using db5 -  (-30973)
error: cannot open Packages database in /var/lib/rpm
`

// rpmOpen is what rpm says of its database, "" when it is in order.
func (h *Host) rpmOpen() string {
	switch {
	case h.Get(RPMDead) == "dead":
		return rpmRecovery
	case h.Get(RPMDamaged) == "damaged":
		return "error: rpmdb: BDB0061 PANIC: fatal region error detected; run recovery\nerror: db5 error(22) from dbenv->open: Invalid argument\n" +
			"error: cannot open Packages index using db5 - Invalid argument (22)\nerror: cannot open Packages database in /var/lib/rpm\n"
	}
	return ""
}

// rpm is the fake of rpm 4.11.
func (h *Host) rpm(_ string, argv []string) (string, error) {
	if len(argv) == 2 && argv[1] == "--rebuilddb" {
		return "", h.change(func() error { return h.drop(RPMDamaged) })
	}
	if said := h.rpmOpen(); said != "" {
		if argv[1] == "-q" { // it goes on and takes everything for missing
			return "", Exit(argv, 1, "package "+argv[len(argv)-1]+" is not installed\n", said)
		}
		return "", Exit(argv, 1, "", said)
	}
	mode, test, format := "", false, `%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}\n`
	var args []string
	for i := 1; i < len(argv); i++ {
		switch a := argv[i]; {
		case a == "--qf" || a == "--queryformat":
			i++
			format = argv[i]
		case a == "--test":
			test = true
		case a == "--replacepkgs", a == "--oldpackage", a == "--allmatches":
		case strings.HasPrefix(a, "--"):
			return "", Exit(argv, 1, "", "rpm: "+a+": unknown option")
		case strings.HasPrefix(a, "-") && mode == "":
			mode = a
		default:
			args = append(args, a)
		}
	}
	switch mode {
	case "-q", "-qa":
		return h.rpmQuery(argv, mode == "-qa", format, args)
	case "-U", "-i":
		return "", h.rpmInstall(argv, test, args)
	case "-e":
		return "", h.rpmErase(argv, test, args)
	}
	return "", Exit(argv, 1, "", "rpm: the fake does not know "+mode)
}

// installed returns the packages of the database, sorted.
func (h *Host) installed() []Package {
	entries, err := os.ReadDir(h.real(rpmDB, true))
	if err != nil {
		return nil
	}
	var all []Package
	for _, e := range entries {
		if p, ok := parsePackage(h.Get(rpmDB + e.Name())); ok {
			all = append(all, p)
		}
	}
	return all
}

func (h *Host) rpmQuery(argv []string, all bool, format string, args []string) (string, error) {
	var out strings.Builder
	missing := 0
	for _, p := range h.installed() {
		if all {
			out.WriteString(p.format(format))
		}
	}
	for _, a := range args {
		found := false
		for _, p := range h.installed() {
			if p.named(a) {
				out.WriteString(p.format(format))
				found = true
			}
		}
		if !found {
			fmt.Fprintf(&out, "package %s is not installed\n", a)
			missing++
		}
	}
	if missing > 0 {
		return out.String(), Exit(argv, missing, out.String(), "")
	}
	return out.String(), nil
}

// format expands a query format.
func (p Package) format(f string) string {
	epoch, rest, found := strings.Cut(p.EVR, ":")
	shown := epoch
	if !found {
		epoch, rest, shown = "0", p.EVR, "(none)"
	}
	version, release, _ := strings.Cut(rest, "-")
	return strings.NewReplacer("%|EPOCH?{%{EPOCH}}:{0}|", epoch, "%{EPOCH}", shown, "%{NAME}", p.Name, "%{ARCH}", p.Arch,
		"%{VERSION}", version, "%{RELEASE}", release, `\n`, "\n", `\t`, "\t").Replace(f)
}

func (h *Host) rpmInstall(argv []string, test bool, files []string) error {
	var set []Package
	for _, f := range files {
		p, ok := parsePackage(h.Get(f))
		if !ok {
			return Exit(argv, 1, "", "error: open of "+f+" failed: not an rpm package")
		}
		set = append(set, p)
	}
	for _, p := range set {
		again := slices.ContainsFunc(h.installed(), func(o Package) bool { return o.full() == p.full() })
		if again && !slices.Contains(argv, "--replacepkgs") {
			return Exit(argv, 1, "", "\tpackage "+p.full()+" is already installed")
		}
	}
	have := append(h.installed(), set...)
	for _, p := range set {
		for _, r := range p.Requires {
			if !slices.ContainsFunc(have, func(o Package) bool { return o.Name == r }) {
				return Exit(argv, 1, "", fmt.Sprintf("error: Failed dependencies:\n\t%s is needed by %s-%s", r, p.Name, p.EVR))
			}
		}
	}
	if test {
		return nil
	}
	for _, p := range set {
		if p.Kernel != "" && argv[1] == "-U" {
			return Exit(argv, 1, "", "the fake does not upgrade a kernel")
		}
		steps := []func() error{func() error { return h.rpmPlace(p) }}
		if p.Kernel != "" {
			steps = append(steps, h.placeKernel(p)...)
		}
		for _, step := range steps {
			if err := h.change(step); err != nil {
				return err
			}
		}
	}
	return nil
}

// rpmPlace puts one package on the host.
func (h *Host) rpmPlace(p Package) error {
	for _, u := range p.Units {
		text := "[Service]\nExecStart=/usr/bin/" + u + "\n[Install]\nWantedBy=multi-user.target\n"
		if err := h.put(unitVendor+u, []byte(text), host.Meta{Mode: 0o644}); err != nil {
			return err
		}
	}
	for _, c := range p.Configs {
		if err := h.placeConfig(c, p.Name); err != nil {
			return err
		}
	}
	return h.put(path.Join(rpmDB, p.key()), []byte(p.File()), host.Meta{Mode: 0o644})
}

// packaged is what settings are as a package brings them.
func packaged(name string) string { return "as " + name + " brings it\n" }

// placeConfig makes a package's settings unless there are some.
func (h *Host) placeConfig(file, name string) error {
	if h.Get(file) != "" {
		return nil
	}
	if err := os.MkdirAll(h.real(path.Dir(file), true), 0o755); err != nil {
		return err
	}
	return h.put(file, []byte(packaged(name)), host.Meta{Mode: 0o644})
}

// dropConfig removes a package's settings with their directory; changed ones are kept beside, as rpm does.
func (h *Host) dropConfig(file, name string) error {
	if now := h.Get(file); now != "" && now != packaged(name) {
		return os.Rename(h.real(file, false), h.real(file, false)+".rpmsave")
	}
	if err := h.drop(file); err != nil {
		return err
	}
	if err := os.Remove(h.real(path.Dir(file), true)); err != nil && !os.IsNotExist(err) && !os.IsExist(err) {
		return err
	}
	return nil
}

func (h *Host) rpmErase(argv []string, test bool, args []string) error {
	var gone []Package
	for _, a := range args {
		at := slices.IndexFunc(h.installed(), func(p Package) bool { return p.named(a) })
		if at < 0 {
			return Exit(argv, 1, "", "error: package "+a+" is not installed")
		}
		gone = append(gone, h.installed()[at])
	}
	named := func(name string) bool {
		return slices.ContainsFunc(gone, func(p Package) bool { return p.Name == name })
	}
	for _, p := range h.installed() {
		for _, r := range p.Requires {
			if named(r) && !named(p.Name) {
				return Exit(argv, 1, "", fmt.Sprintf("error: Failed dependencies:\n\t%s is needed by (installed) %s-%s", r, p.Name, p.EVR))
			}
		}
	}
	if test {
		return nil
	}
	for _, p := range gone {
		err := h.change(func() error {
			for _, u := range p.Units {
				if err := h.drop(unitVendor + u); err != nil {
					return err
				}
			}
			for _, c := range p.Configs {
				if err := h.dropConfig(c, p.Name); err != nil {
					return err
				}
			}
			if p.Kernel != "" {
				if err := h.dropKernel(p.Kernel); err != nil {
					return err
				}
			}
			return h.drop(rpmDB + p.key())
		})
		if err != nil {
			return err
		}
	}
	return nil
}
