package bundle

import "time"

// Format is the number of the bundle format that this package writes and reads. What was released under a number can be read for ever.
const Format = 1

// Role names of a host; a bundle is for one of them.
const (
	RoleEtcd   = "etcd"
	RoleMaster = "master"
	RoleNode   = "node"
	RoleLB     = "lb"
)

// RoleOrder lists the roles in the order in which they are installed: that of a host with several of them, and of a site file.
func RoleOrder() []string { return []string{RoleEtcd, RoleMaster, RoleNode, RoleLB} }

// JoinPack is the name of the pack in a node's bundle that is for hosts which the cluster file does not list. It holds no
// certificate: the node asks the cluster for them. No host of a cluster has this name.
const JoinPack = "join"

// Platform is what the programs in a bundle run on.
type Platform struct {
	OS     string `json:"os" yaml:"os"`         // "linux"
	Arch   string `json:"arch" yaml:"arch"`     // "amd64", Go's name
	Family string `json:"family" yaml:"family"` // "el7": what the packages are made for
}

// RoleIndex is the config blob of a role manifest: all that the installer needs to know about the bundle's content. All
// slices are sorted by name or path unless their order is said to matter.
type RoleIndex struct {
	Format    int        `json:"format"`
	Role      string     `json:"role"`
	Platform  Platform   `json:"platform"`
	Cluster   Cluster    `json:"cluster"`
	Artifacts []Artifact `json:"artifacts"`
	Files     []File     `json:"files"`    // the same on every host of the role
	Packages  []Package  `json:"packages"` // RPM sets
	Kernel    *Kernel    `json:"kernel"`   // nil: the hosts keep the kernel they have
	Images    []Image    `json:"images"`   // container images aboard
	Modules   []string   `json:"modules"`  // kernel modules to load now and at boot
	Sysctls   []Setting  `json:"sysctls"`  // kernel settings
	Dirs      []Dir      `json:"dirs"`     // parents before children
	Links     []Link     `json:"links"`
	Units     []Unit     `json:"units"` // in the order in which they are started
	Checks    []Check    `json:"checks"`
	Hosts     []Host     `json:"hosts"`  // every host of the cluster, in the cluster file's order
	Addons    []Addon    `json:"addons"` // what a master applies to the cluster, in this order
}

// Cluster is what every host of the site agrees on.
type Cluster struct {
	ID          string    `json:"id"`     // 32 hex digits, made once per site
	Name        string    `json:"name"`   // metadata.name of the cluster file
	Serial      int64     `json:"serial"` // grows with every lock and renewal; seconds since 1970, UTC
	Lock        Digest    `json:"lock"`   // the lock file the bundle was built from
	NotBefore   time.Time `json:"notBefore"`
	APIServer   string    `json:"apiServer"`   // "https://20.0.0.110:6443", what kubeconfigs on nodes name
	VIP         string    `json:"vip"`         // address that the load balancers hold; "" when there are none
	ServiceCIDR string    `json:"serviceCIDR"` // "10.0.0.0/24"
	PodCIDR     string    `json:"podCIDR"`     // "10.244.0.0/16"
	DNSIP       string    `json:"dnsIP"`
	DNSDomain   string    `json:"dnsDomain"`
	JoinCIDRs   []string  `json:"joinCIDRs"`
	Policy      Policy    `json:"policy"`
}

// Policy is the operator's choices about the hosts (cluster file: host, etcd, network).
type Policy struct {
	Firewall       string   `json:"firewall"` // "disable" or "keep"
	SELinux        string   `json:"selinux"`  // "disabled", "permissive" or "keep"
	DisableIPv6    bool     `json:"disableIPv6"`
	NTPServers     []string `json:"ntpServers"`  // empty: NTPFallback keeps the time
	NTPFallback    string   `json:"ntpFallback"` // IP of the host that serves time to the others when NTPServers is empty
	MaxSkewSeconds int      `json:"maxSkewSeconds"`
	EtcdDataDir    string   `json:"etcdDataDir"`  // "/var/lib/etcd/default.etcd"
	SnapshotDir    string   `json:"snapshotDir"`  // where the snapshots of etcd go: "/data/backup"
	SnapshotKeep   int      `json:"snapshotKeep"` // how many of the timer's snapshots stay
	ProxyMode      string   `json:"proxyMode"`    // "ipvs" or "iptables"
	CNI            string   `json:"cni"`          // "flannel", "calico" or "none"
	CheckImage     string   `json:"checkImage"`   // image of the pods that the health check makes; "": none is aboard
	KernelMode     string   `json:"kernelMode"`   // "upgrade": to the carried one; "require": it must run already; "skip": any will do
	KernelRemove   bool     `json:"kernelRemove"` // the older kernels are removed once the carried one has proved itself
	KubeVersion    string   `json:"kubeVersion"`  // "v1.20.15"
	EtcdVersion    string   `json:"etcdVersion"`  // "v3.4.26"
	DockerVersion  string   `json:"dockerVersion"`
}

