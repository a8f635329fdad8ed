package installer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// MemberRequest is a change of who is a member of etcd, asked for on a member that works.
type MemberRequest struct {
	Remove string // name of a dead member; "": none goes
	Add    string // name of the planned one that comes; "": the one that goes comes back, with nothing in its data directory
}

// MemberJob is such a change that may begin. Close it.
type MemberJob struct {
	Remove string   `json:"remove"` // name, "" when it is gone already or none goes
	Add    string   `json:"add"`    // name, "" when it is known to the others already
	Host   string   `json:"host"`   // name of the host to install
	IP     string   `json:"ip"`
	Roles  []string `json:"roles"`

	etcd   *etcdHere
	id     uint64 // of the one that goes
	target bundle.Host
}

// Close closes what the job reads.
func (j *MemberJob) Close() { j.etcd.close() }

// PrepareMembers looks whether a change of members is safe, and changes nothing. Errors are *UsageError or what went wrong.
func (s *Session) PrepareMembers(ctx context.Context, req MemberRequest) (*MemberJob, error) {
	verb, name := "add", req.Add
	if req.Remove != "" {
		verb, name = "replace", req.Remove
	}
	e, err := s.etcdHere(ctx, "etcd "+verb+" "+name)
	if err != nil {
		return nil, err
	}
	j := &MemberJob{etcd: e}
	if err := j.prepare(ctx, s, req); err != nil {
		e.close()
		return nil, err
	}
	return j, nil
}

func (j *MemberJob) prepare(ctx context.Context, s *Session, req MemberRequest) error {
	index := j.etcd.Input.Index
	planned := memberNames(hostsWith(index, bundle.RoleEtcd))
	gone, known := etcdHost(index, req.Remove)
	if req.Remove != "" && !known {
		return &UsageError{What: fmt.Sprintf("%q is no planned member of etcd", req.Remove), Hint: "members are: " + planned}
	}
	target := gone
	if req.Add != "" {
		if target, known = etcdHost(index, req.Add); !known {
			return &UsageError{What: fmt.Sprintf("%q is no planned member of etcd", req.Add), Hint: "members are: " + planned + "; another one: add it to cluster.yaml with spare: true, then: bundle build"}
		}
	}
	j.Host, j.IP, j.Roles, j.target = target.Name, target.IP, target.Roles, target
	st, err := j.etcd.status(ctx, j.etcd.Host)
	if err == nil && !st.healthy {
		err = errors.New("it has no leader: most members do not run")
	}
	if err != nil {
		return &UsageError{What: "members can be changed only from a member that works, and the one on this host does not: " + err.Error(),
			Hint: "start the others first; when most of them are lost for good: " + InstallPath() + " etcd restore FILE"}
	}
	members, err := askMemberList(ctx, s.Probe, j.etcd.credential, j.etcd.Host)
	if err != nil {
		return err
	}
	return j.decide(ctx, members, gone, target)
}

// memberOf finds a host among the members, by its address: one that has never run has no name.
func memberOf(members []etcdMember, h bundle.Host) (etcdMember, bool) {
	i := slices.IndexFunc(members, func(m etcdMember) bool { return h.IP != "" && slices.Contains(m.PeerURLs, peerURL(h)) })
	if i < 0 {
		return etcdMember{}, false
	}
	return members[i], true
}

// decide finds what is left to do and refuses what would cost the majority.
func (j *MemberJob) decide(ctx context.Context, members []etcdMember, gone, target bundle.Host) error {
	index := j.etcd.Input.Index
	works := 0
	for _, m := range members {
		h, ok := hostOfPeer(index, m)
		if ok && len(m.ClientURLs) > 0 {
			if st, err := j.etcd.status(ctx, h); err == nil && st.healthy {
				works++
				continue
			}
		}
		if len(m.ClientURLs) == 0 && (!ok || h.IP != target.IP) {
			return &UsageError{What: fmt.Sprintf("the member at %s was added and has never run: etcd takes one change at a time", strings.Join(m.PeerURLs, ", ")),
				Hint: "install that host first: ./install --role etcd --ip " + h.IP}
		}
	}
	old, there := memberOf(members, gone)
	if there && (len(old.ClientURLs) > 0 || gone.IP != target.IP) {
		if _, err := j.etcd.status(ctx, gone); err == nil {
			return &UsageError{What: memberName(gone) + " answers: it is not dead", Hint: "to take it out of service first, on " + gone.Name + ": ./install uninstall --role etcd"}
		}
		if gone.IP == j.etcd.Host.IP {
			return &UsageError{What: "a member cannot replace itself", Hint: "run it on another member: " + hostNames(hostsWith(index, bundle.RoleEtcd))}
		}
		if 2*works <= len(members)-1 {
			return &UsageError{What: fmt.Sprintf("%d of %d members work: without %s there would be no majority", works, len(members), gone.EtcdName),
				Hint: "start the other members first"}
		}
		id, err := strconv.ParseUint(old.ID, 10, 64)
		if err != nil {
			return fmt.Errorf("reading the member list: id %q", old.ID)
		}
		j.Remove, j.id = gone.EtcdName, id
	}
	now, listed := memberOf(members, target)
	if listed && len(now.ClientURLs) > 0 && j.Remove != target.EtcdName {
		return &UsageError{What: memberName(target) + " is a member already", Hint: InstallPath() + " etcd replace " + target.EtcdName + "   (when it is lost)"}
	}
	if !listed || j.Remove == target.EtcdName {
		j.Add = target.EtcdName
	}
	return nil
}

// ChangeMembers takes the dead member out and the new one in. It may be killed and run again.
func (s *Session) ChangeMembers(ctx context.Context, j *MemberJob) error {
	if j.Remove != "" {
		if _, err := s.Host.Run(ctx, nil, j.etcd.ctl("30s", "member", "remove", strconv.FormatUint(j.id, 16))...); err != nil {
			return fmt.Errorf("removing %s from etcd: %s", j.Remove, lastLine(err))
		}
	}
	if j.Add == "" {
		return nil
	}
	if _, err := s.Host.Run(ctx, nil, j.etcd.ctl("30s", "member", "add", j.Add, "--peer-urls="+peerURL(j.target))...); err != nil {
		return fmt.Errorf("adding %s to etcd: %s", j.Add, lastLine(err))
	}
	return nil
}

// hasLog reports whether etcd on this host has begun to write its log: from then on it ignores what it is to start with.
func hasLog(h host.Host, index *bundle.RoleIndex) (bool, error) {
	return host.Exists(h, strings.TrimSuffix(index.Cluster.Policy.EtcdDataDir, "/")+"/member/wal")
}
