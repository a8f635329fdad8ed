package sitetest

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"offgrid/installer"
	"offgrid/installer/hosttest"
)

// etcdLog is where a member's fake log is: the members and the token that it began with.
const etcdLog = "/var/lib/etcd/default.etcd/member/wal/0000000000000000-0000000000000000.wal"

// Etcd is the site's etcd with members that come and go, and with data: what its Probe and the hosts' etcdctl say is what
// etcd 3.4 says.
type Etcd struct {
	Text     string // what is in it
	Revision int

	mu      sync.Mutex // members are asked all at once
	site    *Site
	members []*etcdMember
	joined  map[string]bool // members that have been part of a majority since they were started, by address
	next    uint64
}

type etcdMember struct {
	id      uint64
	name    string // "" until it has run
	ip      string
	started bool
}

// NewEtcd is the etcd of a site whose members are those of its table, but for spare ones.
func NewEtcd(s *Site) *Etcd {
	e := &Etcd{site: s, Text: "old objects", Revision: 51, joined: map[string]bool{}, next: 0x1000}
	for _, h := range s.Table {
		if h.EtcdName != "" && !h.Spare {
			e.members = append(e.members, &etcdMember{id: e.next, name: h.EtcdName, ip: h.IP})
			e.next++
		}
	}
	for ip := range s.Hosts {
		e.Attach(ip)
	}
	return e
}

// Attach gives etcdctl on a host this etcd to talk to.
func (e *Etcd) Attach(ip string) {
	e.site.Hosts[ip].Etcd = func(_ string, argv []string) (string, error) { return e.ctl(ip, argv) }
}

// Session is an installer on the host with that address.
func (e *Etcd) Session(ip string) *installer.Session {
	s := e.site.Session(ip)
	s.Probe = e.Probe
	return s
}

// log is what a member began with: "" for the cluster's first start, and for a member that was let in.
func (e *Etcd) log(ip string) string { return e.site.Hosts[ip].Get(etcdLog) }

// group are the addresses of the members that a host's member counts on.
func (e *Etcd) group(ip string) []string {
	log, group := e.log(ip), []string(nil)
	for _, m := range e.members {
		if log == "" || strings.Contains(log, "//"+m.ip+":") {
			group = append(group, m.ip)
		}
	}
	return group
}

// works reports whether the member of a host has a majority.
func (e *Etcd) works(ip string) bool {
	group, running := e.group(ip), 0
	if !slices.Contains(group, ip) || !e.mayStart(ip) {
		return false
	}
	for _, other := range group {
		if e.site.up(other, "etcd.service") && e.log(other) == e.log(ip) && e.mayStart(other) {
			running++
		}
	}
	return 2*running > len(group)
}

// mayStart is false for a member that was let in and is started as if it were one of the first.
func (e *Etcd) mayStart(ip string) bool {
	for _, m := range e.members {
		if m.ip == ip && m.name == "" && !m.started {
			text := e.site.Hosts[ip].Get("/opt/etcd/cfg/etcd-initial")
			return strings.Contains(text, "ETCD_INITIAL_CLUSTER_STATE=existing\n") && strings.Count(text, "=https://") == len(e.members)
		}
	}
	return true
}

// settle is what members do by themselves.
func (e *Etcd) settle() error {
	for _, m := range e.members {
		if !e.site.up(m.ip, "etcd.service") {
			delete(e.joined, m.ip)
			continue
		}
		if !e.works(m.ip) {
			continue
		}
		e.joined[m.ip], m.started = true, true
		for _, h := range e.site.Table {
			if h.IP == m.ip {
				m.name = h.EtcdName
			}
		}
		dir := filepath.Join(e.site.Hosts[m.ip].Root, filepath.Dir(etcdLog))
		if _, err := os.Stat(dir); err != nil {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
		}
	}
	return nil
}

