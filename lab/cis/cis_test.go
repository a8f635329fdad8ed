package cis

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// good is a site on which everything is met: a line is a process with its flags, a file with mode, owner and content, or an
// answer of the API.
const good = `
process etcd /opt/etcd/bin/etcd
environ etcd ETCD_DATA_DIR=/var/lib/etcd/default.etcd ETCD_CERT_FILE=/opt/etcd/ssl/server.pem ETCD_KEY_FILE=/opt/etcd/ssl/server-key.pem ETCD_TRUSTED_CA_FILE=/opt/etcd/ssl/ca.pem ETCD_CLIENT_CERT_AUTH=true ETCD_PEER_CERT_FILE=/opt/etcd/ssl/peer.pem ETCD_PEER_KEY_FILE=/opt/etcd/ssl/peer-key.pem ETCD_PEER_CLIENT_CERT_AUTH=true
process kube-apiserver /opt/kubernetes/bin/kube-apiserver --anonymous-auth=false --kubelet-client-certificate=/k.pem --kubelet-client-key=/k-key.pem --kubelet-certificate-authority=/opt/kubernetes/ssl/ca.pem --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --insecure-port=0 --secure-port=6443 --profiling=false --audit-log-path=/l --audit-log-maxage=30 --audit-log-maxbackup=10 --audit-log-maxsize=100 --service-account-key-file=/sa.pub --etcd-certfile=/e.pem --etcd-keyfile=/e-key.pem --tls-cert-file=/a.pem --tls-private-key-file=/a-key.pem --client-ca-file=/opt/kubernetes/ssl/ca.pem --etcd-cafile=/opt/kubernetes/ssl/etcd-ca.pem --encryption-provider-config=/encryption.yaml --tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 --audit-policy-file=/audit.yaml
process kube-controller-manager /opt/kubernetes/bin/kube-controller-manager --kubeconfig=/opt/kubernetes/cfg/kcm.kubeconfig --terminated-pod-gc-threshold=1000 --profiling=false --use-service-account-credentials=true --service-account-private-key-file=/sa.key --root-ca-file=/ca.pem --feature-gates=RotateKubeletServerCertificate=true --bind-address=127.0.0.1 --address=127.0.0.1 --port=10252
process kube-scheduler /opt/kubernetes/bin/kube-scheduler --kubeconfig=/opt/kubernetes/cfg/ks.kubeconfig --profiling=false --bind-address=127.0.0.1 --port=0
process kubelet /opt/kubernetes/bin/kubelet --kubeconfig=/opt/kubernetes/cfg/kubelet.kubeconfig --bootstrap-kubeconfig=/opt/kubernetes/cfg/bootstrap.kubeconfig --config=/opt/kubernetes/cfg/kubelet.config --cni-conf-dir=/etc/cni/net.d
file 644 root:root /units/etcd.service EnvironmentFile=/opt/etcd/cfg/etcd
file 644 root:root /opt/etcd/cfg/etcd .
file 644 root:root /units/kube-apiserver.service EnvironmentFile=/opt/kubernetes/cfg/kube-apiserver
file 644 root:root /opt/kubernetes/cfg/kube-apiserver .
file 644 root:root /units/kube-controller-manager.service .
file 644 root:root /units/kube-scheduler.service .
file 644 root:root /units/kubelet.service .
file 644 root:root /etc/cni/net.d/10-flannel.conflist .
file 644 root:root /var/lib/cni/networks/cbr0/10.244.0.2 .
file 700 etcd:etcd /var/lib/etcd/default.etcd .
file 600 root:root /root/.kube/config .
file 600 root:root /opt/kubernetes/cfg/ks.kubeconfig .
file 600 root:root /opt/kubernetes/cfg/kcm.kubeconfig .
file 600 root:root /opt/kubernetes/cfg/kubelet.kubeconfig .
file 600 root:root /opt/kubernetes/cfg/bootstrap.kubeconfig .
file 600 root:root /opt/kubernetes/cfg/kube-proxy.kubeconfig .
file 644 root:root /opt/kubernetes/cfg/kubelet.config .
file 700 root:root /opt/kubernetes/ssl .
file 644 root:root /opt/kubernetes/ssl/ca.pem kubernetes
file 644 root:root /opt/kubernetes/ssl/etcd-ca.pem etcd
file 600 root:root /opt/kubernetes/ssl/kubelet-server-key.pem .
file 600 root:root /opt/kubernetes/ssl/sa.key .
file 600 root:root /opt/kubernetes/ssl/kubelet-client-current.pem .
file 644 etcd:etcd /opt/etcd/ssl/server.pem .
file 644 etcd:etcd /opt/etcd/ssl/peer.pem .
file 644 etcd:etcd /opt/etcd/ssl/ca.pem .
file 600 etcd:etcd /opt/etcd/ssl/server-key.pem .
file 600 etcd:etcd /opt/etcd/ssl/peer-key.pem .
file 600 root:root /encryption.yaml |- secrets|  providers:|  - secretbox:|      keys: []|  - identity: {}
file 600 root:root /audit.yaml "secrets" "configmaps" "tokenreviews" "pods/exec" "pods/portforward" "pods/proxy" "services/proxy"|- level: Metadata
configz {"kubeletconfig":{"authentication":{"anonymous":{"enabled":false},"x509":{"clientCAFile":"/opt/kubernetes/ssl/ca.pem"}},"authorization":{"mode":"Webhook"},"streamingConnectionIdleTimeout":"4h0m0s","protectKernelDefaults":true,"makeIPTablesUtilChains":true,"eventRecordQPS":0,"tlsCertFile":"/opt/kubernetes/ssl/kubelet-server.pem","tlsPrivateKeyFile":"/opt/kubernetes/ssl/kubelet-server-key.pem","rotateCertificates":true,"tlsCipherSuites":["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]}}
roles {"items":[{"kind":"ClusterRole","metadata":{"name":"cluster-admin","labels":{"kubernetes.io/bootstrapping":"rbac-defaults"}},"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]},{"kind":"ClusterRole","metadata":{"name":"flannel"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}]}
bindings {"items":[{"kind":"ClusterRoleBinding","metadata":{"name":"system:public-info-viewer","labels":{"kubernetes.io/bootstrapping":"rbac-defaults"}},"roleRef":{"name":"system:public-info-viewer"},"subjects":[{"kind":"Group","name":"system:unauthenticated"}]},{"kind":"ClusterRoleBinding","metadata":{"name":"flannel"},"roleRef":{"name":"flannel"},"subjects":[{"kind":"ServiceAccount","name":"flannel"}]}]}
`

