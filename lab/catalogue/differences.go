package main

import (
	"fmt"

	"offgrid/builder/catalogue"
)

// A difference is one thing that the lab's catalogue says otherwise than the real one, apart from hosts, digests and key
// fingerprints. The list is literal: whatever is not in it must be the same, and a test compares.
type difference struct {
	path   string // where, as flatten names it; everything below it differs too
	reason string
	apply  func(*catalogue.Catalogue) error
}

func differences() []difference { return append(downloadDifferences(), packageDifferences()...) }

func downloadDifferences() []difference {
	return []difference{
		{
			path:   "mirrors",
			reason: "the lab's upstream has no mirrors of its own",
			apply:  func(c *catalogue.Catalogue) error { c.Mirrors = nil; return nil },
		},
		{
			path:   "downloads[etcd].default",
			reason: "Debian 12 has etcd 3.4.23; 3.4.26 is to be had neither as a Debian package nor as a Go module",
			apply: func(c *catalogue.Catalogue) error {
				d, err := download(c, "etcd")
				if err == nil {
					d.Default = etcdVersion
				}
				return err
			},
		},
		{
			path:   "downloads[etcd].releases",
			reason: "the same",
			apply: func(c *catalogue.Catalogue) error {
				d, err := download(c, "etcd")
				if err != nil {
					return err
				}
				at := "https://github.com/etcd-io/etcd/releases/download/" + etcdVersion + "/"
				d.Releases = []catalogue.Release{{
					Version: etcdVersion,
					URL:     at + "etcd-" + etcdVersion + "-linux-amd64.tar.gz",
					Sums:    &catalogue.Sums{URL: at + "SHA256SUMS", Algorithm: "sha256"},
				}}
				return nil
			},
		},
		{
			path:   "downloads[cni-plugins].releases[v0.9.1]",
			reason: "one release of the plugins is built, the default one",
			apply: func(c *catalogue.Catalogue) error {
				d, err := download(c, "cni-plugins")
				if err == nil {
					d.Releases = d.Releases[:1]
				}
				return err
			},
		},
	}
}

func packageDifferences() []difference {
	return []difference{
		{
			path:   "packageSets[docker].releases[19.03.15]",
			reason: "Debian 12 has docker 20.10.24 only",
			apply: func(c *catalogue.Catalogue) error {
				s, err := packageSet(c, "docker")
				if err == nil {
					s.Releases = s.Releases[:1]
				}
				return err
			},
		},
		{
			path:   "packageSets[docker].releases[20.10.24].packages[containerd.io].evr",
			reason: "Debian 12 has containerd 1.6.20",
			apply: func(c *catalogue.Catalogue) error {
				s, err := packageSet(c, "docker")
				if err != nil {
					return err
				}
				for i := range s.Releases[0].Packages {
					if p := &s.Releases[0].Packages[i]; p.Name == "containerd.io" {
						p.EVR = "1.6.20-3.1.el7"
					}
				}
				return nil
			},
		},
	}
}

// etcdVersion is what Debian 12 has.
const etcdVersion = "v3.4.23"

func download(c *catalogue.Catalogue, id string) (*catalogue.Download, error) {
	for i := range c.Downloads {
		if c.Downloads[i].ID == id {
			return &c.Downloads[i], nil
		}
	}
	return nil, fmt.Errorf("looking for download %q: the catalogue has none", id)
}

func packageSet(c *catalogue.Catalogue, id string) (*catalogue.PackageSet, error) {
	for i := range c.PackageSets {
		if c.PackageSets[i].ID == id {
			return &c.PackageSets[i], nil
		}
	}
	return nil, fmt.Errorf("looking for package set %q: the catalogue has none", id)
}
