package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// kubeletServing is where kubelet puts the certificate that it serves with, when the cluster signs it.
const kubeletServing = "/opt/kubernetes/ssl/kubelet-server-current.pem"

// ownHost is this host: as the cluster file has it, or, where a node may join that is not in it, by its address and the
// name that it has or had when it joined. It is zero when neither is so.
func (s *Session) ownHost(want Want, opened []*bundle.Bundle) bundle.Host {
	index := &opened[0].Role
	if h, ok := hostByIP(index, want.IP); ok {
		return h
	}
	has := slices.Contains(opened[0].PackHosts(), bundle.JoinPack)
	if len(opened) != 1 || index.Role != bundle.RoleNode || !has || !inAny(want.IP, index.Cluster.JoinCIDRs) {
		return bundle.Host{}
	}
	name := want.Name
	if name == "" {
		g := &gatherer{h: s.Host}
		name = g.hostname()
	}
	h := bundle.Host{Name: name, IP: want.IP, Roles: []string{bundle.RoleNode}, NodeName: name}
	if namedByAddress(index) {
		h.NodeName = want.IP
	}
	return h
}

// namedByAddress reports whether nodes are known by their addresses: as the planned ones are, or when none is planned.
func namedByAddress(index *bundle.RoleIndex) bool {
	nodes := hostsWith(index, bundle.RoleNode)
	return len(nodes) == 0 || slices.ContainsFunc(nodes, func(h bundle.Host) bool { return h.NodeName == h.IP })
}

// joins reports whether a host is not in the cluster file.
func joins(index *bundle.RoleIndex, h bundle.Host) bool {
	_, planned := hostByIP(index, h.IP)
	return !planned && h.Name != ""
}

// packName is the name of a host's pack.
func packName(index *bundle.RoleIndex, h bundle.Host) string {
	if joins(index, h) {
		return bundle.JoinPack
	}
	return h.Name
}

// adapt makes a pack that is for any host this one's, and puts the operator's token in the place of the pack's.
func (r *RoleInput) adapt(own bundle.Host, token string) error {
	if r.Pack == nil {
		return nil
	}
	if r.Pack.Host == bundle.JoinPack {
		r.Pack.Host, r.Pack.IP = own.Name, own.IP
	}
	if token == "" || r.Index.Role != bundle.RoleNode {
		return nil
	}
	line := regexp.MustCompile(tokenLinePattern)
	for i, f := range r.Pack.Files {
		if !strings.HasSuffix(f.Path, "bootstrap.kubeconfig") {
			continue
		}
		at := line.FindSubmatchIndex(f.Data)
		if at == nil && r.gone(f.Path) {
			continue // its step says so
		}
		if at == nil {
			return fmt.Errorf("putting the token into %s: there is none in it", f.Path)
		}
		r.Pack.Files[i].Data = slices.Concat(f.Data[:at[2]], []byte(token), f.Data[at[3]:])
	}
	return nil
}

// gone reports whether a file of the pack is not on this host as it was placed.
func (r *RoleInput) gone(path string) bool {
	if r.state == nil {
		return false
	}
	_, gone := r.state.gone[path]
	return gone
}

// CheckToken reads a bootstrap token as people type it.
func CheckToken(text string) (string, error) {
	token := strings.TrimSpace(text)
	if !regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`).MatchString(token) {
		return "", &UsageError{What: "this is no bootstrap token: one is 6 and 16 characters of a-z and 0-9 with a point between them", Hint: "on a master: " + InstallPath() + " token"}
	}
	return token, nil
}

// givenToken is the operator's token, now or when the node was installed first.
func (s *Session) givenToken(given string, roles []string) string {
	if given != "" || !slices.Contains(roles, bundle.RoleNode) {
		return given
	}
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return ""
	}
	for _, in := range installed {
		if in.Role == bundle.RoleNode {
			return in.Token
		}
	}
	return ""
}

// joinFindings looks at a host that is not in the cluster file.
func joinFindings(in *PreflightInput, r *RoleInput) []Finding {
	name := r.Pack.Host
	var found []Finding
	const rename = "hostnamectl set-hostname NAME   (a-z, 0-9 and -, not localhost)"
	switch i := slices.IndexFunc(r.Index.Hosts, func(h bundle.Host) bool { return name != "" && (h.Name == name || h.NodeName == name) }); {
	case i >= 0:
		found = append(found, usage("join-name", "this host is called "+name+", like a host of the cluster file", name+" is "+r.Index.Hosts[i].IP,
			"two hosts cannot have one name", rename)...)
	case !regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`).MatchString(name) || len(name) > 63 ||
		strings.HasPrefix(name, "localhost") || name == bundle.JoinPack || isAddress(name):
		found = append(found, usage("join-name", fmt.Sprintf("this host is called %q, which cannot be a node's name", name), "/etc/hostname",
			"the cluster knows its hosts by their names", rename)...)
	}
	return found
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// servingCertificate is satisfied when kubelet has the certificate that somebody on a master has to approve.
func (p *planner) servingCertificate() probeFunc {
	return func(_ context.Context, h host.Host) (Status, error) {
		_, err := h.Stat(kubeletServing)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return pending("waiting for somebody to approve this node's serving certificate (until then its logs cannot be read): on %s run: %s approve --ip %s",
				hostNames(hostsWith(p.index, bundle.RoleMaster)), InstallPath(), p.in.Host.IP)
		case err != nil:
			return Status{}, err
		}
		return Status{State: Satisfied}, nil
	}
}

// unsigned says why there is no client certificate yet: an API server answers 401 to a token that it does not know, or knows
// no longer.
func (p *planner) unsigned(ctx context.Context) string {
	const waiting = "waiting for the masters to sign this node's certificate"
	c, ok := fileCredential(p.role(), "bootstrap.kubeconfig")
	if !ok || p.in.Probe == nil {
		return waiting
	}
	a, err := p.in.Probe(ctx, Probe{URL: p.index.Cluster.APIServer + "/api", CAPEM: c.ca, Token: c.token, Timeout: peerAnswer})
	if err != nil || a.Status != statusUnauthorized {
		return waiting
	}
	return fmt.Sprintf("%s: the cluster does not accept this node's bootstrap token, which has expired or was never made known. On %s run: %s token   "+
		"and then here: %s resume --token-file -   (type the token, then Ctrl-D)", waiting, hostNames(hostsWith(p.index, bundle.RoleMaster)), InstallPath(), InstallPath())
}

// GiveToken makes the node on this host go on with another bootstrap token.
func (s *Session) GiveToken(ctx context.Context, token string) error {
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return err
	}
	for _, in := range installed {
		if in.Role != bundle.RoleNode {
			continue
		}
		lock, err := s.lock(ctx)
		if err != nil {
			return err
		}
		defer lock.Close()
		in.Token = token
		return writeJSON(s.Host, RoleDir(in.Role)+"/"+wantName, in, 0o600)
	}
	return &UsageError{What: "no node was begun on this host", Hint: "./install --role node --ip IP --token-file FILE"}
}
