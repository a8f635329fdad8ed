package cluster

import (
	"strings"
	"testing"
)

func TestFaultsOfTheKernelAndTheBaselineAreNamed(t *testing.T) {
	const head = `apiVersion: offgrid/v1
kind: Cluster
metadata: {name: example}
hosts:
- {name: a, ip: 10.9.0.1, roles: [master, etcd, node]}
- {name: b, ip: 10.9.0.2, roles: [etcd]}
- {name: c, ip: 10.9.0.3, roles: [etcd]}
`
	for text, want := range map[string]string{
		"host: {kernel: {mode: new}}":              `c:8:17: host.kernel.mode: "new" is not a choice here; choose one of: upgrade, require, skip`,
		"host: {kernel: {removeOld: true}}":        `c:8:17: host.kernel.removeOld: kernels are removed only after an upgrade: say mode: upgrade, or leave this out`,
		"versions: {kernel: 5.4}":                  `c:8:12: versions.kernel: "5.4" is not a kernel's version and release such as 5.4.278-1.el7.elrepo`,
		"host: {baseline: ../baseline.json}":       `c:8:8: host.baseline: "../baseline.json" is not a file inside the site directory; copy what ./install baseline has written there`,
		"host: {baseline: /root/baseline.json}":    `c:8:8: host.baseline: "/root/baseline.json" is not a file inside the site directory`,
		"host: {baseline: baseline.json}":          "",
		"host: {kernel: {mode: upgrade}}":          "",
		"versions: {kernel: 5.4.278-1.el7.elrepo}": "",
	} {
		f, err := Load("c", []byte(head+text+"\n"))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
		if err == nil && f.CarriesKernel() != strings.Contains(text, "upgrade") {
			t.Errorf("%s: carries a kernel: %v", text, f.CarriesKernel())
		}
	}
}
