// Package compare tells in what two bundles differ: packages, programs, images, files, settings, hosts and certificates.
//
// It says what an operator wants to know before he carries a new stick: not which bytes differ, but which things. Of what is
// secret it says only that it differs.
package compare

import (
	"cmp"
	"context"
	"slices"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// What a change is about.
const (
	WhatCluster     = "cluster"     // a setting of the cluster or its policy
	WhatHost        = "host"        // a row of the host table
	WhatPackage     = "package"     // an RPM
	WhatKernel      = "kernel"      // a package of the kernel that is carried
	WhatProgram     = "program"     // a fetched program
	WhatImage       = "image"       // a container image
	WhatFile        = "file"        // what is placed: content, mode, owner
	WhatText        = "text"        // a text that belongs to no file on a host
	WhatUnit        = "unit"        // a systemd unit that is started
	WhatSetting     = "setting"     // modules, sysctls, checks, add-ons
	WhatPack        = "host pack"   // the pack of a host, of which no more can be said
	WhatCertificate = "certificate" // of an authority, or in a host pack that was opened
	WhatBundle      = "bundle"      // role, platform, and how things are stored
)

// How it changed.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Change is one difference. Before and After are for people and never hold a secret.
type Change struct {
	What   string `json:"what"`
	Host   string `json:"host,omitempty"` // whose pack; "": the same for all hosts
	Name   string `json:"name"`
	Change string `json:"change"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Note   string `json:"note,omitempty"`  // instead of both, when they cannot be told
	Lines  *Lines `json:"lines,omitempty"` // of a text that changed
}

// Lines counts how a text changed: lines that the other one has not. Both are 0 when only their order is another one.
type Lines struct {
	Added   int `json:"added"`
	Removed int `json:"removed"`
}

// Unpack opens the host pack of a host, or returns nil when it cannot be opened here: then only the pack's digest is compared.
type Unpack func(ctx context.Context, b *bundle.Bundle, host string) (*hostpack.Pack, error)

// Bundles compares two bundles, sorted by what and name. The result is empty if and only if the roots are the same. unpack
// may be nil. It reads texts and packs, never programs; what goes wrong with them is the error.
func Bundles(ctx context.Context, a, b *bundle.Bundle, unpack Unpack) ([]Change, error) {
	if a.RootDigest == b.RootDigest {
		return nil, nil
	}
	c := &comparison{ctx: ctx, a: a, b: b, unpack: unpack}
	c.cluster()
	c.hosts()
	c.packages(WhatPackage, a.Role.Packages, b.Role.Packages)
	c.packages(WhatKernel, kernelPackages(a), kernelPackages(b))
	c.artifacts()
	c.images()
	c.placed()
	c.settings()
	if c.err == nil {
		c.packs()
	}
	if c.err != nil {
		return nil, c.err
	}
	if len(c.changes) == 0 {
		c.add(Change{What: WhatBundle, Name: "storage", Change: Changed, Note: "sources, or how the same content is stored"})
	}
	slices.SortStableFunc(c.changes, func(x, y Change) int {
		return cmp.Or(cmp.Compare(order(x.What), order(y.What)), cmp.Compare(x.Host, y.Host), cmp.Compare(x.Name, y.Name))
	})
	return c.changes, nil
}

// order puts what matters most first.
func order(what string) int {
	return slices.Index([]string{WhatBundle, WhatCluster, WhatHost, WhatKernel, WhatPackage, WhatProgram, WhatImage, WhatCertificate, WhatPack,
		WhatFile, WhatUnit, WhatSetting, WhatText}, what)
}

// comparison is one under way.
type comparison struct {
	ctx     context.Context
	a, b    *bundle.Bundle
	unpack  Unpack
	changes []Change
	err     error // the first that came up
}

func (c *comparison) add(change Change) { c.changes = append(c.changes, change) }

// pairs reports what is on one side only, and hands what is on both to both. Lists hold each key once.
func pairs[T any](c *comparison, what string, a, b []T, key, text func(T) string, both func(name string, x, y T)) {
	before, after := byKey(a, key), byKey(b, key)
	for _, x := range a {
		if _, ok := after[key(x)]; !ok {
			c.add(Change{What: what, Name: key(x), Change: Removed, Before: text(x)})
		}
	}
	for _, y := range b {
		if x, ok := before[key(y)]; ok {
			both(key(y), x, y)
			continue
		}
		c.add(Change{What: what, Name: key(y), Change: Added, After: text(y)})
	}
}

func byKey[T any](list []T, key func(T) string) map[string]T {
	m := make(map[string]T, len(list))
	for _, x := range list {
		m[key(x)] = x
	}
	return m
}

// texts compares lists whose elements are told whole by text.
func texts[T any](c *comparison, what string, a, b []T, key, text func(T) string) {
	pairs(c, what, a, b, key, text, func(name string, x, y T) { c.values(what, name, text(x), text(y)) })
}

// values reports two texts that differ.
func (c *comparison) values(what, name, before, after string) {
	if before != after {
		c.add(Change{What: what, Name: name, Change: Changed, Before: before, After: after})
	}
}
