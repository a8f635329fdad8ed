package cluster

import (
	"errors"
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
		{"master01", "20.0.0.100", []string{"master", "etcd"}, "etcd01"},
		{"master02", "20.0.0.101", []string{"master"}, ""},
		{"node01", "20.0.0.103", []string{"node", "etcd"}, "etcd02"},
		{"node02", "20.0.0.104", []string{"node", "etcd"}, "etcd03"},
	}
	if !reflect.DeepEqual(f.Hosts, want) {
		t.Errorf("got %+v", f.Hosts)
	}
	if f.Server() != "https://20.0.0.100:6443" || f.KubernetesIP() != "10.0.0.1" || f.NodeName(f.Hosts[2]) != "20.0.0.103" {
		t.Errorf("server %s, kubernetes %s, node %s", f.Server(), f.KubernetesIP(), f.NodeName(f.Hosts[2]))
	}
	w := f.Warnings()
	if len(w) != 1 || !strings.HasPrefix(w[0].Text, "2 masters but no load balancer yet") || w[0].Path != "api.endpoint" {
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
	bare, err := Load("bare.yaml", []byte("apiVersion: offgrid/v1\nkind: Cluster\nmetadata: {name: example}\n"+hosts))
	if err != nil {
		t.Fatal(err)
	}
	f.warnings, bare.warnings = nil, nil
	f.API.ExtraSANs, f.Nodes.JoinCIDRs, f.OS.NTP.Servers = nil, nil, nil // [] in the file
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
c:4:1: colour: unknown key "colour"; known here: apiVersion, kind, metadata, versions, hosts, api, network, nodes, etcd, host, security
c:5:12: versions.docker: docker 26.1.4 does not work with Kubernetes v1.20: from 25 on its API lacks what kubelet reads (image sizes); use 20.10 or 19.03
c:5:28: versions.kubernetes: "v1.21.0": this release knows Kubernetes v1.20 only, for example v1.20.15
c:6:1: hosts: 2 etcd members: losing one host would lose the cluster; it takes 3 (or 5)
c:6:1: hosts: no host has the role master; it takes at least 1
c:8:4: hosts[1].name: host name a belongs to "a" already (line 7)
c:8:41: hosts[1].roles[1]: unknown role "worker"; known are etcd, master, node
c:9:13: hosts[2].ip: address 10.9.0.1 belongs to "a" already (line 7)
c:9:35: hosts[2].roles[0]: the role lb (load balancer) comes with a later version; leave the host out for now
c:10:4: hosts[3].name: "Node_4" is not a usable host name: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit, lower case
c:10:18: hosts[3].ip: "10.9.0.300" is not an IPv4 address such as 20.0.0.100
c:10:34: hosts[3].roles: the host has no roles; known are etcd, master, node
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
c:19:3: api.endpoint: "10.9.0.1" is not the address of a host with the role master; a virtual address in front of the masters comes with a later version
c:20:1: addons: unknown key "addons"; known here: apiVersion, kind, metadata, versions, hosts, api, network, nodes, etcd, host, security
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
		{"kind:", "api: {port: 2379}\nkind:", "api.port", "etcd listens"},
		{"kind:", "api: {extraSANs: [a, a, 'b c']}\nkind:", "api.extraSANs[1]", "listed twice"},
		{"kind:", "host: {ntp: {fallbackHost: z}}\nkind:", "host.ntp.fallbackHost", "not the name of a host"},
		{"kind:", "host: {dockerLog: {maxSize: 0m}}\nkind:", "host.dockerLog.maxSize", "not a size"},
		{"kind:", "security: {bootstrapTTL: 5m}\nkind:", "security.bootstrapTTL", "from 1h"},
		{"kind:", "security: {profile: seed}\nkind:", "security.profile", "unknown key"},
		{"kind:", "versions: {etcd: v3.5.0}\nkind:", "versions.etcd", "v3.4 only"},
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
