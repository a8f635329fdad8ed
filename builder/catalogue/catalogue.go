// Package catalogue is what exists upstream: sources, versions, addresses, and for each how its bytes are vouched for. A
// catalogue is data; it decides nothing and fetches nothing.
package catalogue

import "offgrid/bundle"

// Schema is the number of the catalogue's form that this package reads.
const Schema = 1

// Catalogue is one catalogue file.
type Catalogue struct {
	Schema       int             `yaml:"schema"`
	Name         string          `yaml:"name"` // "centos7-amd64"
	Platform     bundle.Platform `yaml:"platform"`
	Mirrors      []MirrorSet     `yaml:"mirrors"`
	Keys         []Key           `yaml:"keys"`
	Repositories []Repository    `yaml:"repositories"`
	Downloads    []Download      `yaml:"downloads"`
	PackageSets  []PackageSet    `yaml:"packageSets"`
	Kernel       *Kernel         `yaml:"kernel,omitempty"`
	Images       []Image         `yaml:"images"`
	Addons       []Addon         `yaml:"addons"`
	Roles        []Role          `yaml:"roles"`
}

// MirrorSet is a group of address rewrites that the user can switch on by name (`--mirrors cn`).
type MirrorSet struct {
	Name  string   `yaml:"name"`
	Rules []Mirror `yaml:"rules"`
}

// Mirror rewrites addresses that begin with From.
type Mirror struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// Key is an OpenPGP key, pinned by its full fingerprint; the file at URL must hold just that key.
type Key struct {
	ID          string `yaml:"id"`
	Fingerprint string `yaml:"fingerprint"` // 40 upper-case hex digits
	URL         string `yaml:"url"`
	Weak        bool   `yaml:"weak,omitempty"` // a DSA key, a short one, or one that signs with SHA-1: let pass all the same
	Note        string `yaml:"note,omitempty"`
}

// Repository is a yum repository.
type Repository struct {
	ID             string `yaml:"id"`
	BaseURL        string `yaml:"baseURL"`
	Key            string `yaml:"key"`            // Key.ID that signs its packages; "": each of its packages here has a sha256
	SignedMetadata bool   `yaml:"signedMetadata"` // repomd.xml.asc is published and must verify
	// Dependencies says that its packages may be brought along by those of other repositories. One without it is asked only
	// when a package of it is wanted.
	Dependencies bool     `yaml:"dependencies,omitempty"`
	Only         []string `yaml:"only,omitempty"` // names of the packages that may come from it; none: all
	Note         string   `yaml:"note,omitempty"`
}

// Download is a file or archive with one or more releases to choose from.
type Download struct {
	ID        string    `yaml:"id"`
	Component string    `yaml:"component"` // "kubernetes", "etcd", "cni": the versions key of the cluster file that chooses the release
	Kind      string    `yaml:"kind"`      // "archive" (tar.gz) or "file"
	Default   string    `yaml:"default"`   // version when the cluster file names none
	Releases  []Release `yaml:"releases"`
	Members   []Member  `yaml:"members,omitempty"` // kind archive: what is wanted from it
}

// Release is one version of a Download. Exactly one of SHA256, SHA512 and Sums is set.
type Release struct {
	Version string `yaml:"version"`
	URL     string `yaml:"url"`
	SHA256  string `yaml:"sha256,omitempty"` // hex
	SHA512  string `yaml:"sha512,omitempty"` // hex
	Sums    *Sums  `yaml:"sums,omitempty"`
	Note    string `yaml:"note,omitempty"`
}

// Sums is a checksum list beside a file, as sha256sum writes it (or a file with the bare digest).
type Sums struct {
	URL       string `yaml:"url"`
	Algorithm string `yaml:"algorithm"` // "sha256" or "sha512"
}

// Member is one wanted file of an archive.
type Member struct {
	Name string `yaml:"name"` // artifact name
	Path string `yaml:"path"` // in the archive, without a leading "./"; "{version}" stands for the release's version without "v"
	// Contains is text that the program must hold: "{version}" stands for the release's version without "v". It is looked
	// for in the file; the program is never run.
	Contains string `yaml:"contains,omitempty"`
}

// PackageSet is a list of wanted RPMs. What they need besides is found by the lock.
type PackageSet struct {
	ID        string          `yaml:"id"`
	Component string          `yaml:"component,omitempty"` // "docker": chosen by versions.docker; "" has one release
	Default   string          `yaml:"default,omitempty"`
	Releases  []PackageChoice `yaml:"releases"`
}

// PackageChoice is one version of a PackageSet.
type PackageChoice struct {
	Version  string    `yaml:"version,omitempty"`
	Packages []Package `yaml:"packages"`
}

// Package names a wanted RPM: its digest comes from the repository's metadata at lock time.
type Package struct {
	Name       string `yaml:"name"`
	EVR        string `yaml:"evr,omitempty"`  // "3:20.10.24-3.el7" or "3.4-1.el7"; "": the newest that fits
	Arch       string `yaml:"arch,omitempty"` // "x86_64", "noarch"; "": whichever there is
	Repository string `yaml:"repository"`
	SHA256     string `yaml:"sha256,omitempty"` // hex; for a package that no key signs, or whose repository has no key
}

// Kernel says which packages are kernels.
type Kernel struct {
	PackageSet string   `yaml:"packageSet"` // wanted by every role when hosts are to run the carried kernel; its component is "kernel"
	Image      string   `yaml:"image"`      // package of the set that holds the kernel itself: "kernel-lt"
	Beside     []string `yaml:"beside"`     // packages whose versions are installed side by side: the kernel's, and those for building modules
}

// Image is a container image.
type Image struct {
	Ref    string `yaml:"ref"`              // name that manifests use: "k8s.gcr.io/pause:3.2"
	Source string `yaml:"source"`           // where it is pulled from: "registry.k8s.io/pause:3.2"
	Digest string `yaml:"digest,omitempty"` // of the index or manifest; "": pinned by the lock from the tag, over TLS
	Note   string `yaml:"note,omitempty"`
}

// Kinds of add-ons.
const (
	AddonCNI   = "cni"   // connects pods; network.cni of the cluster file chooses one by its name
	AddonDNS   = "dns"   // answers names inside the cluster
	AddonCheck = "check" // the image of the pods that the health check makes
)

// Addon is something that runs in the cluster: its images are aboard the nodes' bundle, its objects are applied by a master.
type Addon struct {
	Name     string   `yaml:"name"` // "flannel": lower-case letters, digits and "-"
	Kind     string   `yaml:"kind"`
	Version  string   `yaml:"version"`
	Images   []string `yaml:"images"`             // Image.Ref; each has another name before its tag
	Template string   `yaml:"template,omitempty"` // below templates/addons: "flannel.yaml"; none for AddonCheck
}

// Role says what a role's bundle carries.
type Role struct {
	Name        string    `yaml:"name"`
	Programs    []Program `yaml:"programs"`
	PackageSets []string  `yaml:"packageSets"`
	Images      []string  `yaml:"images"`
}

// Program places an artifact.
type Program struct {
	Artifact string `yaml:"artifact"` // Member.Name, or Download.ID of a file
	Path     string `yaml:"path"`     // on the host
}
