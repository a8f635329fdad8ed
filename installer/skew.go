package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// answered is one server of the cluster and what it said of its version.
type answered struct {
	host    bundle.Host
	version string // "v1.20.13"; "" when it did not answer
	why     string // why there is no version
}

// running is what the cluster said when it was asked before an upgrade.
type running struct {
	apis     []answered // every planned API server
	members  []answered // every planned member of etcd
	kubelets []answered // every node; only a master asks
}

// up are those that answered.
func up(all []answered) []answered {
	return slices.DeleteFunc(slices.Clone(all), func(a answered) bool { return a.version == "" })
}

// down are those that did not.
func down(all []answered) []answered {
	return slices.DeleteFunc(slices.Clone(all), func(a answered) bool { return a.version != "" })
}

func answeredNames(all []answered) string {
	var names []string
	for _, a := range all {
		text := a.host.Name + " (" + a.host.IP + ")"
		if a.version != "" {
			text += " with " + a.version
		}
		names = append(names, text)
	}
	return strings.Join(names, ", ")
}

// askCluster asks every API server and every member of etcd for its version, with what this host may show them.
func (s *Session) askCluster(ctx context.Context, r *RoleJob) running {
	var run running
	index := r.Input.Index
	switch r.Plan.Role {
	case bundle.RoleEtcd:
		c, _ := etcdCredential(&r.Input)
		run.members = s.askEach(ctx, hostsWith(index, bundle.RoleEtcd), c, func(h bundle.Host) string { return memberURL(h) + "/version" }, func(body []byte) string {
			var v struct {
				Server string `json:"etcdserver"`
			}
			if json.Unmarshal(body, &v) != nil || v.Server == "" {
				return ""
			}
			return "v" + v.Server
		})
		s.unhealthy(ctx, &r.Input, c, run.members)
	case bundle.RoleMaster:
		c, _ := fileCredential(&r.Input, adminKubeconfig)
		run.apis = s.askAPIs(ctx, index, c)
		run.kubelets = s.askKubelets(ctx, index, c, run.apis)
	case bundle.RoleNode:
		c, _ := fileCredential(&r.Input, "bootstrap.kubeconfig")
		if pair, err := host.ReadFile(s.Host, kubeletPair, probeLimit); err == nil {
			c.token = ""
			c.cert, c.key = splitPair(pair)
		}
		run.apis = s.askAPIs(ctx, index, c)
	}
	return run
}

// askAPIs asks every planned API server.
func (s *Session) askAPIs(ctx context.Context, index *bundle.RoleIndex, c credential) []answered {
	return s.askEach(ctx, hostsWith(index, bundle.RoleMaster), c, func(h bundle.Host) string {
		return "https://" + net.JoinHostPort(h.IP, strconv.Itoa(apiPort(index))) + "/version"
	}, func(body []byte) string {
		var v struct {
			GitVersion string `json:"gitVersion"`
		}
		if json.Unmarshal(body, &v) != nil {
			return ""
		}
		return v.GitVersion
	})
}

// askEach asks all hosts at once.
func (s *Session) askEach(ctx context.Context, hosts []bundle.Host, c credential, url func(bundle.Host) string, version func([]byte) string) []answered {
	all := make([]answered, len(hosts))
	var group sync.WaitGroup
	for i, h := range hosts {
		group.Go(func() {
			all[i].host = h
			q := c.probe(url(h))
			q.Timeout = peerAnswer
			a, err := s.Probe(ctx, q)
			switch {
			case err != nil:
				all[i].why = err.Error()
			case a.Status != statusOK:
				all[i].why = fmt.Sprintf("it answers %d", a.Status)
			default:
				if all[i].version = version(a.Body); all[i].version == "" {
					all[i].why = "its answer is not understood"
				}
			}
		})
	}
	group.Wait()
	return slices.DeleteFunc(all, func(a answered) bool { return a.host.Spare && a.version == "" }) // not there yet
}

// unhealthy takes the version from members that answer but do not take part.
func (s *Session) unhealthy(ctx context.Context, in *RoleInput, c credential, members []answered) {
	for _, a := range askMembers(ctx, s.Probe, in.Index, c) {
		for i := range members {
			if members[i].host.IP == a.member.IP && !a.healthy {
				members[i].version, members[i].why = "", a.why
			}
		}
	}
}

// askKubelets asks an API server that answers for the versions of all nodes.
func (s *Session) askKubelets(ctx context.Context, index *bundle.RoleIndex, c credential, apis []answered) []answered {
	var found []answered
	for _, api := range up(apis) {
		a, err := s.Probe(ctx, c.probe("https://"+net.JoinHostPort(api.host.IP, strconv.Itoa(apiPort(index)))+"/api/v1/nodes?resourceVersion=0&limit=500"))
		var list struct {
			Items []struct {
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
				Status struct {
					NodeInfo struct {
						KubeletVersion string `json:"kubeletVersion"`
					} `json:"nodeInfo"`
				} `json:"status"`
			} `json:"items"`
		}
		if err != nil || a.Status != statusOK || json.Unmarshal(a.Body, &list) != nil {
			continue
		}
		for _, n := range list.Items {
			found = append(found, answered{host: bundle.Host{Name: n.Metadata.Name, IP: n.Metadata.Name}, version: n.Status.NodeInfo.KubeletVersion})
		}
		return found
	}
	return nil
}

