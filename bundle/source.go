package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"offgrid/bundle/signature"
)

// extent is where the bytes of a stored blob lie.
type extent struct {
	r      io.ReaderAt
	offset int64 // in r
	size   int64
	file   io.Closer // nil when r is the bundle's own file
}

func (e *extent) reader() *io.SectionReader { return io.NewSectionReader(e.r, e.offset, e.size) }

func (e *extent) Close() error {
	if e.file == nil {
		return nil
	}
	return e.file.Close()
}

// source is what a bundle lies in: a tar file or a directory.
type source interface {
	// index returns the bytes of index.json and their offset.
	index() (data []byte, offset int64)
	// open finds a blob. The error is fs.ErrNotExist when it is not there.
	open(d Digest) (*extent, error)
	// signature finds the signature of a root. The error is fs.ErrNotExist when there is none.
	signature(root Digest) (*extent, error)
	Close() error
}

// archive is a bundle in a tar file.
type archive struct {
	path    string
	r       io.ReaderAt
	start   int64 // of the archive in r: what lies before is the program that it was appended to
	size    int64 // where the archive ends in r
	closer  io.Closer
	site    bool // several bundles share it: this is the view of one of them, whose three blobs of metadata are in order
	renewal bool // of a view: the site file is one of renewals
	idx     []byte
	idxAt   int64
	order   []Digest // blobs in the order of the members
	blobs   map[Digest]extent
	block   [tarBlock]byte // scratch of the scan
	// signatures are those of the roots, signed the roots in the order of the members.
	signatures map[Digest]extent
	signed     []Digest
	scanned    *scanFault // why the scan stopped, nil when it reached the end mark
}

// scanFault is what ended the scan of the members before the end of the file.
type scanFault struct {
	where          string // "tar header", "content", "padding", "end mark", "after the end"
	offset, length int64
	name           string // member, when its header was read
	err            error
}

func (a *archive) index() ([]byte, int64) { return a.idx, a.idxAt }

func (a *archive) open(d Digest) (*extent, error) {
	e, ok := a.blobs[d]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Short(), fs.ErrNotExist)
	}
	return &e, nil
}

func (a *archive) signature(root Digest) (*extent, error) {
	e, ok := a.signatures[root]
	if !ok {
		return nil, fmt.Errorf("signature of %s: %w", root.Short(), fs.ErrNotExist)
	}
	return &e, nil
}

func (a *archive) Close() error {
	if a.closer == nil {
		return nil
	}
	return a.closer.Close()
}

// scan reads the member headers, and of the content only the two small members that come first.
func (a *archive) scan() error {
	a.blobs, a.signatures = map[Digest]extent{}, map[Digest]extent{}
	at := a.start
	for n := 0; ; n++ {
		next, done := a.member(n, at)
		if a.scanned != nil {
			if n < 2 {
				return a.notOurs(n)
			}
			return nil
		}
		if done {
			return nil
		}
		at = next
	}
}

// member reads the header at the given offset and returns the offset of the next one. done means the end mark.
func (a *archive) member(n int, at int64) (next int64, done bool) {
	h := a.block[:]
	if fault := a.readAt(h, at, "tar header", ""); fault {
		return 0, false
	}
	if a.block == [tarBlock]byte{} {
		a.endMark(n, at)
		return 0, true
	}
	name, size, err := parseTarHeader(h)
	if err == nil {
		err = a.accept(n, name, size)
	}
	if err != nil {
		a.scanned = &scanFault{where: "tar header", offset: at, length: tarBlock, err: err}
		return 0, false
	}
	content := at + tarBlock
	end := content + size
	if end+tarPadding(size) > a.size {
		a.scanned = &scanFault{where: "content", offset: a.size, name: name, err: fmt.Errorf("%w: %d bytes where at least %d are wanted", ErrCutShort, a.size, end)}
		return 0, false
	}
	pad := a.block[:tarPadding(size)]
	if a.readAt(pad, end, "padding", name) {
		return 0, false
	}
	if i := bytes.IndexFunc(pad, func(r rune) bool { return r != 0 }); i >= 0 {
		a.scanned = &scanFault{where: "padding", offset: end + int64(i), length: 1, name: name, err: errors.New("the bytes after the content are not zero")}
		return 0, false
	}
	if err := a.keep(n, name, content, size); err != nil {
		a.scanned = &scanFault{where: "content", offset: content, length: size, name: name, err: err}
		return 0, false
	}
	return end + int64(len(pad)), false
}

