package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"

	"offgrid/bundle/signature"
)

// Bundle is an open bundle. Its methods may be called by several goroutines at once; its fields are for reading only.
type Bundle struct {
	Path       string
	Size       int64  // bytes of the bundle file, without a program that it was appended to; 0 for a directory
	IsDir      bool   // only what was carried to a host is here
	InSite     bool   // it is one of those in a site file; Size is that of the role's own file
	Renewal    bool   // programs, packages and images were left out: the host has them, or this bundle is not for it
	Delta      *Delta // what this bundle builds on when it brings changes only; nil: it does not
	Root       Index
	RootDigest Digest               // identifies the bundle with everything in it
	Signature  *signature.Signature // of the root; nil when it is not signed
	SignerID   string               // ID of the key that the signature names, "" without one: nobody has verified it by itself
	Signer     *signature.PublicKey // the trusted key whose signature was verified; nil when none was
	Manifest   Manifest
	Role       RoleIndex

	trust  *Trust
	src    source
	blobs  []StoredBlob          // what the metadata refers to, in the order of the tar after the first three
	byHash map[Digest]int        // index in blobs
	packs  map[string]packPlace  // by host
	images map[string]ImageBlobs // by ref
	codec  codec
	idx    []byte          // index.json of the whole bundle
	out    map[Digest]bool // what a delta leaves out

	deltaIndex Digest // that index.json of a delta names
}

// packPlace is where a host's pack is.
type packPlace struct {
	manifest, config Digest
	layers           []Digest // the pack, then its key files
}

// ImageBlobs are the blobs of a container image that are aboard, all kept as the registry served them.
type ImageBlobs struct {
	Index    Descriptor // our OCI index of one manifest: what the ref name points to
	Manifest Descriptor // OCI or Docker schema 2
	Config   Descriptor
	Layers   []Descriptor
}

// Open opens the bundle at path: a file, the parts path.001, path.002 and so on of one, a program with a bundle appended, or a
// directory. Of a site file with several roles it is a *SiteFileError: OpenRole opens one of them. It reads and checks all metadata, and of everything else the tar
// headers and the sizes: a file that is cut short is noticed here. The content of artifacts is checked when it is read,
// or by Verify. Errors are *NotABundleError, *FormatError, *DamageError (several are joined) or the system's.
func Open(path string) (*Bundle, error) { return OpenRole(path, "") }

// OpenAll opens every bundle in the file or directory at path: those of a site file in the order in which roles are installed,
// else the one. Each is closed by itself.
func OpenAll(path string) ([]*Bundle, error) { return OpenWith(path, Options{}) }

// OpenWith is OpenAll with options. What is not trusted is an *UntrustedError: then nothing was parsed but index.json.
func OpenWith(path string, o Options) ([]*Bundle, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return openPieces(path, o)
	}
	if err != nil {
		return nil, fmt.Errorf("opening bundle: %w", err)
	}
	if info.IsDir() {
		d, err := openDirectory(path)
		if err != nil {
			return nil, err
		}
		b, err := load(&Bundle{Path: path, IsDir: true, src: d, trust: o.Trust})
		if err != nil {
			return nil, err
		}
		return []*Bundle{b}, nil
	}
	if !info.Mode().IsRegular() {
		return nil, &NotABundleError{Path: path, Why: "it is neither a regular file nor a directory"}
	}
	return openPieces(path, o)
}

// OpenReaderAt opens a bundle file of the given size in r. name is for messages. Close does not close r.
func OpenReaderAt(name string, r io.ReaderAt, size int64) (*Bundle, error) {
	all, err := openArchive(name, r, Appended{Size: size}, nil, Options{})
	if err != nil {
		return nil, err
	}
	return TheRole(name, all, "")
}

// openArchive opens the bundles that are in the given part of r: one, or those of a site file.
func openArchive(path string, r io.ReaderAt, part Appended, closer io.Closer, o Options) ([]*Bundle, error) {
	a := &archive{path: path, r: r, start: part.Offset, size: part.Offset + part.Size, closer: closer}
	if err := a.scan(); err != nil {
		return nil, err
	}
	roots, site := a.roots(o.Trust == nil)
	a.checkOrder(heads * roots)
	if site {
		return loadSite(a, roots, o)
	}
	b, err := load(&Bundle{Path: path, Size: part.Size, src: a, trust: o.Trust})
	if err != nil {
		return nil, err
	}
	return []*Bundle{b}, nil
}

