// Package pki keeps the site's certificates and secrets: made once, checked at every build, never silently made again.
//
// The directory holds rotation/ while the authorities are changed, and authority/ (three CAs, the service account key pair and the site's secrets, written in one piece)
// and hosts/NAME/CERTIFICATE/ (one key and certificate each, written in one piece). A piece is either there or not, also
// after a power cut.
package pki

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"offgrid/builder/cluster"
	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/bundle/signature"
)

// Certificate authorities.
const (
	CAKubernetes = "kubernetes"
	CAEtcd       = "etcd"
	CAFrontProxy = "front-proxy"
)

// Certificates of a host, by the connection that they are for.
const (
	EtcdServer         = "etcd-server"
	EtcdPeer           = "etcd-peer"
	EtcdAdmin          = "etcd-admin" // etcdctl and backups
	APIServer          = "apiserver"
	APIServerEtcd      = "apiserver-etcd-client"
	APIServerKubelet   = "apiserver-kubelet-client"
	FrontProxyClient   = "front-proxy-client"
	Admin              = "admin"
	ControllerManager  = "controller-manager"
	Scheduler          = "scheduler"
	KubeProxy          = "kube-proxy"
	KubeletServer      = "kubelet-server"
	KubeletClientUser  = "kube-apiserver-kubelet-client" // CN of APIServerKubelet: the user that cluster jobs give access to kubelets
	FrontProxyUser     = "front-proxy-client"            // CN of FrontProxyClient
	backdate           = time.Hour                       // hosts that are not set to the right time yet, and their time zones' mistakes
	renewalNoticeAfter = 90 * 24 * time.Hour             // a certificate that ends sooner is spoken of at every build: renewing takes a trip to the site
)

// Pair is a key and its certificate, both PEM.
type Pair struct {
	Cert   []byte
	Key    []byte
	Parsed *x509.Certificate
}

// Leaf is one certificate of a host.
type Leaf struct {
	Host string // name in the cluster file
	Name string // EtcdServer, ...
	CA   string // CAKubernetes, ...
	Pair
}

// Set is everything in the directory that the cluster file asks for. It is secret.
type Set struct {
	ClusterID     string // 32 hex digits
	TokenID       string // of the bootstrap token: 6 characters of [a-z0-9]
	TokenSecret   string // 16 characters of [a-z0-9]
	EncryptionKey string // base64 of 32 bytes, for secrets at rest
	VRRPSecret    string // of the load balancers: 8 characters of [a-z0-9]; "" when there are none
	StaticToken   string // of 32 hex digits, which API servers read from a file; "" unless the profile is seed
	ServiceKey    []byte // PEM: signs service account tokens
	ServicePub    []byte // PEM: verifies them
	NotBefore     time.Time
	Serial        int64                // of the last renewal, 0 before the first
	Made          []string             // what this call made: "authority", "master01/apiserver"
	Step          int                  // of the change of authorities that is under way: StepNone, StepTrust or StepSwitch
	Signing       *signature.SecretKey // signs the site's bundles; nil when it was not asked for
	cas           map[string]Pair
	trust         map[string]Pair // authorities that do not sign, without keys; none when no change is under way
	leaves        []Leaf
}

// CA returns the certificate authority that signs.
func (s *Set) CA(name string) Pair { return s.cas[name] }

// Leaf returns the certificate of a host.
func (s *Set) Leaf(host, name string) (Pair, error) {
	for _, l := range s.leaves {
		if l.Host == host && l.Name == name {
			return l.Pair, nil
		}
	}
	return Pair{}, fmt.Errorf("internal error: no certificate %q for host %q", name, host)
}

// Leaves returns all certificates of hosts, in the order of the cluster file.
func (s *Set) Leaves() []Leaf { return slices.Clone(s.leaves) }

// Request says for whom certificates are wanted.
type Request struct {
	Cluster *cluster.File
	Now     time.Time // validity is judged by it and new certificates begin one hour before it
	Report  progress.Func
	Signing bool // the key that signs the site's bundles is wanted, too
}

