package hostpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/seal"
)

// Ways are those in which a sealed pack can be opened.
type Ways struct {
	Passphrase seal.Passphrase
	SSHHostKey *seal.HostKey // nil when it is not known; never for bundle.JoinPack
	WorkFactor int           // of scrypt; 0: seal.DefaultWorkFactor
}

// Seal seals a pack for a fresh key, and the key for each way. No two results are alike: what must stay the same is kept.
func Seal(p *Pack, w Ways) (bundle.PackInput, error) {
	data, err := Marshal(p)
	if err != nil {
		return bundle.PackInput{}, err
	}
	if w.SSHHostKey != nil && p.Host == bundle.JoinPack {
		return bundle.PackInput{}, errors.New("sealing: internal error: what is for any host has no SSH host key")
	}
	key, err := seal.NewKey()
	if err != nil {
		return bundle.PackInput{}, err
	}
	var out bundle.PackInput
	if out.Pack, err = key.Encrypt(data); err == nil {
		out.Passphrase, err = key.ForPassphrase(w.Passphrase, w.WorkFactor)
	}
	if err == nil && w.SSHHostKey != nil {
		out.SSHHostKey, err = key.ForHostKey(*w.SSHHostKey)
	}
	if err != nil {
		return bundle.PackInput{}, fmt.Errorf("host pack of %q: %w", p.Host, err)
	}
	return out, nil
}

// Plain packs without sealing: whoever has the bundle has what is in it.
func Plain(p *Pack) (bundle.PackInput, error) {
	data, err := Marshal(p)
	return bundle.PackInput{Pack: data}, err
}

// Box is a host's pack as a bundle holds it.
type Box struct {
	Sealed     bool
	WorkFactor int    // of the passphrase's file, of a sealed one
	HostKey    string // type of the SSH host key that opens it, seal.HostKeyEd25519 or HostKeyRSA; "" when none does

	bundle     *bundle.Bundle
	name       bundle.Pack
	pack       []byte
	passphrase []byte
	hostKey    []byte
}

// Load reads a host's pack, closed. Damage is a *bundle.DamageError.
func Load(ctx context.Context, b *bundle.Bundle, host string) (*Box, error) {
	p, ok := b.Pack(host)
	if !ok {
		return nil, fmt.Errorf("opening host pack: the bundle has none for %q, only for %s", host, strings.Join(b.PackHosts(), ", "))
	}
	x := &Box{bundle: b, name: p, Sealed: p.Sealed}
	var err error
	if x.pack, err = read(ctx, b, p.Data); err != nil || !p.Sealed {
		return x, err
	}
	if x.passphrase, err = read(ctx, b, p.Passphrase); err == nil {
		x.WorkFactor, err = seal.WorkFactor(x.passphrase)
		err = x.damage(p.Passphrase, err)
	}
	if err == nil && !p.SSHHostKey.Digest.IsZero() {
		if x.hostKey, err = read(ctx, b, p.SSHHostKey); err == nil {
			x.HostKey, err = seal.HostKeyType(x.hostKey)
			err = x.damage(p.SSHHostKey, err)
		}
	}
	return x, err
}

// Memory is how many bytes opening it with the passphrase takes.
func (x *Box) Memory() int64 { return seal.Memory(x.WorkFactor) }

// Open reads a pack that is not sealed.
func (x *Box) Open() (*Pack, error) {
	if x.Sealed {
		return nil, fmt.Errorf("opening host pack of %q: it is sealed", x.name.Host)
	}
	return x.unpack(x.pack)
}

// OpenWithPassphrase opens a sealed pack. Another passphrase is seal.ErrWrongKey.
func (x *Box) OpenWithPassphrase(p seal.Passphrase) (*Pack, error) {
	key, err := seal.KeyFromPassphrase(x.passphrase, p)
	return x.openWith(key, x.name.Passphrase, err)
}

// OpenWithHostKey opens a sealed pack with the text of the host's private SSH key. Another host's key, or a pack that is
// for none, is seal.ErrWrongKey, one that cannot be read a *seal.HostKeyError.
func (x *Box) OpenWithHostKey(private []byte) (*Pack, error) {
	if x.hostKey == nil {
		return nil, seal.ErrWrongKey
	}
	key, err := seal.KeyFromHostKey(x.hostKey, private)
	return x.openWith(key, x.name.SSHHostKey, err)
}

func (x *Box) openWith(key *seal.Key, from bundle.StoredBlob, err error) (*Pack, error) {
	if errors.Is(err, seal.ErrWrongKey) || errors.As(err, new(*seal.HostKeyError)) {
		return nil, fmt.Errorf("opening host pack of %q: %w", x.name.Host, err)
	}
	if err != nil {
		return nil, x.damage(from, err)
	}
	data, err := key.Decrypt(x.pack, bundle.MaxPackSize)
	if err != nil {
		return nil, x.damage(x.name.Data, err)
	}
	return x.unpack(data)
}

// damage says that a part has the right digest and is not what it should be: it was written so.
func (x *Box) damage(part bundle.StoredBlob, err error) error {
	if err == nil {
		return nil
	}
	return &bundle.DamageError{Path: x.bundle.Path, Artifact: part.Name, Where: "as it was written", Err: err}
}

// unpack insists that the pack is of the bundle's cluster and role and of that host and its address.
func (x *Box) unpack(data []byte) (*Pack, error) {
	host, role := x.name.Host, &x.bundle.Role
	p, err := Unmarshal(data)
	if err != nil {
		return nil, x.damage(x.name.Data, err)
	}
	h, _ := role.Host(host)
	if p.Cluster != role.Cluster.ID || p.Role != role.Role || p.Host != host || p.IP != h.IP {
		return nil, fmt.Errorf("opening host pack of %q: it is for %s %q (%s) of cluster %s", host, p.Role, p.Host, p.IP, p.Cluster)
	}
	return p, nil
}

func read(ctx context.Context, b *bundle.Bundle, s bundle.StoredBlob) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, _, err := b.Stored(s.Digest)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}
