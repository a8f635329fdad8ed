// Package cluster is the cluster file: what the operator writes about the site.
package cluster

// APIVersion and Kind open every cluster file.
const (
	APIVersion = "offgrid/v1"
	Kind       = "Cluster"
)

// MaxDockerMajor is the first docker release that kubelet 1.20 cannot use: its API lost VirtualSize, and kubelet then says
// "Id or size of image is not set" (https://github.com/moby/moby/issues/47207).
const MaxDockerMajor = 25

// File is a cluster file with its defaults filled in.
type File struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   Metadata `yaml:"metadata"`
	Versions   Versions `yaml:"versions"`
	Hosts      []Host   `yaml:"hosts"` // the first master is the bootstrap master
	API        API      `yaml:"api"`
	Network    Network  `yaml:"network"`
	Images     Images   `yaml:"images"`
	Extras     Extras   `yaml:"extras"`
	Nodes      Nodes    `yaml:"nodes"`
	Etcd       Etcd     `yaml:"etcd"`
	OS         OS       `yaml:"host"`
	Security   Security `yaml:"security"`

	warnings []Problem
}

// Metadata names the site.
type Metadata struct {
	Name string `yaml:"name"`
}

// Versions chooses releases of the catalogue; empty means the catalogue's default.
type Versions struct {
	Kubernetes string `yaml:"kubernetes"` // "v1.20.15"
	Etcd       string `yaml:"etcd"`       // "v3.4.26"
	Docker     string `yaml:"docker"`     // "20.10.24"
	Kernel     string `yaml:"kernel"`     // "5.4.278-1.el7.elrepo"; of no meaning when host.kernel.mode is skip
}

// Host is one machine.
type Host struct {
	Name     string   `yaml:"name"`
	IP       string   `yaml:"ip"`
	Roles    []string `yaml:"roles"`
	EtcdName string   `yaml:"etcdName"` // default: etcd01, etcd02, ... in file order
	// Spare is a master or etcd member that is planned for later: it has certificates and packs, load balancers know it, but
	// the cluster begins without it.
	Spare bool `yaml:"spare"`
	// SSHHostKey is a line of /etc/ssh/ssh_host_ed25519_key.pub or ssh_host_rsa_key.pub of the host: its pack then opens there
	// without the passphrase; "": with the passphrase alone.
	SSHHostKey string `yaml:"sshHostKey"`
}

// API is how clients reach the API server.
type API struct {
	VIP             string   `yaml:"vip"`             // address that the load balancers hold; "" without them
	Prefix          int      `yaml:"prefix"`          // length of the VIP's network
	VirtualRouterID int      `yaml:"virtualRouterId"` // of the load balancers' VRRP, unique on their network
	Endpoint        string   `yaml:"endpoint"`        // IP that kubeconfigs on nodes name; default: the VIP, without load balancers the first master's
	Port            int      `yaml:"port"`
	ExtraSANs       []string `yaml:"extraSANs"`
}

// Network is the cluster's address plan.
type Network struct {
	ServiceCIDR string `yaml:"serviceCIDR"`
	PodCIDR     string `yaml:"podCIDR"`
	DNSIP       string `yaml:"dnsIP"`
	DNSDomain   string `yaml:"dnsDomain"`
	NodePorts   string `yaml:"nodePorts"`
	ProxyMode   string `yaml:"proxyMode"` // ipvs or iptables
	CNI         string `yaml:"cni"`       // flannel, calico or none
	// UpstreamDNS are the servers that answer names outside the cluster, "20.0.0.53" or "20.0.0.53:5353"; none: nobody does.
	UpstreamDNS []string `yaml:"upstreamDNS"`
}

// CNI choices.
const (
	CNIFlannel = "flannel"
	CNICalico  = "calico"
	CNINone    = "none"
)

// Images is where nodes take container images from.
type Images struct {
	Registry   string `yaml:"registry"`   // "registry.site.example:5000"; "": the bundle carries them
	RegistryCA string `yaml:"registryCA"` // file inside the site: the authority, in PEM, that signed the registry's certificate; "": a public one
}

