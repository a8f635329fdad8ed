package installer

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// servingSigner signs what kubelets serve with. Nothing in Kubernetes approves such a request by itself: only a person
// knows whether a host is the one that it says it is.
const servingSigner = "kubernetes.io/kubelet-serving"

// ServingRequest is a node's wish for a serving certificate that nobody has decided on.
type ServingRequest struct {
	Name      string    `json:"name"` // of the CertificateSigningRequest
	Node      string    `json:"node"` // "" when it is not from a node
	Addresses []string  `json:"addresses"`
	Created   time.Time `json:"created"`
	Fault     string    `json:"fault"`    // why it is not approved; "" when it may be
	Approved  bool      `json:"approved"` // just now
}

// csrObject is as much of a CertificateSigningRequest as matters.
type csrObject struct {
	Metadata struct {
		Name              string    `json:"name"`
		CreationTimestamp time.Time `json:"creationTimestamp"`
	} `json:"metadata"`
	Spec struct {
		Request    []byte   `json:"request"` // PEM
		SignerName string   `json:"signerName"`
		Username   string   `json:"username"`
		Groups     []string `json:"groups"`
		Usages     []string `json:"usages"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type string `json:"type"`
		} `json:"conditions"`
	} `json:"status"`
}

// approver works on the requests of a cluster, from a master.
type approver struct {
	h     host.Host
	index *bundle.RoleIndex
	tool  *ApplyStep
}

// ServingRequests lists the requests that wait, oldest first, and says of each what is wrong with it. pick says which of
// those without a fault are approved; nil: none.
func (s *Session) ServingRequests(ctx context.Context, pick func(ServingRequest) bool) ([]ServingRequest, error) {
	r, err := s.carriedRole(ctx, bundle.RoleMaster, "approve")
	if err != nil {
		return nil, err
	}
	defer r.close()
	a := &approver{h: s.Host, index: r.Input.Index, tool: &ApplyStep{Kubectl: kubectlPath, Kubeconfig: adminKubeconfig, Server: ownAPI(r.Input.Index, r.Host)}}
	var list struct {
		Items []csrObject `json:"items"`
	}
	if err := a.get(ctx, &list, "get", "csr", "-o", "json"); err != nil {
		return nil, err
	}
	found := []ServingRequest{}
	for _, o := range list.Items {
		if o.Spec.SignerName != servingSigner || len(o.Status.Conditions) > 0 {
			continue
		}
		q, err := a.judge(ctx, o)
		if err != nil {
			return nil, err
		}
		if q.Fault == "" && pick != nil && pick(q) {
			if _, err := s.Host.Run(ctx, nil, a.tool.kubectl("certificate", "approve", q.Name)...); err != nil {
				return nil, fmt.Errorf("approving %s: %w", q.Name, err)
			}
			q.Approved = true
		}
		found = append(found, q)
	}
	slices.SortStableFunc(found, func(a, b ServingRequest) int { return a.Created.Compare(b.Created) })
	return found, nil
}

// get asks the API server for JSON.
func (a *approver) get(ctx context.Context, v any, args ...string) error {
	out, err := a.h.Run(ctx, nil, a.tool.kubectl(args...)...)
	if err != nil {
		return fmt.Errorf("asking the API server: %s", lastLine(err))
	}
	if len(out) == 0 {
		return nil
	}
	if err := json.Unmarshal(out, v); err != nil {
		return fmt.Errorf("reading what kubectl %s says: %w", strings.Join(args, " "), err)
	}
	return nil
}

// judge says of a request whose it is, and what is wrong with it.
func (a *approver) judge(ctx context.Context, o csrObject) (ServingRequest, error) {
	q := ServingRequest{Name: o.Metadata.Name, Created: o.Metadata.CreationTimestamp.UTC(), Addresses: []string{}}
	csr, fault := parseServing(o)
	if csr != nil {
		q.Addresses = namesOf(csr)
	}
	if fault != "" {
		q.Fault = fault
		return q, nil
	}
	q.Node = strings.TrimPrefix(o.Spec.Username, "system:node:")
	var node struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Status struct {
			Addresses []struct{ Type, Address string } `json:"addresses"`
		} `json:"status"`
	}
	if err := a.get(ctx, &node, "get", "node", q.Node, "--ignore-not-found", "-o", "json"); err != nil {
		return q, err
	}
	if node.Metadata.Name != q.Node {
		q.Fault = "the cluster has no node " + q.Node
		return q, nil
	}
	var known []string
	for _, at := range node.Status.Addresses {
		known = append(known, at.Address)
	}
	slices.Sort(known)
	if known = slices.Compact(known); !slices.Equal(known, q.Addresses) {
		q.Fault = fmt.Sprintf("it is for %s, and the node has %s", strings.Join(q.Addresses, ", "), strings.Join(known, ", "))
		return q, nil
	}
	q.Fault = a.allowed(q.Node, csr)
	return q, nil
}

// parseServing reads a request and compares what it asks for with who asks.
func parseServing(o csrObject) (*x509.CertificateRequest, string) {
	block, rest := pem.Decode(o.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, "it is no certificate request"
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, "it cannot be read: " + err.Error()
	}
	node, isNode := strings.CutPrefix(o.Spec.Username, "system:node:")
	switch {
	case csr.CheckSignature() != nil:
		return csr, "it is not signed with its own key"
	case !isNode || node == "" || !slices.Contains(o.Spec.Groups, "system:nodes"):
		return csr, fmt.Sprintf("it was made by %q, which is no node", o.Spec.Username)
	case csr.Subject.CommonName != o.Spec.Username:
		return csr, fmt.Sprintf("%s asks for a certificate of %q", o.Spec.Username, csr.Subject.CommonName)
	case !slices.Equal(csr.Subject.Organization, []string{"system:nodes"}):
		return csr, fmt.Sprintf("its organisation is %q, not \"system:nodes\"", strings.Join(csr.Subject.Organization, ","))
	case len(csr.EmailAddresses) > 0 || len(csr.URIs) > 0:
		return csr, "it asks for mail addresses or URIs"
	case !slices.Contains(o.Spec.Usages, "server auth") || slices.Contains(o.Spec.Usages, "client auth"):
		return csr, "it is not for serving: " + strings.Join(o.Spec.Usages, ", ")
	}
	return csr, ""
}

// namesOf are the names and addresses that a request is for, sorted.
func namesOf(csr *x509.CertificateRequest) []string {
	names := slices.Clone(csr.DNSNames)
	for _, ip := range csr.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return append([]string{}, slices.Compact(names)...)
}

// allowed compares a request with the cluster file: what a Node object says, its kubelet has written.
func (a *approver) allowed(node string, csr *x509.CertificateRequest) string {
	i := slices.IndexFunc(hostsWith(a.index, bundle.RoleNode), func(h bundle.Host) bool { return h.NodeName == node })
	var own bundle.Host
	if i >= 0 {
		own = hostsWith(a.index, bundle.RoleNode)[i]
	}
	if len(csr.IPAddresses) == 0 {
		return "it is for no address"
	}
	for _, ip := range csr.IPAddresses {
		if fault := a.allowedIP(ip, node, own); fault != "" {
			return fault
		}
	}
	for _, name := range csr.DNSNames {
		other := slices.ContainsFunc(a.index.Hosts, func(h bundle.Host) bool { return h.Name == name && h.IP != own.IP })
		if name != node && name != own.Name || other {
			return fmt.Sprintf("the name %q is not this node's", name)
		}
	}
	return ""
}

func (a *approver) allowedIP(address net.IP, node string, own bundle.Host) string {
	ip := address.String()
	planned, taken := hostByIP(a.index, ip)
	switch {
	case own.Name != "" && ip != own.IP:
		return fmt.Sprintf("%s is planned with the address %s, not %s", node, own.IP, ip)
	case own.Name == "" && taken:
		return fmt.Sprintf("%s is the address of %s", ip, planned.Name)
	case ip == a.index.Cluster.VIP:
		return ip + " is the address of the load balancers"
	case own.Name == "" && !inAny(ip, a.index.Cluster.JoinCIDRs):
		return fmt.Sprintf("%s is neither in the cluster file nor in nodes.joinCIDRs (%s)", ip, strings.Join(a.index.Cluster.JoinCIDRs, ", "))
	}
	if named, err := netip.ParseAddr(node); err == nil && named.String() != ip {
		return fmt.Sprintf("the node is named %s and is at %s", node, ip)
	}
	return ""
}
