package installer

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/installer/host"
)

// Names of phases, in the order in which they come.
const (
	phaseCarry    = "carry"
	phasePrograms = "programs"
	phaseSystem   = "operating system"
	phasePackages = "packages"
	phaseSettings = "settings"
	phaseServices = "services"
	phaseCluster  = "cluster"
)

// base plans what every role begins with, up to the settings; what is left are the role's own services.
func (p *planner) base() {
	p.phase(phaseCarry)
	p.add(&CarryStep{Bundle: p.in.Bundle, Executable: p.in.Installer, Program: p.in.Program, Role: p.plan.Role, IP: p.in.Host.IP, Host: p.in.Host.Name,
		Token: p.in.Token, pack: p.in.State})
	p.phase(phasePrograms)
	p.dirs(func(d bundle.Dir) bool { return orRoot(d.Owner) == "root" && orRoot(d.Group) == "root" })
	p.programs()
	p.phase(phaseSystem)
	p.names()
	p.firewall()
	p.selinux()
	p.swap()
	p.kernel()
	p.phase(phasePackages)
	p.packages()
	p.clock()
	p.newKernel()
	p.phase(phaseSettings)
	p.users()
	p.dirs(func(bundle.Dir) bool { return true })
	p.texts()
	p.links()
	if p.in.State != nil {
		p.add(&placedStep{p.in.State})
	}
}

// programs come before everything that changes the host's ways: once they are in place the medium may be removed.
func (p *planner) programs() {
	for _, f := range p.index.Files {
		if a, ok := p.in.Bundle.Artifact(f.Artifact); ok && a.Kind == bundle.KindProgram {
			p.file(f, programWhy(a))
		}
	}
}

func programWhy(a bundle.Artifact) string { return strings.TrimSpace(a.Name + " " + a.Version) }

// names gives the host its planned name and lets it find the others without a name server.
func (p *planner) names() {
	p.add(&HostnameStep{Name: p.in.Host.Name})
	var lines []string
	for _, h := range p.index.Hosts {
		lines = append(lines, h.IP+" "+h.Name)
	}
	if joins(p.index, p.in.Host) {
		lines = append(lines, p.in.Host.IP+" "+p.in.Host.Name)
	}
	p.add(&BlockStep{Path: "/etc/hosts", Name: "hosts", Lines: lines})
}

// firewall stops what would drop the cluster's traffic. iptables.service would bring old rules back at boot.
func (p *planner) firewall() {
	if p.index.Cluster.Policy.Firewall != "disable" {
		return
	}
	const why = "the cluster file says host.firewall: disable"
	p.add(&DisableUnitStep{Unit: "firewalld.service", Why: why}, &DisableUnitStep{Unit: "iptables.service", Why: why}, &FlushStep{})
}

func (p *planner) selinux() {
	mode := p.index.Cluster.Policy.SELinux
	if mode != "disabled" && mode != "permissive" {
		return
	}
	if _, ok := p.in.Facts.Files[selinuxConfig]; ok {
		p.add(&KeyStep{Path: selinuxConfig, Key: selinuxKey, Value: mode, Why: "takes effect at the next boot"})
	}
	p.add(&EnforceStep{})
}

// swap is turned off: kubelet refuses to start beside it. A load balancer may keep it.
func (p *planner) swap() {
	if p.plan.Role != bundle.RoleLB {
		p.add(&SwapoffStep{}, &FstabSwapStep{})
	}
}

// kernel loads modules before settings: the bridge's settings exist only once br_netfilter is loaded.
func (p *planner) kernel() {
	if len(p.index.Modules) > 0 && !p.places("/etc/modules-load.d/") {
		p.text(fmt.Sprintf("/etc/modules-load.d/offgrid-%s.conf", p.plan.Role), host.Meta{Mode: 0o644},
			[]byte(strings.Join(p.index.Modules, "\n")+"\n"), false, "loads the modules at boot")
	}
	for _, m := range p.index.Modules {
		p.add(&ModuleStep{Name: m})
	}
	if len(p.index.Sysctls) > 0 && !p.places("/etc/sysctl.d/") {
		var lines strings.Builder
		for _, s := range p.index.Sysctls {
			fmt.Fprintf(&lines, "%s = %s\n", s.Key, s.Value)
		}
		p.text(fmt.Sprintf("/etc/sysctl.d/99-offgrid-%s.conf", p.plan.Role), host.Meta{Mode: 0o644}, []byte(lines.String()), false, "sets them at boot")
	}
	for _, s := range p.index.Sysctls {
		p.add(&SysctlStep{Key: s.Key, Value: s.Value})
	}
}

// packages are installed from the copy on the host's own disk: the medium may be pulled at any moment.
func (p *planner) packages() {
	if len(p.index.Packages) == 0 {
		return
	}
	p.add(&PackagesStep{Set: p.plan.Role, Packages: p.rpms(p.index.Packages)})
}

