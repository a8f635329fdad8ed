package cis

import (
	"fmt"
	"slices"
	"strings"
)

const (
	api       = "kube-apiserver"
	manager   = "kube-controller-manager"
	scheduler = "kube-scheduler"
	admission = "enable-admission-plugins"
	rootOwned = "root:root"
	ssl       = "/opt/kubernetes/ssl"
	kubelets  = ssl + "/kubelet-client-*.pem"
)

// Checks lists every item of the benchmark that is met, once for each role whose hosts it concerns.
func Checks() []Check {
	return slices.Concat(fileChecks(), apiChecks(), controlChecks(), etcdChecks(), nodeFileChecks(), kubeletChecks(), policyChecks())
}

// fileChecks are section 1.1. There are no static pods: units and settings of services are what pod specifications are elsewhere.
func fileChecks() []Check {
	private := []string{ssl + "/*-key.pem", ssl + "/*.key"}
	return []Check{
		{"1.1.1", Master, mode(0o644, started(api))}, {"1.1.2", Master, owner(rootOwned, started(api))},
		{"1.1.3", Master, mode(0o644, started(manager))}, {"1.1.4", Master, owner(rootOwned, started(manager))},
		{"1.1.5", Master, mode(0o644, started(scheduler))}, {"1.1.6", Master, owner(rootOwned, started(scheduler))},
		{"1.1.7", Etcd, mode(0o644, started("etcd"))}, {"1.1.8", Etcd, owner(rootOwned, started("etcd"))},
		{"1.1.9", Node, mode(0o644, cniFiles)}, {"1.1.10", Node, owner(rootOwned, cniFiles)},
		{"1.1.11", Etcd, mode(0o700, flagged("etcd", "data-dir"))}, {"1.1.12", Etcd, owner("etcd:etcd", flagged("etcd", "data-dir"))},
		{"1.1.13", Master, mode(0o600, named("/root/.kube/config"))}, {"1.1.14", Master, owner(rootOwned, named("/root/.kube/config"))},
		{"1.1.15", Master, mode(0o600, flagged(scheduler, "kubeconfig"))}, {"1.1.16", Master, owner(rootOwned, flagged(scheduler, "kubeconfig"))},
		{"1.1.17", Master, mode(0o600, flagged(manager, "kubeconfig"))}, {"1.1.18", Master, owner(rootOwned, flagged(manager, "kubeconfig"))},
		{"1.1.19", Master, owner(rootOwned, named(ssl, ssl+"/*"))}, {"1.1.19", Node, owner(rootOwned, named(ssl, ssl+"/*"))},
		{"1.1.20", Master, mode(0o644, named(ssl+"/*.pem"))}, {"1.1.20", Node, mode(0o644, named(ssl+"/*.pem"))},
		{"1.1.20", Etcd, mode(0o644, flagged("etcd", "cert-file", "peer-cert-file", "trusted-ca-file"))},
		{"1.1.21", Master, mode(0o600, named(private...))}, {"1.1.21", Node, mode(0o600, named(private[0], kubelets))},
		{"1.1.21", Etcd, mode(0o600, flagged("etcd", "key-file", "peer-key-file"))},
	}
}

// cniFiles are those of the pod network, and of the addresses that it gave. The lock beside those is an empty file that the plugin
// makes with the right to run it.
func cniFiles(h *Host) ([]string, error) {
	dirs, err := h.flagged("kubelet", "cni-conf-dir")
	if err != nil {
		return nil, err
	}
	out, err := h.Run("find", dirs[0], "/var/lib/cni/networks", "-type", "f", "!", "(", "-name", "lock", "-size", "0", ")")
	return strings.Fields(out), err
}

// apiChecks are section 1.2, and what of section 3 a server shows.
func apiChecks() []Check {
	all := []Check{
		{"1.2.1", "", is(api, "anonymous-auth", "false")}, {"1.2.2", "", unset(api, "token-auth-file")},
		{"1.2.3", "", isOr(api, "kubelet-https", "true")}, {"1.2.4", "", set(api, "kubelet-client-certificate", "kubelet-client-key")},
		{"1.2.5", "", set(api, "kubelet-certificate-authority")}, {"1.2.6", "", lacks(api, "authorization-mode", "AlwaysAllow")},
		{"1.2.7", "", has(api, "authorization-mode", "Node")}, {"1.2.8", "", has(api, "authorization-mode", "RBAC")},
		{"1.2.10", "", lacks(api, admission, "AlwaysAdmit")}, {"1.2.13", "", lacks(api, "disable-admission-plugins", "ServiceAccount")},
		{"1.2.14", "", lacks(api, "disable-admission-plugins", "NamespaceLifecycle")}, {"1.2.16", "", has(api, admission, "NodeRestriction")},
		{"1.2.17", "", unset(api, "insecure-bind-address")}, {"1.2.18", "", is(api, "insecure-port", "0")},
		{"1.2.19", "", atLeast(api, "secure-port", 1)}, {"1.2.20", "", is(api, "profiling", "false")},
		{"1.2.21", "", set(api, "audit-log-path")}, {"1.2.22", "", atLeast(api, "audit-log-maxage", 30)},
		{"1.2.23", "", atLeast(api, "audit-log-maxbackup", 10)}, {"1.2.24", "", atLeast(api, "audit-log-maxsize", 100)},
		{"1.2.25", "", isOr(api, "request-timeout", "1m0s")}, {"1.2.26", "", isOr(api, "service-account-lookup", "true")},
		{"1.2.27", "", set(api, "service-account-key-file")}, {"1.2.28", "", set(api, "etcd-certfile", "etcd-keyfile")},
		{"1.2.29", "", set(api, "tls-cert-file", "tls-private-key-file")}, {"1.2.30", "", set(api, "client-ca-file")},
		{"1.2.31", "", set(api, "etcd-cafile")}, {"1.2.32", "", both(set(api, "encryption-provider-config"), mode(0o600, flagged(api, "encryption-provider-config")))},
		{"1.2.33", "", encrypted}, {"1.2.34", "", flag(api, "tls-cipher-suites", func(v string, _ bool) bool { return strong(v) })},
		{"3.2.1", "", set(api, "audit-policy-file")}, {"3.2.2", "", audited},
	}
	for i := range all {
		all[i].Role = Master
	}
	return all
}