// accept says whether a member of this name and size may come at place n.
func (a *archive) accept(n int, name string, size int64) error {
	switch {
	case n >= MaxMembers:
		return fmt.Errorf("there are more than %d members", MaxMembers)
	case n == 0 && (name != layoutName || size != int64(len(ociLayout))):
		return fmt.Errorf("the first member is %.100q with %d bytes, want %q", name, size, layoutName)
	case n == 1 && (name != indexName || size > MaxIndexJSON):
		return fmt.Errorf("the second member is %.100q with %d bytes, want %q", name, size, indexName)
	case n < 2:
		return nil
	}
	if root, ok := parseSignaturePath(name); ok {
		return a.acceptSignature(root, size)
	}
	digits, ok := strings.CutPrefix(name, blobDir)
	d, err := ParseDigest(digestPrefix + digits)
	if !ok || err != nil {
		return fmt.Errorf("member %.100q is not a blob", name)
	}
	if _, twice := a.blobs[d]; twice {
		return fmt.Errorf("blob %s comes twice", d.Hex())
	}
	return nil
}

// acceptSignature says whether a signature may come here: before the blobs, in the order of the roots' digests.
func (a *archive) acceptSignature(root Digest, size int64) error {
	n := len(a.signed)
	switch {
	case len(a.order) > 0:
		return fmt.Errorf("the signature of %s comes after blobs", root.Hex())
	case n >= MaxSignatures:
		return fmt.Errorf("there are more than %d signatures", MaxSignatures)
	case size > signature.MaxSize:
		return fmt.Errorf("the signature of %s has %d bytes, the limit is %d", root.Hex(), size, signature.MaxSize)
	case n > 0 && bytes.Compare(a.signed[n-1][:], root[:]) >= 0:
		return fmt.Errorf("the signature of %s is out of order", root.Hex())
	}
	return nil
}

// keep remembers a member.
func (a *archive) keep(n int, name string, content, size int64) error {
	if n < 2 {
		data := make([]byte, size)
		if _, err := a.r.ReadAt(data, content); err != nil {
			return err
		}
		if n == 0 && string(data) != ociLayout {
			return fmt.Errorf("the content is not %q", ociLayout)
		}
		if n == 1 {
			a.idx, a.idxAt = data, content
		}
		return nil
	}
	if root, ok := parseSignaturePath(name); ok {
		a.signed = append(a.signed, root)
		a.signatures[root] = extent{r: a.r, offset: content, size: size}
		return nil
	}
	d, err := ParseDigest(digestPrefix + strings.TrimPrefix(name, blobDir))
	if err != nil {
		return err
	}
	a.order = append(a.order, d)
	a.blobs[d] = extent{r: a.r, offset: content, size: size}
	return nil
}

// readAt reads into b and notes a fault when the file ends before or cannot be read.
func (a *archive) readAt(b []byte, at int64, where, name string) (fault bool) {
	if at+int64(len(b)) > a.size {
		a.scanned = &scanFault{where: where, offset: a.size, name: name, err: fmt.Errorf("%w: %d bytes where at least %d are wanted", ErrCutShort, a.size, at+int64(len(b)))}
		return true
	}
	if _, err := a.r.ReadAt(b, at); err != nil && len(b) > 0 {
		a.scanned = &scanFault{where: where, offset: at, length: int64(len(b)), name: name, err: err}
		return true
	}
	return false
}

// endMark checks the two zero blocks and that nothing follows them.
func (a *archive) endMark(n int, at int64) {
	if a.readAt(a.block[:], at+tarBlock, "end mark", "") {
		return
	}
	switch {
	case a.block != [tarBlock]byte{}:
		a.scanned = &scanFault{where: "end mark", offset: at, length: tarEnd, err: errors.New("one zero block among the members")}
	case len(a.order) < 3:
		a.scanned = &scanFault{where: "end mark", offset: at, length: tarEnd, err: fmt.Errorf("the archive ends after %d members", n)}
	case a.size > at+tarEnd:
		a.scanned = &scanFault{where: "after the end", offset: at + tarEnd, length: a.size - at - tarEnd, err: errors.New("there is more after the end of the archive")}
	}
}

