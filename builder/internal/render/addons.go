package render

import (
	"fmt"
	"slices"

	"offgrid/builder/cluster"
	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

const addonsDir = kubeCfg + "/addons"

// Addon is something that a master applies to the cluster.
type Addon struct {
	Name     string
	Version  string
	Template string            // below templates/addons: "flannel.yaml"; "": Data is the file
	Images   map[string]string // references by their last name: "flannel"
	Data     []byte            // what the operator brought; its images carry the names that nodes know them by
}

// addonView is what the template of an add-on sees.
type addonView struct {
	view
	Addon Addon
}

// Image is the reference of one of the add-on's images, as nodes know it.
func (v addonView) Image(name string) (string, error) {
	ref, ok := v.Addon.Images[name]
	if !ok {
		return "", fmt.Errorf("the catalogue gives the add-on %s no image named %q", v.Addon.Name, name)
	}
	return v.File.ImageAt(ref), nil
}

// addons places what a master applies: what the cluster needs of itself, then the add-ons in their order.
func (r *renderer) addons(role *Role) {
	role.Dirs = append(role.Dirs, dir(addonsDir, 0o755))
	role.Addons = append(role.Addons, bundle.Addon{Name: "cluster-jobs", Path: kubeCfg + "/cluster-jobs.yaml"})
	for _, a := range r.req.Addons {
		path := addonsDir + "/" + a.Name + ".yaml"
		data := a.Data
		if a.Template != "" {
			var err error
			if data, err = r.execute("addons/"+a.Template, addonView{r.view, a}); err != nil && r.err == nil {
				r.err = err
			}
		}
		role.Texts = append(role.Texts, r.plain(path, data, "root"))
		role.Addons = append(role.Addons, bundle.Addon{Name: a.Name, Path: path})
	}
}

// timer places a timer and the service that it starts.
func (r *renderer) timer(role *Role, name string) {
	service := r.unit(name + ".service")
	timer := r.unit(name + ".timer")
	role.Texts = append(role.Texts, service, timer)
	role.Units = append(role.Units, bundle.Unit{Name: timer.Artifact[len("unit/"):], Restarts: []string{service.Path}})
}

// snapshots makes etcd's members save the database regularly.
func (r *renderer) snapshots(role *Role) {
	dir := r.req.Cluster.Etcd.Snapshots.Dir
	role.Dirs = append(role.Dirs, bundle.Dir{Path: dir, Mode: 0o700, Owner: "root", Group: "root", Keep: "data"})
	for _, parent := range parents(dir) {
		if !slices.ContainsFunc(role.Dirs, func(d bundle.Dir) bool { return d.Path == parent.Path }) {
			role.Dirs = append(role.Dirs, parent)
		}
	}
	r.timer(role, "etcd/offgrid-etcd-snapshot")
}

// joinHost stands for a host that the cluster file does not list.
func joinHost() cluster.Host {
	return cluster.Host{Name: bundle.JoinPack, IP: hostpack.FillIP, Roles: []string{cluster.RoleNode}}
}
