package rpmrepo

import (
	"bytes"
	"crypto"
	"crypto/dsa" //nolint:staticcheck // the key that signs kernel-lt for el7 is a DSA key of 2009
	"crypto/rsa"
	_ "crypto/sha1" // as above: signatures until 2022 are DSA with SHA-1
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math/big"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// signature is an OpenPGP signature over binary content, of version 4 or 3. CentOS 7 signs its packages with version 3,
// which the library has dropped: those few bytes are read here.
type signature struct {
	hash  crypto.Hash
	keyID uint64 // 0: not told
	v4    *packet.Signature
	v3    *signatureV3
}

type signatureV3 struct {
	algorithm byte
	suffix    []byte // hashed after the content
	numbers   []*big.Int
}

// OpenPGP numbers: RFC 4880 sections 4.3, 5.2.1, 9.1 and 9.4.
const (
	tagSignature   = 2
	typeBinary     = 0
	algorithmRSA   = 1
	algorithmRSAS  = 3
	algorithmDSA   = 17
	maxSignature   = 64 << 10 // bytes
	maxMPI         = 16384    // bits
	lengthHashedV3 = 5
)

func hashOf(id byte) (crypto.Hash, error) {
	switch id {
	case 2:
		return crypto.SHA1, nil
	case 8:
		return crypto.SHA256, nil
	case 9:
		return crypto.SHA384, nil
	case 10:
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("it uses the hash algorithm %d, want SHA-1 or SHA-2", id)
}

// parseSignature reads one signature packet.
func parseSignature(data []byte) (*signature, error) {
	if len(data) > maxSignature {
		return nil, fmt.Errorf("it has %d bytes, the limit is %d", len(data), maxSignature)
	}
	op, err := packet.NewOpaqueReader(bytes.NewReader(data)).Next()
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	if op.Tag != tagSignature || len(op.Contents) == 0 {
		return nil, errors.New("it is no signature")
	}
	switch op.Contents[0] {
	case 3:
		return parseV3(op.Contents)
	case 4:
		return parseV4(op)
	}
	return nil, fmt.Errorf("it has version %d, want 3 or 4", op.Contents[0])
}

func parseV4(op *packet.OpaquePacket) (*signature, error) {
	p, err := op.Parse()
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	v4, ok := p.(*packet.Signature)
	if !ok || v4.SigType != typeBinary {
		return nil, errors.New("it is no signature over a file")
	}
	s := &signature{hash: v4.Hash, v4: v4}
	if v4.IssuerKeyId != nil {
		s.keyID = *v4.IssuerKeyId
	}
	switch s.hash {
	case crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512:
		return s, nil
	}
	return nil, fmt.Errorf("it uses the hash algorithm %v, want SHA-1 or SHA-2", s.hash)
}

// parseV3 reads the body of a version 3 packet: version, 5, type, time (4), key ID (8), algorithm, hash, 16 bits, numbers.
func parseV3(b []byte) (*signature, error) {
	if len(b) < 19 || b[1] != lengthHashedV3 || b[2] != typeBinary {
		return nil, errors.New("it is no signature over a file")
	}
	h, err := hashOf(b[16])
	if err != nil {
		return nil, err
	}
	s := &signature{hash: h, keyID: binary.BigEndian.Uint64(b[7:15]), v3: &signatureV3{algorithm: b[15], suffix: b[2:7]}}
	for rest := b[19:]; len(rest) > 0; {
		if len(rest) < 2 {
			return nil, errors.New("it is cut short")
		}
		bits := int(binary.BigEndian.Uint16(rest))
		n := (bits + 7) / 8
		if bits > maxMPI || len(rest) < 2+n {
			return nil, errors.New("it is cut short")
		}
		s.v3.numbers = append(s.v3.numbers, new(big.Int).SetBytes(rest[2:2+n]))
		rest = rest[2+n:]
	}
	return s, nil
}

func (s *signature) weak() bool { return s.hash == crypto.SHA1 }

// verify checks the signature over the content that h has taken in. The state of h is used up.
func (s *signature) verify(k *Key, h hash.Hash) error {
	if s.keyID != 0 && s.keyID != k.public.KeyId {
		return fmt.Errorf("it is made by the key with ID %016X", s.keyID)
	}
	if s.v4 != nil {
		if err := k.public.VerifySignature(h, s.v4); err != nil {
			return errors.New("it does not fit the content")
		}
		return nil
	}
	h.Write(s.v3.suffix)
	if !s.v3.fits(k.public.PublicKey, s.hash, h.Sum(nil)) {
		return errors.New("it does not fit the content")
	}
	return nil
}

func (v *signatureV3) fits(key any, h crypto.Hash, sum []byte) bool {
	switch pub := key.(type) {
	case *rsa.PublicKey:
		if v.algorithm != algorithmRSA && v.algorithm != algorithmRSAS || len(v.numbers) != 1 || v.numbers[0].BitLen() > pub.N.BitLen() {
			return false
		}
		return rsa.VerifyPKCS1v15(pub, h, sum, v.numbers[0].FillBytes(make([]byte, pub.Size()))) == nil
	case *dsa.PublicKey:
		if v.algorithm != algorithmDSA || len(v.numbers) != 2 {
			return false
		}
		if n := (pub.Q.BitLen() + 7) / 8; len(sum) > n {
			sum = sum[:n]
		}
		return dsa.Verify(pub, sum, v.numbers[0], v.numbers[1])
	}
	return false
}
