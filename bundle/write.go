package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"offgrid/bundle/signature"
)

// Input is what a bundle is written from.
type Input struct {
	Role   RoleIndex
	Packs  map[string]PackInput // by host name; package hostpack makes them. All are sealed, or none is
	Images []ImageInput
	// Open gives the stored bytes of artifacts and the blobs of images, by their stored digest. Write reads image
	// manifests twice and everything else once, and checks every byte.
	Open func(stored Digest) (io.ReadCloser, error)
	// Renewal leaves out what a host has that the same lock was installed on: programs, packages and images. The root is that
	// of the whole bundle.
	Renewal bool
	// Delta makes a delta bundle, which leaves out what a host with another bundle has; nil: a whole one. The root is that of the
	// whole bundle.
	Delta *DeltaInput
	// Sign makes the signature of the root, of its bytes and the trusted comment; nil: the bundle is not signed. It must have
	// the form of package signature.
	Sign func(root []byte, comment string) ([]byte, error)
}

// PackInput is the pack of one host. Without key files it is plain: canonical JSON.
type PackInput struct {
	Pack       []byte
	Passphrase []byte // age file that holds the pack's key for the site's passphrase
	SSHHostKey []byte // the same for the host's SSH key; nil when that is not known
}

// parts are the blobs of a pack in the order of its manifest, with what they are.
func (p PackInput) parts(host string) (data [][]byte, names []string) {
	data, names = [][]byte{p.Pack}, packNames(host)
	if p.Passphrase != nil {
		data = append(data, p.Passphrase)
		if p.SSHHostKey != nil {
			data = append(data, p.SSHHostKey)
		}
	}
	return data, names
}

// packNames says what the blobs of a pack are, for people.
func packNames(host string) []string {
	name := "host pack of " + host
	return []string{name, name + ", key for the passphrase", name + ", key for the SSH host key"}
}

// ImageInput is one container image: an entry of Role.Images and the descriptor of its platform's manifest. The manifest's
// config and layers come from Input.Open, byte for byte as the registry serves them.
type ImageInput struct {
	Ref      string
	Manifest Descriptor // MediaType, Digest and Size are used
}

// Summary says what was written.
type Summary struct {
	Root  Digest // of the root: what the signature covers
	Size  int64  // bytes written
	Blobs int
}

// Write writes a bundle to w. The same input gives the same bytes. It refuses what Open would refuse.
func Write(ctx context.Context, w io.Writer, in Input) (Summary, error) {
	p := &pieces{in: in, data: map[Digest][]byte{}, names: map[Digest]string{}}
	if err := p.assemble(ctx); err != nil {
		return Summary{}, fmt.Errorf("writing bundle of role %q: %w", in.Role.Role, err)
	}
	t := &tarWriter{w: w}
	if err := p.write(ctx, t); err != nil {
		return Summary{}, fmt.Errorf("writing bundle of role %q: %w", in.Role.Role, err)
	}
	return Summary{Root: p.root, Size: t.n, Blobs: len(p.blobs)}, nil
}

// pieces is a bundle that is being put together.
type pieces struct {
	in    Input
	index []byte            // index.json
	root  Digest            // and the two that follow it in the tar
	top   *Index            // the root
	sig   []byte            // signature of the root; nil: none
	fixed []Digest          // root, role manifest, role index
	data  map[Digest][]byte // blobs that are made here
	names map[Digest]string // what every blob is
	blobs []StoredBlob      // sorted as in the tar, without the fixed ones
	sizes map[Digest]int64
	bulk  map[Digest]bool // what a renewal bundle leaves out
	out   map[Digest]bool // what a delta bundle leaves out

	deltaIndex Digest // of a delta bundle
}

