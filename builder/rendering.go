package builder

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"offgrid/builder/catalogue"
	"offgrid/builder/internal/manifest"
	"offgrid/builder/internal/pki"
	"offgrid/builder/internal/render"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// ExtrasError says that what the operator adds to the cluster cannot work there. It is found here and not on the site.
type ExtrasError struct{ Faults []string }

func (e *ExtrasError) Error() string {
	return "checking extras of " + ClusterName + ": " + strings.Join(e.Faults, "\n")
}

// renderAll makes the files of all roles and judges them: what cannot work is found here and not on a host.
func (s *Site) renderAll(selection *Selection, set *pki.Set) (map[string]*render.Role, error) {
	addons, err := s.addons(selection)
	if err != nil {
		return nil, err
	}
	registryCA, err := s.registryCA()
	if err != nil {
		return nil, err
	}
	checkImage := ""
	for _, a := range selection.Addons {
		if a.Kind == catalogue.AddonCheck {
			checkImage = a.Images[0]
		}
	}
	versions := selection.Versions
	all := map[string]*render.Role{}
	for _, spec := range selection.Roles {
		role, err := render.Render(render.Request{
			Cluster: s.cluster, PKI: set, Role: spec.Name, Images: selection.Known, Addons: addons, CheckImage: checkImage, RegistryCA: registryCA,
			Versions: render.Versions{Kubernetes: versions["kubernetes"], Etcd: versions["etcd"], Docker: versions["docker"]},
		})
		if err != nil {
			return nil, err
		}
		c := &roleCheck{cluster: s.cluster, pki: set, rendered: role, images: s.imageNames(selection)}
		for _, p := range spec.Programs {
			c.programs = append(c.programs, p.Path)
		}
		if err := c.run(); err != nil {
			return nil, err
		}
		all[spec.Name] = role
		s.report(progress.Event{Phase: "render", Item: spec.Name, Kind: progress.Done})
	}
	return all, nil
}

// imageNames are the names by which nodes know the images.
func (s *Site) imageNames(selection *Selection) []string {
	var names []string
	for _, ref := range selection.Known {
		names = append(names, s.cluster.ImageAt(ref))
	}
	return names
}

// addons lists what masters apply: the catalogue's, then the operator's, whose images get the names that nodes know.
func (s *Site) addons(selection *Selection) ([]render.Addon, error) {
	var all []render.Addon
	for _, a := range selection.Addons {
		if a.Kind == catalogue.AddonCheck {
			continue
		}
		addon := render.Addon{Name: a.Name, Version: a.Version, Template: a.Template, Images: map[string]string{}}
		for _, ref := range a.Images {
			addon.Images[catalogue.ImageName(ref)] = ref
		}
		all = append(all, addon)
	}
	var faults []string
	for _, name := range s.cluster.Extras.Manifests {
		data, err := s.extra(name, selection.Known)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		all = append(all, render.Addon{Name: addonName(name), Data: data})
	}
	if faults != nil {
		return nil, &ExtrasError{faults}
	}
	return all, nil
}

// extra reads a manifest of the operator's. Its images are checked under the names that the operator wrote.
func (s *Site) extra(name string, images []string) ([]byte, error) {
	data, err := readLimited(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the manifest %q is not in the site %q", name, s.opts.Dir)
	}
	if err != nil {
		return nil, err
	}
	objects, err := manifest.Read(name, data)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		for _, fault := range manifest.Unusable(o, images) {
			err = errors.Join(err, fmt.Errorf("%s %s", name, fault))
		}
	}
	if err != nil {
		return nil, err
	}
	if data, err = manifest.Rename(data, objects, s.cluster.ImageAt); err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return data, nil
}

// addonsApply insists that masters can apply what they are given, and nodes run it.
func (c *roleCheck) addonsApply() {
	var files []manifest.File
	for _, a := range c.rendered.Addons {
		for _, t := range c.rendered.Texts {
			if t.Path != a.Path {
				continue
			}
			objects, err := manifest.Read(a.Path, t.Data)
			if err != nil {
				c.add("%v", err)
				continue
			}
			files = append(files, manifest.File{Name: a.Path, Objects: objects})
		}
	}
	c.faults = append(c.faults, manifest.Check(files, c.images)...)
}

// controllerManager insists that nodes get networks of their own: the pod network waits for them.
func (c *roleCheck) controllerManager() {
	if c.rendered.Name != bundle.RoleMaster {
		return
	}
	c.placed(func(host, p string, data []byte) {
		if !strings.HasSuffix(p, "/kube-controller-manager") {
			return
		}
		for _, flag := range []string{"--allocate-node-cidrs=true ", "--cluster-cidr=" + c.cluster.Network.PodCIDR + " "} {
			if !strings.Contains(string(data), flag) {
				c.add("host %s: %s lacks %s: no node would get a network for its pods", host, p, strings.TrimSpace(flag))
			}
		}
	})
}
