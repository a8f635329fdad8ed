package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"offgrid/bundle/signature"
)

// Options says how a bundle is opened. With the zero value nobody is asked who made it.
type Options struct {
	// Trust is asked before anything is parsed that the root names; nil where bundles are made and looked into.
	Trust *Trust
}

// Trust says whose bundles are let in.
type Trust struct {
	Keys []signature.PublicKey
	// Unsigned lets in what none of the keys signed as well: bundles without a signature and those of unknown keys. A
	// signature that one of the keys should have made, and has not, stays damage.
	Unsigned bool
}

// UntrustedError says that a bundle is not signed by a key that is trusted. Nothing but its root was read.
type UntrustedError struct {
	Path  string
	Root  Digest
	KeyID string // of the key that it is signed with; "" when it is not signed
	Keys  int    // that are trusted
}

func (e *UntrustedError) Error() string {
	what := "it is not signed"
	if e.KeyID != "" {
		what = "it is signed by the key " + e.KeyID
	}
	switch {
	case e.Keys == 0:
		what += ", and this program trusts no key"
	case e.KeyID != "":
		what += ", which this program does not trust"
	}
	return fmt.Sprintf("%s: %s; the fingerprint of the bundle is %s", e.Path, what, e.Root.Fingerprint())
}

const (
	signatureDir    = "signatures/sha256/"
	signatureSuffix = ".minisig"
	signatureName   = "signature" // what messages call it
)

// signaturePath is where the signature of a root lies in the layout.
func signaturePath(root Digest) string { return signatureDir + root.Hex() + signatureSuffix }

// parseSignaturePath returns the root that a file of this name signs.
func parseSignaturePath(name string) (Digest, bool) {
	digits, ok := strings.CutPrefix(name, signatureDir)
	digits, whole := strings.CutSuffix(digits, signatureSuffix)
	d, err := ParseDigest(digestPrefix + digits)
	return d, ok && whole && err == nil
}

// signatureComment is the trusted comment of a root's signature: what `minisign -V` shows.
func signatureComment(root *Index) string {
	role := ""
	if len(root.Manifests) > 0 {
		role = root.Manifests[0].Annotations[AnnotationRefName]
	}
	return fmt.Sprintf("offgrid bundle cluster=%s role=%s serial=%s", root.Annotations[AnnotationCluster], role, root.Annotations[AnnotationSerial])
}

// loadSignature reads the signature of the root, of which data are the bytes, and asks whether it is trusted.
func (b *Bundle) loadSignature(data []byte) error {
	text, err := b.readSignature()
	if err != nil {
		return err
	}
	signed, parseErr := (*signature.Signature)(nil), error(nil)
	if text != nil {
		if signed, parseErr = signature.Parse(text); parseErr != nil {
			return b.signatureDamage(parseErr)
		}
		b.Signature, b.SignerID = signed, signed.KeyID
	}
	if b.trust == nil {
		return nil
	}
	untrusted := &UntrustedError{Path: b.Path, Root: b.RootDigest, KeyID: b.SignerID, Keys: len(b.trust.Keys)}
	i := slices.IndexFunc(b.trust.Keys, func(k signature.PublicKey) bool { return signed != nil && k.ID() == signed.KeyID })
	switch {
	case i >= 0 && signed.Verify(b.trust.Keys[i], data):
		key := b.trust.Keys[i]
		b.Signer = &key
		return nil
	case i >= 0:
		return b.signatureDamage(fmt.Errorf("it is not what the key %s signs the root index with", signed.KeyID))
	case b.trust.Unsigned:
		return nil
	}
	if a, ok := b.src.(*archive); ok && a.scanned != nil { // the signature may lie where the scan did not come to
		return b.scanDamage(a, "the archive")
	}
	return untrusted
}

// VerifySignature reports whether the bundle's signature is key's.
func (b *Bundle) VerifySignature(key signature.PublicKey) bool {
	root, err := MarshalCanonical(b.Root)
	return err == nil && b.Signature != nil && b.Signature.Verify(key, root)
}

// readSignature returns the text of the root's signature, nil when there is none.
func (b *Bundle) readSignature() ([]byte, error) {
	e, err := b.src.signature(b.RootDigest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", signatureName, err)
	}
	defer e.Close()
	if e.size > signature.MaxSize {
		return nil, b.signatureDamage(fmt.Errorf("%d bytes are more than the limit of %d", e.size, signature.MaxSize))
	}
	text := make([]byte, e.size)
	if _, err := io.ReadFull(e.reader(), text); err != nil {
		return nil, fmt.Errorf("reading the %s: %w", signatureName, err)
	}
	return text, nil
}

// checkSignature insists that the trusted comment is the one that belongs to the root, and that nothing else is signed here.
func (b *Bundle) checkSignature() error {
	if b.Signature != nil && b.Signature.Comment != signatureComment(&b.Root) {
		return b.signatureDamage(errors.New("its trusted comment is not the root's"))
	}
	if a, ok := b.src.(*archive); ok && !a.site {
		return checkSigned(a, []*Bundle{b})
	}
	return nil
}

// checkSigned insists that every signature of an archive is of one of its roots.
func checkSigned(a *archive, all []*Bundle) error {
	for _, d := range a.signed {
		if !slices.ContainsFunc(all, func(b *Bundle) bool { return b.RootDigest == d }) {
			e := a.signatures[d]
			return &DamageError{Path: a.path, Artifact: signatureName, Offset: e.offset, Length: e.size, Err: errors.New("it is of another root")}
		}
	}
	return nil
}

// signatureDamage makes the error for a fault in the signature.
func (b *Bundle) signatureDamage(err error) error {
	damage := &DamageError{Path: b.Path, Artifact: signatureName, Err: err}
	if b.IsDir {
		damage.Where = signaturePath(b.RootDigest)
	}
	if e, openErr := b.src.signature(b.RootDigest); openErr == nil {
		damage.Offset, damage.Length = e.offset, e.size
		e.Close()
	}
	return damage
}
