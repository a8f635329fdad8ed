package builder

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"offgrid/builder/cluster"
	"offgrid/builder/internal/pki"
	"offgrid/builder/internal/render"
	"offgrid/bundle"
)

// RenderError says that what was rendered cannot work on a host. It is found here and not on the site.
type RenderError struct {
	Role   string
	Faults []string
}

func (e *RenderError) Error() string {
	return fmt.Sprintf("checking what was rendered for role %q: %s", e.Role, strings.Join(e.Faults, "\n"))
}

// carriedInstaller is where the installer puts itself on a host.
const carriedInstaller = "/var/lib/offgrid/install"

// roleCheck judges what was rendered for a role by what else is aboard. It shares no code with the rendering.
type roleCheck struct {
	cluster  *cluster.File
	pki      *pki.Set
	rendered *render.Role
	images   []string // names by which nodes know images
	programs []string // paths of the programs aboard
	faults   []string
}

func (c *roleCheck) add(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// run returns a *RenderError with all faults.
func (c *roleCheck) run() error {
	c.certificates()
	c.units()
	c.etcdTwins()
	c.kubeconfigs()
	c.docker()
	c.imagesNamed()
	c.addonsApply()
	c.controllerManager()
	c.secrets()
	if len(c.faults) > 0 {
		return &RenderError{Role: c.rendered.Name, Faults: c.faults}
	}
	return nil
}

// placed calls f for every file that the role places; host is "" for those of all hosts.
func (c *roleCheck) placed(f func(host, path string, data []byte)) {
	for _, t := range c.rendered.Texts {
		f("", t.Path, t.Data)
	}
	for _, p := range c.rendered.Packs {
		for _, file := range p.Files {
			f(p.Host, file.Path, file.Data)
		}
	}
}

// certificates insists that no certificate outlives its CA and that each server's names the addresses it is dialled by.
func (c *roleCheck) certificates() {
	for _, leaf := range c.pki.Leaves() {
		name, ca := leaf.Host+"/"+leaf.Name, c.pki.CA(leaf.CA).Parsed
		if leaf.Parsed.NotAfter.After(ca.NotAfter) || leaf.Parsed.NotBefore.Before(ca.NotBefore) {
			c.add("certificate %s is valid outside the life of its CA", name)
		}
		if err := leaf.Parsed.CheckSignatureFrom(ca); err != nil {
			c.add("certificate %s: %v", name, err)
		}
		for _, dialled := range c.dialled(leaf) {
			if err := leaf.Parsed.VerifyHostname(dialled); err != nil {
				c.add("certificate %s: %v", name, err)
			}
		}
		if serves := slices.Contains(leaf.Parsed.ExtKeyUsage, x509.ExtKeyUsageServerAuth); serves != (len(c.dialled(leaf)) > 0) {
			c.add("certificate %s: may it serve? it says %v", name, serves)
		}
	}
}

// dialled lists the names and addresses by which clients reach the owner of a certificate; none when it does not serve.
func (c *roleCheck) dialled(leaf pki.Leaf) []string {
	h, ok := c.cluster.HostNamed(leaf.Host)
	if !ok {
		return nil
	}
	switch leaf.Name {
	case pki.EtcdServer:
		return []string{h.IP, "127.0.0.1", "localhost"}
	case pki.EtcdPeer, pki.KubeletServer:
		return []string{h.IP}
	case pki.APIServer:
		service := netip.MustParsePrefix(c.cluster.Network.ServiceCIDR).Addr().Next().String()
		names := []string{h.IP, c.cluster.API.Endpoint, service}
		if c.cluster.API.VIP != "" {
			names = append(names, c.cluster.API.VIP)
		}
		return append(append(names, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc."+c.cluster.Network.DNSDomain), c.cluster.API.ExtraSANs...)
	}
	return nil
}

// units insists that systemd 219 understands each unit and that the programs they start, and the links, are aboard.
func (c *roleCheck) units() {
	var units []string
	programs := slices.Clone(c.programs)
	for _, t := range c.rendered.Texts {
		if t.Mode&0o111 != 0 {
			programs = append(programs, t.Path) // a script
		}
	}
	for _, t := range c.rendered.Texts {
		if path.Ext(t.Path) != ".service" && path.Ext(t.Path) != ".timer" {
			continue
		}
		units = append(units, path.Base(t.Path))
		c.faults = append(c.faults, unitFaults(t.Path, t.Data)...)
		for _, m := range regexp.MustCompile(`(?m)^Exec\w+=[-@]*(\S+)`).FindAllSubmatch(t.Data, -1) {
			if !slices.Contains(programs, string(m[1])) && string(m[1]) != carriedInstaller {
				c.add("%s starts %s, which is not aboard", t.Path, m[1])
			}
		}
	}
	for _, u := range c.rendered.Units {
		if u.Package == "" && !slices.Contains(units, u.Name) {
			c.add("unit %s is started but not placed", u.Name)
		}
	}
	for _, name := range units {
		if timer, ok := strings.CutSuffix(name, ".timer"); ok && !slices.Contains(units, timer+".service") {
			c.add("unit %s starts %s.service, which is not placed", name, timer)
		}
	}
	for _, l := range c.rendered.Links {
		if !slices.Contains(c.programs, l.Target) {
			c.add("link %s leads to %s, which is not aboard", l.Path, l.Target)
		}
	}
}

// etcdTwins insists that nothing is set twice: etcd 3.4 ends when a flag has its twin in the environment.
func (c *roleCheck) etcdTwins() {
	var flags []string
	for _, t := range c.rendered.Texts {
		if path.Base(t.Path) == "etcd.service" {
			flags = regexp.MustCompile(`--[a-z0-9-]+`).FindAllString(string(t.Data), -1)
		}
	}
	c.placed(func(host, p string, data []byte) {
		for _, key := range regexp.MustCompile(`(?m)^ETCD_[A-Z0-9_]+`).FindAllString(string(data), -1) {
			flag := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(key, "ETCD_"), "_", "-"))
			if slices.Contains(flags, flag) {
				c.add("host %s: %s sets %s, and the unit of etcd %s: etcd would end at once", host, p, key, flag)
			}
		}
	})
}

// kubeconfigs insists that they lead to an API server: the endpoint or a master.
func (c *roleCheck) kubeconfigs() {
	right := []string{c.cluster.Server()}
	for _, m := range c.cluster.With(cluster.RoleMaster) {
		right = append(right, c.cluster.ServerAt(m.IP))
	}
	c.placed(func(host, p string, data []byte) {
		if path.Ext(p) != ".kubeconfig" && !strings.HasSuffix(p, "/.kube/config") {
			return
		}
		m := regexp.MustCompile(`(?m)^\s*server: (\S+)$`).FindSubmatch(data)
		if m == nil || !slices.Contains(right, string(m[1])) {
			c.add("host %s: %s leads to no API server of the cluster (%s)", host, p, strings.Join(right, ", "))
		}
	})
}

// docker refuses what kubelet 1.20 cannot work with, whoever chose it: the cluster file or the catalogue.
func (c *roleCheck) docker() {
	version := c.rendered.Cluster.Policy.DockerVersion
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	if c.rendered.Name == bundle.RoleNode && (err != nil || n >= cluster.MaxDockerMajor) {
		c.add("docker %q does not work with Kubernetes v1.20; use 20.10 or 19.03", version)
	}
}

// imagesNamed insists that the image which kubelet is told of is aboard: nothing can be pulled on the site.
func (c *roleCheck) imagesNamed() {
	names := regexp.MustCompile(`--pod-infra-container-image=([^\s"\\]+)`)
	c.placed(func(host, p string, data []byte) {
		for _, m := range names.FindAllSubmatch(data, -1) {
			if !slices.Contains(c.images, string(m[1])) {
				c.add("%s names the image %s, which is not aboard", strings.TrimSpace(host+" "+p), m[1])
			}
		}
	})
}

// secrets insists that a CA key is nowhere but on masters, and there only that of Kubernetes, and that public files hold no
// private key and no token.
func (c *roleCheck) secrets() {
	keys := map[string][]byte{pki.CAEtcd: c.pki.CA(pki.CAEtcd).Key, pki.CAFrontProxy: c.pki.CA(pki.CAFrontProxy).Key}
	if c.rendered.Name != bundle.RoleMaster {
		keys[pki.CAKubernetes] = c.pki.CA(pki.CAKubernetes).Key
	}
	c.placed(func(host, p string, data []byte) {
		for _, ca := range []string{pki.CAKubernetes, pki.CAEtcd, pki.CAFrontProxy} {
			if key, guarded := keys[ca]; guarded && holds(data, key) {
				c.add("host %s: %s holds the key of the %s CA", host, p, ca)
			}
		}
		for _, secret := range []string{"PRIVATE KEY", c.pki.TokenSecret, c.pki.EncryptionKey, c.pki.StaticToken} {
			if host == "" && secret != "" && strings.Contains(string(data), secret) {
				c.add("%s is for everybody and holds a secret", p)
			}
		}
	})
}

// holds reports whether data contains a PEM text, as it is or in base64.
func holds(data, pem []byte) bool {
	text := strings.TrimSpace(string(pem))
	encoded := strings.TrimRight(base64.StdEncoding.EncodeToString(pem), "=")
	return strings.Contains(string(data), text) || strings.Contains(string(data), encoded[:len(encoded)-4])
}
