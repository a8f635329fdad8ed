// Package sitetest is a small cluster for tests: role bundles for the hosts of a cluster file, hosts made of directories,
// and what would answer on their network when the services run that the installer starts.
package sitetest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/signature"
	"offgrid/installer"
	"offgrid/installer/hosttest"
)

// Installer is where the installer lies on a host before it is carried.
const Installer = "/root/install"

// Site is the cluster. It is for one goroutine, but for its Probe.
type Site struct {
	Hosts map[string]*hosttest.Host // by address
	Table []bundle.Host

	// Key signs the bundles, and sessions trust it.
	Key signature.SecretKey

	dir     string   // of the bundles
	stick   Versions // that the bundles at hand bring
	drains  *drains
	inputs  map[string]bundle.Input // what the bundles at these paths were written from
	kernel  *Kernel                 // that the bundles bring; nil: none
	vip     string                  // address that load balancers hold; "" on a site without
	faults  map[string]bool         // of the pods
	pki     *pki
	sealed  map[string]bundle.PackInput // host packs by what is in them
	objects map[string]string           // of the cluster: what kubectl applied, by name
	time    time.Time
}

// Table is the host table of the tutorial.
func Table() []bundle.Host {
	return []bundle.Host{
		{Name: "master01", IP: "20.0.0.100", Roles: []string{"etcd", "master"}, EtcdName: "etcd01"},
		{Name: "master02", IP: "20.0.0.101", Roles: []string{"master"}},
		{Name: "node01", IP: "20.0.0.103", Roles: []string{"etcd", "node"}, EtcdName: "etcd02", NodeName: "20.0.0.103"},
		{Name: "node02", IP: "20.0.0.104", Roles: []string{"etcd", "node"}, EtcdName: "etcd03", NodeName: "20.0.0.104"},
	}
}

// Balancers are the tutorial's load balancers.
func Balancers() []bundle.Host {
	return []bundle.Host{{Name: "lb01", IP: "20.0.0.112", Roles: []string{"lb"}}, {Name: "lb02", IP: "20.0.0.113", Roles: []string{"lb"}}}
}

// VIP is the address that the balancers of NewBalanced hold.
const VIP = "20.0.0.110"

// New makes a site whose hosts are as CentOS leaves them, with bundles of all roles but lb: it has no pod network, and its
// nodes talk to the first master.
func New(t testing.TB) *Site {
	t.Helper()
	return newSite(t, Table(), "")
}

// NewBalanced makes the tutorial's whole site: with load balancers, through which everybody talks to the masters, a pod
// network and DNS.
func NewBalanced(t testing.TB) *Site {
	t.Helper()
	return newSite(t, append(Table(), Balancers()...), VIP)
}

// Kernel is what a site's bundles say of a kernel.
type Kernel struct {
	Mode    string
	Remove  bool
	Modules string // "" means those of a usual host
}

// NewKernel is the release of the kernel that bundles bring.
const NewKernel = "5.4.278-1.el7.elrepo.x86_64"

// NewWithKernel is New with a kernel in every bundle, for hosts that GRUB starts.
func NewWithKernel(t testing.TB, k Kernel) *Site {
	t.Helper()
	return makeSite(t, Table(), "", &k)
}

// Carry makes the bundles of the versions that are brought from now on hold a kernel, or none.
func (s *Site) Carry(k *Kernel) { s.kernel = k }

func newSite(t testing.TB, table []bundle.Host, vip string) *Site {
	t.Helper()
	return makeSite(t, table, vip, nil)
}

