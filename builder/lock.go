package builder

import (
	"time"

	"offgrid/bundle"
)

// LockSchema is the number of the lock file's form.
const LockSchema = 2

// Lock names every byte that a build may ship. Only `bundle lock` decides what stands in it; people review its diff.
type Lock struct {
	Schema    int           `yaml:"schema"`
	Date      time.Time     `yaml:"date"`      // when it was made, UTC, whole seconds; hosts whose clock is before it are refused
	Catalogue bundle.Digest `yaml:"catalogue"` // of the catalogue's bytes
	Request   bundle.Digest `yaml:"request"`   // of what the cluster file asks the lock for: versions, roles, images, packages
	Baseline  bundle.Digest `yaml:"baseline"`  // of what the hosts have already (see bundle.Baseline)
	Entries   []LockEntry   `yaml:"entries"`   // sorted by ID
}

// LockEntry is one download.
type LockEntry struct {
	ID      string        `yaml:"id"`   // "kubernetes-server", "rpm/docker-ce", "image/k8s.gcr.io/pause:3.2"
	Kind    string        `yaml:"kind"` // "archive", "file", "rpm", "image"
	Version string        `yaml:"version"`
	URL     string        `yaml:"url"` // upstream's, before any mirror
	Size    int64         `yaml:"size"`
	SHA256  bundle.Digest `yaml:"sha256"`
	Vouched string        `yaml:"vouched"`           // "sha512 in the catalogue", "SHA256SUMS beside it", "primary.xml of docker-ce-stable"
	Members []LockMember  `yaml:"members,omitempty"` // kind archive: the files wanted from it
	Package *LockPackage  `yaml:"package,omitempty"` // kind rpm
	Image   *LockImage    `yaml:"image,omitempty"`   // kind image
}

// LockMember is one file inside an archive.
type LockMember struct {
	Name   string        `yaml:"name"` // artifact name, "kubelet"
	Path   string        `yaml:"path"` // in the archive
	Size   int64         `yaml:"size"`
	SHA256 bundle.Digest `yaml:"sha256"`
	// Contains is text that the build looks for in the file: the version it is said to have. "" : nothing is looked for.
	Contains string `yaml:"contains,omitempty"`
}

// LockPackage is what identifies an RPM.
type LockPackage struct {
	Name       string `yaml:"name"`
	Epoch      int    `yaml:"epoch"`
	Version    string `yaml:"version"`
	Release    string `yaml:"release"`
	Arch       string `yaml:"arch"`
	Repository string `yaml:"repository"` // id in the catalogue
	// Key is the fingerprint of the key that signed it; "" when its digest in the catalogue vouches for it.
	Key   string   `yaml:"key,omitempty"`
	Roles []string `yaml:"roles"` // whose hosts get it, sorted
	// Kernel says that it is installed beside older versions of itself.
	Kernel bool `yaml:"kernel,omitempty"`
	// Why it is here: the package sets of the catalogue that want it, or else the package that needs it first, and what of it.
	Sets     []string `yaml:"sets,omitempty"`
	NeededBy string   `yaml:"neededBy,omitempty"`
	Needs    string   `yaml:"needs,omitempty"` // "container-selinux >= 2:2.74"
	// Replaces are packages of the baseline that it takes the place of.
	Replaces []string `yaml:"replaces,omitempty"`
}

// LockImage pins a container image for one platform. All blobs are kept byte for byte as the registry serves them.
type LockImage struct {
	Ref      string     `yaml:"ref"`             // name in manifests
	Index    *LockBlob  `yaml:"index,omitempty"` // manifest list it was chosen from
	Manifest LockBlob   `yaml:"manifest"`        // of the platform
	Config   LockBlob   `yaml:"config"`
	Layers   []LockBlob `yaml:"layers"`
}

// LockBlob is an OCI or Docker descriptor.
type LockBlob struct {
	MediaType string        `yaml:"mediaType"`
	SHA256    bundle.Digest `yaml:"sha256"`
	Size      int64         `yaml:"size"`
}
