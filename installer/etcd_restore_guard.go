package installer

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// RestoreRefusedError is a restore while something still works on the data.
type RestoreRefusedError struct {
	Running []string // "etcd on node01 (20.0.0.103)"
	Steps   []string // what to do instead, in order, with this site's names
}

func (e *RestoreRefusedError) Error() string {
	return "a restore replaces the data of the whole cluster, and this still runs: " + strings.Join(e.Running, ", ")
}

// masterUnits are what works on the cluster's data beside etcd, in the order of starting.
func masterUnits() string { return "kube-apiserver kube-controller-manager kube-scheduler" }

// guardRestore refuses while anything uses the old data. A member that was restored from the same snapshot already is no
// reason: members are restored one after the other.
func (s *Session) guardRestore(ctx context.Context, j *RestoreJob) error {
	restored := clusterID(j.Members, j.token)
	swapped, err := j.places.swapped(s.Host)
	if err != nil {
		return err
	}
	var running []string
	back := false // the restored cluster works already
	for _, h := range hostsWith(j.etcd.Input.Index, bundle.RoleEtcd) {
		if h.IP == j.etcd.Host.IP {
			continue
		}
		st, err := j.etcd.status(ctx, h)
		switch {
		case err != nil: // stopped, or it waits for the others with the restored data
		case st.cluster != restored:
			running = append(running, "etcd on "+h.Name+" ("+h.IP+")")
		case st.healthy:
			back = true
		}
	}
	if !swapped {
		own, err := host.ShowUnit(ctx, s.Host, etcdUnit)
		if err != nil {
			return err
		}
		if own.Up() || own.Job {
			running = append(running, "etcd on this host")
		}
	}
	if !back && !j.Already {
		running = append(running, s.runningMasters(ctx, j)...)
	}
	if len(running) == 0 {
		return nil
	}
	return &RestoreRefusedError{Running: running, Steps: j.allSteps()}
}

// runningMasters are the API servers that answer, or that systemd keeps up on this host.
func (s *Session) runningMasters(ctx context.Context, j *RestoreJob) []string {
	var running []string
	index := j.etcd.Input.Index
	for _, h := range hostsWith(index, bundle.RoleMaster) {
		if h.IP == j.etcd.Host.IP {
			u, err := host.ShowUnit(ctx, s.Host, "kube-apiserver.service")
			if err == nil && (u.Up() || u.Job) {
				running = append(running, "kube-apiserver on this host")
			}
			continue
		}
		address := net.JoinHostPort(h.IP, strconv.Itoa(apiPort(index)))
		if _, err := s.Probe(ctx, Probe{URL: "https://" + address + "/healthz", Timeout: peerAnswer}); err == nil {
			running = append(running, "kube-apiserver on "+h.Name+" ("+h.IP+")")
		}
	}
	return running
}

// hostsOf are the hosts of the restored members.
func (j *RestoreJob) hostsOf() []bundle.Host {
	return slices.DeleteFunc(hostsWith(j.etcd.Input.Index, bundle.RoleEtcd), func(h bundle.Host) bool {
		return !slices.Contains(j.Members, SnapshotMember{Name: h.EtcdName, Peer: peerURL(h)})
	})
}

// command is what restores this snapshot on any member.
func (j *RestoreJob) command() string {
	text := InstallPath() + " etcd restore"
	if j.Record.Member == "" {
		text += " --unrecorded"
	}
	if strings.Count(j.token, "-") > 2 {
		text += " --again " + j.token[strings.LastIndex(j.token, "-")+1:]
	}
	if !slices.Equal(j.Members, j.Record.Members) && j.Record.Member != "" {
		var names []string
		for _, m := range j.Members {
			names = append(names, m.Name)
		}
		text += " --members " + strings.Join(names, ",")
	}
	return text + " " + j.File
}

// allSteps is a restore from its beginning to its end, for people.
func (j *RestoreJob) allSteps() []string {
	index := j.etcd.Input.Index
	steps := []string{
		fmt.Sprintf("on %s: systemctl stop %s", hostNames(hostsWith(index, bundle.RoleMaster)), masterUnits()),
		fmt.Sprintf("on %s: systemctl stop etcd", hostNames(hostsWith(index, bundle.RoleEtcd))),
		fmt.Sprintf("copy %s and %s to the same place on %s", j.File, j.File+snapshotSuffix, hostNames(j.hostsOf())),
		fmt.Sprintf("on each of %s, one after the other: %s", hostNames(j.hostsOf()), j.command()),
	}
	return append(steps, j.procedure(false)...)
}

// procedure is what comes after this member.
func (j *RestoreJob) procedure(waiting bool) []string {
	index := j.etcd.Input.Index
	var steps []string
	if waiting {
		others := slices.DeleteFunc(j.hostsOf(), func(h bundle.Host) bool { return h.IP == j.etcd.Host.IP })
		steps = append(steps, fmt.Sprintf("on %s, with the same file: %s", hostNames(others), j.command()))
	}
	steps = append(steps, fmt.Sprintf("when all members are restored, on %s: systemctl start %s", hostNames(hostsWith(index, bundle.RoleMaster)), masterUnits()))
	if nodes := hostsWith(index, bundle.RoleNode); len(nodes) > 0 {
		steps = append(steps, fmt.Sprintf("on %s, and on every node that joined later: systemctl restart kubelet kube-proxy", hostNames(nodes)))
	}
	return steps
}

// quorum is satisfied when this member works in the restored cluster.
func (j *RestoreJob) quorum(ctx context.Context, _ host.Host) (Status, error) {
	restored := clusterID(j.Members, j.token)
	st, err := j.etcd.status(ctx, j.etcd.Host)
	if err == nil && st.cluster == restored && st.healthy {
		return Status{State: Satisfied, Why: "this member works in the restored cluster"}, nil
	}
	if err == nil && st.cluster != restored && st.healthy {
		return Status{State: Conflict, Why: "etcd on this host works with data that is not the snapshot's; see: journalctl -u etcd -n 20"}, nil
	}
	var missing []string
	for _, h := range j.hostsOf() {
		if h.IP == j.etcd.Host.IP {
			continue
		}
		if other, err := j.etcd.status(ctx, h); err != nil || other.cluster != restored {
			missing = append(missing, memberName(h))
		}
	}
	return pending("waiting for etcd: %d of %d members are needed; not known to be restored yet: %s", len(j.Members)/2+1, len(j.Members), strings.Join(missing, ", "))
}