func (p *pieces) assemble(ctx context.Context) error {
	role := &p.in.Role
	role.Normalise()
	if err := role.Validate(); err != nil {
		return err
	}
	p.sizes, p.bulk = map[Digest]int64{}, map[Digest]bool{}
	config, err := p.meta(MediaTypeRoleIndex, *role, "role index", MaxRoleIndexSize)
	if err != nil {
		return err
	}
	manifest, err := p.meta(MediaTypeManifest, roleManifest(config, role), "role manifest", MaxIndexJSON)
	if err != nil {
		return err
	}
	for _, a := range role.Artifacts {
		if err := p.add(a.Blob.Stored, a.Blob.StoredSize, a.Name, a.Kind != KindText); err != nil {
			return err
		}
	}
	packs, err := p.packs()
	if err != nil {
		return err
	}
	images, err := p.images(ctx)
	if err != nil {
		return err
	}
	manifests := slices.Concat([]Descriptor{named(manifest, role.Role, ArtifactTypeRole)}, packs, images)
	if err := uniqueRefs(manifests); err != nil {
		return err
	}
	root := rootIndex(role, manifests)
	rootDesc, err := p.meta(MediaTypeIndex, root, "root index", MaxIndexJSON)
	if err != nil {
		return err
	}
	p.top = &root
	p.root, p.fixed = rootDesc.Digest, []Digest{rootDesc.Digest, manifest.Digest, config.Digest}
	if err := p.sign(&root); err != nil {
		return err
	}
	top := topIndex(rootDesc, &root, p.in.Renewal)
	if p.in.Delta != nil {
		if err := p.delta(); err != nil {
			return err
		}
		top.Annotations = deltaAnnotations(p.deltaIndex)
	}
	p.index, err = MarshalCanonical(top)
	if err == nil && len(p.index) > MaxIndexJSON {
		err = fmt.Errorf("index.json: %d bytes are more than the limit of %d", len(p.index), MaxIndexJSON)
	}
	return err
}

// sign makes the signature of the root.
func (p *pieces) sign(root *Index) error {
	if p.in.Sign == nil {
		return nil
	}
	comment := signatureComment(root)
	text, err := p.in.Sign(p.data[p.root], comment)
	if err != nil {
		return err
	}
	if s, err := signature.Parse(text); err != nil || s.Comment != comment {
		return fmt.Errorf("the signature that was made is not one of the root: %v", err)
	}
	p.sig = text
	return nil
}

// meta marshals v into a blob.
func (p *pieces) meta(mediaType string, v any, name string, limit int) (Descriptor, error) {
	data, err := MarshalCanonical(v)
	if err != nil {
		return Descriptor{}, err
	}
	return p.blob(mediaType, data, name, limit)
}

func (p *pieces) blob(mediaType string, data []byte, name string, limit int) (Descriptor, error) {
	if len(data) > limit {
		return Descriptor{}, fmt.Errorf("%s: %d bytes are more than the limit of %d", name, len(data), limit)
	}
	d := descriptorOf(mediaType, data)
	p.data[d.Digest] = data
	return d, p.add(d.Digest, d.Size, name, false)
}

func (p *pieces) add(d Digest, size int64, name string, bulk bool) error {
	if known, ok := p.sizes[d]; ok {
		if known != size {
			return fmt.Errorf("%s: %d bytes, but %s with the same digest has %d", name, size, p.names[d], known)
		}
		p.bulk[d] = p.bulk[d] && bulk
		return nil
	}
	p.sizes[d], p.names[d], p.bulk[d] = size, name, bulk
	return nil
}

func (p *pieces) packs() ([]Descriptor, error) {
	var out []Descriptor
	sealed := 0
	for _, host := range slices.Sorted(maps.Keys(p.in.Packs)) {
		d, err := p.pack(host, p.in.Packs[host])
		if err != nil {
			return nil, err
		}
		if p.in.Packs[host].Passphrase != nil {
			sealed++
		}
		out = append(out, d)
	}
	if sealed != 0 && sealed != len(out) {
		return nil, fmt.Errorf("%d of %d host packs are sealed: all must be, or none", sealed, len(out))
	}
	return out, nil
}

func (p *pieces) pack(host string, in PackInput) (Descriptor, error) {
	data, names := in.parts(host)
	switch {
	case !p.in.Role.hasPack(host):
		return Descriptor{}, fmt.Errorf("host pack of %q: no such host in the role index", host)
	case in.SSHHostKey != nil && (in.Passphrase == nil || mostPackLayers(host) < 3):
		return Descriptor{}, fmt.Errorf("host pack of %q: it cannot be for an SSH host key", host)
	}
	var layers []Descriptor
	for i, limit := range packLimits(len(data)) {
		layer, err := p.blob("", data[i], names[i], limit)
		if err != nil {
			return Descriptor{}, err
		}
		layers = append(layers, layer)
	}
	if _, err := p.blob(MediaTypeEmpty, []byte(emptyConfig), "empty config", MaxIndexJSON); err != nil {
		return Descriptor{}, err
	}
	d, err := p.meta(MediaTypeManifest, packManifest(host, layers), "host pack manifest of "+host, MaxIndexJSON)
	return named(d, PackRef(host), ArtifactTypePack), err
}

