package installer

import (
	"fmt"
	"strings"

	"offgrid/bundle"
)

// judgeMinor: Kubernetes goes from one minor to the next and never back.
// https://kubernetes.io/releases/version-skew-policy/
func judgeMinor(r *RoleJob, from, to release) []Finding {
	u := r.Plan.Upgrade
	const why = "Kubernetes is upgraded one minor version at a time, and objects that a newer one has stored are not read by an older one"
	switch {
	case to.major != from.major || to.minor > from.minor+1:
		return conflict("minor-skipped", fmt.Sprintf("%s would go from %s to %s", r.Plan.Role, u.From.Version, u.To.Version), r.Bundle.Path, why,
			fmt.Sprintf("set versions.kubernetes in cluster.yaml to a v%d.%d, then: bundle lock && bundle build", from.major, from.minor+1))
	case to.minor < from.minor:
		return conflict("minor-lowered", fmt.Sprintf("%s would go back from %s to %s", r.Plan.Role, u.From.Version, u.To.Version), r.Bundle.Path, why,
			fmt.Sprintf("set versions.kubernetes in cluster.yaml to a v%d.%d, then: bundle lock && bundle build", from.major, from.minor))
	}
	return nil
}

// judgeEtcdVersion: etcd stays within 3.4. Its store is not read by an older minor, and Kubernetes 1.20 was made with 3.4.
func judgeEtcdVersion(r *RoleJob, from, to release) []Finding {
	if to.major == from.major && to.minor == from.minor && to.major == 3 && to.minor == 4 {
		return nil
	}
	u := r.Plan.Upgrade
	return conflict("etcd-minor", fmt.Sprintf("etcd would go from %s to %s", u.From.Version, u.To.Version), r.Bundle.Path,
		"Kubernetes v1.20 is made for etcd 3.4, and a store that a newer minor has written is not read by an older one",
		"set versions.etcd in cluster.yaml to a v3.4, then: bundle lock && bundle build")
}

// judgeMembers: etcd is upgraded one member at a time, and only while the others can do without this one.
func judgeMembers(r *RoleJob, members []answered) []Finding {
	var others []answered
	for _, m := range members {
		if m.host.IP != r.Plan.Host.IP {
			others = append(others, m)
		}
	}
	quorum := len(members)/2 + 1
	missing := down(others)
	switch {
	case len(others) == 0:
		return warning("etcd-alone", "this is the only member of etcd", r.Plan.Host.Name, "the API does not answer while it is started anew", "./install --yes   (when that is right now)")
	case len(up(others)) == 0:
		return warning("etcd-cold", "no other member of etcd answers: "+missing[0].why, answeredNames(missing),
			"whether they fit cannot be known; without most members there is no etcd to be lost, and this one waits for them",
			"start the others first, if they should run: systemctl start etcd")
	case len(up(others)) < quorum:
		return conflict("etcd-member-down", "another member of etcd does not answer: "+missing[0].why, answeredNames(missing),
			fmt.Sprintf("with this one away, too, fewer than %d of %d members are left, and the whole cluster stops", quorum, len(members)),
			"on "+missing[0].host.Name+": systemctl status etcd; journalctl -u etcd -n 20   (one member at a time; wait until it is healthy)")
	case len(missing) > 0:
		return warning("etcd-member-away", "another member of etcd does not answer: "+missing[0].why, answeredNames(missing),
			"the others are enough while this one is started anew, but nothing more may fail", "on "+missing[0].host.Name+": systemctl status etcd")
	}
	return nil
}

