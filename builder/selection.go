package builder

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"offgrid/builder/catalogue"
	"offgrid/builder/cluster"
)

// Selection is what a cluster needs of a catalogue: one release of each thing that some role in use asks for.
type Selection struct {
	Roles     []catalogue.Role   // in use, sorted by name; the nodes' has the images of the add-ons and the extras
	Downloads []SelectedDownload // sorted by ID
	Sets      []SelectedSet      // sorted by ID
	Images    []catalogue.Image  // to be locked, sorted by ref; aboard only when the site has no registry of its own
	Addons    []catalogue.Addon  // in the order in which they are applied
	Known     []string           // references that nodes know, from the bundle or from the site's registry, sorted
	Versions  map[string]string  // by component: what was chosen
	Kernel    *catalogue.Kernel  // nil: hosts keep their kernel, and none is carried
}

// SelectedDownload is one release of a download and the members that some role needs.
type SelectedDownload struct {
	Download catalogue.Download
	Release  catalogue.Release
	Members  []catalogue.Member // "{version}" is filled in; sorted by name
}

// SelectedSet is one release of a package set.
type SelectedSet struct {
	ID       string
	Version  string
	Packages []catalogue.Package
}

// Select chooses from the catalogue what the cluster needs. The error names everything that does not fit.
func Select(c *cluster.File, cat *catalogue.Catalogue) (*Selection, error) {
	s := &selecting{cluster: c, cat: cat, members: map[string]map[string]bool{}, sets: map[string]bool{}, images: map[string]bool{}}
	s.out.Versions = map[string]string{}
	s.addons()
	s.kernel()
	for _, r := range cat.Roles {
		if r.Name == cluster.RoleNode {
			s.out.Known = s.nodeImages(r.Images)
		}
	}
	for _, name := range rolesInUse(c) {
		s.role(name)
	}
	s.downloads()
	s.packages()
	for _, m := range cat.Images {
		if s.images[m.Ref] {
			s.out.Images = append(s.out.Images, m)
			delete(s.images, m.Ref)
		}
	}
	for ref := range s.images { // the operator's own
		s.out.Images = append(s.out.Images, catalogue.Image{Ref: ref, Source: ref})
	}
	slices.SortFunc(s.out.Images, func(a, b catalogue.Image) int { return strings.Compare(a.Ref, b.Ref) })
	if len(s.faults) > 0 {
		return nil, errors.Join(s.faults...)
	}
	return &s.out, nil
}

type selecting struct {
	cluster *cluster.File
	cat     *catalogue.Catalogue
	members map[string]map[string]bool // download ID, artifact name
	sets    map[string]bool
	images  map[string]bool
	faults  []error
	out     Selection
}

func (s *selecting) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Errorf(format, args...))
}

func (s *selecting) role(name string) {
	i := slices.IndexFunc(s.cat.Roles, func(r catalogue.Role) bool { return r.Name == name })
	if i < 0 {
		s.fault("choosing from catalogue %q: it has nothing for the role %q", s.cat.Name, name)
		return
	}
	r := s.cat.Roles[i]
	if name == cluster.RoleNode {
		r.Images = s.out.Known
	}
	if s.out.Kernel != nil {
		r.PackageSets = append(slices.Clone(r.PackageSets), s.out.Kernel.PackageSet)
	}
	for _, ref := range r.Images {
		s.images[ref] = true
	}
	if s.cluster.Images.Registry != "" {
		s.registryNames(r.Images)
		r.Images = nil
	}
	s.out.Roles = append(s.out.Roles, r)
	for _, p := range r.Programs {
		d, m, ok := s.cat.Artifact(p.Artifact)
		if !ok {
			s.fault("choosing from catalogue %q: no download gives %q", s.cat.Name, p.Artifact)
			continue
		}
		if s.members[d.ID] == nil {
			s.members[d.ID] = map[string]bool{}
		}
		if m != nil {
			s.members[d.ID][m.Name] = true
		}
	}
	for _, id := range r.PackageSets {
		s.sets[id] = true
	}
}

// kernel chooses the kernel that is carried, when one is.
func (s *selecting) kernel() {
	if !s.cluster.CarriesKernel() {
		return
	}
	if s.out.Kernel = s.cat.Kernel; s.cat.Kernel == nil {
		s.fault("choosing from catalogue %q: host.kernel.mode is %q, and it has no kernel", s.cat.Name, s.cluster.OS.Kernel.Mode)
	}
}

