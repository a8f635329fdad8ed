package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const kindMember = "member"

// memberStep decides how a member without data is started: as one of the first, together with the others, or as one that
// a cluster which works already has let in. etcd cannot find that out by itself: started in the wrong way it waits for
// ever ("cluster ID mismatch") or ends ("member count is unequal"). Once there is data, nothing is left to decide.
type memberStep struct {
	index *bundle.RoleIndex
	own   bundle.Host
	etcd  *etcdHere
	probe Prober
}

// memberStart plans it, before the service is started.
func (p *planner) memberStart() {
	c, ok := etcdCredential(p.role())
	if !ok {
		return // the wait after it says so
	}
	e := &etcdHere{installedRole: &installedRole{Input: *p.role(), Host: p.in.Host}, credential: c, probe: p.in.Probe}
	step := &memberStep{index: p.index, own: p.in.Host, etcd: e, probe: p.in.Probe}
	p.add(&WaitStep{Name: "a place among the members of etcd", Wait: p.peers(), Probe: step.placed}, step)
}

// placed is satisfied unless the others have to let this member in first.
func (s *memberStep) placed(ctx context.Context, h host.Host) (Status, error) {
	st, err := s.Check(ctx, h)
	if err == nil && st.State == Needed {
		st = Status{State: Satisfied}
	}
	return st, err
}

// ID implements Step.
func (s *memberStep) ID() string { return kindMember + ":" + etcdInitial }

// Line implements Step.
func (s *memberStep) Line() Line {
	return Line{Verb: "decide", Object: etcdInitial, Why: "whether " + s.own.EtcdName + " begins with the others or joins a cluster that runs"}
}

// Check implements Step.
func (s *memberStep) Check(ctx context.Context, h host.Host) (Status, error) {
	begun, err := hasLog(h, s.index)
	if err != nil {
		return Status{}, err
	}
	if begun {
		return Status{State: Satisfied, Why: "there is data"}, nil
	}
	if u, err := host.ShowUnit(ctx, h, etcdUnit); err != nil || u.Active == "active" {
		return Status{State: Satisfied, Why: "etcd runs"}, err
	}
	want, why := s.wanted(ctx)
	if why != "" {
		return Status{State: Pending, Why: why}, nil
	}
	now, err := readOptional(h, etcdInitial)
	if err != nil || now != want {
		return Status{State: Needed}, err
	}
	return Status{State: Satisfied}, nil
}

// wanted is the content of the file, "" for none. why says what to wait for.
func (s *memberStep) wanted(ctx context.Context) (text, why string) {
	leaderless := ""
	for _, h := range hostsWith(s.index, bundle.RoleEtcd) {
		if h.IP == s.own.IP {
			continue
		}
		st, err := s.etcd.status(ctx, h)
		if err != nil {
			continue
		}
		if !st.healthy {
			leaderless = memberName(h)
			continue
		}
		members, err := askMemberList(ctx, s.probe, s.etcd.credential, h)
		if err != nil {
			continue
		}
		return s.among(members, h)
	}
	switch {
	case leaderless != "":
		return "", "waiting for etcd: " + leaderless + " answers, but most members do not run"
	case s.own.Spare:
		return "", "waiting for etcd: a spare member joins a cluster that works, and no member answers"
	}
	return "", ""
}

// among looks for this host in the list of a cluster that works; h is who gave it.
func (s *memberStep) among(members []etcdMember, h bundle.Host) (text, why string) {
	own, ok := memberOf(members, s.own)
	on := fmt.Sprintf("on %s (%s), or another host whose etcd works, run: %s etcd", h.Name, h.IP, InstallPath())
	switch {
	case !ok && s.own.Spare:
		return "", fmt.Sprintf("waiting to be let in: %s add %s   (to put it in the place of a dead member: replace NAME --by %s)", on, s.own.EtcdName, s.own.EtcdName)
	case !ok:
		return "", fmt.Sprintf("waiting to be let in: the cluster works without %s; %s add %s", s.own.EtcdName, on, s.own.EtcdName)
	case len(own.ClientURLs) > 0:
		return "", "waiting for a decision: " + lostMemberText(s.index, s.own, h)
	}
	var cluster []string
	for _, m := range members {
		name := m.Name
		if planned, ok := hostOfPeer(s.index, m); ok && name == "" {
			name = planned.EtcdName
		}
		if name == "" {
			name = "member-" + m.ID
		}
		for _, url := range m.PeerURLs {
			cluster = append(cluster, name+"="+url)
		}
	}
	slices.Sort(cluster)
	return "# Written by offgrid: this member joins a cluster that runs. It matters at the first start only.\n" +
		"ETCD_INITIAL_CLUSTER=" + strings.Join(cluster, ",") + "\nETCD_INITIAL_CLUSTER_STATE=existing\n", ""
}

// lostMemberText says what helps when the others count on data that is gone.
func lostMemberText(index *bundle.RoleIndex, own, other bundle.Host) string {
	return fmt.Sprintf("the cluster knows the member %s of this host from before, and its data is no longer in %s: etcd will not start it again as a new one. "+
		"Put the data back there; or let it in as a new member: on %s (%s) run: %s etcd replace %s",
		own.EtcdName, index.Cluster.Policy.EtcdDataDir, other.Name, other.IP, InstallPath(), own.EtcdName)
}

// Before implements Undoer.
func (s *memberStep) Before(context.Context, host.Host, bool) (json.RawMessage, error) {
	return json.RawMessage("{}"), nil
}

// Do implements Step. etcd may run already, in vain, with what was right before: it is started anew.
func (s *memberStep) Do(ctx context.Context, h host.Host) error {
	text, why := s.wanted(ctx)
	if why != "" {
		return nil // Check says so
	}
	if text == "" {
		return h.Remove(etcdInitial)
	}
	return h.Write(etcdInitial, bytes.NewReader([]byte(text)), host.Meta{Mode: 0o644})
}

// undoMember removes the file: only we write it.
func undoMember(_ context.Context, u Undoing) error { return u.Host.Remove(u.Object) }
