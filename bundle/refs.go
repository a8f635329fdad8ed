package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
)

// loadRefs reads the manifests of packs and images, which follow the role's in the root. A directory may lack them.
func (b *Bundle) loadRefs() []error {
	rest := b.Root.Manifests[1:]
	packs := len(rest) - len(b.Role.Images)
	if packs < 0 {
		return []error{b.damage(b.RootDigest, "root index", fmt.Errorf("%d manifests for %d images", len(rest), len(b.Role.Images)))}
	}
	var faults []error
	last := ""
	for i, d := range rest {
		ref, err := d.Annotations[AnnotationRefName], error(nil)
		if i < packs {
			if ref <= last {
				err = b.damage(b.RootDigest, "root index", fmt.Errorf("host pack %.200q is out of order", ref))
			} else {
				err = b.loadPack(d)
			}
			last = ref
		} else {
			err = b.loadImage(b.Role.Images[i-packs], d)
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

func (b *Bundle) loadPack(d Descriptor) error {
	ref := d.Annotations[AnnotationRefName]
	host, _ := strings.CutPrefix(ref, PackRef(""))
	plain := Descriptor{MediaType: MediaTypeManifest, Digest: d.Digest, Size: d.Size}
	if !b.Role.hasPack(host) || !reflect.DeepEqual(d, named(plain, PackRef(host), ArtifactTypePack)) {
		return b.damage(b.RootDigest, "root index", fmt.Errorf("manifest %.200q is neither an image nor the pack of a host of this cluster", ref))
	}
	name := "host pack manifest of " + host
	b.expect(StoredBlob{Digest: d.Digest, Size: d.Size, Name: name})
	var m Manifest
	if _, err := b.metadata(d.Digest, d.Size, name, MaxIndexJSON, &m); err != nil {
		return b.unlessAbsent(err)
	}
	n := len(m.Layers)
	if n < 1 || n > mostPackLayers(host) {
		return b.damage(d.Digest, name, fmt.Errorf("it names %d blobs", n))
	}
	for i, limit := range packLimits(n) {
		if m.Layers[i].Size < 0 || m.Layers[i].Size > int64(limit) {
			return b.damage(d.Digest, name, errors.New("it does not name one pack within the limits"))
		}
	}
	if !reflect.DeepEqual(m, packManifest(host, m.Layers)) {
		return b.damage(d.Digest, name, errors.New("it is not the manifest of a host pack"))
	}
	place := packPlace{manifest: d.Digest, config: m.Config.Digest}
	for i, l := range m.Layers {
		b.expect(StoredBlob{Digest: l.Digest, Size: l.Size, Name: packNames(host)[i], Secret: true})
		place.layers = append(place.layers, l.Digest)
	}
	for other, p := range b.packs {
		if (len(p.layers) > 1) != (n > 1) {
			return b.damage(d.Digest, name, fmt.Errorf("the pack of %s is sealed and that of %s is not, or the other way round", host, other))
		}
	}
	b.expect(StoredBlob{Digest: m.Config.Digest, Size: m.Config.Size, Name: "empty config"})
	b.packs[host] = place
	return nil
}

func (b *Bundle) loadImage(img Image, d Descriptor) error {
	plain := Descriptor{MediaType: MediaTypeIndex, Digest: d.Digest, Size: d.Size}
	if !reflect.DeepEqual(d, named(plain, img.Ref, "")) {
		return b.damage(b.RootDigest, "root index", fmt.Errorf("manifest %.200q is not that of image %q", d.Annotations[AnnotationRefName], img.Ref))
	}
	name := "image " + img.Ref + ", index"
	b.expect(StoredBlob{Digest: d.Digest, Size: d.Size, Name: name})
	var idx Index
	if _, err := b.metadata(d.Digest, d.Size, name, MaxIndexJSON, &idx); err != nil {
		return b.unlessAbsent(err)
	}
	if len(idx.Manifests) != 1 || idx.Manifests[0].Digest != img.Manifest || !reflect.DeepEqual(idx, imageIndex(idx.Manifests[0], b.Role.Platform)) {
		return b.damage(d.Digest, name, errors.New("it does not wrap the manifest that the role index names"))
	}
	m := idx.Manifests[0]
	name = "image " + img.Ref + ", manifest"
	b.expect(StoredBlob{Digest: m.Digest, Size: m.Size, Name: name})
	data, err := b.metadata(m.Digest, m.Size, name, MaxIndexJSON, nil)
	if err != nil {
		return b.unlessAbsent(err)
	}
	blobs, err := imageBlobs(img, m, data)
	if err != nil {
		return b.damage(m.Digest, name, err)
	}
	for _, s := range blobs {
		b.expect(s)
	}
	parsed, err := parseImageManifest(data)
	if err != nil {
		return b.damage(m.Digest, name, err)
	}
	b.images[img.Ref] = ImageBlobs{Index: plain, Manifest: m, Config: parsed.Config, Layers: parsed.Layers}
	return nil
}

// expect notes a blob that the metadata refers to. The first name for it stays.
func (b *Bundle) expect(s StoredBlob) {
	if i, ok := b.byHash[s.Digest]; ok {
		b.blobs[i].Secret = b.blobs[i].Secret || s.Secret
		b.blobs[i].Bulk = b.blobs[i].Bulk && s.Bulk
		return
	}
	b.byHash[s.Digest] = len(b.blobs)
	b.blobs = append(b.blobs, s)
}

// metadata reads a blob of metadata, whose size must be the given one (-1: any up to limit), and decodes it into v unless
// that is nil.
func (b *Bundle) metadata(d Digest, size int64, name string, limit int64, v any) ([]byte, error) {
	e, err := b.src.open(d)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, b.missing(d, name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	defer e.Close()
	if size >= 0 && size != e.size || e.size > limit {
		return nil, b.damage(d, name, fmt.Errorf("it has %d bytes, want %d and at most %d", e.size, max(size, 0), limit))
	}
	data, err := readAllVerified(e.reader(), name, d, e.size, limit)
	if err != nil {
		return nil, b.damage(d, name, err)
	}
	if v == nil {
		return data, nil
	}
	if _, isRole := v.(*RoleIndex); isRole {
		if err := b.roleFormat(data); err != nil {
			return nil, err
		}
	}
	if err := DecodeCanonical(data, v, limit); err != nil {
		return nil, b.damage(d, name, err)
	}
	return data, nil
}

// roleFormat refuses another format number before the rest of a role index is decoded.
func (b *Bundle) roleFormat(index []byte) error {
	var v struct {
		Format *int `json:"format"`
	}
	if json.Unmarshal(index, &v) == nil && v.Format != nil && *v.Format != Format {
		return &FormatError{Path: b.Path, Found: *v.Format, Known: Format}
	}
	return nil
}

// damage makes the error for a fault in the stored bytes of d.
func (b *Bundle) damage(d Digest, name string, err error) error {
	e, openErr := b.src.open(d)
	if openErr != nil {
		return &DamageError{Path: b.Path, Artifact: name, Err: err}
	}
	defer e.Close()
	return b.place(&DamageError{Path: b.Path, Artifact: name, Where: b.where(d), Offset: e.offset, Length: e.size, Err: err})
}

// where is the part of the message that says in which file of a directory the damage is.
func (b *Bundle) where(d Digest) string {
	if b.IsDir {
		return blobPath(d)
	}
	return ""
}

// leftOut reports whether a renewal or delta bundle leaves the blob out.
func (b *Bundle) leftOut(d Digest) bool {
	i, ok := b.byHash[d]
	return ok && b.blobs[i].Bulk && (b.Renewal || b.out[d])
}

// part names what kind of bundle leaves blobs out.
func (b *Bundle) part() string {
	if b.Delta != nil {
		return PartDelta
	}
	return PartRenewal
}

// missing makes the error for a blob that is not there, which in a file is damage, unless that is a renewal bundle, and in a
// directory may be on purpose.
func (b *Bundle) missing(d Digest, name string) error {
	a, ok := b.src.(*archive)
	switch {
	case !ok || b.leftOut(d):
		return &NotCarriedError{Path: b.Path, Name: name, Digest: d, Renewal: b.Renewal, Delta: b.Delta != nil}
	case a.scanned != nil:
		return b.scanDamage(a, name)
	default:
		return &DamageError{Path: b.Path, Artifact: name, Where: "tar", Offset: a.size, Err: fmt.Errorf("it is missing: there is no blob %s", d.Hex())}
	}
}

// unlessAbsent drops an error that only says that a directory does not hold a blob, and one about a blob that the scan did
// not get to: checkMembers reports why the scan ended.
func (b *Bundle) unlessAbsent(err error) error {
	a, ok := b.src.(*archive)
	if errors.Is(err, ErrNotCarried) || ok && a.scanned != nil && errors.Is(err, a.scanned.err) {
		return nil
	}
	return err
}

func (b *Bundle) scanDamage(a *archive, name string) error {
	f := a.scanned
	if _, ok := parseSignaturePath(f.name); ok {
		name = signatureName
	}
	return b.place(&DamageError{Path: b.Path, Artifact: name, Where: f.where, Offset: f.offset, Length: f.length, Err: f.err})
}

// checkMembers compares the members of a tar with the blobs that the metadata refers to.
func (b *Bundle) checkMembers(a *archive) []error {
	if a.scanned != nil {
		return []error{b.scanDamage(a, b.scanName(a))}
	}
	var faults []error
	for i, want := range []Digest{b.RootDigest, b.Root.Manifests[0].Digest, b.Manifest.Config.Digest} {
		if a.order[i] != want {
			faults = append(faults, b.damage(want, b.blobs[b.byHash[want]].Name, fmt.Errorf("it is not member %d", i+3)))
		}
	}
	for _, s := range b.blobs {
		switch e, ok := a.blobs[s.Digest]; {
		case b.leftOut(s.Digest) && !ok:
			continue
		case b.leftOut(s.Digest) && !a.site: // another role of a site file may need it as something else
			faults = append(faults, b.damage(s.Digest, s.Name, fmt.Errorf("a %s bundle leaves it out", b.part())))
		case !ok:
			faults = append(faults, b.missing(s.Digest, s.Name))
		case e.size != s.Size:
			faults = append(faults, b.damage(s.Digest, s.Name, fmt.Errorf("it has %d bytes, want %d", e.size, s.Size)))
		}
	}
	for _, d := range a.order {
		if _, ok := b.byHash[d]; !ok && len(faults) < maxFaults {
			faults = append(faults, b.damage(d, "blob "+d.Short(), errors.New("nothing refers to this blob")))
		}
	}
	return faults
}

// scanName names what lies where the scan ended: the member whose header was read, or the first that should follow.
func (b *Bundle) scanName(a *archive) string {
	digits, ok := strings.CutPrefix(a.scanned.name, blobDir)
	if d, err := ParseDigest(digestPrefix + digits); ok && err == nil {
		if i, known := b.byHash[d]; known {
			return b.blobs[i].Name
		}
		return "blob " + d.Short()
	}
	i := slices.IndexFunc(b.blobs, func(s StoredBlob) bool {
		_, there := a.blobs[s.Digest]
		return !there && !b.leftOut(s.Digest)
	})
	if i < 0 {
		return "the end of the archive"
	}
	return b.blobs[i].Name
}

// checkSizes compares the files of a directory with the sizes that the metadata names.
func (b *Bundle) checkSizes() []error {
	var faults []error
	for _, s := range b.blobs {
		e, err := b.src.open(s.Digest)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			faults = append(faults, fmt.Errorf("reading %s: %w", s.Name, err))
			continue
		case e.size < s.Size:
			faults = append(faults, &DamageError{Path: b.Path, Artifact: s.Name, Where: s.Path(), Offset: e.size, Err: fmt.Errorf("%w: %d of %d bytes", ErrCutShort, e.size, s.Size)})
		case e.size > s.Size:
			faults = append(faults, b.damage(s.Digest, s.Name, fmt.Errorf("it has %d bytes, want %d", e.size, s.Size)))
		}
		e.Close()
	}
	return faults
}