// looks are the first bytes of what people hand to a program by mistake.
func looks() []struct{ magic, what string } {
	return []struct{ magic, what string }{
		{"\x1f\x8b", "it begins like a gzip file"},
		{"\x28\xb5\x2f\xfd", "it begins like a zstd file"},
		{"\xfd7zXZ\x00", "it begins like an xz file"},
		{"\x7fELF", "it is a program"},
		{"\xed\xab\xee\xdb", "it is an RPM"},
		{"PK\x03\x04", "it is a zip file"},
	}
}

// notOurs makes the error for a file in which oci-layout or index.json cannot be read: damaged when it still resembles a
// bundle, not a bundle otherwise.
func (a *archive) notOurs(n int) error {
	f := a.scanned
	head := make([]byte, tarBlock)
	got, err := a.r.ReadAt(head, a.start)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading %s: %w", a.path, err)
	}
	head = head[:got]
	if a.size == 0 {
		return &NotABundleError{Path: a.path, Why: "it is empty"}
	}
	for _, l := range looks() {
		if bytes.HasPrefix(head, []byte(l.magic)) {
			return &NotABundleError{Path: a.path, Why: l.what}
		}
	}
	want := tarHeader(layoutName, int64(len(ociLayout)))
	same := 0
	for i, c := range head {
		if c == want[i] && c != 0 {
			same++
		}
	}
	// 71 bytes of the header are not zero; another tar shares about half of them, a damaged header most, a cut one begins
	// like it. A header that is whole and has another name is another tar's.
	_, _, foreign := parseTarHeader(append(head, make([]byte, tarBlock-len(head))...))
	if n == 0 && !bytes.HasPrefix(want[:], head) && (same < 64 || foreign == nil) {
		return &NotABundleError{Path: a.path, Why: "it does not begin with the member " + layoutName}
	}
	return &DamageError{Path: a.path, Artifact: []string{layoutName, indexName}[n], Where: f.where, Offset: f.offset, Length: f.length, Err: f.err}
}

// directory is a bundle of which some blobs were carried to a host.
type directory struct {
	path string
	idx  []byte
}

func openDirectory(dir string) (*directory, error) {
	layout, err := readSmall(filepath.Join(dir, layoutName), MaxIndexJSON)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotABundleError{Path: dir, Why: "it has no file " + layoutName}
	}
	if err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	if string(layout) != ociLayout {
		return nil, &DamageError{Path: dir, Artifact: layoutName, Length: int64(len(layout)), Err: fmt.Errorf("the content is not %q", ociLayout)}
	}
	idx, err := readSmall(filepath.Join(dir, indexName), MaxIndexJSON)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotABundleError{Path: dir, Why: "it has no file " + indexName + "; carrying it to this host was not finished"}
	}
	if err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	return &directory{path: dir, idx: idx}, nil
}

// readSmall reads a regular file of at most limit bytes.
func readSmall(name string, limit int64) ([]byte, error) {
	f, size, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s: %d bytes are more than the limit of %d", name, size, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// openRegular opens a file that is neither a link nor a device.
func openRegular(name string) (*os.File, int64, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s: not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (d *directory) index() ([]byte, int64) { return d.idx, 0 }

func (d *directory) open(want Digest) (*extent, error) {
	f, size, err := openRegular(filepath.Join(d.path, filepath.FromSlash(blobPath(want))))
	if err != nil {
		return nil, err
	}
	return &extent{r: f, size: size, file: f}, nil
}

func (d *directory) signature(root Digest) (*extent, error) {
	f, size, err := openRegular(filepath.Join(d.path, filepath.FromSlash(signaturePath(root))))
	if err != nil {
		return nil, err
	}
	return &extent{r: f, size: size, file: f}, nil
}

func (d *directory) Close() error { return nil }
