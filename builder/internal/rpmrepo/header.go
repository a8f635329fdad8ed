package rpmrepo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The parts of an RPM that a signature concerns: lead (96 bytes), signature header padded to 8 bytes, header, payload
// (rpm's docs/manual/format_v4.md).
const (
	leadSize      = 96
	maxEntries    = 1 << 16
	maxSigStore   = 8 << 20  // bytes
	maxHeadStore  = 64 << 20 // bytes; a kernel's has 1 MB
	introSize     = 16
	entrySize     = 16
	typeInt32     = 4
	typeString    = 6
	typeBinaryRPM = 7
	typeStrings   = 8
	typeI18N      = 9 // text in several languages, the first is that of the C locale
)

// Tags of the signature header and of the header.
const (
	sigDSA        = 267  // header only
	sigRSA        = 268  // header only
	sigPGP        = 1002 // header and payload, RSA
	sigGPG        = 1005 // header and payload, DSA
	tagPayloadSum = 5092
	tagPayloadAlg = 5093
)

// header is one header structure. Values are looked up, not decoded all at once.
type header struct {
	raw     []byte // from its magic to the end of its store
	entries []byte
	store   []byte
}

// readHeader reads a header structure whose store has at most limit bytes.
func readHeader(r io.Reader, limit uint32) (*header, error) {
	intro := make([]byte, introSize)
	if _, err := io.ReadFull(r, intro); err != nil {
		return nil, fmt.Errorf("reading a header: %w", err)
	}
	if !bytes.Equal(intro[:4], []byte{0x8e, 0xad, 0xe8, 0x01}) {
		return nil, errors.New("a header does not begin as it should")
	}
	count, size := binary.BigEndian.Uint32(intro[8:]), binary.BigEndian.Uint32(intro[12:])
	if count > maxEntries || size > limit {
		return nil, fmt.Errorf("a header has %d entries and %d bytes, the limits are %d and %d", count, size, maxEntries, limit)
	}
	// What was really read decides about memory, not what the file claims.
	var b bytes.Buffer
	b.Write(intro)
	body := int64(count)*entrySize + int64(size)
	if n, err := io.CopyN(&b, r, body); err != nil {
		return nil, fmt.Errorf("reading a header: %d of %d bytes: %w", n, body, io.ErrUnexpectedEOF)
	}
	raw := b.Bytes()
	return &header{raw: raw, entries: raw[introSize : introSize+int(count)*entrySize], store: raw[introSize+int(count)*entrySize:]}, nil
}

// find returns the store from the value of the tag on, when the tag has that type.
func (h *header) find(tag, kind uint32) (value []byte, count uint32, ok bool) {
	for e := h.entries; len(e) >= entrySize; e = e[entrySize:] {
		if binary.BigEndian.Uint32(e) != tag || binary.BigEndian.Uint32(e[4:]) != kind {
			continue
		}
		offset := binary.BigEndian.Uint32(e[8:])
		if uint64(offset) > uint64(len(h.store)) {
			return nil, 0, false
		}
		return h.store[offset:], binary.BigEndian.Uint32(e[12:]), true
	}
	return nil, 0, false
}

// bytes returns a binary value.
func (h *header) bytes(tag uint32) ([]byte, bool) {
	v, n, ok := h.find(tag, typeBinaryRPM)
	if !ok || uint64(n) > uint64(len(v)) {
		return nil, false
	}
	return v[:n], true
}

// text returns a string, or the first of several.
func (h *header) text(tag uint32) (string, bool) {
	v, _, ok := h.find(tag, typeString)
	if !ok {
		v, _, ok = h.find(tag, typeStrings)
	}
	end := bytes.IndexByte(v, 0)
	if !ok || end < 0 {
		return "", false
	}
	return string(v[:end]), true
}

// number returns the first of some 32-bit integers.
func (h *header) number(tag uint32) (uint32, bool) {
	v, n, ok := h.find(tag, typeInt32)
	if !ok || n == 0 || len(v) < 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(v), true
}
