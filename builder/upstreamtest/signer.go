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

// signer is a vendor's key.
type signer struct{ private *packet.PrivateKey }

func newSigner() signer {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return signer{packet.NewRSAPrivateKey(time.Unix(1400000000, 0), k)}
}

// file is the public key as vendors publish it.
func (s signer) file() []byte {
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

func (s signer) sign(content []byte) []byte {
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
