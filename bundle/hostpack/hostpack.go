// Package hostpack is the part of a bundle that belongs to one host: its private keys, tokens and rendered files.
//
// A pack is canonical JSON, and in a role bundle it is sealed: for a key of its own, which is in one small file for each way
// of opening it, the site's passphrase and the host's SSH host key. Packing, sealing and opening happen here and nowhere else.
package hostpack

// Pack is what one host needs for one role and no other host may have.
type Pack struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"` // bundle.Cluster.ID
	Role    string `json:"role"`
	Host    string `json:"host"`  // host name
	IP      string `json:"ip"`    // "" in bundle.JoinPack
	Files   []File `json:"files"` // sorted by path
	Token   *Token `json:"token,omitempty"`
}

// Placeholders in the data of a file that is to be filled in.
const (
	FillIP        = "{{IP}}"        // the host's address
	FillName      = "{{NAME}}"      // its node name, or its host name when it has none
	FillInterface = "{{INTERFACE}}" // the network interface that has the address
)

// File is a regular file placed on that host alone.
type File struct {
	Path   string `json:"path"`
	Mode   uint32 `json:"mode"` // permission bits
	Owner  string `json:"owner"`
	Group  string `json:"group"`
	Secret bool   `json:"secret"`         // a private key, a token or a file that holds one
	Fill   bool   `json:"fill,omitempty"` // Data has placeholders for what only the host knows; only on load balancers and in bundle.JoinPack
	Data   []byte `json:"data"`
}

// Token is the bootstrap token that the first master makes known to the cluster. It begins to live at that moment.
type Token struct {
	ID         string `json:"id"`     // 6 characters of [a-z0-9]
	Secret     string `json:"secret"` // 16 characters of [a-z0-9]
	TTLSeconds int64  `json:"ttlSeconds"`
}
