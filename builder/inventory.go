package builder

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"offgrid/builder/internal/strictyaml"
	"offgrid/bundle"
)

// InventoryName is the directory of a site that WriteInventory writes.
const InventoryName = "ansible"

// Inventory is what WriteInventory wrote.
type Inventory struct {
	Hosts []InventoryHost `json:"hosts"`
	Files []string        `json:"files"` // paths
}

// InventoryHost is a host with its roles in the order of installation, and the files of dist/ that it needs.
type InventoryHost struct {
	Name  string   `json:"name"`
	IP    string   `json:"ip"`
	Roles []string `json:"roles"`
	Files []string `json:"files"`
}

// ansible is the inventory as Ansible reads it.
type ansible struct {
	Offgrid struct {
		Hosts map[string]ansibleHost `yaml:"hosts"`
		Vars  ansibleVars            `yaml:"vars"`
	} `yaml:"offgrid"`
}

// ansibleHost has the variables of a host that the play uses, ansibleVars those of all.
type ansibleHost struct {
	Host  string   `yaml:"ansible_host"`
	Roles []string `yaml:"offgrid_roles"`
	Files []string `yaml:"offgrid_files"`
}

type ansibleVars struct {
	User string `yaml:"ansible_user"`
	Dist string `yaml:"offgrid_dist"`
}

// WriteInventory writes, for a site whose bundles are in dist/, hosts.yaml and install.yaml: an Ansible inventory of the hosts that
// these bundles know, spares left out, and the play, which copies to each what it needs and runs ./install there. They hold no secret.
func WriteInventory(dir string, play []byte) (*Inventory, error) {
	dist := filepath.Join(dir, DistName)
	paths, err := filepath.Glob(filepath.Join(dist, "*"+bundleSuffix))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, &NothingBuiltError{dist}
	}
	all := &Inventory{Files: []string{}}
	if err := all.read(paths); err != nil {
		return nil, err
	}
	dist, err = filepath.Abs(dist)
	if err != nil {
		return nil, err
	}
	hosts, err := all.hosts(dist)
	if err != nil {
		return nil, err
	}
	out := filepath.Join(dir, InventoryName)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{"hosts.yaml": hosts, "install.yaml": play} {
		if err := WriteFile(filepath.Join(out, name), 0o644, writeBytes(data)); err != nil {
			return nil, err
		}
		all.Files = append(all.Files, filepath.Join(out, name))
	}
	slices.Sort(all.Files)
	return all, nil
}

// NothingBuiltError says that dist/ has no bundles.
type NothingBuiltError struct{ Dir string }

func (e *NothingBuiltError) Error() string { return e.Dir + " has no bundles" }

// read notes what the bundles say of their hosts, in the order in which roles are installed.
func (i *Inventory) read(paths []string) error {
	type said struct {
		role, file string
		hosts      []bundle.Host
	}
	var all []said
	for _, path := range paths {
		opened, err := bundle.OpenAll(path)
		if err != nil {
			return err
		}
		for _, b := range opened {
			all = append(all, said{b.Role.Role, filepath.Base(path), b.Role.Hosts})
			err = errors.Join(err, b.Close())
		}
		if err != nil {
			return err
		}
	}
	place := func(x said) int { return slices.Index(bundle.RoleOrder(), x.role) }
	slices.SortStableFunc(all, func(x, y said) int { return cmp.Compare(place(x), place(y)) })
	for _, x := range all {
		i.noteHosts(x.hosts, x.role, x.file)
	}
	return nil
}

func (i *Inventory) noteHosts(hosts []bundle.Host, role, file string) {
	for _, h := range hosts {
		if h.Spare || !slices.Contains(h.Roles, role) {
			continue
		}
		at := slices.IndexFunc(i.Hosts, func(x InventoryHost) bool { return x.IP == h.IP })
		if at < 0 {
			at = len(i.Hosts)
			i.Hosts = append(i.Hosts, InventoryHost{Name: h.Name, IP: h.IP})
		}
		x := &i.Hosts[at]
		if !slices.Contains(x.Roles, role) {
			x.Roles = append(x.Roles, role)
		}
		if !slices.Contains(x.Files, file) {
			x.Files = append(x.Files, file)
		}
	}
}

// hosts is the inventory as text.
func (i *Inventory) hosts(dist string) ([]byte, error) {
	var a ansible
	a.Offgrid.Hosts, a.Offgrid.Vars = map[string]ansibleHost{}, ansibleVars{"root", dist}
	for _, h := range i.Hosts {
		a.Offgrid.Hosts[h.Name] = ansibleHost{h.IP, h.Roles, h.Files}
	}
	text, err := strictyaml.Marshal(a)
	return append(fmt.Appendf(nil, "# Written by `bundle inventory` from the bundles in %s.\n", dist), text...), err
}
