package compare

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"offgrid/bundle"
)

// cluster compares what every host of the site agrees on, setting by setting, and what the bundles are for.
func (c *comparison) cluster() {
	a, b := &c.a.Role, &c.b.Role
	c.values(WhatBundle, "role", a.Role, b.Role)
	c.values(WhatBundle, "platform", platform(a.Platform), platform(b.Platform))
	c.values(WhatBundle, "format", fmt.Sprint(a.Format), fmt.Sprint(b.Format))
	before, after := c.flat(a.Cluster), c.flat(b.Cluster)
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		_, was := before[name]
		_, is := after[name]
		switch {
		case !was:
			c.add(Change{What: WhatCluster, Name: name, Change: Added, After: after[name]})
		case !is:
			c.add(Change{What: WhatCluster, Name: name, Change: Removed, Before: before[name]})
		default:
			c.values(WhatCluster, name, before[name], after[name])
		}
	}
}

func platform(p bundle.Platform) string { return p.OS + "/" + p.Arch + " " + p.Family }

// flat writes a structure as its settings: "policy.cni" and "flannel". Lists are one setting.
func (c *comparison) flat(v any) map[string]string {
	settings := map[string]string{}
	data, err := json.Marshal(v)
	var tree any
	if err == nil {
		err = json.Unmarshal(data, &tree)
	}
	if err != nil {
		c.err = fmt.Errorf("internal error: settings as JSON: %w", err)
		return nil
	}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		if m, ok := v.(map[string]any); ok {
			for key, value := range m {
				walk(strings.TrimPrefix(name+"."+key, "."), value)
			}
			return
		}
		if text, ok := v.(string); ok {
			settings[name] = text
			return
		}
		if n, ok := v.(float64); ok {
			settings[name] = fmt.Sprintf("%.0f", n) // the index knows whole numbers only
			return
		}
		text, err := json.Marshal(v)
		if err != nil {
			c.err = fmt.Errorf("internal error: settings as JSON: %w", err)
		}
		settings[name] = string(text)
	}
	walk("", tree)
	return settings
}

func (c *comparison) hosts() {
	texts(c, WhatHost, c.a.Role.Hosts, c.b.Role.Hosts, func(h bundle.Host) string { return h.Name }, func(h bundle.Host) string {
		text := h.IP + " " + strings.Join(h.Roles, ",")
		if h.EtcdName != "" {
			text += " member " + h.EtcdName
		}
		if h.NodeName != "" && h.NodeName != h.Name {
			text += " node " + h.NodeName
		}
		if h.Spare {
			text += " spare"
		}
		return text
	})
	if !slices.EqualFunc(c.a.Role.Hosts, c.b.Role.Hosts, func(x, y bundle.Host) bool { return x.Name == y.Name }) &&
		slices.Equal(sortedNames(c.a.Role.Hosts), sortedNames(c.b.Role.Hosts)) {
		c.add(Change{What: WhatHost, Name: "order", Change: Changed})
	}
}

func sortedNames(hosts []bundle.Host) []string {
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	slices.Sort(names)
	return names
}

func kernelPackages(b *bundle.Bundle) []bundle.Package {
	if b.Role.Kernel == nil {
		return nil
	}
	return b.Role.Kernel.Packages
}

// packages compares RPMs by name and architecture. One of the same version with other bytes is a change as well.
func (c *comparison) packages(what string, a, b []bundle.Package) {
	key := func(p bundle.Package) string { return p.Name + "." + p.Arch }
	pairs(c, what, a, b, key, bundle.Package.EVR, func(name string, x, y bundle.Package) {
		before, after := x.EVR(), y.EVR()
		xa, _ := c.a.Artifact(x.Artifact)
		ya, _ := c.b.Artifact(y.Artifact)
		if before == after && xa.Blob.Digest != ya.Blob.Digest {
			before, after = before+", sha256 "+xa.Blob.Digest.Short(), after+", sha256 "+ya.Blob.Digest.Short()
		}
		c.values(what, name, before, after)
	})
}

func (c *comparison) images() {
	pairs(c, WhatImage, c.a.Role.Images, c.b.Role.Images, func(i bundle.Image) string { return i.Ref }, func(i bundle.Image) string { return "id " + i.ID.Short() },
		func(name string, x, y bundle.Image) {
			switch {
			case x.ID != y.ID:
				c.values(WhatImage, name, "id "+x.ID.Short(), "id "+y.ID.Short())
			case x.Manifest != y.Manifest:
				c.values(WhatImage, name, "manifest "+x.Manifest.Short(), "manifest "+y.Manifest.Short())
			}
		})
}

// settings compares what a role sets, loads, starts, looks at and applies.
func (c *comparison) settings() {
	a, b := &c.a.Role, &c.b.Role
	self := func(s string) string { return s }
	empty := func(string) string { return "" }
	texts(c, WhatSetting, prefixed("module ", a.Modules), prefixed("module ", b.Modules), self, empty)
	texts(c, WhatSetting, a.Sysctls, b.Sysctls, func(s bundle.Setting) string { return "sysctl " + s.Key }, func(s bundle.Setting) string { return s.Value })
	texts(c, WhatSetting, a.Checks, b.Checks, func(k bundle.Check) string { return "check of " + k.Unit + " " + k.URL },
		func(k bundle.Check) string { return fmt.Sprintf("%d s, ca %q", k.TimeoutSeconds, k.CA) })
	texts(c, WhatSetting, a.Addons, b.Addons, func(x bundle.Addon) string { return "add-on " + x.Name }, func(x bundle.Addon) string { return x.Path })
	texts(c, WhatUnit, a.Units, b.Units, func(u bundle.Unit) string { return u.Name }, func(u bundle.Unit) string {
		text := "restarts with " + strings.Join(u.Restarts, " ")
		if u.Package != "" {
			text = "of package " + u.Package + ", " + text
		}
		return text
	})
	order := func(what, name string, x, y []string) {
		if !slices.Equal(x, y) && slices.Equal(slices.Sorted(slices.Values(x)), slices.Sorted(slices.Values(y))) {
			c.add(Change{What: what, Name: name, Change: Changed, Before: strings.Join(x, " "), After: strings.Join(y, " ")})
		}
	}
	order(WhatUnit, "order", names(a.Units, func(u bundle.Unit) string { return u.Name }), names(b.Units, func(u bundle.Unit) string { return u.Name }))
	order(WhatSetting, "order of add-ons", names(a.Addons, func(x bundle.Addon) string { return x.Name }), names(b.Addons, func(x bundle.Addon) string { return x.Name }))
	if a.Kernel != nil && b.Kernel != nil {
		c.values(WhatKernel, "release", a.Kernel.Release, b.Kernel.Release)
	}
}

func prefixed(prefix string, list []string) []string {
	return names(list, func(s string) string { return prefix + s })
}

func names[T any](list []T, name func(T) string) []string {
	var all []string
	for _, x := range list {
		all = append(all, name(x))
	}
	return all
}
