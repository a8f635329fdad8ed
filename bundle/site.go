package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// A site file holds the bundles of several roles of one site, and each blob once (FORMAT.md, "Site files"). Opened, each is the
// bundle that its own file would be: its own root, its own checks.

const (
	// heads is how many blobs of a bundle come before those that are sorted: root, role manifest, role index.
	heads = 3
	// MaxRoles bounds the bundles in a site file: there are no more roles.
	MaxRoles = 4
)

// SiteFileError says that a file holds several bundles where one is wanted, or not the one that is.
type SiteFileError struct {
	Path  string
	Role  string   // that was asked for; "" none
	Roles []string // that are in the file
}

func (e *SiteFileError) Error() string {
	if e.Role == "" {
		return fmt.Sprintf("%s holds the bundles of several roles: %s", e.Path, strings.Join(e.Roles, ", "))
	}
	return fmt.Sprintf("%s holds no bundle of the role %s, but of %s", e.Path, e.Role, strings.Join(e.Roles, ", "))
}

// OpenRole opens the bundle of a role at path, as Open does; role "" is the only one in it. A file that does not hold it, or
// holds several where none is named, is a *SiteFileError.
func OpenRole(path, role string) (*Bundle, error) {
	all, err := OpenAll(path)
	if err != nil {
		return nil, err
	}
	return TheRole(path, all, role)
}

// TheRole keeps, of the bundles of a file, that of one role and closes the others; role "" is the only one.
func TheRole(path string, all []*Bundle, role string) (*Bundle, error) {
	var found *Bundle
	wrong := &SiteFileError{Path: path, Role: role}
	for _, b := range all {
		wrong.Roles = append(wrong.Roles, b.Role.Role)
		if b.Role.Role == role || role == "" && len(all) == 1 {
			found = b
			continue
		}
		defer b.Close()
	}
	if found == nil {
		return nil, wrong
	}
	return found, nil
}

// roots finds out how many roots the archive has, and whether it is a site file. Neither a damaged index.json nor a damaged root
// makes a site file look like another one: each is asked, unless only trusted roots may be parsed: then index.json alone counts.
func (a *archive) roots(ask bool) (n int, site bool) {
	var top Index
	if json.Unmarshal(a.idx, &top) == nil {
		for n < len(top.Manifests) && n < MaxRoles && top.Manifests[n].ArtifactType == ArtifactTypeBundle {
			n++
		}
		site = n > 0 && top.Manifests[0].Annotations[AnnotationRefName] != ""
	}
	there := 0
	for ask && there < MaxRoles && a.isRoot(heads*there) {
		there++
	}
	n = max(n, there, 1)
	return n, site || n > 1
}

// isRoot reports whether blob i of the archive is a bundle's root.
func (a *archive) isRoot(i int) bool {
	if i >= len(a.order) || a.blobs[a.order[i]].size > MaxIndexJSON {
		return false
	}
	e := a.blobs[a.order[i]]
	data, err := readAllVerified(e.reader(), "root index", a.order[i], e.size, MaxIndexJSON)
	var top Index
	return err == nil && json.Unmarshal(data, &top) == nil && top.ArtifactType == ArtifactTypeBundle
}

// checkOrder insists that all blobs but the first ones ascend by size and digest. It ends the scan where they do not.
func (a *archive) checkOrder(first int) {
	for i := first + 1; i < len(a.order); i++ {
		last, d := a.order[i-1], a.order[i]
		before := StoredBlob{Digest: last, Size: a.blobs[last].size}
		if before.order(StoredBlob{Digest: d, Size: a.blobs[d].size}) >= 0 {
			a.scanned = &scanFault{where: "tar header", offset: a.blobs[d].offset - tarBlock, length: tarBlock,
				err: fmt.Errorf("blob %s comes after blob %s: out of order", d.Hex(), last.Hex())}
			return
		}
	}
}