// Extras is what the operator adds to the cluster.
type Extras struct {
	Images    []string `yaml:"images"`    // references with a tag: "docker.io/library/nginx:1.21.4"
	Manifests []string `yaml:"manifests"` // files of Kubernetes objects, relative to the site, applied in this order
}

// Nodes is about worker nodes.
type Nodes struct {
	NameFrom  string   `yaml:"nameFrom"` // ip or hostname
	JoinCIDRs []string `yaml:"joinCIDRs"`
}

// Etcd is about etcd.
type Etcd struct {
	DataDir   string    `yaml:"dataDir"`
	Snapshots Snapshots `yaml:"snapshots"`
}

// Snapshots is when and where the database is saved.
type Snapshots struct {
	Dir   string `yaml:"dir"`
	Every string `yaml:"every"` // OnCalendar of a systemd 219 timer
	Keep  int    `yaml:"keep"`
}

// OS is what is done to every host (key "host" of the file).
type OS struct {
	Firewall  string `yaml:"firewall"` // disable or keep
	SELinux   string `yaml:"selinux"`  // disabled, permissive or keep
	IPv6      string `yaml:"ipv6"`     // disable or keep
	NTP       NTP    `yaml:"ntp"`
	DockerLog Log    `yaml:"dockerLog"`
	Kernel    Kernel `yaml:"kernel"`
	// Baseline is a file of the site that says what the hosts have before anything is installed, as `./install baseline`
	// writes it; "": a minimal installation of CentOS 7.9.
	Baseline string `yaml:"baseline"`
}

// Kernel is which kernel the hosts run.
type Kernel struct {
	Mode      string `yaml:"mode"`      // upgrade, require or skip
	RemoveOld bool   `yaml:"removeOld"` // mode upgrade: the older kernels go once the new one has proved itself
}

// Choices of Kernel.Mode.
const (
	KernelUpgrade = "upgrade" // to the one that the bundle carries
	KernelRequire = "require" // that one must run already
	KernelSkip    = "skip"    // any will do, and none is carried
)

// CarriesKernel reports whether the bundles hold a kernel.
func (f *File) CarriesKernel() bool {
	return f.OS.Kernel.Mode == KernelUpgrade || f.OS.Kernel.Mode == KernelRequire
}

// NTP is where hosts get the time.
type NTP struct {
	Servers        []string `yaml:"servers"`
	FallbackHost   string   `yaml:"fallbackHost"` // host name that serves time when there are no servers; default: the first master
	MaxSkewSeconds int      `yaml:"maxSkewSeconds"`
}

// Log bounds docker's container logs.
type Log struct {
	MaxSize string `yaml:"maxSize"`
	MaxFile int    `yaml:"maxFile"`
}

// Choices of Security.Profile.
const (
	ProfileHardened = "hardened" // what installer/HARDENING.md says
	ProfileSeed     = "seed"     // the tutorial's way, its faults mended
)

// Security is about certificates, tokens and data at rest.
type Security struct {
	Profile              string `yaml:"profile"`      // hardened or seed
	BootstrapTTL         string `yaml:"bootstrapTTL"` // Go duration
	EncryptionAtRest     bool   `yaml:"encryptionAtRest"`
	Audit                bool   `yaml:"audit"`
	ComponentStatusPorts string `yaml:"componentStatusPorts"` // loopback (kubectl get cs works) or off
	CertCAYears          int    `yaml:"certCAYears"`
	CertLeafYears        int    `yaml:"certLeafYears"`
	Packs                string `yaml:"packs"` // PacksSealed or PacksPlain
	// TrustedKeys are minisign public keys that installers trust besides the one that signs: for the next one, or another site.
	TrustedKeys []string `yaml:"trustedKeys"`
}

// Choices of Security.Packs.
const (
	PacksSealed = "sealed" // for the site's passphrase and the hosts' SSH keys
	PacksPlain  = "plain"  // whoever has a bundle has the keys of its hosts
)