// Probe answers for etcd's client port; all else is the site's.
func (e *Etcd) Probe(ctx context.Context, p installer.Probe) (installer.Answer, error) {
	u, err := url.Parse(p.URL)
	if err != nil || u.Port() != "2379" {
		return e.site.Probe(ctx, p)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.settle(); err != nil {
		return installer.Answer{}, err
	}
	ip := u.Hostname()
	switch {
	case !e.site.up(ip, "etcd.service"):
		return installer.Answer{}, fmt.Errorf("asking %s: nothing listens there yet", p.URL)
	case p.CertPEM == nil || !e.joined[ip]:
		return installer.Answer{}, fmt.Errorf("asking %s: no answer in time", p.URL)
	}
	healthy := e.works(ip)
	switch u.Path {
	case "/health":
		if !healthy {
			return installer.Answer{Status: 503, Body: []byte(`{"health":"false"}`)}, nil
		}
		return installer.Answer{Status: 200, Body: []byte(`{"health":"true"}`)}, nil
	case "/v3/maintenance/status":
		return installer.Answer{Status: 200, Body: []byte(e.status(ip, healthy))}, nil
	case "/v3/cluster/member/list":
		return installer.Answer{Status: 200, Body: []byte(e.list())}, nil
	}
	return installer.Answer{Status: 404}, nil
}

func (e *Etcd) status(ip string, healthy bool) string {
	said := fmt.Sprintf(`"version":"3.4.26","dbSize":"%d"`, len(e.Text))
	if healthy {
		for _, other := range e.group(ip) {
			if e.joined[other] {
				said += fmt.Sprintf(`,"leader":"%s"`, other)
				break
			}
		}
	} else {
		said += `,"errors":["etcdserver: no leader"]`
	}
	return fmt.Sprintf(`{"header":{"cluster_id":"%d","member_id":"%s","revision":"%d","raft_term":"2"},%s}`, ClusterID(e.log(ip)), ip, e.Revision, said)
}

// ClusterID is what a cluster is called that began with a restore's members and token; another number for the first one.
func ClusterID(log string) uint64 {
	lines := strings.Split(log, "\n")
	if len(lines) < 2 {
		return 16745981652431814743
	}
	var ids []uint64
	for _, part := range strings.Split(lines[0], ",") {
		_, peer, _ := strings.Cut(part, "=")
		sum := sha1.Sum([]byte(peer + lines[1]))
		ids = append(ids, binary.BigEndian.Uint64(sum[:8]))
	}
	slices.Sort(ids)
	h := sha1.New()
	for _, id := range ids {
		h.Write(binary.BigEndian.AppendUint64(nil, id))
	}
	return binary.BigEndian.Uint64(h.Sum(nil)[:8])
}

// list is the list of members. Zero values are left out, as etcd's gateway does.
func (e *Etcd) list() string {
	var all []string
	for _, m := range e.members {
		said := fmt.Sprintf(`"ID":"%d"`, m.id)
		if m.name != "" {
			said += fmt.Sprintf(`,"name":"%s"`, m.name)
		}
		said += fmt.Sprintf(`,"peerURLs":["https://%s:2380"]`, m.ip)
		if m.started {
			said += fmt.Sprintf(`,"clientURLs":["https://%s:2379"]`, m.ip)
		}
		all = append(all, "{"+said+"}")
	}
	return `{"members":[` + strings.Join(all, ",") + `]}`
}

// ctl is what etcdctl gets from the members.
func (e *Etcd) ctl(ip string, argv []string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.settle(); err != nil {
		return "", err
	}
	if !e.joined[ip] {
		return "", hosttest.Exit(argv, 1, "", "Error: context deadline exceeded")
	}
	line := strings.Join(argv, " ")
	switch {
	case strings.Contains(line, " snapshot save "):
		return hosttest.Database(e.Revision, e.Text), nil
	case !e.works(ip):
		return "", hosttest.Exit(argv, 1, "", "Error: etcdserver: request timed out")
	case strings.Contains(line, " member remove "):
		return "", e.remove(argv)
	case strings.Contains(line, " member add "):
		return "", e.add(argv)
	}
	return "", hosttest.Exit(argv, 1, "", "etcdctl: the fake knows snapshot save, member remove and member add")
}

func (e *Etcd) remove(argv []string) error {
	id, err := strconv.ParseUint(argv[len(argv)-1], 16, 64)
	i := slices.IndexFunc(e.members, func(m *etcdMember) bool { return m.id == id })
	if err != nil || i < 0 {
		return hosttest.Exit(argv, 1, "", "Error: etcdserver: member not found")
	}
	e.members = slices.Delete(e.members, i, i+1)
	return nil
}

func (e *Etcd) add(argv []string) error {
	if slices.ContainsFunc(e.members, func(m *etcdMember) bool { return !m.started }) {
		return hosttest.Exit(argv, 1, "", "Error: etcdserver: re-configuration failed due to not enough started members")
	}
	peer, ok := strings.CutPrefix(argv[len(argv)-1], "--peer-urls=https://")
	if !ok {
		return hosttest.Exit(argv, 1, "", "Error: member peer urls not provided.")
	}
	e.members = append(e.members, &etcdMember{id: e.next, ip: strings.TrimSuffix(peer, ":2380")})
	e.next++
	return nil
}

// Restored reads from the members' data what the cluster holds now: what was restored on all of them.
func (e *Etcd) Restored(ip string) string {
	return e.site.Hosts[ip].Get("/var/lib/etcd/default.etcd/member/snap/db")
}

// Snapshot is who is a member now; Back makes it so again.
func (e *Etcd) Snapshot() []string {
	var all []string
	for _, m := range e.members {
		all = append(all, fmt.Sprintf("%d|%s|%s|%v", m.id, m.name, m.ip, m.started))
	}
	return all
}

// Back makes the members what they were.
func (e *Etcd) Back(all []string) {
	e.members = nil
	for _, line := range all {
		f := strings.Split(line, "|")
		id, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil {
			panic(err)
		}
		e.members = append(e.members, &etcdMember{id: id, name: f[1], ip: f[2], started: f[3] == "true"})
	}
	e.joined = map[string]bool{}
}