// encrypted wants a provider that encrypts before the one that does not: what comes first writes.
func encrypted(h *Host) ([]string, error) {
	files, err := h.flagged(api, "encryption-provider-config")
	if err != nil {
		return nil, err
	}
	text, err := h.Run("cat", files[0])
	if err != nil {
		return nil, err
	}
	_, first, _ := strings.Cut(text, "providers:")
	first, _, _ = strings.Cut(strings.TrimLeft(first, " \n-"), ":")
	if slices.Contains([]string{"aescbc", "kms", "secretbox"}, first) && strings.Contains(text, "- secrets\n") {
		return nil, nil
	}
	return []string{fmt.Sprintf("%s: the first provider is %q", files[0], first)}, nil
}

// audited wants the policy to speak of what the benchmark names as the least.
func audited(h *Host) ([]string, error) {
	files, err := h.flagged(api, "audit-policy-file")
	if err != nil {
		return nil, err
	}
	text, err := h.Run("cat", files[0])
	if err != nil {
		return nil, err
	}
	var faults []string
	for _, resource := range []string{"secrets", "configmaps", "tokenreviews", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy"} {
		if !strings.Contains(text, `"`+resource+`"`) {
			faults = append(faults, files[0]+" has no rule for "+resource)
		}
	}
	if !strings.HasSuffix(strings.TrimSpace(text), "- level: Metadata") {
		faults = append(faults, files[0]+" does not end with a rule that logs all other changes")
	}
	return faults, nil
}

// controlChecks are sections 1.3 and 1.4.
func controlChecks() []Check {
	return []Check{
		{"1.3.1", Master, atLeast(manager, "terminated-pod-gc-threshold", 1)}, {"1.3.2", Master, is(manager, "profiling", "false")},
		{"1.3.3", Master, is(manager, "use-service-account-credentials", "true")}, {"1.3.4", Master, set(manager, "service-account-private-key-file")},
		{"1.3.5", Master, set(manager, "root-ca-file")}, {"1.3.6", Master, has(manager, "feature-gates", "RotateKubeletServerCertificate=true")},
		{"1.3.7", Master, both(is(manager, "bind-address", "127.0.0.1"), loopback(manager))},
		{"1.4.1", Master, is(scheduler, "profiling", "false")},
		{"1.4.2", Master, both(is(scheduler, "bind-address", "127.0.0.1"), loopback(scheduler))},
	}
}

// loopback wants the port without TLS, which `kubectl get cs` asks, closed or on the host alone. The benchmark forgot it.
func loopback(process string) look {
	return func(h *Host) ([]string, error) {
		closed, err := is(process, "port", "0")(h)
		if err != nil || closed == nil {
			return nil, err
		}
		return is(process, "address", "127.0.0.1")(h)
	}
}

// etcdChecks are section 2.
func etcdChecks() []Check {
	return []Check{
		{"2.1", Etcd, set("etcd", "cert-file", "key-file")}, {"2.2", Etcd, is("etcd", "client-cert-auth", "true")},
		{"2.3", Etcd, isOr("etcd", "auto-tls", "false")}, {"2.4", Etcd, set("etcd", "peer-cert-file", "peer-key-file")},
		{"2.5", Etcd, is("etcd", "peer-client-cert-auth", "true")}, {"2.6", Etcd, isOr("etcd", "peer-auto-tls", "false")},
		{"2.7", Master, ownAuthority},
	}
}

// ownAuthority wants etcd to trust another authority than the API server does.
func ownAuthority(h *Host) ([]string, error) {
	files, err := h.flagged(api, "etcd-cafile", "client-ca-file")
	if err != nil {
		return nil, err
	}
	out, err := h.Run(append([]string{"sha256sum"}, files...)...)
	sums := strings.Fields(out)
	if err != nil || len(sums) == 4 && sums[0] != sums[2] {
		return nil, err
	}
	return []string{"etcd and the API server trust the same authority: " + out}, nil
}
