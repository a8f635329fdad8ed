package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// What a member of etcd has on its host, where the build puts it.
const (
	etcdctlPath = "/opt/etcd/bin/etcdctl"
	etcdUnit    = "etcd.service"
	// etcdInitial holds what a member that joins a running cluster is started with; etcd.service reads it after the other
	// settings, so that what stands in it wins.
	etcdInitial = "/opt/etcd/cfg/etcd-initial"
)

// installedRole is a role of this host, read from what was carried. Close its bundle.
type installedRole struct {
	Input  RoleInput
	Host   bundle.Host
	bundle *bundle.Bundle
}

func (r *installedRole) close() { r.bundle.Close() }

// carriedRole reads a role of this host; want is the command that needs it, for the hint.
func (s *Session) carriedRole(ctx context.Context, role, want string) (*installedRole, error) {
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return nil, err
	}
	where := "on a host with the role " + role + ": "
	for _, in := range installed {
		b, err := s.carriedRoleBundle(in.Role)
		if err != nil {
			return nil, err
		}
		if in.Role != role {
			where = "on one of " + hostNames(hostsWith(&b.Role, role)) + ": "
			b.Close()
			continue
		}
		own, _ := hostByIP(&b.Role, in.IP)
		input, err := s.readRole(ctx, b, in.Host)
		if err == nil && (own.Name == "" || input.Pack == nil) {
			err = fmt.Errorf("reading %s: it holds nothing for %s", RoleDir(role), in.IP)
		}
		if err != nil {
			b.Close()
			return nil, err
		}
		return &installedRole{Input: input, Host: own, bundle: b}, nil
	}
	return nil, &UsageError{What: "the role " + role + " is not installed on this host", Hint: where + InstallPath() + " " + want}
}

// etcdHere is the member of etcd on this host, with what is shown to the others.
type etcdHere struct {
	*installedRole
	credential credential
	probe      Prober
}

func (s *Session) etcdHere(ctx context.Context, want string) (*etcdHere, error) {
	r, err := s.carriedRole(ctx, bundle.RoleEtcd, want)
	if err != nil {
		return nil, err
	}
	c, ok := etcdCredential(&r.Input)
	if !ok {
		r.close()
		return nil, fmt.Errorf("reading %s: the host pack holds no certificate for etcd's clients", RoleDir(bundle.RoleEtcd))
	}
	return &etcdHere{installedRole: r, credential: c, probe: s.Probe}, nil
}

// ctl is a command line of etcdctl to the member on this host. With no limit a member that is gone would be waited for.
func (e *etcdHere) ctl(limit string, args ...string) []string {
	return append([]string{etcdctlPath, "--cacert=/opt/etcd/ssl/ca.pem", "--cert=/opt/etcd/ssl/admin.pem", "--key=/opt/etcd/ssl/admin-key.pem",
		"--endpoints=" + memberURL(e.Host), "--command-timeout=" + limit}, args...)
}

// etcdMembers are the planned members of the cluster's first start.
func etcdMembers(index *bundle.RoleIndex) []bundle.Host {
	return slices.DeleteFunc(hostsWith(index, bundle.RoleEtcd), func(h bundle.Host) bool { return h.Spare })
}

// etcdHost finds a planned member by its name in etcd or that of its host.
func etcdHost(index *bundle.RoleIndex, name string) (bundle.Host, bool) {
	for _, h := range hostsWith(index, bundle.RoleEtcd) {
		if name != "" && (h.EtcdName == name || h.Name == name) {
			return h, true
		}
	}
	return bundle.Host{}, false
}

func peerURL(h bundle.Host) string { return "https://" + net.JoinHostPort(h.IP, "2380") }

// memberStatus is what a member says of itself: maintenance/status of etcd 3.4. One without a leader answers, too; one that
// has not joined yet does not.
type memberStatus struct {
	cluster uint64 // id
	dbSize  int64  // bytes
	version string
	healthy bool // it has a leader
}

func (e *etcdHere) status(ctx context.Context, m bundle.Host) (memberStatus, error) {
	question := e.credential.probe(memberURL(m) + "/v3/maintenance/status")
	question.Method, question.Body, question.Timeout = methodPost, "{}", peerAnswer
	a, err := e.probe(ctx, question)
	if err != nil {
		return memberStatus{}, err
	}
	var said struct {
		Header struct {
			ClusterID string `json:"cluster_id"`
		} `json:"header"`
		Version string   `json:"version"`
		DBSize  string   `json:"dbSize"`
		Errors  []string `json:"errors"`
	}
	if a.Status != statusOK {
		return memberStatus{}, fmt.Errorf("asking %s: it answers %d: %s", question.URL, a.Status, firstLine(a.Body))
	}
	if err := json.Unmarshal(a.Body, &said); err != nil {
		return memberStatus{}, fmt.Errorf("asking %s: %w", question.URL, err)
	}
	st := memberStatus{version: said.Version, healthy: len(said.Errors) == 0}
	if st.cluster, err = strconv.ParseUint(said.Header.ClusterID, 10, 64); err != nil {
		return st, fmt.Errorf("asking %s: cluster id %q", question.URL, said.Header.ClusterID)
	}
	if said.DBSize != "" {
		if st.dbSize, err = strconv.ParseInt(said.DBSize, 10, 64); err != nil {
			return st, fmt.Errorf("asking %s: size %q", question.URL, said.DBSize)
		}
	}
	return st, nil
}

// freeSpace returns the bytes that are free where a directory is.
func freeSpace(ctx context.Context, h host.Host, dir string) (int64, error) {
	out, err := h.Run(ctx, nil, "df", "-P", "-k", dir)
	if err != nil {
		return 0, fmt.Errorf("looking for space in %s: %w", dir, err)
	}
	for _, free := range parseFree(string(out)) {
		return free, nil
	}
	return 0, fmt.Errorf("looking for space in %s: df says %q", dir, strings.TrimSpace(string(out)))
}

// needSpace refuses when a directory has too little.
func needSpace(ctx context.Context, h host.Host, dir, what string, bytes int64) error {
	free, err := freeSpace(ctx, h, dir)
	if err != nil {
		return err
	}
	if free >= bytes+spaceReserve {
		return nil
	}
	return &UsageError{What: fmt.Sprintf("%s has %s free, %s needs %s", dir, mib(free), what, mib(bytes+spaceReserve)),
		Hint: "df -h " + dir + "   (make room, or name another place)"}
}