func makeSite(t testing.TB, table []bundle.Host, vip string, kernel *Kernel) *Site {
	t.Helper()
	s := &Site{kernel: kernel, Hosts: map[string]*hosttest.Host{}, Table: table, vip: vip, faults: map[string]bool{}, dir: t.TempDir(), stick: First(), objects: map[string]string{}, sealed: map[string]bundle.PackInput{},
		time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	if s.Key, err = signature.Generate(); err != nil {
		t.Fatal(err)
	}
	s.drains = newDrains(s.dir)
	s.pki = newPKI(t, s.time)
	for _, h := range s.Table {
		s.Hosts[h.IP] = s.host(t, h)
	}
	for _, role := range []string{bundle.RoleEtcd, bundle.RoleMaster, bundle.RoleNode} {
		s.write(t, role)
	}
	if vip != "" {
		s.write(t, bundle.RoleLB)
	}
	return s
}

// Now is the site's time. It stands still.
func (s *Site) Now() time.Time { return s.time }

// Bundle is the path of a role's bundle.
func (s *Site) Bundle(role string) string { return filepath.Join(s.dir, role+".bundle") }

// Renewal is the path of the same bundle without what hosts have already.
func (s *Site) Renewal(role string) string { return filepath.Join(s.dir, role+"-renewal.bundle") }

// SiteFile is the path of one file with the bundles of the roles.
func (s *Site) SiteFile(t testing.TB, roles ...string) string {
	t.Helper()
	var all []bundle.Input
	for _, role := range roles {
		in := s.inputs[s.Bundle(role)]
		in.Sign = s.Key.Sign
		all = append(all, in)
	}
	path := filepath.Join(s.dir, "site.bundle")
	f, err := os.Create(path)
	if err == nil {
		_, err = bundle.WriteSite(context.Background(), f, all)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Reset makes the hosts new and the cluster empty, with the same bundles: what tests do that install many times.
func (s *Site) Reset(t testing.TB) {
	t.Helper()
	s.objects = map[string]string{}
	for _, h := range s.Table {
		s.Hosts[h.IP] = s.host(t, h)
	}
}

// Replace makes the host with that address new, and leaves the others and the cluster as they are.
func (s *Site) Replace(t testing.TB, ip string) {
	t.Helper()
	for _, h := range s.Table {
		if h.IP == ip {
			s.Hosts[ip] = s.host(t, h)
		}
	}
}

// Session is an installer on the host with that address.
func (s *Site) Session(ip string) *installer.Session {
	h := s.Hosts[ip]
	return &installer.Session{Host: h, Root: h.Root, Executable: Installer, Version: "0.1.0", Now: s.Now, Probe: s.Probe, Passphrase: Passphrase,
		Trust: bundle.Trust{Keys: []signature.PublicKey{s.Key.Public()}}}
}

// host makes a host with its address and what facts are made of.
func (s *Site) host(t testing.TB, planned bundle.Host) *hosttest.Host {
	t.Helper()
	h := hosttest.New(t)
	h.Put(t, Installer, "the installer")
	h.Put(t, "/usr/sbin/ipset", "")
	h.Put(t, "/etc/ssh/ssh_host_ed25519_key", privateHostKey(t, planned.Name))
	for name, text := range map[string]string{
		"/etc/os-release": "NAME=\"CentOS Linux\"\nVERSION_ID=\"7\"\nID=\"centos\"\nPRETTY_NAME=\"CentOS Linux 7 (Core)\"\n",
		"/proc/cpuinfo":   "processor\t: 0\nprocessor\t: 1\n",
		"/proc/meminfo":   "MemTotal:        3880512 kB\n",
		"/proc/mounts":    "/dev/mapper/centos-root / xfs rw,relatime 0 0\n",
	} {
		h.Put(t, name, text)
	}
	for _, key := range []string{"kernel/panic", "vm/overcommit_memory"} {
		h.Put(t, "/proc/sys/"+key, "0\n")
	}
	for line, says := range map[string]string{
		"id -u":          "0\n",
		"uname -m":       "x86_64\n",
		"ip -4 route":    "default via 20.0.0.1 dev eth0\n20.0.0.0/24 dev eth0 proto kernel scope link src " + planned.IP + "\n",
		"ss":             "State Recv-Q Send-Q Local Address:Port Peer Address:Port\nLISTEN 0 128 *:22 *:* users:((\"sshd\",pid=900,fd=3))\n",
		"df":             "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/mapper/centos-root 41943040 1048576 40894464 3% /\n",
		"xfs_info":       "naming =version 2 bsize=4096 ascii-ci=0 ftype=1\n",
		"modprobe -n -q": "",
		"docker info":    "systemd\n",
	} {
		h.Script(line, hosttest.Says(says))
	}
	if s.kernel != nil {
		h.GRUB(t)
		h.Put(t, "/proc/mounts", "/dev/mapper/centos-root / xfs rw,relatime 0 0\n/dev/sda1 /boot xfs rw,relatime 0 0\n")
		h.Script("df", hosttest.Says("Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/mapper/centos-root 41943040 1048576 40894464 3% /\n/dev/sda1 1038336 200000 838336 20% /boot\n"))
	}
	h.Script("ip -o -4 addr", func(string, []string) (string, error) { return s.addresses(planned.IP), nil })
	h.Script("nginx -t", hosttest.Says(""))
	h.Script("/opt/kubernetes/bin/kubectl", s.kubectl)
	return h
}

// kubectl works on the cluster's objects as long as an API server answers.
func (s *Site) kubectl(stdin string, argv []string) (string, error) {
	if !s.reached(argv) {
		return "", hosttest.Exit(argv, 1, "", "The connection to the server 20.0.0.100:6443 was refused - did you specify the right host or port?")
	}
	if out, err, ok := s.trial(stdin, argv); ok {
		return out, err
	}
	if at := slices.Index(argv, "get"); at >= 0 {
		return s.objects[argv[at+2]], nil
	}
	at := slices.Index(argv, "-f")
	if at < 0 {
		return "", hosttest.Exit(argv, 1, "", "kubectl: get and apply -f are known")
	}
	if argv[at+1] != "-" {
		s.objects[filepath.Base(argv[at+1])] = "applied"
		return "", nil
	}
	var object struct {
		Metadata   struct{ Name string }
		Data       map[string]string
		StringData map[string]string
	}
	if err := json.Unmarshal([]byte(stdin), &object); err != nil {
		return "", err
	}
	s.objects[object.Metadata.Name] = object.Data["digest"]
	if expires := object.StringData["expiration"]; expires != "" {
		s.objects[object.Metadata.Name] = base64.StdEncoding.EncodeToString([]byte(expires))
	}
	return "", nil
}

// Object is what the cluster knows of a name, "" when it knows nothing.
func (s *Site) Object(name string) string { return s.objects[name] }

// up reports whether a service runs on a host.
func (s *Site) up(ip, unit string) bool {
	return s.Hosts[ip].Get("/run/hosttest/active/"+unit) == "active\n" && !s.broken(ip, unit)
}

// quorum reports whether most members of etcd run.
func (s *Site) quorum() bool {
	running, all := 0, 0
	for _, h := range s.Table {
		if h.EtcdName != "" {
			all++
			if s.up(h.IP, "etcd.service") {
				running++
			}
		}
	}
	return 2*running > all
}

// apiUp reports whether the API server of that host answers, or any for "".
func (s *Site) apiUp(ip string) bool {
	return s.quorum() && slices.ContainsFunc(s.Table, func(h bundle.Host) bool {
		return (ip == "" || h.IP == ip) && s.up(h.IP, "kube-apiserver.service")
	})
}

// kubeletPair is where kubelet puts its certificate.
const kubeletPair = "/opt/kubernetes/ssl/kubelet-client-current.pem"

// Settle is what the cluster does by itself: kubelets that run get their certificates when there is a cluster that knows
// their token.
func (s *Site) Settle() error {
	known := false
	for name := range s.objects {
		known = known || strings.HasPrefix(name, "bootstrap-token-")
	}
	if !known || s.vip == "" && !s.apiUp("20.0.0.100") || s.vip != "" && (s.holder() == "" || !s.apiUp("")) {
		return nil
	}
	for ip, h := range s.Hosts {
		full := filepath.Join(h.Root, kubeletPair)
		if _, err := os.Stat(full); !errors.Is(err, os.ErrNotExist) || !s.up(ip, "kubelet.service") {
			continue
		}
		if err := os.WriteFile(full, s.pki.pair, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// write makes a role's bundle.
func (s *Site) write(t testing.TB, role string) {
	t.Helper()
	in, blobs := s.input(t, role)
	in.Open = func(d bundle.Digest) (io.ReadCloser, error) {
		data, ok := blobs[d]
		if !ok {
			return nil, fmt.Errorf("no blob %s", d)
		}
		return io.NopCloser(strings.NewReader(string(data))), nil
	}
	if s.inputs == nil {
		s.inputs = map[string]bundle.Input{}
	}
	s.inputs[s.Bundle(role)] = in
	for path, renewal := range map[string]bool{s.Bundle(role): false, s.Renewal(role): true} {
		in.Renewal, in.Sign = renewal, s.Key.Sign
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.Write(context.Background(), f, in); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
