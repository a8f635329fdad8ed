package cis

import (
	"fmt"
	"strings"
)

// nodeFileChecks are section 4.1.
func nodeFileChecks() []Check {
	proxy, config := named("/opt/kubernetes/cfg/kube-proxy.kubeconfig"), flagged("kubelet", "config")
	return []Check{
		{"4.1.1", Node, mode(0o644, started("kubelet"))}, {"4.1.2", Node, owner(rootOwned, started("kubelet"))},
		{"4.1.3", Node, mode(0o600, proxy)}, {"4.1.4", Node, owner(rootOwned, proxy)},
		{"4.1.5", Node, mode(0o600, flagged("kubelet", "kubeconfig", "bootstrap-kubeconfig"))},
		{"4.1.6", Node, owner(rootOwned, flagged("kubelet", "kubeconfig", "bootstrap-kubeconfig"))},
		{"4.1.7", Node, mode(0o644, kubeletFile("authentication", "x509", "clientCAFile"))},
		{"4.1.8", Node, owner(rootOwned, kubeletFile("authentication", "x509", "clientCAFile"))},
		{"4.1.9", Node, mode(0o644, config)}, {"4.1.10", Node, owner(rootOwned, config)},
	}
}

// kubeletChecks are section 4.2: what kubelet itself says that it runs with.
func kubeletChecks() []Check {
	return []Check{
		{"4.2.1", Node, kubelet("false", "authentication", "anonymous", "enabled")},
		{"4.2.2", Node, kubelet("Webhook", "authorization", "mode")},
		{"4.2.3", Node, kubeletJudged(filled, "authentication", "x509", "clientCAFile")},
		{"4.2.4", Node, kubeletJudged(func(v any) bool { return v == nil || fmt.Sprint(v) == "0" }, "readOnlyPort")},
		{"4.2.5", Node, kubeletJudged(func(v any) bool { return filled(v) && !strings.HasPrefix(fmt.Sprint(v), "0") }, "streamingConnectionIdleTimeout")},
		{"4.2.6", Node, kubelet("true", "protectKernelDefaults")}, {"4.2.7", Node, kubelet("true", "makeIPTablesUtilChains")},
		{"4.2.9", Node, kubelet("0", "eventRecordQPS")},
		{"4.2.10", Node, both(kubeletJudged(filled, "tlsCertFile"), kubeletJudged(filled, "tlsPrivateKeyFile"), mode(0o600, kubeletFile("tlsPrivateKeyFile")))},
		{"4.2.11", Node, kubelet("true", "rotateCertificates")},
		{"4.2.12", Node, kubeletJudged(func(v any) bool { return fmt.Sprint(v) != "false" }, "featureGates", "RotateKubeletServerCertificate")},
		{"4.2.13", Node, kubeletJudged(strongList, "tlsCipherSuites")},
	}
}

func filled(v any) bool { s, ok := v.(string); return ok && s != "" }

func strongList(v any) bool {
	all, ok := v.([]any)
	var names []string
	for _, s := range all {
		names = append(names, fmt.Sprint(s))
	}
	return ok && strong(strings.Join(names, ","))
}

// policyChecks are what of section 5 concerns the cluster as it was installed. What is put into it is the operator's.
func policyChecks() []Check {
	return []Check{
		{"5.1.1", Cluster, bindings("cluster-admin", "", "")},
		{"5.1.2", Cluster, granted("secrets", "get", "list", "watch")},
		{"5.1.3", Cluster, wildcards()},
		{"5.1.4", Cluster, granted("pods", "create")},
		{"5.1.5", Cluster, bindings("", "ServiceAccount", "default")},
		{"5.1.8", Cluster, verbs("bind", "impersonate", "escalate")},
	}
}

// Nobody finds bindings that give anything to those who have not said who they are, beyond what every API server begins with. It
// is no item of the benchmark, and the worst fault of the tutorials that this cluster comes from.
func Nobody(h *Host) []string {
	var faults []string
	for _, subject := range []string{"system:anonymous", "system:unauthenticated"} {
		for _, kind := range []string{"User", "Group"} {
			faults = append(faults, Check{look: bindings("", kind, subject)}.Look(h)...)
		}
	}
	return faults
}
