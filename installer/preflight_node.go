package installer

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
)

// dockerLimit is the first major version whose API kubelet 1.20 does not understand.
// https://github.com/moby/moby/issues/47207
const dockerLimit = 25

// checkDocker refuses docker versions that kubelet cannot work with, on the host and in the bundle.
func checkDocker(in *PreflightInput, r *RoleInput) []Finding {
	const why = "with docker 25 and later kubelet 1.20 says \"Id or size of image is not set\" and starts no pod"
	var found []Finding
	here := in.Facts.Docker
	if major(here) >= dockerLimit {
		found = append(found, conflict("docker-new", "docker "+here+" is installed", "/usr/bin/docker", why, "yum remove docker-ce docker-ce-cli")...)
	}
	if v := r.Index.Cluster.Policy.DockerVersion; major(v) >= dockerLimit {
		found = append(found, usage("docker-bundle-new", "the bundle brings docker "+v, r.Path, why, "set versions.docker in cluster.yaml to 20.10.24, then: bundle lock && bundle build")...)
	}
	return found
}

// major returns the first number of a version, 0 when there is none.
func major(version string) int {
	digits, _, _ := strings.Cut(version, ".")
	n, err := parseInt(digits)
	if err != nil {
		return 0
	}
	return n
}

// containerTools are packages that docker-ce and containerd.io refuse to be beside.
func containerTools() []string {
	return []string{"podman", "podman-docker", "docker", "docker-io", "docker-engine", "docker-common", "docker-latest", "docker-ee", "moby-engine", "runc", "containerd"}
}

func checkContainerTools(in *PreflightInput, r *RoleInput) []Finding {
	var found []Finding
	for _, name := range containerTools() {
		ours := slices.ContainsFunc(r.Index.Packages, func(p bundle.Package) bool { return p.Name == name })
		if version, ok := in.Facts.Packages[name]; ok && !ours {
			found = append(found, conflict("container-tool", "the package "+name+" "+version+" is installed", "package "+name,
				"docker-ce cannot be installed beside it", "yum remove "+name)...)
		}
	}
	if strings.HasPrefix(in.Facts.Docker, "podman") && len(found) == 0 {
		found = append(found, conflict("container-tool", "the command docker is "+in.Facts.Docker, "docker", "kubelet needs docker itself", "rpm -q -f /usr/bin/docker")...)
	}
	return found
}

// checkCgroupDriver insists that docker and kubelet are told the same: otherwise kubelet ends with "misconfiguration".
func checkCgroupDriver(_ *PreflightInput, r *RoleInput) []Finding {
	docker, ok := packFile(r, "/etc/docker/daemon.json")
	if ok && !strings.Contains(string(docker), "native.cgroupdriver=systemd") {
		return usage("cgroup-driver", "docker's settings do not say native.cgroupdriver=systemd", "/etc/docker/daemon.json",
			"kubelet would end with \"misconfiguration: kubelet cgroup driver\"", rebuild)
	}
	for _, name := range []string{"/opt/kubernetes/cfg/kubelet.config", "/opt/kubernetes/cfg/kubelet-config.yml"} {
		kubelet, ok := packFile(r, name)
		if ok && !strings.Contains(strings.ReplaceAll(string(kubelet), `"`, ""), "cgroupDriver: systemd") {
			return usage("cgroup-driver", "kubelet's settings do not say cgroupDriver: systemd", name,
				"kubelet would end with \"misconfiguration: kubelet cgroup driver\"", rebuild)
		}
	}
	return nil
}

// checkFType refuses a file system that cannot hold docker's layers.
func checkFType(in *PreflightInput, _ *RoleInput) []Finding {
	m, ok := mountOf(in.Facts, "/var/lib/docker")
	if !ok || !m.NoFType {
		return nil
	}
	return conflict("xfs-ftype", m.Path+" is an xfs made with ftype=0", "mount point of /var/lib/docker",
		"docker's overlay2 cannot use it; it takes a new file system, made by mkfs.xfs -n ftype=1, for /var/lib/docker", "xfs_info "+m.Path)
}

// checkIPVSTools insists on ipset: without it kube-proxy falls back to iptables and says so only in its log.
func checkIPVSTools(in *PreflightInput, r *RoleInput) []Finding {
	brought := slices.ContainsFunc(r.Index.Packages, func(p bundle.Package) bool { return p.Name == "ipset" })
	if r.Index.Cluster.Policy.ProxyMode != "ipvs" || brought || in.Facts.Commands["ipset"] {
		return nil
	}
	return conflict("ipset-missing", "the command ipset is not here, and the bundle does not bring it", "/usr/sbin/ipset",
		"the cluster file says network.proxyMode: ipvs, and kube-proxy needs ipset for it", "set network.proxyMode: iptables in cluster.yaml, then: bundle build")
}

// checkEtcdData refuses data that is not this cluster's: etcd would join with it or fail for ever. It is never deleted.
func checkEtcdData(in *PreflightInput, r *RoleInput) []Finding {
	dir := r.Index.Cluster.Policy.EtcdDataDir
	ours := in.Previous.Data[dir] == r.Index.Cluster.ID || in.Previous.Clusters[bundle.RoleEtcd] == r.Index.Cluster.ID
	if len(in.Facts.EtcdData) == 0 || ours {
		return nil
	}
	return conflict("etcd-data", "the data directory of etcd is not empty", fmt.Sprintf("%s holds %s", dir, strings.Join(in.Facts.EtcdData, ", ")),
		"it is not of this cluster, and etcd would fail with \"cluster ID mismatch\" or \"already been bootstrapped\"", "mv "+dir+" "+dir+".before")
}

// checkEtcdTwins insists that no setting is given twice: etcd 3.4 ends with "conflicting environment variable is shadowed".
// https://github.com/etcd-io/etcd/issues/11111
func checkEtcdTwins(_ *PreflightInput, r *RoleInput) []Finding {
	var unit, env string
	for _, f := range r.Index.Files {
		if path.Base(f.Path) == "etcd.service" {
			unit = string(r.Texts[f.Path])
		}
	}
	if data, ok := packFile(r, "/opt/etcd/cfg/etcd"); ok {
		env = string(data)
	}
	for line := range strings.Lines(env) {
		key, _, ok := strings.Cut(strings.TrimSpace(line), "=")
		name, isEtcd := strings.CutPrefix(key, "ETCD_")
		flag := "--" + strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		if !ok || !isEtcd {
			continue
		}
		for _, word := range strings.Fields(unit) {
			if word == flag || strings.HasPrefix(word, flag+"=") {
				return usage("etcd-twins", "the unit of etcd sets "+flag+" and its settings file "+key, "/opt/etcd/cfg/etcd",
					"etcd ends with \"conflicting environment variable is shadowed by corresponding command-line flag\"", rebuild)
			}
		}
	}
	return nil
}
