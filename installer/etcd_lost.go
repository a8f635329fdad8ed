package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// etcdMember is a member as the member list of etcd 3.4 has it.
type etcdMember struct {
	ID         string   `json:"ID"` // a decimal number
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"` // empty until the member was started for the first time
}

// askMemberList asks one member for all of them.
func askMemberList(ctx context.Context, probe Prober, c credential, m bundle.Host) ([]etcdMember, error) {
	question := c.probe(memberURL(m) + "/v3/cluster/member/list")
	question.Method, question.Body, question.Timeout = methodPost, "{}", peerAnswer
	a, err := probe(ctx, question)
	if err != nil {
		return nil, err
	}
	var list struct {
		Members []etcdMember `json:"members"`
	}
	if a.Status != statusOK {
		return nil, fmt.Errorf("asking %s: it answers %d", question.URL, a.Status)
	}
	if err := json.Unmarshal(a.Body, &list); err != nil {
		return nil, fmt.Errorf("asking %s: %w", question.URL, err)
	}
	return list.Members, nil
}

// lostMember recognises a member whose data is gone while the others still count on it: etcd refuses to start it ("has
// already been bootstrapped"), and no waiting helps. It says what does, "" when this is not the case.
func (p *planner) lostMember(ctx context.Context, h host.Host, c credential, answers []etcdAnswer) string {
	data := p.index.Cluster.Policy.EtcdDataDir
	// etcd makes member/snap/db before it finds out that it is not wanted; the log comes after that.
	if there, err := host.Exists(h, path.Join(data, "member", "wal")); err != nil || there {
		return ""
	}
	for _, a := range answers {
		if !a.healthy {
			continue
		}
		members, err := askMemberList(ctx, p.in.Probe, c, a.member)
		if err != nil {
			continue
		}
		for _, m := range members {
			if m.Name != p.in.Host.EtcdName || len(m.ClientURLs) == 0 {
				continue
			}
			return lostMemberText(p.index, p.in.Host, a.member)
		}
		return ""
	}
	return ""
}