// lines are those of the world that begin with a word, without it.
func lines(world, word string) []string {
	var all []string
	for line := range strings.Lines(world) {
		if rest, ok := strings.CutPrefix(line, word+" "); ok {
			all = append(all, strings.TrimSuffix(rest, "\n"))
		}
	}
	return all
}

// host answers as a host of that world does.
func host(world string) *Host {
	run := func(argv ...string) (string, error) {
		last := argv[len(argv)-1]
		service := strings.TrimSuffix(last, ".service")
		switch {
		case argv[0] == "systemctl" && argv[3] == "MainPID":
			return "MainPID=" + service, nil
		case argv[0] == "systemctl":
			return "FragmentPath=/units/" + last, nil
		case argv[0] == "sh" && strings.HasPrefix(last, "/proc/"):
			parts := strings.Split(last, "/")
			word := map[string]string{"cmdline": "process", "environ": "environ"}[parts[3]]
			if found := lines(world, word+" "+parts[2]); len(found) == 1 {
				return strings.ReplaceAll(found[0], " ", "\n") + "\n", nil
			}
			return "PATH=/usr/bin\n", nil
		}
		var out strings.Builder
		for _, pattern := range argv[1:] {
			for _, line := range lines(world, "file") {
				f := strings.SplitN(line, " ", 4)
				ok, _ := path.Match(pattern, f[2])
				switch {
				case argv[0] == "find" && strings.HasPrefix(f[2], pattern+"/"):
					fmt.Fprintln(&out, f[2])
				case argv[0] == "sh" && ok:
					fmt.Fprintln(&out, f[0], f[1], f[2])
				case argv[0] == "cat" && ok:
					fmt.Fprintln(&out, strings.ReplaceAll(f[3], "|", "\n"))
				case argv[0] == "sha256sum" && ok:
					fmt.Fprintln(&out, f[3], f[2])
				}
			}
		}
		return out.String(), nil
	}
	return &Host{Run: run, NodeName: "node01", Kubectl: func(args ...string) (string, error) {
		word := "configz"
		if !slices.Contains(args, "--raw") {
			_, word, _ = strings.Cut(args[1], ",")
			word = strings.Replace(word, "rolebindings", "bindings", 1)
		}
		return strings.Join(lines(world, word), ""), nil
	}}
}

