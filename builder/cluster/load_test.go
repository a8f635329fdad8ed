package cluster

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

const small = `apiVersion: offgrid/v1
kind: Cluster
metadata: {name: s}
hosts:
- {name: a, ip: 10.9.0.1, roles: [master, etcd]}
- {name: b, ip: 10.9.0.2, roles: [etcd, node]}
- {name: c, ip: 10.9.0.3, roles: [etcd, node]}
`

func example(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("../../manifests/cluster.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTheExampleFileIsTheTutorialsHostTable(t *testing.T) {
	f, err := Load("cluster.yaml", example(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []Host{
		{"master01", "20.0.0.100", []string{"master", "etcd"}, "etcd01", false, ""},
		{"master02", "20.0.0.101", []string{"master"}, "", false, ""},
		{"node01", "20.0.0.103", []string{"node", "etcd"}, "etcd02", false, ""},
		{"node02", "20.0.0.104", []string{"node", "etcd"}, "etcd03", false, ""},
		{"lb01", "20.0.0.112", []string{"lb"}, "", false, ""},
		{"lb02", "20.0.0.113", []string{"lb"}, "", false, ""},
	}
	if !reflect.DeepEqual(f.Hosts, want) {
		t.Errorf("got %+v", f.Hosts)
	}
	if f.Server() != "https://20.0.0.110:6443" || f.KubernetesIP() != "10.0.0.1" || f.NodeName(f.Hosts[2]) != "20.0.0.103" {
		t.Errorf("server %s, kubernetes %s, node %s", f.Server(), f.KubernetesIP(), f.NodeName(f.Hosts[2]))
	}
	if w := f.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %+v", w)
	}
}

func TestTheExampleFileSpellsOutTheDefaults(t *testing.T) {
	f, err := Load("cluster.yaml", example(t))
	if err != nil {
		t.Fatal(err)
	}
	text := string(example(t))
	hosts := text[strings.Index(text, "hosts:"):strings.Index(text, "# How the API is reached")]
	bare, err := Load("bare.yaml", []byte("apiVersion: offgrid/v1\nkind: Cluster\nmetadata: {name: example}\napi: {vip: 20.0.0.110}\n"+hosts))
	if err != nil {
		t.Fatal(err)
	}
	f.warnings, bare.warnings = nil, nil
	f.API.ExtraSANs, f.Nodes.JoinCIDRs, f.OS.NTP.Servers = nil, nil, nil // [] in the file
	f.Network.UpstreamDNS, f.Extras = nil, Extras{}
	if !reflect.DeepEqual(f, bare) {
		t.Errorf("the example differs from the defaults:\n%+v\n%+v", f, bare)
	}
}

func TestEverythingThatIsWrongIsSaidAtOnceWithItsLine(t *testing.T) {
	text := `apiVersion: offgrid/v1
kind: Cluster
metadata: {name: Big_Site}
colour: red
versions: {docker: 26.1.4, kubernetes: v1.21.0}
hosts:
- {name: a, ip: 10.9.0.1, roles: [node, etcd]}
- {name: a, ip: 10.9.0.2, roles: [etcd, worker]}
- {name: c, ip: 10.9.0.1, roles: [lb]}
- {name: Node_4, ip: 10.9.0.300, roles: []}
- {name: e, ip: 10.244.3.4, roles: [node], etcdName: x}
network:
  serviceCIDR: 10.244.128.0/20
  dnsIP: 10.244.128.1
  podCIDR: 10.244.0.0/16
  proxyMode: fast
  nodePorts: 10000-20000
api:
  endpoint: 10.9.0.1
addons: {dashboard: true}
security: {certLeafYears: 20}
`
	want := strings.Split(strings.TrimSpace(`
c:3:12: metadata.name: "Big_Site" is not a usable site name: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit
c:4:1: colour: unknown key "colour"; known here: apiVersion, kind, metadata, versions, hosts, api, network, images, extras, nodes, etcd, host, security
c:5:12: versions.docker: docker 26.1.4 does not work with Kubernetes v1.20: from 25 on its API lacks what kubelet reads (image sizes); use 20.10 or 19.03
c:5:28: versions.kubernetes: "v1.21.0": this release knows Kubernetes v1.20 only, for example v1.20.15
c:6:1: hosts: 2 etcd members: losing one host would lose the cluster; it takes 3 (or 5)
c:6:1: hosts: no host has the role master; it takes at least 1
c:8:4: hosts[1].name: host name a belongs to "a" already (line 7)
c:8:41: hosts[1].roles[1]: unknown role "worker"; known are etcd, lb, master, node
c:9:13: hosts[2].ip: address 10.9.0.1 belongs to "a" already (line 7)
c:10:4: hosts[3].name: "Node_4" is not a usable host name: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit, lower case
c:10:18: hosts[3].ip: "10.9.0.300" is not an IPv4 address such as 20.0.0.100
c:10:34: hosts[3].roles: the host has no roles; known are etcd, lb, master, node
c:11:13: hosts[4].ip: host address 10.244.3.4 lies in the pod network 10.244.0.0/16
c:11:44: hosts[4].etcdName: the host has an etcdName but not the role etcd
c:14:3: network.dnsIP: 10.244.128.1 is the API server's own service address; use another, for example 10.244.128.2
c:15:3: network.podCIDR: the pod network 10.244.0.0/16 overlaps the service network 10.244.128.0/20
c:16:3: network.proxyMode: "fast" is not a choice here; choose one of: ipvs, iptables
c:17:3: network.nodePorts: 10000-20000 contains port 10248, where kubelet listens
c:17:3: network.nodePorts: 10000-20000 contains port 10249, where kube-proxy listens
c:17:3: network.nodePorts: 10000-20000 contains port 10250, where kubelet listens
c:17:3: network.nodePorts: 10000-20000 contains port 10251, where kube-scheduler listens
c:17:3: network.nodePorts: 10000-20000 contains port 10252, where kube-controller-manager listens
c:17:3: network.nodePorts: 10000-20000 contains port 10256, where kube-proxy listens
c:17:3: network.nodePorts: 10000-20000 contains port 10257, where kube-controller-manager listens
c:17:3: network.nodePorts: 10000-20000 contains port 10259, where kube-scheduler listens
c:18:1: api.vip: the load balancers need an address that is nobody's: the VIP, in their network
c:19:3: api.endpoint: 10.9.0.1 is "a", which is no master from the start
c:20:1: addons: unknown key "addons"; known here: apiVersion, kind, metadata, versions, hosts, api, network, images, extras, nodes, etcd, host, security
c:21:12: security.certLeafYears: certificates of 20 years would outlive their CA of 10
`), "\n")
	_, err := Load("c", []byte(text))
	if err == nil {
		t.Fatal("accepted")
	}
	if got := strings.Split(err.Error(), "\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOneMistakeIsNamedByItsPath(t *testing.T) {
	for _, c := range []struct{ from, to, path, text string }{
		{"apiVersion: offgrid/v1", "apiVersion: offgrid/v2", "apiVersion", "must begin with"},
		{"kind: Cluster", "kind: Site", "kind", "kind: Cluster"},
		{"name: b", "nmae: b", "hosts[1].nmae", "unknown key"},
		{"ip: 10.9.0.2", "ip: 127.0.0.1", "hosts[1].ip", "not an address that a host can have"},
		{"ip: 10.9.0.2", "ip: 172.17.4.5", "hosts[1].ip", "docker's own network"},
		{"ip: 10.9.0.2", "ip: 10.0.0.9", "hosts[1].ip", "the service network"},
		{"ip: 10.9.0.2", "ip: fe80::1", "hosts[1].ip", "not an IPv4"},
		{"roles: [etcd, node]", "roles: etcd", "hosts[1].roles", "want a list"},
		{"roles: [etcd, node]", "roles: [node]", "hosts", "2 etcd members"},
		{"- {name: c,", "- {name: d, ip: 10.9.0.4, roles: [etcd]}\n- {name: c,", "hosts", "4 etcd members: an even count survives no more failures than 3"},
		{"name: c,", "name: c, etcdName: etcd01,", "", ""},
		{"name: c,", "name: c, etcdName: 'a b',", "hosts[2].etcdName", "not a usable member name"},
		{"kind:", "etcd: {dataDir: /var/lib}\nkind:", "etcd.dataDir", "three levels"},
		{"kind:", "etcd: {dataDir: /usr/lib/etcd}\nkind:", "etcd.dataDir", "not for data"},
		{"kind:", "etcd: {dataDir: '/var/lib/a b'}\nkind:", "etcd.dataDir", "not usable"},
		{"kind:", "network: {serviceCIDR: 172.17.8.0/24}\nkind:", "network.serviceCIDR", "overlaps docker's own network"},
		{"kind:", "network: {serviceCIDR: 10.0.0.1/24}\nkind:", "network.serviceCIDR", "the network itself is 10.0.0.0/24"},
		{"kind:", "network: {podCIDR: 10.244.0.0/24}\nkind:", "network.podCIDR", "room for 1 nodes"},
		{"kind:", "network: {dnsIP: 10.0.1.2}\nkind:", "network.dnsIP", "not in the service network"},
		{"kind:", "network: {nodePorts: 6000-7000}\nkind:", "network.nodePorts", "port 6443"},
		{"kind:", "network: {nodePorts: 7-}\nkind:", "network.nodePorts", "not a range of ports"},
		{"kind:", "nodes: {joinCIDRs: [10.244.0.0/20]}\nkind:", "nodes.joinCIDRs[0]", "overlaps the pod network"},
		{"kind:", "network: {serviceCIDR: 127.0.0.0/16, dnsIP: 127.0.0.2}\nkind:", "network.serviceCIDR", "is not for a network of hosts or pods"},
		{"kind:", "network: {podCIDR: 224.0.0.0/8}\nkind:", "network.podCIDR", "is not for a network of hosts or pods"},
		{"kind:", "nodes: {joinCIDRs: [172.17.8.0/24]}\nkind:", "nodes.joinCIDRs[0]", "overlaps docker's own network"},
		{"kind:", "nodes: {joinCIDRs: [169.254.1.0/24]}\nkind:", "nodes.joinCIDRs[0]", "is not for a network of hosts or pods"},
		{"kind:", "api: {vip: 240.0.0.1}\nkind:", "api.vip", "not an IPv4 address such as"},
		{"kind:", "api: {port: 2379}\nkind:", "api.port", "etcd listens"},
		{"kind:", "api: {extraSANs: [a, a, 'b c']}\nkind:", "api.extraSANs[1]", "listed twice"},
		{"kind:", "host: {ntp: {fallbackHost: z}}\nkind:", "host.ntp.fallbackHost", "not the name of a host"},
		{"kind:", "host: {dockerLog: {maxSize: 0m}}\nkind:", "host.dockerLog.maxSize", "not a size"},
		{"kind:", "security: {bootstrapTTL: 5m}\nkind:", "security.bootstrapTTL", "from 1h"},
		{"kind:", "security: {profile: seed}\nkind:", "", ""},
		{"kind:", "security: {profile: soft}\nkind:", "security.profile", "choose one of: hardened, seed"},
		{"kind:", "security: {profile: seed, componentStatusPorts: off}\nkind:", "security.componentStatusPorts", "where `kubectl get cs` works"},
		{"kind:", "security: {tokens: static}\nkind:", "security.tokens", "unknown key"},
		{"kind:", "versions: {etcd: v3.5.0}\nkind:", "versions.etcd", "v3.4 only"},
		{"name: b", "name: join", "hosts[1].name", "\"join\" is what nodes that are not in this file are called"},
		{"roles: [etcd, node]", "roles: [etcd, node], spare: true", "hosts[1].spare", "only masters and etcd members can be spare; a node joins at any time"},
		{"roles: [etcd, node]", "roles: [etcd], spare: true", "hosts", "2 etcd members"},
		{"roles: [master, etcd]", "roles: [master, etcd, lb]", "hosts[0].roles", "both listen on port 6443"},
		{"roles: [master, etcd]", "roles: [master, etcd], spare: true", "hosts", "all masters are spare"},
		{"roles: [etcd, node]", "roles: [etcd, master]", "hosts", "2 masters and nothing in front of them: give two hosts the role lb and set api.vip"},
		{"kind:", "network: {cni: weave}\nkind:", "network.cni", "choose one of: flannel, calico, none"},
		{"kind:", "network: {upstreamDNS: [10.9.9.9, dns.example]}\nkind:", "network.upstreamDNS[1]", "not the IPv4 address of a DNS server"},
		{"kind:", "network: {upstreamDNS: [127.0.0.53]}\nkind:", "network.upstreamDNS[0]", "leads back to the cluster's own DNS"},
		{"kind:", "network: {upstreamDNS: [10.0.0.2]}\nkind:", "network.upstreamDNS[0]", "leads back"},
		{"kind:", "network: {upstreamDNS: ['10.9.9.9:5353', '10.9.9.9:5353']}\nkind:", "network.upstreamDNS[1]", "listed twice"},
		{"kind:", "api: {vip: 10.9.0.9}\nkind:", "api.vip", "no host has the role lb"},
		{"kind:", "api: {endpoint: 10.9.0.2}\nkind:", "api.endpoint", "is \"b\", which is no master"},
		{"kind:", "api: {endpoint: api.example}\nkind:", "api.endpoint", "not an IPv4 address"},
		{"kind:", "api: {virtualRouterId: 256}\nkind:", "api.virtualRouterId", "from 1 to 255"},
		{"kind:", "api: {prefix: 31}\nkind:", "api.prefix", "from 8 to 30"},
		{"kind:", "images: {registry: registry}\nkind:", "images.registry", "needs a dot or a port"},
		{"kind:", "images: {registry: 'https://r.example'}\nkind:", "images.registry", "not a registry"},
		{"kind:", "images: {registry: 'r.example:5000', registryCA: ../ca.pem}\nkind:", "images.registryCA", "not a file inside the site"},
		{"kind:", "images: {registryCA: ca.pem}\nkind:", "images.registryCA", "say images.registry, too"},
		{"kind:", "extras: {images: ['nginx:1.21']}\nkind:", "extras.images[0]", "write the image in full"},
		{"kind:", "extras: {images: ['docker.io/library/nginx']}\nkind:", "extras.images[0]", "write the image in full"},
		{"kind:", "extras: {images: ['docker.io/library/nginx:latest']}\nkind:", "extras.images[0]", "the tag latest"},
		{"kind:", "extras: {images: ['a.b/c:1', 'a.b/c:1']}\nkind:", "extras.images[1]", "listed twice"},
		{"kind:", "extras: {manifests: [../x.yaml]}\nkind:", "extras.manifests[0]", "plain path inside the site"},
		{"kind:", "extras: {manifests: [x.json]}\nkind:", "extras.manifests[0]", "ends in .yaml"},
		{"kind:", "extras: {manifests: [a/x.yaml, b/x.yaml]}\nkind:", "extras.manifests[1]", "there is a manifest named x already (line 2)"},
		{"kind:", "etcd: {snapshots: {dir: /var}}\nkind:", "etcd.snapshots.dir", "at least two levels deep"},
		{"kind:", "etcd: {snapshots: {dir: /tmp/x}}\nkind:", "etcd.snapshots.dir", "not for data"},
		{"kind:", "etcd: {snapshots: {dir: /var/lib/etcd/default.etcd/x}}\nkind:", "etcd.snapshots.dir", "must not lie in each other"},
		{"kind:", "etcd: {snapshots: {keep: 0}}\nkind:", "etcd.snapshots.keep", "from 1"},
		{"kind:", "etcd: {snapshots: {every: sometimes}}\nkind:", "etcd.snapshots.every", "not a time that systemd 219 understands"},
	} {
		_, err := Load("c", []byte(strings.Replace(small, c.from, c.to, 1)))
		var p *Problems
		if c.path == "" {
			if err != nil {
				t.Errorf("%s: %v", c.to, err)
			}
			continue
		}
		if !errors.As(err, &p) || p.Items[0].Path != c.path && p.Items[len(p.Items)-1].Path != c.path || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %s ... %s", c.to, err, c.path, c.text)
		}
	}
}

func TestWhatFollowsFromAFindingIsNoOtherOne(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an empty file":        {"# nothing yet\n", "c: the file is empty"},
		"a list":               {"- a\n", "c:1:1: want keys with values here, not a list"},
		"a host that is empty": {small + "-\n", "c:8:1: hosts[3]: an empty list item"},
		"a host that is a word": {strings.Replace(small, "- {name: b, ip: 10.9.0.2, roles: [etcd, node]}", "- b\n- {name: b, ip: 10.9.0.2, roles: [etcd, node]}", 1),
			"c:6:3: hosts[1]: want keys with values here, not the value \"b\""},
	} {
		if _, err := Load("c", []byte(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("%s: got\n%v\nwant\n%s", name, err, c.want)
		}
	}
}

func TestAFileOfAWindowsEditorIsRead(t *testing.T) {
	if _, err := Load("c", []byte("\ufeff"+strings.ReplaceAll(small, "\n", "\r\n"))); err != nil {
		t.Error(err)
	}
}

func TestFindingsBeyondTheLimitAreCounted(t *testing.T) {
	text := small
	for i := range 250 {
		text = fmt.Sprintf("unknown%d: 1\n", i) + text
	}
	if _, err := Load("c", []byte(text)); err == nil || !strings.HasSuffix(err.Error(), "\nc: and 50 more") {
		t.Errorf("got %v", err)
	}
}

// balanced is a site with load balancers.
const balanced = small + `- {name: l1, ip: 10.9.0.8, roles: [lb]}
- {name: l2, ip: 10.9.0.9, roles: [lb]}
`

func TestTheVIPIsWhereNodesGoAndIsChecked(t *testing.T) {
	f, err := Load("c", []byte(balanced+"api: {vip: 10.9.0.10}\n"))
	if err != nil || f.API.Endpoint != "10.9.0.10" || len(f.Warnings()) != 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	for api, want := range map[string]string{
		"api: {port: 6443}":                     "c:10:1: api.vip: the load balancers need an address that is nobody's: the VIP, in their network",
		"api: {vip: 10.9.0.2}":                  `c:10:7: api.vip: 10.9.0.2 is the address of "b"; the VIP must be nobody's`,
		"api: {vip: 10.9.0.300}":                `c:10:7: api.vip: "10.9.0.300" is not an IPv4 address such as 20.0.0.110`,
		"api: {vip: 10.9.1.10, port: 7443}":     "c:10:7: api.vip: 10.9.1.10/24 is not in the network of the load balancer l1 (10.9.0.8)\nc:10:7: api.vip: 10.9.1.10/24 is not in the network of the load balancer l2 (10.9.0.9)",
		"api: {vip: 10.9.0.255}":                "c:10:7: api.vip: 10.9.0.255 is the first or last address of the network 10.9.0.0/24 and cannot be used",
		"api: {vip: 10.9.0.20, prefix: 29}":     "c:10:7: api.vip: 10.9.0.20/29 is not in the network",
		"api: {vip: 10.0.0.9, prefix: 8}":       "c:10:7: api.vip: 10.0.0.9 lies in the service network 10.0.0.0/24",
		"api: {vip: 10.244.9.9, prefix: 8}":     "c:10:7: api.vip: 10.244.9.9 lies in the pod network 10.244.0.0/16",
		"api: {vip: 10.9.0.10, endpoint: '::'}": `c:10:23: api.endpoint: "::" is not an IPv4 address`,
	} {
		_, err := Load("c", []byte(balanced+api+"\n"))
		switch {
		case err == nil && want != "":
			t.Errorf("%s is accepted, want %s", api, want)
		case err != nil && (want == "" || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%s:\n got %v\nwant %s", api, err, want)
		}
	}
}

func TestOneLoadBalancerAndAnEndpointBesideTheVIPAreWarnings(t *testing.T) {
	for text, want := range map[string]string{
		small + "- {name: l1, ip: 10.9.0.8, roles: [lb]}\napi: {vip: 10.9.0.10}\n":                  "there is one load balancer: when l1 is down nobody reaches the API",
		balanced + "api: {vip: 10.9.0.10, endpoint: 10.9.0.1}\n":                                    "nodes are sent to 10.9.0.1 and not to the load balancers' 10.9.0.10",
		strings.Replace(small, "[etcd, node]", "[etcd, master]", 1) + "api: {endpoint: 10.9.0.1}\n": "nodes reach the API at 10.9.0.1 alone, although there are 2 masters",
		balanced + "api: {vip: 10.9.0.10}\nhost: {selinux: keep}\n":                                 "where SELinux is enforcing, nginx may not use port 6443",
		small + "etcd: {snapshots: {dir: /var/lib/etcd/backup}}\n":                                  "is beside the database",
	} {
		f, err := Load("c", []byte(text))
		if err != nil || len(f.Warnings()) != 1 || !strings.Contains(f.Warnings()[0].Text, want) {
			t.Errorf("%s\ngot %+v, %v, want %s", text, f, err, want)
		}
	}
}

func TestSpareHostsAreNotPartOfTheBeginning(t *testing.T) {
	f, err := Load("c", []byte(small+"- {name: d, ip: 10.9.0.4, roles: [master, etcd], spare: true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(f.Active(RoleMaster)); got != 1 || len(f.With(RoleMaster)) != 2 || len(f.Active(RoleEtcd)) != 3 || len(f.With(RoleEtcd)) != 4 {
		t.Errorf("%d masters from the start: %+v", got, f.Hosts)
	}
	if f.API.Endpoint != "10.9.0.1" || f.Hosts[3].EtcdName != "etcd04" {
		t.Errorf("endpoint %s, member %s", f.API.Endpoint, f.Hosts[3].EtcdName)
	}
}

func TestTimesThatSystemd219Understands(t *testing.T) {
	for s, want := range map[string]bool{
		"hourly": true, "daily": true, "weekly": true, "monthly": true, "02:30": true, "02:30:15": true, "Sun 03:00": true,
		"Mon-Fri 22:00": true, "Mon,Thu 0:15": true, "*-*-* 00/6:00:00": true, "*-*-1,15 04:00": true, "*:0/15": true,
		"": false, "quarterly": false, "25:00": false, "02:60": false, "2:30 pm": false, "Sun": false, "*-*-01..07 02:00": false,
		"02:30 UTC": false, "*-13-01 00:00": false, " daily": false, "*:*/15": false, "*:0/99": false, "-1:00": false,
	} {
		if isCalendar(s) != want {
			t.Errorf("%q: got %v", s, !want)
		}
	}
}

func TestNodePortsAmongTheLocalPortsAreAWarning(t *testing.T) {
	f, err := Load("c", []byte(small+"network: {nodePorts: 30000-50000}\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := f.Warnings()
	if len(w) != 1 || w[0].Path != "network.nodePorts" || w[0].Line != 8 {
		t.Errorf("got %+v", w)
	}
}

func TestDefaultsFollowTheFile(t *testing.T) {
	f, err := Load("c", []byte(strings.Replace(small, "name: b,", "name: b, etcdName: etcd01,", 1)+"network: {serviceCIDR: 10.96.0.0/12}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Network.DNSIP != "10.96.0.2" || f.API.Endpoint != "10.9.0.1" || f.OS.NTP.FallbackHost != "a" {
		t.Errorf("got %+v", f)
	}
	if f.Hosts[0].EtcdName != "etcd02" || f.Hosts[1].EtcdName != "etcd01" || f.Hosts[2].EtcdName != "etcd03" {
		t.Errorf("member names: %+v", f.Hosts)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(small))
	f.Add(example(f))
	f.Add([]byte("hosts: [{roles: [lb]}]\nnetwork: {podCIDR: 0.0.0.0/0, nodePorts: 1-}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Load("c", data)
		if err == nil {
			file.KubernetesIP()
			return
		}
		var p *Problems
		if !errors.As(err, &p) || len(p.Items) == 0 {
			t.Fatalf("an error without findings: %v", err)
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 2
		for _, item := range p.Items {
			if item.Line < 0 || item.Line > lines {
				t.Fatalf("line %d of %d: %v", item.Line, lines, err)
			}
		}
	})
}