// Close frees what the bundle holds.
func (b *Bundle) Close() error {
	b.codec.close()
	return b.src.Close()
}

// load reads the metadata of b.
func load(b *Bundle) (*Bundle, error) {
	idx, _ := b.src.index()
	if n, ok := indexFormat(idx); ok && n != Format {
		return nil, &FormatError{Path: b.Path, Found: n, Known: Format}
	}
	if err := b.loadRoot(idx); err != nil {
		return nil, b.required(err)
	}
	return b.loadRest()
}

// loadRest reads the metadata below the root, and looks whether all is there that it refers to.
func (b *Bundle) loadRest() (*Bundle, error) {
	b.byHash, b.packs, b.images = map[Digest]int{}, map[string]packPlace{}, map[string]ImageBlobs{}
	if err := b.loadRole(); err != nil {
		return nil, b.required(err)
	}
	faults := b.loadRefs()
	if err := b.loadDelta(); err != nil {
		return nil, errors.Join(append(faults, err)...)
	}
	slices.SortFunc(b.blobs, StoredBlob.order)
	for i, s := range b.blobs {
		b.byHash[s.Digest] = i
	}
	if a, ok := b.src.(*archive); ok {
		faults = append(faults, b.checkMembers(a)...)
	} else {
		faults = append(faults, b.checkSizes()...)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return b, nil
}

// required turns the absence of a blob that every directory must hold into damage.
func (b *Bundle) required(err error) error {
	var absent *NotCarriedError
	if !errors.As(err, &absent) {
		return err
	}
	return &DamageError{Path: b.Path, Artifact: absent.Name, Where: blobPath(absent.Digest), Err: errors.New("it is missing")}
}

// loadRoot reads the root, asks whether it is trusted, and checks that index.json is the one that belongs to it. The root is
// parsed only when it is trusted.
func (b *Bundle) loadRoot(idx []byte) error {
	_, known := indexFormat(idx)
	var ok bool
	if b.RootDigest, ok = b.findRoot(idx); !ok {
		if !known {
			return &NotABundleError{Path: b.Path, Why: "its index.json is not one of ours"}
		}
		return b.missing(Digest{}, "root index")
	}
	data, err := b.metadata(b.RootDigest, -1, "root index", MaxIndexJSON, nil)
	if err == nil {
		err = b.loadSignature(data)
	}
	if err == nil {
		err = b.decodeRoot(data)
	}
	if err != nil && !known {
		return &NotABundleError{Path: b.Path, Why: "neither its index.json nor its third member is one of ours"}
	}
	if err != nil {
		return err
	}
	if err := b.checkSignature(); err != nil {
		return err
	}
	return b.checkIndex(idx, int64(len(data)))
}

// decodeRoot parses the root.
func (b *Bundle) decodeRoot(data []byte) error {
	err := DecodeCanonical(data, &b.Root, MaxIndexJSON)
	if err == nil {
		err = checkRoot(&b.Root)
	}
	if err != nil {
		return b.damage(b.RootDigest, "root index", err)
	}
	return nil
}

// checkIndex insists that index.json is the one that belongs to the root: of a whole bundle or, in a file, of a renewal.
func (b *Bundle) checkIndex(idx []byte, rootSize int64) error {
	if a, ok := b.src.(*archive); ok && a.site { // index.json belongs to all roots together: checkSite looks at it
		own, err := MarshalCanonical(topIndex(Descriptor{Digest: b.RootDigest, Size: rootSize}, &b.Root, false))
		b.idx = own
		return err
	}
	apart := 0 // how far it is right
	for _, renewal := range []bool{false, true} {
		want, err := MarshalCanonical(topIndex(Descriptor{Digest: b.RootDigest, Size: rootSize}, &b.Root, renewal))
		if err != nil {
			return err
		}
		if !renewal {
			b.idx = want
		}
		if bytes.Equal(want, idx) && !(renewal && b.IsDir) {
			b.Renewal = renewal
			return nil
		}
		apart = max(apart, firstDifference(want, idx))
	}
	if d, ok := deltaIndexOf(idx); ok && !b.IsDir {
		top := topIndex(Descriptor{Digest: b.RootDigest, Size: rootSize}, &b.Root, false)
		top.Annotations = deltaAnnotations(d)
		want, err := MarshalCanonical(top)
		if err != nil {
			return err
		}
		if b.deltaIndex = d; bytes.Equal(want, idx) {
			return nil
		}
		apart = max(apart, firstDifference(want, idx))
	}
	_, at := b.src.index()
	length := int64(1)
	if apart >= len(b.idx)-2 { // all but the annotation: what that should say is known nowhere else
		length = max(int64(len(idx)-apart), 1)
	}
	return b.place(&DamageError{Path: b.Path, Artifact: indexName, Offset: at + int64(apart), Length: length, Err: errors.New("it does not belong to the root index")})
}

// deltaIndexOf is the delta index that an index.json names.
func deltaIndexOf(idx []byte) (d Digest, ok bool) {
	var top Index
	if json.Unmarshal(idx, &top) != nil || top.Annotations[AnnotationDelta] == "" {
		return d, false
	}
	d, err := ParseDigest(top.Annotations[AnnotationDelta])
	return d, err == nil
}

// findRoot returns the digest of the root: of the third member, or in a directory the first that index.json names.
func (b *Bundle) findRoot(idx []byte) (Digest, bool) {
	if a, ok := b.src.(*archive); ok {
		if len(a.order) == 0 {
			return Digest{}, false
		}
		return a.order[0], true
	}
	var top Index
	if json.Unmarshal(idx, &top) != nil || len(top.Manifests) == 0 {
		return Digest{}, false
	}
	return top.Manifests[0].Digest, true
}

// checkRoot checks what does not follow from the rest: there is a role first, then packs, then images.
func checkRoot(root *Index) error {
	if root.SchemaVersion != 2 || root.MediaType != MediaTypeIndex || root.ArtifactType != ArtifactTypeBundle {
		return fmt.Errorf("it is not a root index: artifact type %q", root.ArtifactType)
	}
	if len(root.Manifests) == 0 || len(root.Manifests) > 1+MaxHosts+MaxImages {
		return fmt.Errorf("%d manifests", len(root.Manifests))
	}
	for _, d := range root.Manifests {
		if d.Size < 0 || d.Size > MaxIndexJSON {
			return fmt.Errorf("manifest %s has %d bytes", d.Digest.Short(), d.Size)
		}
	}
	return uniqueRefs(root.Manifests)
}

// loadRole reads the role manifest and the role index. Each must be the one that Write makes of the index.
func (b *Bundle) loadRole() error {
	md := b.Root.Manifests[0]
	data, err := b.metadata(md.Digest, md.Size, "role manifest", MaxIndexJSON, &b.Manifest)
	if err != nil {
		return err
	}
	config := b.Manifest.Config
	index, err := b.metadata(config.Digest, config.Size, "role index", MaxRoleIndexSize, &b.Role)
	if err != nil {
		return err
	}
	if err := b.Role.Validate(); err != nil {
		return b.damage(config.Digest, "role index", err)
	}
	return b.checkRole(data, index)
}

// checkRole checks that the root and the role manifest (data) are the ones that belong to the role index.
func (b *Bundle) checkRole(data, index []byte) error {
	md, config := b.Root.Manifests[0], b.Manifest.Config
	want, err := MarshalCanonical(roleManifest(descriptorOf(MediaTypeRoleIndex, index), &b.Role))
	if err != nil {
		return err
	}
	if !bytes.Equal(want, data) {
		return b.damage(md.Digest, "role manifest", errors.New("it does not belong to the role index"))
	}
	if !reflect.DeepEqual(md, named(descriptorOf(MediaTypeManifest, data), b.Role.Role, ArtifactTypeRole)) {
		return b.damage(b.RootDigest, "root index", errors.New("its first manifest is not the role's"))
	}
	if !maps.Equal(b.Root.Annotations, rootAnnotations(&b.Role)) {
		return b.damage(b.RootDigest, "root index", errors.New("its annotations are not the role's"))
	}
	root, err := MarshalCanonical(b.Root)
	if err != nil {
		return err
	}
	b.expect(StoredBlob{Digest: b.RootDigest, Size: int64(len(root)), Name: "root index"})
	b.expect(StoredBlob{Digest: md.Digest, Size: md.Size, Name: "role manifest"})
	b.expect(StoredBlob{Digest: config.Digest, Size: config.Size, Name: "role index"})
	for _, a := range b.Role.Artifacts {
		b.expect(StoredBlob{Digest: a.Blob.Stored, Size: a.Blob.StoredSize, Name: a.Name, Bulk: a.Kind != KindText})
	}
	return nil
}