// packLimits are the limits of a pack's n blobs, in bytes.
func packLimits(n int) []int {
	if n == 1 {
		return []int{MaxPackSize}
	}
	return []int{MaxSealedSize, MaxKeyFile, MaxKeyFile}[:n]
}

func (p *pieces) images(ctx context.Context) ([]Descriptor, error) {
	inputs := slices.Clone(p.in.Images)
	slices.SortFunc(inputs, func(a, b ImageInput) int { return strings.Compare(a.Ref, b.Ref) })
	if len(inputs) != len(p.in.Role.Images) {
		return nil, fmt.Errorf("%d images given, %d in the role index", len(inputs), len(p.in.Role.Images))
	}
	var out []Descriptor
	for i, img := range inputs {
		d, err := p.image(ctx, img, p.in.Role.Images[i])
		if err != nil {
			return nil, fmt.Errorf("image %q: %w", img.Ref, err)
		}
		out = append(out, d)
	}
	return out, nil
}

func (p *pieces) image(ctx context.Context, img ImageInput, want Image) (Descriptor, error) {
	if img.Ref != want.Ref || img.Manifest.Digest != want.Manifest {
		return Descriptor{}, fmt.Errorf("the role index has %q with manifest %s, not %s", want.Ref, want.Manifest.Short(), img.Manifest.Digest.Short())
	}
	data, err := p.read(ctx, img.Manifest)
	if err != nil {
		return Descriptor{}, err
	}
	blobs, err := imageBlobs(want, img.Manifest, data)
	if err != nil {
		return Descriptor{}, err
	}
	for _, b := range blobs {
		if err := p.add(b.Digest, b.Size, b.Name, b.Bulk); err != nil {
			return Descriptor{}, err
		}
	}
	d, err := p.meta(MediaTypeIndex, imageIndex(img.Manifest, p.in.Role.Platform), "image "+img.Ref+", index", MaxIndexJSON)
	if err != nil {
		return Descriptor{}, err
	}
	return named(d, img.Ref, ""), nil
}

// read reads a small input whole.
func (p *pieces) read(ctx context.Context, d Descriptor) ([]byte, error) {
	r, err := p.in.Open(d.Digest)
	if err != nil {
		return nil, err
	}
	data, err := readAllVerified(contextReader{ctx.Err, r}, "manifest", d.Digest, d.Size, MaxIndexJSON)
	return data, errors.Join(err, r.Close())
}

// write writes the members in their order.
func (p *pieces) write(ctx context.Context, t *tarWriter) error {
	if len(p.sizes) > MaxMembers-3 {
		return fmt.Errorf("%d blobs are more than the limit of %d", len(p.sizes), MaxMembers-3)
	}
	if err := t.bytes(layoutName, []byte(ociLayout)); err != nil {
		return err
	}
	if err := t.bytes(indexName, p.index); err != nil {
		return err
	}
	if p.sig != nil {
		if err := t.bytes(signaturePath(p.root), p.sig); err != nil {
			return err
		}
	}
	for _, d := range p.fixed {
		if err := t.bytes(blobPath(d), p.data[d]); err != nil {
			return err
		}
	}
	for d, size := range p.sizes {
		if p.in.Renewal && p.bulk[d] || p.out[d] {
			continue
		}
		p.blobs = append(p.blobs, StoredBlob{Digest: d, Size: size, Name: p.names[d]})
	}
	slices.SortFunc(p.blobs, StoredBlob.order)
	for _, b := range p.blobs {
		if slices.Contains(p.fixed, b.Digest) {
			continue
		}
		if err := p.writeBlob(ctx, t, b); err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
	}
	return t.end()
}

func (p *pieces) writeBlob(ctx context.Context, t *tarWriter, b StoredBlob) error {
	if data, ok := p.data[b.Digest]; ok {
		return t.stream(b.Path(), b.Size, bytes.NewReader(data))
	}
	r, err := p.in.Open(b.Digest)
	if err != nil {
		return err
	}
	err = t.stream(b.Path(), b.Size, newVerifyReader(contextReader{ctx.Err, r}, b.Name, b.Digest, b.Size))
	return errors.Join(err, r.Close())
}