// judgeMaster: an API server is never older than a kubelet, and API servers are at most one minor apart.
func judgeMaster(r *RoleJob, to release, run running) []Finding {
	u := r.Plan.Upgrade
	var found []Finding
	for _, k := range run.kubelets {
		if v, ok := parseVersion(k.version); ok && to.before(v) {
			found = append(found, conflict("kubelet-newer", fmt.Sprintf("the API server would be %s, and a kubelet is newer", u.To.Version), "node "+k.host.Name+" with "+k.version,
				"a kubelet must not be newer than any API server", "build a bundle with "+k.version+" or newer: bundle lock && bundle build")...)
			break
		}
	}
	var others []answered
	for _, a := range run.apis {
		if a.host.IP == r.Plan.Host.IP {
			continue
		}
		others = append(others, a)
		v, ok := parseVersion(a.version)
		if ok && (v.minor > to.minor+1 || to.minor > v.minor+1) {
			found = append(found, conflict("masters-apart", fmt.Sprintf("the API server would be %s, and another one is %s", u.To.Version, a.version), answeredNames([]answered{a}),
				"API servers must not be more than one minor version apart", fmt.Sprintf("first there: ./install --role master --ip %s", a.host.IP))...)
		}
		if ok && v.minor < to.minor && !ownServer(r) {
			found = append(found, conflict("companions-newer", fmt.Sprintf("controller-manager and scheduler would be %s and may talk to an API server that is %s", u.To.Version, a.version),
				answeredNames([]answered{a}), "they must not be newer than the API servers they talk to, and their kubeconfig does not name this host", rebuild)...)
		}
	}
	missing := down(others)
	switch {
	case len(up(run.apis)) == 0:
		found = append(found, warning("masters-cold", "no API server answers: "+coldWhy(run.apis), answeredNames(run.apis),
			"whether another master or a kubelet is newer cannot be known; on a site that is off this is right, and this master waits for etcd",
			"systemctl status etcd kube-apiserver   (if they should run)")...)
	case len(others) > 0 && len(missing) == len(others):
		found = append(found, warning("master-alone", "no other API server answers: "+missing[0].why, answeredNames(missing),
			"the API does not answer while this one is started anew", "on "+missing[0].host.Name+": systemctl status kube-apiserver")...)
	}
	return found
}

// ownServer reports whether controller-manager and scheduler talk to this master's own API server.
func ownServer(r *RoleJob) bool {
	for _, name := range []string{"controller-manager.kubeconfig", "scheduler.kubeconfig"} {
		c, ok := fileCredential(&r.Input, name)
		if ok && !strings.Contains(c.server, "//"+r.Plan.Host.IP+":") && !strings.Contains(c.server, "//127.0.0.1:") && !strings.Contains(c.server, "//localhost:") {
			return false
		}
	}
	return true
}

// judgeNode: masters before nodes.
func judgeNode(r *RoleJob, to release, apis []answered) []Finding {
	u := r.Plan.Upgrade
	var found []Finding
	var older []answered
	for _, a := range up(apis) {
		if v, ok := parseVersion(a.version); ok && v.before(to) {
			older = append(older, a)
		}
	}
	if len(older) > 0 {
		found = append(found, conflict("masters-first", fmt.Sprintf("kubelet and kube-proxy would be %s, and an API server is older", u.To.Version), answeredNames(older),
			"neither may be newer than any API server", masterFirst(older[0].host))...)
	}
	missing := down(apis)
	switch {
	case len(missing) == len(apis):
		why := "whether the masters are at " + u.To.Version + " already cannot be known; kubelet and kube-proxy must not be newer than they are"
		if u.Drain {
			why += "; and the node cannot be drained: its pods feel the restart"
		}
		found = append(found, warning("masters-cold", "no API server answers: "+coldWhy(apis), answeredNames(apis), why,
			"on "+firstName(apis)+": ./install status   (shows its version)")...)
	case len(missing) > 0:
		found = append(found, warning("master-unknown", "an API server does not answer: "+missing[0].why, answeredNames(missing),
			"its version cannot be known; should it come back older than "+u.To.Version+", upgrade it at once", masterFirst(missing[0].host))...)
	}
	return found
}

func masterFirst(h bundle.Host) string {
	return fmt.Sprintf("first on %s: ./install --role master --ip %s", h.Name, h.IP)
}

func coldWhy(all []answered) string {
	if len(all) == 0 {
		return "none is planned"
	}
	return all[0].why
}

func firstName(all []answered) string {
	if len(all) == 0 {
		return "a master"
	}
	return all[0].host.Name
}