// Problem is one thing that is wrong with a directory.
type Problem struct {
	Path string // inside the directory
	Text string // what is wrong and what to do
}

// Problems is everything that is wrong with a directory.
type Problems struct {
	Dir   string
	Items []Problem
}

func (p *Problems) Error() string {
	lines := make([]string, len(p.Items))
	for i, item := range p.Items {
		lines[i] = fmt.Sprintf("%s: %s", filepath.Join(p.Dir, item.Path), item.Text)
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) add(path, format string, args ...any) {
	p.Items = append(p.Items, Problem{Path: path, Text: fmt.Sprintf(format, args...)})
}

// Ensure reads the directory and makes what is missing: everything for a new site, the certificates of new hosts later.
// What is there is checked and never replaced; what does not fit the cluster file any more is a *Problems error that names
// each certificate.
func Ensure(ctx context.Context, dir string, req Request) (*Set, error) {
	silenceLibrary()
	if err := prepare(dir, req.Now); err != nil {
		return nil, err
	}
	set := &Set{}
	if err := ensureAuthority(dir, req, set); err != nil {
		return nil, err
	}
	if err := ensureWords(dir, req, set); err != nil {
		return nil, err
	}
	var err error
	if req.Signing {
		if err := ensureSigning(dir, set); err != nil {
			return nil, err
		}
	}
	if set.Serial, err = readSerial(dir); err != nil {
		return nil, err
	}
	problems := &Problems{Dir: dir}
	if len(req.Cluster.Nodes.JoinCIDRs) > 0 {
		// Nodes that join share one identity for kube-proxy, under a name that no host can have.
		for _, spec := range joinSpecs() {
			if err := ensureLeaf(dir, req, set, cluster.Host{Name: bundle.JoinPack}, spec, problems); err != nil {
				return nil, err
			}
		}
	}
	for _, h := range req.Cluster.Hosts {
		for _, spec := range specs(req.Cluster, h) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := ensureLeaf(dir, req, set, h, spec, problems); err != nil {
				return nil, err
			}
		}
	}
	if len(problems.Items) > 0 {
		return nil, problems
	}
	for _, all := range []map[string]Pair{set.cas, set.trust} {
		for _, ca := range all {
			set.NotBefore = later(set.NotBefore, ca.Parsed.NotBefore)
		}
	}
	for _, l := range set.leaves {
		set.NotBefore = later(set.NotBefore, l.Parsed.NotBefore)
	}
	sayEnding(set, req)
	return set, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b.UTC()
	}
	return a
}

func ensureLeaf(dir string, req Request, set *Set, h cluster.Host, spec spec, problems *Problems) error {
	rel := filepath.Join(hostsDir, h.Name, spec.name)
	pair, err := readPair(filepath.Join(dir, rel), certName, keyName)
	switch {
	case errors.Is(err, os.ErrNotExist) && !exists(filepath.Join(dir, rel)):
		made, err := issue(set.cas[spec.ca], spec, req)
		if err != nil {
			return fmt.Errorf("making certificate %q of host %q: %w", spec.name, h.Name, err)
		}
		files := map[string][]byte{certName: made.Cert, keyName: made.Key}
		if err := writeDir(filepath.Join(dir, hostsDir, h.Name), spec.name, files); err != nil {
			return err
		}
		set.Made = append(set.Made, h.Name+"/"+spec.name)
		pair = made
	case err != nil:
		problems.add(rel, "%v; put the file back from a copy, or move the directory %s away to have a new certificate made", err, spec.name)
		return nil
	default:
		checkLeaf(h.Name, pair, set.cas[spec.ca], spec, req, problems)
	}
	set.leaves = append(set.leaves, Leaf{Host: h.Name, Name: spec.name, CA: spec.ca, Pair: pair})
	return nil
}
