package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// shortest is the length in bytes below which a form of a secret says nothing: it would be found by chance.
const shortest = 8

// needle is one form of one secret.
type needle struct {
	bytes []byte
	what  string // "site.json: tokenSecret, hex"
}

// needles are all forms of all secrets, by their first eight bytes.
type needles map[uint64][]needle

// add adds the forms in which a secret could lie about.
func (n needles) add(what string, secret []byte) {
	if len(secret) < shortest {
		return
	}
	n.form(what+", as it is", secret)
	n.form(what+", hex", []byte(hex.EncodeToString(secret)))
	n.form(what+", HEX", bytes.ToUpper([]byte(hex.EncodeToString(secret))))
	for shift := range 3 {
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			n.form(fmt.Sprintf("%s, %s at %d", what, name, shift), aligned(encoding, secret, shift))
		}
	}
}

// aligned is what of a secret's base64 is the same whatever comes before and behind it, when shift bytes are before it.
func aligned(encoding *base64.Encoding, secret []byte, shift int) []byte {
	text := encoding.EncodeToString(append(make([]byte, shift), secret...))
	first := (shift*8 + 5) / 6
	last := (shift + len(secret)) * 8 / 6
	return []byte(text[first:last])
}

func (n needles) form(what string, b []byte) {
	if len(b) < shortest {
		return
	}
	key := binary.LittleEndian.Uint64(b)
	for _, old := range n[key] {
		if bytes.Equal(old.bytes, b) {
			return
		}
	}
	n[key] = append(n[key], needle{b, what})
}

// notSecret are places in pki/ whose content is public or sealed and therefore may be in bundles.
var notSecret = regexp.MustCompile(`(^|/)(sealed|old)/|(^|/)(cert|ca|service-account\.pub|.*\.pub)(\.pem)?$|\.pub$`)

// secretKey are keys of JSON objects whose values are secret.
var secretKey = regexp.MustCompile(`(?i)secret|password|passphrase|encryption|private|token`)

// collect reads the secrets of a directory. It is an error to find none.
func collect(dir string) (needles, int, error) {
	all, count := needles{}, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || notSecret.MatchString(filepath.ToSlash(name)) {
			return err
		}
		found, err := all.file(name, data)
		count += found
		return err
	})
	if err == nil && count < 4 {
		err = fmt.Errorf("%s: %d secrets are too few to be all of a site", dir, count)
	}
	return all, count, err
}

// file takes the secrets out of one file and returns how many there are.
func (n needles) file(name string, data []byte) (int, error) {
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		return n.pem(name, data)
	}
	var tree any
	if json.Unmarshal(data, &tree) == nil {
		return n.json(name, "", tree), nil
	}
	if len(data) > 4096 {
		return 0, nil
	}
	count := 0
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) >= shortest && !bytes.HasPrefix(line, []byte("untrusted comment:")) {
			n.text(name, line)
			count++
		}
	}
	return count, nil
}

// text takes a line that is secret, and what it is base64 of.
func (n needles) text(name string, line []byte) {
	n.add(name, line)
	raw, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil || len(raw) < 16 {
		return
	}
	n.add(name+", decoded", raw)
	if len(raw) == minisignSecret {
		n.add(name+", the seed of a minisign key", raw[minisignSeed:minisignSeed+32])
	}
}

// A secret key as minisign writes it: 54 bytes of how it is protected, the key's ID, seed, public key, checksum
// (https://jedisct1.github.io/minisign/). Its public half is in every installer.
const (
	minisignSecret = 158
	minisignSeed   = 62
)

func (n needles) json(name, key string, v any) int {
	count := 0
	switch v := v.(type) {
	case map[string]any:
		for k, value := range v {
			count += n.json(name, k, value)
		}
	case []any:
		for _, value := range v {
			count += n.json(name, key, value)
		}
	case string:
		if !secretKey.MatchString(key) || strings.HasSuffix(key, "ID") || len(v) < shortest {
			return 0
		}
		n.text(name+": "+key, []byte(v))
		return 1
	}
	return count
}

// pem takes each private key as the lines of its text, its DER and the numbers that make it private.
func (n needles) pem(name string, data []byte) (int, error) {
	count := 0
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return count, nil
		}
		data = rest
		if !strings.Contains(block.Type, "PRIVATE KEY") {
			continue
		}
		count++
		for i, line := range bytes.Split(bytes.TrimSpace(pem.EncodeToMemory(block)), []byte("\n")) {
			// The first line of many keys is the same: it says what kind they are.
			if !bytes.HasPrefix(line, []byte("-----")) && i > 1 && len(line) >= 32 {
				n.add(fmt.Sprintf("%s: line %d of its text", name, i+1), line)
			}
		}
		n.form(name+": DER", block.Bytes)
		numbers, err := private(block)
		if err != nil {
			return count, fmt.Errorf("%s: %w", name, err)
		}
		for i, number := range numbers {
			n.add(fmt.Sprintf("%s: private number %d", name, i+1), number)
		}
	}
}

// private returns the numbers of a key that nobody else may know.
func private(block *pem.Block) ([][]byte, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return [][]byte{block.Bytes}, nil // encrypted, or of OpenSSH: as a whole
	}
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		list := [][]byte{k.D.Bytes()}
		for _, p := range append([]*big.Int{k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv}, k.Primes...) {
			list = append(list, p.Bytes())
		}
		return list, nil
	case *ecdsa.PrivateKey:
		raw, err := k.Bytes()
		return [][]byte{raw}, err
	case ed25519.PrivateKey:
		return [][]byte{k.Seed()}, nil
	}
	return nil, fmt.Errorf("a private key of unknown kind %T", key)
}