// upgradeFindings is what speaks against the upgrades of a job. Those that come earlier in the same run count as done.
func (s *Session) upgradeFindings(ctx context.Context, job *Job) []Finding {
	var found []Finding
	done := map[string]string{} // role to the version that it has by then on this host
	for i := range job.Roles {
		r := &job.Roles[i]
		if r.Plan == nil || r.Plan.Upgrade == nil {
			continue
		}
		if journal, err := s.readJournal(); err == nil && journal != nil {
			found = append(found, retried(r, givenUp(journal.Records(), r.Plan.Role, r.Plan.Bundle))...)
		}
		more, judge := unfinished(r)
		if judge {
			run := s.askCluster(ctx, r)
			if v := done[bundle.RoleMaster]; v != "" {
				for k := range run.apis {
					if run.apis[k].host.IP == job.Want.IP {
						run.apis[k].version = v
					}
				}
			}
			more = append(more, judgeUpgrade(r, run)...)
		}
		done[r.Plan.Role] = r.Plan.Upgrade.To.Version
		for _, f := range more {
			f.Role = r.Plan.Role
			found = append(found, f)
		}
	}
	return found
}

// retried warns of an upgrade that failed before.
func retried(r *RoleJob, why string) []Finding {
	if why == "" {
		return nil
	}
	found := warning("upgrade-given-up", "this upgrade was tried before and put back", r.Plan.Role+" on "+r.Plan.Host.Name, why,
		"./install status   (compare; what was wrong should be different now)")
	found[0].Role = r.Plan.Role
	return found
}

// unfinished judges a run that meets an upgrade at work. judge is whether versions still matter.
func unfinished(r *RoleJob) (found []Finding, judge bool) {
	u := r.Plan.Upgrade
	switch {
	case u.begun == nil:
		return nil, true
	case u.begun.State == upgradeBack && u.To.Bundle == r.Plan.Bundle:
		return usage("put-back-unfinished", "an upgrade of "+r.Plan.Role+" is being put back, and that was cut off", OldDir(r.Plan.Role), u.begun.Why,
			InstallPath()+" resume"), false
	case u.PutBack && r.Plan.Bundle != u.From.Bundle:
		return usage("upgrade-unfinished", fmt.Sprintf("an upgrade of %s to %s (bundle %s) is not finished", r.Plan.Role, orBundle(u.To), u.To.Bundle.Short()), OldDir(r.Plan.Role),
			"one at a time: the version before it is kept until it is healthy", InstallPath()+" resume   (or ./install from the old medium, which puts the old version back)"), false
	}
	return nil, false // it was judged when it began; what is half-way must come to an end
}

// judgeUpgrade compares the wanted version with what runs.
func judgeUpgrade(r *RoleJob, run running) []Finding {
	if r.Plan.Role == bundle.RoleLB {
		return nil
	}
	u := r.Plan.Upgrade
	from, ok1 := parseVersion(u.From.Version)
	to, ok2 := parseVersion(u.To.Version)
	if !ok1 || !ok2 {
		return conflict("upgrade-version", fmt.Sprintf("the versions %q and %q cannot be compared", u.From.Version, u.To.Version), r.Bundle.Path,
			"without that nobody knows whether the one can follow the other", rebuild)
	}
	switch r.Plan.Role {
	case bundle.RoleEtcd:
		return append(judgeEtcdVersion(r, from, to), judgeMembers(r, run.members)...)
	case bundle.RoleMaster:
		return append(judgeMinor(r, from, to), judgeMaster(r, to, run)...)
	}
	return append(judgeMinor(r, from, to), judgeNode(r, to, run.apis)...)
}

// release is a version as numbers.
type release struct{ major, minor, patch int }

// parseVersion reads "v1.20.15"; what follows a "-" or "+" is not looked at.
func parseVersion(text string) (release, bool) {
	text, _, _ = strings.Cut(strings.TrimPrefix(text, "v"), "-")
	text, _, _ = strings.Cut(text, "+")
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return release{}, false
	}
	var n [3]int
	for i, p := range parts {
		v, err := parseInt(p)
		if err != nil || v < 0 {
			return release{}, false
		}
		n[i] = v
	}
	return release{n[0], n[1], n[2]}, true
}

// before reports whether v is older than w.
func (v release) before(w release) bool {
	return slices.Compare([]int{v.major, v.minor, v.patch}, []int{w.major, w.minor, w.patch}) < 0
}
