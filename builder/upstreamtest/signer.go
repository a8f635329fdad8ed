package upstreamtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// rpmSigPGP is the tag of a signature over header and payload.
const rpmSigPGP = 1002

// Key is a vendor's key. It may be used by many at a time.
type Key struct{ private *packet.PrivateKey }

// NewKey makes a key. That takes its time: one does for all upstreams of a test.
func NewKey() Key {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return Key{packet.NewRSAPrivateKey(time.Unix(1400000000, 0), k)}
}

// file is the public key as vendors publish it.
func (s Key) file() []byte {
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP PUBLIC KEY BLOCK", nil)
	if err != nil {
		panic(err)
	}
	if err := s.private.PublicKey.Serialize(w); err != nil {
		panic(err)
	}
	w.Close()
	return b.Bytes()
}

func (s Key) sign(content []byte) []byte {
	sig := &packet.Signature{
		Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: s.private.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: time.Unix(1500000000, 0), IssuerKeyId: &s.private.KeyId,
	}
	sum := crypto.SHA256.New()
	sum.Write(content)
	if err := sig.Sign(sum, s.private, nil); err != nil {
		panic(err)
	}
	var b bytes.Buffer
	if err := sig.Serialize(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}