// Artifact is one fetched or rendered thing: one layer of the role manifest.
type Artifact struct {
	Name    string `json:"name"`    // "kubelet", "docker-ce-20.10.24-3.el7.x86_64.rpm", "unit/etcd.service"
	Version string `json:"version"` // as upstream writes it; "" for what the build rendered
	Kind    string `json:"kind"`    // "program", "package" or "text"
	Source  string `json:"source"`  // URL it came from; "rendered" for what the build made
	Vouched string `json:"vouched"` // who says that these are the right bytes, for people
	Blob    Blob   `json:"blob"`
}

// Kinds of artifacts.
const (
	KindProgram = "program"
	KindPackage = "package"
	KindText    = "text"
)

// Blob ties content to the bytes that are stored for it. Identity is Digest; the stored bytes are packaging.
type Blob struct {
	Digest     Digest  `json:"digest"` // of the content
	Size       int64   `json:"size"`   // of the content, bytes
	Stored     Digest  `json:"stored"` // of the blob in the layout
	StoredSize int64   `json:"storedSize"`
	Encoding   string  `json:"encoding"`         // EncodingRaw or EncodingZstd
	Frames     []Frame `json:"frames,omitempty"` // EncodingZstd: every frame but the last holds FrameSize bytes of content
}

// How a blob is stored.
const (
	EncodingRaw  = "raw"  // the content itself
	EncodingZstd = "zstd" // independent zstd frames, one after the other
)

// FrameSize is the content that one zstd frame holds, except the last of a blob: 4 MiB keeps a decoder small and costs
// less than one per cent of ratio against 16 MiB.
const FrameSize = 4 << 20

// Frame is one independent zstd frame. Its place in the stored blob is the sum of the sizes before it.
type Frame struct {
	Stored int64  `json:"stored"` // compressed bytes
	Digest Digest `json:"digest"` // of the compressed bytes: checked before a byte of it is decoded
}

// File is a regular file that the role places on every one of its hosts.
type File struct {
	Path     string `json:"path"`
	Mode     uint32 `json:"mode"` // permission bits
	Owner    string `json:"owner"`
	Group    string `json:"group"`
	Artifact string `json:"artifact"` // name of the Artifact that holds its content
}

// Dir is a directory that the role needs. An owned one is removed with all its content by uninstall, when the install
// made it; data of etcd and docker is kept unless its removal is asked for.
type Dir struct {
	Path  string `json:"path"`
	Mode  uint32 `json:"mode"`
	Owner string `json:"owner"`
	Group string `json:"group"`
	Keep  string `json:"keep"` // "": owned; "data": only with --purge-data; "empty": only when nothing is in it
}

// Link is a symbolic link.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// Package is one RPM of the role's set.
type Package struct {
	Name     string `json:"name"`
	Epoch    int    `json:"epoch"`
	Version  string `json:"version"`
	Release  string `json:"release"`
	Arch     string `json:"arch"`
	Artifact string `json:"artifact"`
}

// Kernel is the kernel that the role's hosts are to run.
type Kernel struct {
	Release  string    `json:"release"`  // what /proc/sys/kernel/osrelease says once it runs: "5.4.278-1.el7.elrepo.x86_64"
	Packages []Package `json:"packages"` // installed beside the kernels that are there, never in their place
	Modules  string    `json:"modules"`  // name of the text artifact that lists its modules as lsmod names them, built-in ones too: sorted, one a line
}

// Image is a container image aboard. Its manifest is in the root index under Ref.
type Image struct {
	Ref      string `json:"ref"`      // "k8s.gcr.io/pause:3.2", the name that manifests use
	Manifest Digest `json:"manifest"` // of the platform's manifest
	ID       Digest `json:"id"`       // of its config: what docker calls the image ID
}

// Addon is a file of Kubernetes objects that the role places and a master applies.
type Addon struct {
	Name string `json:"name"` // "flannel": lower-case letters, digits and "-"
	Path string `json:"path"` // of one of the role's files
}

// Setting is one kernel setting: "net.ipv4.ip_forward" and "1".
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Unit is a systemd unit that the role starts.
type Unit struct {
	Name     string   `json:"name"`     // "etcd.service"
	Package  string   `json:"package"`  // RPM that brings it; "" when the role places it itself
	Restarts []string `json:"restarts"` // paths whose change restarts the running unit
}

// Check is an address on the host itself that answers 200 when a unit works.
type Check struct {
	Unit           string `json:"unit"`
	URL            string `json:"url"`            // http or https, 127.0.0.1 or localhost
	CA             string `json:"ca"`             // path on the host; "" with https: the certificate is not looked at
	TimeoutSeconds int    `json:"timeoutSeconds"` // how long it may take after the start
}

// Host is one host of the cluster file.
type Host struct {
	Name     string   `json:"name"`     // host name, "node01"
	IP       string   `json:"ip"`       // "20.0.0.103"
	Roles    []string `json:"roles"`    // sorted
	EtcdName string   `json:"etcdName"` // member name, "" when it is none
	NodeName string   `json:"nodeName"` // name of the Node object
	Spare    bool     `json:"spare"`    // planned, with certificates of its own, but not part of the cluster at its start
}
