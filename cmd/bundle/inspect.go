package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"offgrid/bundle"
	"offgrid/cmd/internal/console"
)

func newInspect(a *app) *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what a bundle is for and what is in it",
		Long: `Show a bundle's role, cluster, hosts and versions, and each artifact with its
size and who vouched for it. Reads the bundle's index only; bundle verify reads
every byte. Of a site file --role says which one.

With --json: file, size, root, fingerprint, signed (keyID; key and fingerprint
when --key, or the minisign.pub beside the file, has verified it), renewal
(programs, packages and images are not aboard), delta (what a delta bundle
builds on), packs (hosts whose keys are aboard) and index, the role index as the
format's specification (bundle/FORMAT.md) has it.

` + exitText,
		Example:           "  bundle inspect dist/node.bundle\n  bundle inspect --json dist/node.bundle",
		Args:              files(1),
		ValidArgsFunction: completeBundles,
		RunE:              func(_ *cobra.Command, args []string) error { return a.inspect(args[0], role) },
	}
	roleFlag(cmd, &role)
	a.keyFlag(cmd)
	return cmd
}

// inspected is what inspect prints for programs.
type inspected struct {
	File string        `json:"file"`
	Size int64         `json:"size"`
	Root bundle.Digest `json:"root"`
	// Fingerprint is the root's, Signed says whose signature it has.
	Fingerprint string       `json:"fingerprint"`
	Signed      *signedFacts `json:"signed"`
	Packs       []string     `json:"packs"` // hosts whose secrets are aboard
	// Renewal: programs, packages and images are not aboard.
	Renewal bool `json:"renewal"`
	// Delta is what the bundle builds on; left out when it is whole.
	Delta *bundle.Delta    `json:"delta,omitempty"`
	Index bundle.RoleIndex `json:"index"`
}

func (a *app) inspect(path, role string) error {
	b, err := a.openSignedRole(path, role)
	if err != nil {
		return err
	}
	defer b.Close()
	if a.console.JSON() {
		return a.console.PrintJSON(inspected{File: path, Size: b.Size, Root: b.RootDigest, Fingerprint: b.RootDigest.Fingerprint(), Signed: factsOf(b), Packs: b.PackHosts(), Renewal: b.Renewal, Delta: b.Delta, Index: b.Role})
	}
	a.sayHead(b)
	a.sayHosts(b)
	a.sayContent(b)
	return nil
}

func (a *app) sayHead(b *bundle.Bundle) {
	r, policy := &b.Role, &b.Role.Cluster.Policy
	say := func(name, format string, args ...any) {
		a.console.Say("%-12s %s", name+":", fmt.Sprintf(format, args...))
	}
	say("role", "%s", r.Role)
	say("fingerprint", "%s", b.RootDigest.Fingerprint())
	say("signed by", "%s", factsOf(b))
	say("root", "%s", b.RootDigest)
	say("format", "%d", r.Format)
	say("size", "%s", console.Bytes(b.Size))
	if b.Renewal {
		say("renewal", "certificates and settings; programs, packages and images must be on the host")
	}
	if b.Delta != nil {
		say("delta", "of %s, serial %d, fingerprint %s, which must be on the host", b.Delta.Base.Version, b.Delta.Base.Serial, b.Delta.Base.Root.Fingerprint())
		for _, p := range b.Delta.Programs {
			say("difference", "%s, %s, from %s", p.Name, console.Bytes(p.StoredSize), p.Path)
		}
	}
	say("platform", "%s/%s, packages for %s", r.Platform.OS, r.Platform.Arch, r.Platform.Family)
	say("cluster", "%s, id %s", r.Cluster.Name, r.Cluster.ID)
	say("serial", "%d (%s)", r.Cluster.Serial, time.Unix(r.Cluster.Serial, 0).UTC().Format(time.RFC3339))
	say("lock", "%s", r.Cluster.Lock.Short())
	say("valid from", "%s", r.Cluster.NotBefore.UTC().Format(time.RFC3339))
	say("versions", "kubernetes %s, etcd %s, docker %s", policy.KubeVersion, policy.EtcdVersion, policy.DockerVersion)
	say("API server", "%s", r.Cluster.APIServer)
	if r.Cluster.VIP != "" {
		say("VIP", "%s", r.Cluster.VIP)
	}
	say("networks", "services %s, pods %s (%s), DNS %s", r.Cluster.ServiceCIDR, r.Cluster.PodCIDR, policy.CNI, r.Cluster.DNSIP)
	if len(r.Addons) > 0 {
		var names []string
		for _, addon := range r.Addons {
			names = append(names, addon.Name)
		}
		say("applies", "%s", commas(names))
	}
	if r.Kernel != nil {
		say("kernel", "%s", r.Kernel.Release)
	}
	if len(r.Units) > 0 {
		var units []string
		for _, u := range r.Units {
			units = append(units, u.Name)
		}
		say("units", "%s", commas(units))
	}
}

func (a *app) sayHosts(b *bundle.Bundle) {
	secrets := map[string]bool{}
	for _, host := range b.PackHosts() {
		secrets[host] = true
	}
	var rows [][]string
	for _, h := range b.Role.Hosts {
		has := "-"
		if secrets[h.Name] {
			has = packState(b, h.Name)
		}
		roles := commas(h.Roles)
		if h.Spare {
			roles += " (spare)"
		}
		rows = append(rows, []string{h.Name, h.IP, roles, has})
	}
	if secrets[bundle.JoinPack] {
		rows = append(rows, []string{"any other", "in " + commas(b.Role.Cluster.JoinCIDRs), bundle.RoleNode, packState(b, bundle.JoinPack)})
	}
	a.console.Say("")
	a.console.Table([]string{"HOST", "IP", "ROLES", "KEYS"}, rows)
}

// packState says whether a host's keys can be read by whoever has the bundle.
func packState(b *bundle.Bundle, host string) string {
	p, ok := b.Pack(host)
	switch {
	case !ok:
		return "not here"
	case !p.Sealed:
		return "PLAIN"
	case p.SSHHostKey.Digest.IsZero():
		return "sealed: passphrase"
	}
	return "sealed: passphrase or SSH host key"
}

func (a *app) sayContent(b *bundle.Bundle) {
	var rows [][]string
	for _, art := range b.Role.Artifacts {
		rows = append(rows, []string{art.Name, orDash(art.Version), art.Kind, console.Bytes(art.Blob.Size), console.Bytes(art.Blob.StoredSize), art.Vouched})
	}
	a.console.Say("")
	a.console.Table([]string{"ARTIFACT", "VERSION", "KIND", "SIZE", "STORED", "VOUCHED FOR BY"}, rows)
	rows = nil
	for _, p := range b.Role.Packages {
		rows = append(rows, []string{p.Name, p.EVR(), p.Arch})
	}
	if len(rows) > 0 {
		a.console.Say("")
		a.console.Table([]string{"PACKAGE", "VERSION", "ARCH"}, rows)
	}
	rows = nil
	for _, image := range b.Role.Images {
		size := int64(0)
		if blobs, ok := b.Image(image.Ref); ok {
			for _, layer := range blobs.Layers {
				size += layer.Size
			}
		}
		rows = append(rows, []string{image.Ref, console.Bytes(size), image.Manifest.String()})
	}
	if len(rows) > 0 {
		a.console.Say("")
		a.console.Table([]string{"IMAGE", "SIZE", "MANIFEST"}, rows)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
