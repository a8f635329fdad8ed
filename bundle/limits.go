package bundle

// Limits on what a reader takes in. A bundle that goes beyond one is refused, by Write as well. They are far above what a
// real site needs, and low enough that the metadata of a hostile bundle stays small in memory.
const (
	// MaxIndexJSON bounds index.json, the root and every manifest, in bytes: registries refuse manifests beyond 4 MiB
	// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests).
	MaxIndexJSON = 4 << 20
	// MaxRoleIndexSize bounds the role index in bytes. A frame takes about 110 bytes there, so 40 GiB of programs fit.
	MaxRoleIndexSize = 8 << 20
	// MaxPackSize bounds a host pack in bytes: it holds keys, certificates and small files, never programs.
	MaxPackSize = 8 << 20
	// MaxSealedSize bounds a sealed pack in bytes: age adds a header of some 200 bytes, and 16 to every 64 KiB.
	MaxSealedSize = MaxPackSize + 8<<10
	// MaxKeyFile bounds a key file of a sealed pack in bytes: the longest, for an RSA key of 8192 bits, takes 1700.
	MaxKeyFile = 4096
	// MaxBlobSize bounds a stored blob and its content in bytes: the size field of a ustar header has 11 octal digits.
	MaxBlobSize = 8<<30 - 1
	// MaxMembers bounds the members of the tar.
	MaxMembers = 32768
	// MaxSignatures bounds the signatures of a file, in members: one for each root. A signature has at most
	// signature.MaxSize bytes.
	MaxSignatures = 16
	// MaxArtifacts bounds the artifacts of a role: each is a layer of some 300 bytes in a manifest of MaxIndexJSON.
	MaxArtifacts = 8192
	// MaxHosts bounds the hosts of a site and the host packs of a bundle.
	MaxHosts = 1024
	// MaxImages bounds the container images aboard, and MaxLayers the layers of one: docker itself stops at 127.
	MaxImages = 512
	MaxLayers = 128
	// MaxEntries bounds every other list of the role index: files, directories, links, packages, units, checks, settings.
	MaxEntries = 8192
	// MaxPath bounds a path on a host in bytes, MaxString every other text: Linux takes paths of 4095 bytes, but nothing
	// sensible goes beyond 1024, and 1024 fits everywhere else.
	MaxPath   = 1024
	MaxString = 4096
	// MaxFrames bounds the frames of one blob: MaxBlobSize in frames of FrameSize.
	MaxFrames = (MaxBlobSize + FrameSize) / FrameSize
	// MaxFrameStored bounds a compressed frame in bytes: zstd makes incompressible data at most 3 bytes per 128 KiB block
	// and 18 bytes per frame longer.
	MaxFrameStored = FrameSize + FrameSize>>8
)
