package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// HealthLine is one thing that was looked at.
type HealthLine struct {
	Role    string  `json:"role"`
	Name    string  `json:"name"` // "one leader of etcd"
	OK      bool    `json:"ok"`
	Text    string  `json:"text"` // what was found, or what is wrong
	Seconds float64 `json:"seconds"`
}

// healthWait is how long a line may take to become right: services that were just started are given time.
const healthWait = time.Minute

// look is one thing to look at. It is asked again until it is right or its time is over.
type look struct {
	name string
	wait time.Duration
	ask  func(ctx context.Context) (text string, ok bool)
}

// Health looks at everything that shows that a role works on this host: the tutorial's own checks, and what it forgot.
func (s *Session) Health(ctx context.Context, r RoleJob) []HealthLine {
	looks := s.unitLooks(r)
	looks = append(looks, s.checkLooks(r)...)
	switch r.Plan.Role {
	case bundle.RoleEtcd:
		looks = append(looks, s.etcdLooks(r)...)
	case bundle.RoleMaster:
		looks = append(looks, s.masterLooks(r)...)
	case bundle.RoleNode:
		looks = append(looks, s.nodeLooks(r)...)
		looks = append(looks, s.networkLooks(r)...)
	case bundle.RoleLB:
		looks = append(looks, s.balancerLooks(r)...)
	}
	looks = append(looks, s.certificateLooks(r)...)
	return s.takeLooks(ctx, r.Plan.Role, looks)
}

// takeLooks looks at one thing after the other. What there is no time left for is a fault.
func (s *Session) takeLooks(ctx context.Context, role string, looks []look) []HealthLine {
	var lines []HealthLine
	for _, l := range looks {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			lines = append(lines, HealthLine{Role: role, Name: l.name, Text: "there was no time left for it"})
			continue
		}
		begin := time.Now()
		s.Report.Report(progress.Event{Phase: "health", Item: l.name, Kind: progress.Start})
		text, ok := waitFor(ctx, min(l.wait, s.Patience), func() (string, bool) { return l.ask(ctx) })
		kind := progress.Done
		if !ok {
			kind = progress.Warn
		}
		s.Report.Report(progress.Event{Phase: "health", Item: l.name, Kind: kind, Text: text})
		lines = append(lines, HealthLine{Role: role, Name: l.name, OK: ok, Text: text, Seconds: time.Since(begin).Seconds()})
	}
	return lines
}

func (s *Session) unitLooks(r RoleJob) []look {
	var looks []look
	for _, u := range r.Input.Index.Units {
		looks = append(looks, look{"service " + u.Name, healthWait, func(ctx context.Context) (string, bool) {
			now, err := host.ShowUnit(ctx, s.Host, u.Name)
			if err != nil {
				return err.Error(), false
			}
			if now.Active != "active" {
				return fmt.Sprintf("it is %s; see: journalctl -u %s -n 20", now.Active, u.Name), false
			}
			return "active", true
		}})
	}
	return looks
}

func (s *Session) checkLooks(r RoleJob) []look {
	var looks []look
	for _, c := range r.Input.Index.Checks {
		looks = append(looks, look{c.Unit + " at " + c.URL, time.Duration(c.TimeoutSeconds) * time.Second, func(ctx context.Context) (string, bool) {
			question := Probe{URL: c.URL}
			if c.CA != "" {
				ca, err := host.ReadFile(s.Host, c.CA, saveMax)
				if err != nil {
					return err.Error(), false
				}
				question.CAPEM = ca
			}
			a, err := s.Probe(ctx, question)
			if err != nil {
				return err.Error(), false
			}
			return fmt.Sprintf("it answers %d", a.Status), a.Status == statusOK
		}})
	}
	return looks
}