// loadSite reads the bundles of a site file: first all roots, since they say what index.json must be, then the rest of each.
func loadSite(a *archive, n int, o Options) ([]*Bundle, error) {
	if got, ok := indexFormat(a.idx); ok && got != Format {
		return nil, &FormatError{Path: a.path, Found: got, Known: Format}
	}
	closer := &sharedCloser{left: n, c: a.closer}
	var all []*Bundle
	for i := range n {
		view := *a
		view.site, view.closer, view.order = true, closer, a.order[min(heads*i, len(a.order)):min(heads*i+heads, len(a.order))]
		b := &Bundle{Path: a.path, InSite: true, src: &view, trust: o.Trust}
		if err := b.loadRoot(a.idx); err != nil {
			return nil, b.required(err)
		}
		all = append(all, b)
	}
	if err := checkSigned(a, all); err != nil {
		return nil, err
	}
	renewal, err := checkSiteIndex(a, all)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, b := range all {
		b.Renewal = renewal
		if _, err := b.loadRest(); err != nil {
			faults = append(faults, err)
		}
	}
	if err := errors.Join(faults...); err != nil && a.scanned == nil {
		return nil, err
	}
	if err := checkSite(a, all); err != nil {
		return nil, err
	}
	for _, b := range all {
		if b.Size, err = b.ownSize(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// checkSiteIndex insists that index.json is the one that belongs to the roots, and says whether it is that of renewals.
func checkSiteIndex(a *archive, all []*Bundle) (renewal bool, err error) {
	var roots []siteRoot
	for _, b := range all {
		roots = append(roots, siteRoot{Descriptor{Digest: b.RootDigest, Size: a.blobs[b.RootDigest].size}, &b.Root})
	}
	apart := 0 // how far it is right
	for _, renewal := range []bool{false, true} {
		top, err := siteIndex(roots, renewal)
		if err != nil {
			return false, &DamageError{Path: a.path, Artifact: indexName, Offset: a.idxAt, Length: int64(len(a.idx)), Err: err}
		}
		want, err := MarshalCanonical(top)
		if err != nil {
			return false, err
		}
		if bytes.Equal(want, a.idx) {
			return renewal, nil
		}
		apart = max(apart, firstDifference(want, a.idx))
	}
	return false, &DamageError{Path: a.path, Artifact: indexName, Offset: a.idxAt + int64(apart), Length: 1, Err: errors.New("it does not belong to the root indexes")}
}

// checkSite checks what no role can see alone: that nothing is aboard which none of them refers to or which all leave out, and
// where a scan ended that did not reach the end.
func checkSite(a *archive, all []*Bundle) error {
	names, needed := map[Digest]string{}, map[Digest]bool{}
	var missing []StoredBlob
	for _, b := range all {
		for _, s := range b.blobs {
			if names[s.Digest] == "" {
				names[s.Digest] = s.Name
			}
			out := b.leftOut(s.Digest)
			needed[s.Digest] = needed[s.Digest] || !out
			if _, there := a.blobs[s.Digest]; !there && !out {
				missing = append(missing, s)
			}
		}
	}
	if a.scanned != nil {
		slices.SortStableFunc(missing, StoredBlob.order)
		return all[0].scanDamage(a, siteScanName(a, names, missing))
	}
	var faults []error
	for i, d := range a.order {
		name, known := names[d]
		why := ""
		switch {
		case !known:
			name, why = "blob "+d.Short(), "nothing refers to this blob"
		case !needed[d] && i >= heads*len(all):
			why = "a renewal bundle leaves it out"
		}
		if why != "" && len(faults) < maxFaults {
			faults = append(faults, all[0].damage(d, name, errors.New(why)))
		}
	}
	return errors.Join(faults...)
}

// siteScanName names what lies where the scan ended.
func siteScanName(a *archive, names map[Digest]string, missing []StoredBlob) string {
	digits, ok := strings.CutPrefix(a.scanned.name, blobDir)
	if d, err := ParseDigest(digestPrefix + digits); ok && err == nil {
		if name := names[d]; name != "" {
			return name
		}
		return "blob " + d.Short()
	}
	if len(missing) > 0 {
		return missing[0].Name
	}
	return "the end of the archive"
}

// siteRoot is one root of a site file.
type siteRoot struct {
	desc Descriptor // its digest and size
	root *Index
}

// siteIndex makes index.json of a site file: it points to the roots, by the names of their roles, and gives the ref names.
// Those of images are as they are, all others stand behind the role's name and a slash.
func siteIndex(roots []siteRoot, renewal bool) (Index, error) {
	idx := Index{SchemaVersion: 2, MediaType: MediaTypeIndex, ArtifactType: ArtifactTypeBundle, Manifests: []Descriptor{}}
	if renewal {
		idx.Annotations = map[string]string{AnnotationPart: PartRenewal}
	}
	order, refs := -1, []Descriptor{}
	images := map[string]Digest{}
	for _, r := range roots {
		role := r.root.Manifests[0].Annotations[AnnotationRefName]
		at := slices.Index(RoleOrder(), role)
		if at <= order {
			return idx, fmt.Errorf("the role %.100q is not one that may come here", role)
		}
		order = at
		if other := roots[0].root; other.Annotations[AnnotationCluster] != r.root.Annotations[AnnotationCluster] || other.Annotations[AnnotationSerial] != r.root.Annotations[AnnotationSerial] {
			return idx, fmt.Errorf("the role %s is of another cluster or serial than the first one", role)
		}
		r.desc.MediaType = MediaTypeIndex
		idx.Manifests = append(idx.Manifests, named(r.desc, role, ArtifactTypeBundle))
		for _, m := range r.root.Manifests {
			ref := m.Annotations[AnnotationRefName]
			if m.ArtifactType != "" {
				refs = append(refs, named(m, role+"/"+ref, m.ArtifactType))
				continue
			}
			if known, twice := images[ref]; twice && known != m.Digest {
				return idx, fmt.Errorf("the image %.200q is another one for the role %s", ref, role)
			} else if !twice {
				images[ref] = m.Digest
				refs = append(refs, m)
			}
		}
	}
	idx.Manifests = append(idx.Manifests, refs...)
	return idx, uniqueRefs(idx.Manifests)
}

// ownSize is how many bytes the bundle's own file would have.
func (b *Bundle) ownSize() (int64, error) {
	member := func(size int64) int64 { return tarBlock + size + tarPadding(size) }
	idx := b.idx
	if b.Renewal {
		var err error
		root := b.blobs[b.byHash[b.RootDigest]]
		if idx, err = MarshalCanonical(topIndex(Descriptor{Digest: root.Digest, Size: root.Size}, &b.Root, true)); err != nil {
			return 0, err
		}
	}
	n := member(int64(len(ociLayout))) + member(int64(len(idx))) + tarEnd
	if b.Signature != nil {
		n += member(int64(len(b.Signature.Bytes())))
	}
	for _, s := range b.blobs {
		if !b.leftOut(s.Digest) {
			n += member(s.Size)
		}
	}
	return n, nil
}

// sharedCloser closes a file when the last of those is closed that read it.
type sharedCloser struct {
	mu   sync.Mutex
	left int
	c    io.Closer
}

// Close implements io.Closer.
func (s *sharedCloser) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left--
	if s.left != 0 || s.c == nil {
		return nil
	}
	return s.c.Close()
}