// addons chooses what runs in the cluster: the pod network by its name, of the other kinds all.
func (s *selecting) addons() {
	for _, kind := range []string{catalogue.AddonCNI, catalogue.AddonDNS, catalogue.AddonCheck} {
		found := false
		for _, a := range s.cat.Addons {
			if a.Kind == kind && (kind != catalogue.AddonCNI || a.Name == s.cluster.Network.CNI) {
				s.out.Addons = append(s.out.Addons, a)
				found = true
			}
		}
		cni := s.cluster.Network.CNI
		if kind == catalogue.AddonCNI && !found && cni != "" && cni != cluster.CNINone {
			s.fault("choosing from catalogue %q: network.cni is %q, and it has no such pod network", s.cat.Name, cni)
		}
	}
	for _, a := range s.out.Addons {
		if a.Kind == catalogue.AddonCheck {
			continue
		}
		if file := slices.IndexFunc(s.cluster.Extras.Manifests, func(m string) bool { return addonName(m) == a.Name }); file >= 0 {
			s.fault("choosing from catalogue %q: the manifest %q of extras would have the name of the add-on %s; rename it", s.cat.Name, s.cluster.Extras.Manifests[file], a.Name)
		}
	}
}

// nodeImages adds to the images of the role those of the add-ons and the operator's own, sorted.
func (s *selecting) nodeImages(own []string) []string {
	all := slices.Clone(own)
	for _, a := range s.out.Addons {
		all = append(all, a.Images...)
	}
	all = append(all, s.cluster.Extras.Images...)
	slices.Sort(all)
	return slices.Compact(all)
}

// registryNames refuses two images that would have one name in the site's registry.
func (s *selecting) registryNames(refs []string) {
	first := map[string]string{}
	for _, ref := range refs {
		name := s.cluster.ImageAt(ref)
		if other, taken := first[name]; taken {
			s.fault("choosing from catalogue %q: the images %s and %s would both be %s in images.registry", s.cat.Name, other, ref, name)
		}
		first[name] = ref
	}
}

// addonName is the name of an add-on that comes from a file of the operator's.
func addonName(file string) string {
	base := path.Base(file)
	return strings.TrimSuffix(base, path.Ext(base))
}

// asked returns the version that the cluster file names for a component, "" when it leaves the choice to the catalogue.
func (s *selecting) asked(component string) string {
	switch component {
	case "kubernetes":
		return s.cluster.Versions.Kubernetes
	case "etcd":
		return s.cluster.Versions.Etcd
	case "docker":
		return s.cluster.Versions.Docker
	case catalogue.ComponentKernel:
		return s.cluster.Versions.Kernel
	}
	return ""
}

// choose returns the index of the wanted version.
func (s *selecting) choose(what, component, def string, have []string) int {
	want := s.asked(component)
	if want == "" {
		want = def
	}
	i := slices.Index(have, want)
	if i < 0 {
		s.fault("choosing %s: versions.%s is %q, the catalogue %q has %s", what, component, want, s.cat.Name, strings.Join(have, ", "))
		return -1
	}
	if component != "" {
		s.out.Versions[component] = want
	}
	return i
}

func (s *selecting) downloads() {
	for _, d := range s.cat.Downloads {
		names := s.members[d.ID]
		if names == nil {
			continue
		}
		var have []string
		for _, r := range d.Releases {
			have = append(have, r.Version)
		}
		i := s.choose(d.ID, d.Component, d.Default, have)
		if i < 0 {
			continue
		}
		sel := SelectedDownload{Download: d, Release: d.Releases[i]}
		fill := strings.NewReplacer("{version}", strings.TrimPrefix(sel.Release.Version, "v"))
		for _, m := range d.Members {
			if names[m.Name] {
				sel.Members = append(sel.Members, catalogue.Member{Name: m.Name, Path: fill.Replace(m.Path), Contains: fill.Replace(m.Contains)})
			}
		}
		slices.SortFunc(sel.Members, func(a, b catalogue.Member) int { return strings.Compare(a.Name, b.Name) })
		s.out.Downloads = append(s.out.Downloads, sel)
	}
	slices.SortFunc(s.out.Downloads, func(a, b SelectedDownload) int { return strings.Compare(a.Download.ID, b.Download.ID) })
}

func (s *selecting) packages() {
	for _, set := range s.cat.PackageSets {
		if !s.sets[set.ID] {
			continue
		}
		i := 0
		if set.Component != "" {
			var have []string
			for _, r := range set.Releases {
				have = append(have, r.Version)
			}
			i = s.choose("package set "+set.ID, set.Component, set.Default, have)
		}
		if i < 0 || i >= len(set.Releases) {
			continue
		}
		r := set.Releases[i]
		s.out.Sets = append(s.out.Sets, SelectedSet{ID: set.ID, Version: r.Version, Packages: r.Packages})
	}
	slices.SortFunc(s.out.Sets, func(a, b SelectedSet) int { return strings.Compare(a.ID, b.ID) })
}