// rpms are packages as rpm gets them.
func (p *planner) rpms(packages []bundle.Package) []RPM {
	var all []RPM
	for _, pkg := range packages {
		a, ok := p.in.Bundle.Artifact(pkg.Artifact)
		if !ok || a.Blob.Encoding != bundle.EncodingRaw {
			p.fail("package %s: the bundle does not hold it as a file of its own", pkg.Name)
			return nil
		}
		evr := pkg.Version + "-" + pkg.Release
		if pkg.Epoch != 0 {
			evr = fmt.Sprintf("%d:%s", pkg.Epoch, evr)
		}
		file := path.Join(RoleDir(p.plan.Role), bundle.StoredBlob{Digest: a.Blob.Stored}.Path())
		all = append(all, RPM{Name: pkg.Name, EVR: evr, Arch: pkg.Arch, File: file, Digest: a.Blob.Digest})
	}
	return all
}

// packFiles are the files of this host alone.
func (p *planner) packFiles() []hostpack.File {
	if p.in.Pack == nil {
		return nil
	}
	return p.in.Pack.Files
}

func (p *planner) packFile(f hostpack.File) {
	data, st := f.Data, p.in.State
	if st == nil {
		st = &packState{holes: map[string][]hole{}}
	}
	if f.Fill {
		filled, holes, err := fill(f, p.in.Host, p.in.Facts)
		if err != nil {
			p.fail("%w", err)
			return
		}
		data, st.holes[f.Path] = filled, holes
	}
	step := p.text(f.Path, host.Meta{Mode: fs.FileMode(f.Mode), Owner: f.Owner, Group: f.Group}, data, f.Secret, "")
	if was, gone := st.gone[f.Path]; gone {
		step.Digest, step.Size, step.Content, step.gone = was.Digest, was.Size, goneContent(f.Path), true
	}
	st.files = append(st.files, step)
}

// clock starts chrony before anything that judges certificates.
func (p *planner) clock() {
	const config = "/etc/chrony.conf"
	for _, f := range p.packFiles() {
		if f.Path == config {
			p.packFile(f)
		}
	}
	for _, f := range p.index.Files {
		if f.Path == config {
			p.file(f, "")
		}
	}
	for _, u := range p.index.Units {
		if u.Name == chronyUnit {
			p.unit(u)
		}
	}
}

const chronyUnit = "chronyd.service"

// users are the owners of what is placed, apart from root.
func (p *planner) users() {
	seen := map[string]bool{"root": true, "": true}
	need := func(name string) {
		if !seen[name] {
			seen[name] = true
			p.add(&UserStep{Name: name, Home: "/var/lib/" + name})
		}
	}
	for _, d := range p.index.Dirs {
		need(d.Owner)
	}
	for _, f := range p.index.Files {
		need(f.Owner)
	}
	for _, f := range p.packFiles() {
		need(f.Owner)
	}
}

// texts places the rendered files, those of the role first. What docker's settings hold already is kept.
func (p *planner) texts() {
	const daemon = "/etc/docker/daemon.json"
	for _, f := range p.index.Files {
		a, ok := p.in.Bundle.Artifact(f.Artifact)
		switch {
		case ok && a.Kind == bundle.KindProgram, p.planned(kindFile + ":" + f.Path):
		case ok && f.Path == daemon:
			p.merge(f, a)
		default:
			p.file(f, "")
		}
	}
	for _, f := range p.packFiles() {
		if !p.planned(kindFile + ":" + f.Path) {
			p.packFile(f)
		}
	}
}

func (p *planner) merge(f bundle.File, a bundle.Artifact) {
	data, ok := p.in.Texts[f.Path]
	if !ok {
		p.fail("%s: the content of %s was not read", f.Path, a.Name)
		return
	}
	p.parents(f.Path)
	p.add(&JSONMergeStep{Path: f.Path, Values: data})
}

// planned reports whether the plan has the step already.
func (p *planner) planned(id string) bool {
	return slices.ContainsFunc(p.plan.Steps(), func(s Step) bool { return s.ID() == id })
}

func (p *planner) links() {
	for _, l := range p.index.Links {
		p.parents(l.Path)
		p.add(&LinkStep{Path: l.Path, Target: l.Target})
	}
}

// unit plans the start of one unit.
func (p *planner) unit(u bundle.Unit) {
	if !p.planned(kindUnit + ":" + u.Name) {
		p.add(&UnitStep{Unit: u.Name, Restarts: u.Restarts})
	}
}

// units plans the start of those units that pick says, in the order of the index.
func (p *planner) units(pick func(bundle.Unit) bool) {
	for _, u := range p.index.Units {
		if pick(u) {
			p.unit(u)
		}
	}
}