func TestAGoodHostHasNoFault(t *testing.T) {
	h := host(good)
	for _, c := range Checks() {
		if faults := c.Look(h); len(faults) > 0 {
			t.Errorf("%s on a host with the role %s: %q", c.ID, c.Role, faults)
		}
	}
	if faults := Nobody(h); len(faults) > 0 {
		t.Errorf("bindings of nobody: %q", faults)
	}
}

// spoils says how a world is changed so that an item is not met any more: a word, and what is in its place.
func spoils() map[string][2]string {
	gets := func(resource, verb string) [2]string {
		return [2]string{`"resources":["pods"],"verbs":["get"]`, `"resources":["` + resource + `"],"verbs":["` + verb + `"]`}
	}
	return map[string][2]string{
		"1.1.1": {"644 root:root /opt/kubernetes/cfg/kube-apiserver", "666 root:root /opt/kubernetes/cfg/kube-apiserver"}, "1.1.2": {"644 root:root /units/kube-apiserver", "644 bin:bin /units/kube-apiserver"},
		"1.1.3": {"644 root:root /units/kube-controller", "664 root:root /units/kube-controller"}, "1.1.4": {"644 root:root /units/kube-controller", "644 root:kube /units/kube-controller"},
		"1.1.5": {"644 root:root /units/kube-sched", "646 root:root /units/kube-sched"}, "1.1.6": {"644 root:root /units/kube-sched", "644 kube:root /units/kube-sched"},
		"1.1.7": {"644 root:root /opt/etcd/cfg/etcd", "755 root:root /opt/etcd/cfg/etcd"}, "1.1.8": {"644 root:root /opt/etcd/cfg/etcd", "644 etcd:etcd /opt/etcd/cfg/etcd"},
		"1.1.9": {"644 root:root /var/lib/cni", "660 root:root /var/lib/cni"}, "1.1.10": {"644 root:root /etc/cni", "644 1000:1000 /etc/cni"},
		"1.1.11": {"700 etcd:etcd", "710 etcd:etcd"}, "1.1.12": {"700 etcd:etcd", "700 root:root"},
		"1.1.13": {"600 root:root /root", "640 root:root /root"}, "1.1.14": {"600 root:root /root", "600 admin:root /root"},
		"1.1.15": {"600 root:root /opt/kubernetes/cfg/ks", "644 root:root /opt/kubernetes/cfg/ks"}, "1.1.16": {"600 root:root /opt/kubernetes/cfg/ks", "600 a:a /opt/kubernetes/cfg/ks"},
		"1.1.17": {"600 root:root /opt/kubernetes/cfg/kcm", "604 root:root /opt/kubernetes/cfg/kcm"}, "1.1.18": {"600 root:root /opt/kubernetes/cfg/kcm", "600 a:a /opt/kubernetes/cfg/kcm"},
		"1.1.19": {"600 root:root /opt/kubernetes/ssl/sa.key", "600 etcd:etcd /opt/kubernetes/ssl/sa.key"}, "1.1.20": {"644 root:root /opt/kubernetes/ssl/ca.pem", "664 root:root /opt/kubernetes/ssl/ca.pem"},
		"1.1.21": {"600 root:root /opt/kubernetes/ssl/sa.key", "640 root:root /opt/kubernetes/ssl/sa.key"},
		"1.2.1":  {"--anonymous-auth=false", "--anonymous-auth=true"}, "1.2.2": {"--insecure-port", "--token-auth-file=/t --insecure-port"}, "1.2.3": {"--insecure-port", "--kubelet-https=false --insecure-port"},
		"1.2.4": {"--kubelet-client-key=/k-key.pem ", ""}, "1.2.5": {"--kubelet-certificate-authority=/opt/kubernetes/ssl/ca.pem ", ""}, "1.2.6": {"Node,RBAC", "Node,RBAC,AlwaysAllow"},
		"1.2.7": {"Node,RBAC", "RBAC"}, "1.2.8": {"Node,RBAC", "Node"}, "1.2.10": {"=NodeRestriction", "=NodeRestriction,AlwaysAdmit"},
		"1.2.13": {"--insecure-port", "--disable-admission-plugins=ServiceAccount --insecure-port"}, "1.2.14": {"--insecure-port", "--disable-admission-plugins=NamespaceLifecycle --insecure-port"},
		"1.2.16": {"--enable-admission-plugins=NodeRestriction ", ""}, "1.2.17": {"--insecure-port", "--insecure-bind-address=0.0.0.0 --insecure-port"}, "1.2.18": {"--insecure-port=0", "--insecure-port=8080"},
		"1.2.19": {"--secure-port=6443", "--secure-port=0"}, "1.2.20": {"--secure-port=6443 --profiling=false", "--secure-port=6443"}, "1.2.21": {"--audit-log-path=/l ", ""},
		"1.2.22": {"maxage=30", "maxage=7"}, "1.2.23": {"maxbackup=10", "maxbackup=3"}, "1.2.24": {"maxsize=100", "maxsize=10"}, "1.2.25": {"--insecure-port", "--request-timeout=24h --insecure-port"},
		"1.2.26": {"--insecure-port", "--service-account-lookup=false --insecure-port"}, "1.2.27": {"--service-account-key-file=/sa.pub ", ""}, "1.2.28": {"--etcd-keyfile=/e-key.pem ", ""},
		"1.2.29": {"--tls-cert-file=/a.pem ", ""}, "1.2.30": {"--client-ca-file=/opt/kubernetes/ssl/ca.pem ", ""}, "1.2.31": {"--etcd-cafile=/opt/kubernetes/ssl/etcd-ca.pem ", ""},
		"1.2.32": {"600 root:root /encryption", "644 root:root /encryption"}, "1.2.33": {"|  - secretbox:|      keys: []|  - identity: {}", "|  - identity: {}|  - secretbox:"},
		"1.2.34": {"--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_3DES_EDE_CBC_SHA"},
		"1.3.1":  {"--terminated-pod-gc-threshold=1000 ", ""}, "1.3.2": {"threshold=1000 --profiling=false", "threshold=1000"}, "1.3.3": {"credentials=true", "credentials=false"},
		"1.3.4": {"--service-account-private-key-file=/sa.key ", ""}, "1.3.5": {"--root-ca-file=/ca.pem ", ""}, "1.3.6": {"Certificate=true", "Certificate=false"}, "1.3.7": {"--address=127.0.0.1 ", ""},
		"1.4.1": {"ks.kubeconfig --profiling=false", "ks.kubeconfig --profiling=true"}, "1.4.2": {"--bind-address=127.0.0.1 --port=0", "--bind-address=0.0.0.0 --port=0"},
		"2.1": {"ETCD_KEY_FILE", "KEY_FILE"}, "2.2": {" ETCD_CLIENT_CERT_AUTH=true", ""}, "2.3": {"ETCD_CLIENT_CERT_AUTH", "ETCD_AUTO_TLS=true ETCD_CLIENT_CERT_AUTH"}, "2.4": {"ETCD_PEER_CERT_FILE", "X"},
		"2.5": {"ETCD_PEER_CLIENT_CERT_AUTH=true", "ETCD_PEER_CLIENT_CERT_AUTH=false"}, "2.6": {"/opt/etcd/bin/etcd", "/opt/etcd/bin/etcd --peer-auto-tls=true"}, "2.7": {"etcd-ca.pem etcd", "etcd-ca.pem kubernetes"},
		"3.2.1": {" --audit-policy-file=/audit.yaml", ""}, "3.2.2": {`"pods/exec" `, ""},
		"4.1.1": {"644 root:root /units/kubelet", "777 root:root /units/kubelet"}, "4.1.2": {"644 root:root /units/kubelet", "644 a:a /units/kubelet"}, "4.1.3": {"600 root:root /opt/kubernetes/cfg/kube-proxy", "644 root:root /opt/kubernetes/cfg/kube-proxy"},
		"4.1.4": {"600 root:root /opt/kubernetes/cfg/kube-proxy", "600 a:a /opt/kubernetes/cfg/kube-proxy"}, "4.1.5": {"600 root:root /opt/kubernetes/cfg/bootstrap", "644 root:root /opt/kubernetes/cfg/bootstrap"},
		"4.1.6": {"600 root:root /opt/kubernetes/cfg/kubelet", "600 a:a /opt/kubernetes/cfg/kubelet"}, "4.1.7": {"644 root:root /opt/kubernetes/ssl/ca.pem", "646 root:root /opt/kubernetes/ssl/ca.pem"},
		"4.1.8": {"644 root:root /opt/kubernetes/ssl/ca.pem", "644 a:a /opt/kubernetes/ssl/ca.pem"}, "4.1.9": {"644 root:root /opt/kubernetes/cfg/kubelet", "666 root:root /opt/kubernetes/cfg/kubelet"},
		"4.1.10": {"644 root:root /opt/kubernetes/cfg/kubelet", "644 a:a /opt/kubernetes/cfg/kubelet"},
		"4.2.1":  {`"enabled":false`, `"enabled":true`}, "4.2.2": {`"Webhook"`, `"AlwaysAllow"`}, "4.2.3": {`"x509":{"clientCAFile":"/opt/kubernetes/ssl/ca.pem"}`, `"x509":{}`}, "4.2.4": {`"rotateC`, `"readOnlyPort":10255,"rotateC`},
		"4.2.5": {`"4h0m0s"`, `"0s"`}, "4.2.6": {`Defaults":true`, `Defaults":false`}, "4.2.7": {`Chains":true`, `Chains":false`}, "4.2.9": {`QPS":0`, `QPS":1`}, "4.2.10": {`"tlsCertFile":"/opt/kubernetes/ssl/kubelet-server.pem",`, ``},
		"4.2.11": {`"rotateCertificates":true`, `"rotateCertificates":false`}, "4.2.12": {`"rotateC`, `"featureGates":{"RotateKubeletServerCertificate":false},"rotateC`}, "4.2.13": {`["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]`, `["TLS_RSA_WITH_AES_128_CBC_SHA"]`},
		"5.1.1": {`"roleRef":{"name":"flannel"}`, `"roleRef":{"name":"cluster-admin"}`}, "5.1.2": gets("secrets", "list"), "5.1.3": {`"apiGroups":[""]`, `"apiGroups":["*"]`}, "5.1.4": gets("pods", "create"),
		"5.1.5": {`"kind":"ServiceAccount","name":"flannel"`, `"kind":"ServiceAccount","name":"default"`}, "5.1.8": gets("roles", "escalate"),
	}
}