func (s *Session) etcdLooks(r RoleJob) []look {
	c, _ := etcdCredential(&r.Input)
	index := r.Input.Index
	return []look{
		{"members of etcd", healthWait, func(ctx context.Context) (string, bool) {
			var healthy, missing []string
			for _, a := range askMembers(ctx, s.Probe, index, c) {
				if a.healthy {
					healthy = append(healthy, a.member.EtcdName)
				} else {
					missing = append(missing, memberName(a.member)+": "+a.why)
				}
			}
			text := strings.Join(healthy, ", ") + " answer"
			if len(missing) > 0 {
				text += "; not there: " + strings.Join(missing, ", ")
			}
			return text, 2*len(healthy) > len(healthy)+len(missing)
		}},
		{"one leader of etcd", healthWait, func(ctx context.Context) (string, bool) {
			leader, answered, wrong := leaderOf(ctx, s.Probe, index, c)
			if wrong != "" {
				return wrong, false
			}
			planned := slices.DeleteFunc(hostsWith(index, bundle.RoleEtcd), func(h bundle.Host) bool { return h.Spare })
			return fmt.Sprintf("%s leads, %d of %d members say so", leader, answered, max(answered, len(planned))), true
		}},
		{"member list of etcd", healthWait, func(ctx context.Context) (string, bool) { return s.memberList(ctx, r, c) }},
		{"version of etcd", healthWait, func(ctx context.Context) (string, bool) {
			status, err := askStatus(ctx, s.Probe, c, r.Plan.Host)
			if err != nil {
				return err.Error(), false
			}
			return "v" + status.Version, "v"+status.Version == index.Cluster.Policy.EtcdVersion
		}},
	}
}

// memberList compares the members that etcd knows with the planned ones.
func (s *Session) memberList(ctx context.Context, r RoleJob, c credential) (string, bool) {
	question := c.probe(memberURL(r.Plan.Host) + "/v3/cluster/member/list")
	question.Method, question.Body = methodPost, "{}"
	a, err := s.Probe(ctx, question)
	if err != nil {
		return err.Error(), false
	}
	var list struct {
		Members []struct {
			Name     string   `json:"name"`
			PeerURLs []string `json:"peerURLs"`
		} `json:"members"`
	}
	if a.Status != statusOK || json.Unmarshal(a.Body, &list) != nil {
		return fmt.Sprintf("it answers %d", a.Status), false
	}
	var known, planned []string
	spares := 0
	for _, m := range list.Members {
		known = append(known, m.Name+"="+strings.Join(m.PeerURLs, "+"))
	}
	for _, h := range hostsWith(r.Input.Index, bundle.RoleEtcd) {
		entry := h.EtcdName + "=" + peerURL(h)
		if h.Spare && slices.Contains(known, entry) {
			spares++ // it was let in, be it for a dead one
		}
		if !h.Spare || slices.Contains(known, entry) {
			planned = append(planned, entry)
		}
	}
	slices.Sort(known)
	slices.Sort(planned)
	if slices.Equal(known, planned) {
		return strings.Join(known, ", "), true
	}
	foreign := slices.ContainsFunc(known, func(k string) bool { return !slices.Contains(planned, k) })
	if !foreign && len(planned)-len(known) <= spares {
		return strings.Join(known, ", ") + "; the cluster file has others, too: a spare one took their place", true
	}
	return "etcd has " + strings.Join(known, ", ") + "; planned are " + strings.Join(planned, ", "), false
}

func (s *Session) nodeLooks(r RoleJob) []look {
	policy := r.Input.Index.Cluster.Policy
	return []look{
		{"cgroup driver of docker", healthWait, func(ctx context.Context) (string, bool) {
			out, err := s.Host.Run(ctx, nil, "docker", "info", "--format", "{{.CgroupDriver}}")
			if err != nil {
				return lastLine(err), false
			}
			driver := strings.TrimSpace(string(out))
			return driver, driver == "systemd"
		}},
		{"no swap", 0, func(context.Context) (string, bool) {
			g := &gatherer{h: s.Host}
			swaps := parseSwaps(g.file("/proc/swaps"))
			return strings.Join(swaps, ", "), len(swaps) == 0
		}},
		{"mode of kube-proxy", healthWait, func(ctx context.Context) (string, bool) {
			a, err := s.Probe(ctx, Probe{URL: "http://127.0.0.1:10249/proxyMode"})
			if err != nil {
				return err.Error(), false
			}
			mode := firstLine(a.Body)
			return fmt.Sprintf("%s (planned: %s)", mode, policy.ProxyMode), mode == policy.ProxyMode
		}},
		{"node " + r.Plan.Host.NodeName, healthWait, func(ctx context.Context) (string, bool) {
			ready, version, why := nodeState(ctx, s.Probe, s.Host, &r.Input, r.Plan.Host)
			switch {
			case why != "":
				return why, false
			case version != policy.KubeVersion:
				return "registered with " + version + ", planned is " + policy.KubeVersion, false
			case !ready && hasNetwork(r.Input.Index):
				return "registered with " + version + ", NotReady", false
			case !ready:
				return "registered with " + version + "; NotReady until the cluster has a pod network, which is right at this point", true
			}
			return "registered with " + version + ", Ready", true
		}},
	}
}
