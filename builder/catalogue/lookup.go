package catalogue

// Kinds of downloads.
const (
	KindArchive = "archive" // tar.gz
	KindFile    = "file"
)

// ComponentKernel is the component of the package set that is the kernel.
const ComponentKernel = "kernel"

// Artifact finds what gives the artifact with this name: a download, and the member of it when it is an archive.
func (c *Catalogue) Artifact(name string) (d *Download, m *Member, ok bool) {
	for i := range c.Downloads {
		d := &c.Downloads[i]
		if d.Kind == KindFile && d.ID == name {
			return d, nil, true
		}
		for j := range d.Members {
			if d.Members[j].Name == name {
				return d, &d.Members[j], true
			}
		}
	}
	return nil, nil, false
}

// MirrorSet returns the rules of the set with this name.
func (c *Catalogue) MirrorSet(name string) ([]Mirror, bool) {
	for _, m := range c.Mirrors {
		if m.Name == name {
			return m.Rules, true
		}
	}
	return nil, false
}