func TestEveryItemThatIsNotMetIsFound(t *testing.T) {
	all := spoils()
	for _, c := range Checks() {
		s, ok := all[c.ID]
		if !ok {
			t.Errorf("no host is without %s", c.ID)
			continue
		}
		world := strings.Replace(good, s[0], s[1], 1)
		if world == good {
			t.Errorf("%s: the good host has no %q", c.ID, s[0])
		}
		found := false
		for _, same := range Checks() {
			found = found || same.ID == c.ID && len(same.Look(host(world))) > 0
		}
		if !found {
			t.Errorf("%s is met on a host with %q for %q", c.ID, s[1], s[0])
		}
	}
}

func TestABindingOfThoseWhoAreNobodyIsFound(t *testing.T) {
	for _, name := range []string{"system:anonymous", "system:unauthenticated"} {
		h := host(strings.Replace(good, `"kind":"ServiceAccount","name":"flannel"`, `"kind":"User","name":"`+name+`"`, 1))
		if faults := Nobody(h); len(faults) != 1 || faults[0] != "ClusterRoleBinding flannel grants it" {
			t.Errorf("%s: %q", name, faults)
		}
	}
}

func TestWhatCannotBeLookedAtIsNotWell(t *testing.T) {
	away := errors.New("no route to host")
	h := &Host{Run: func(...string) (string, error) { return "", away }, Kubectl: func(...string) (string, error) { return "", away }}
	for _, c := range Checks() {
		if len(c.Look(h)) == 0 {
			t.Errorf("%s is well on a host that nobody reaches", c.ID)
		}
	}
}
