package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MarshalCanonical returns v as canonical JSON: no white space, fields in the order of the struct, map keys sorted, no
// HTML escapes, one newline at the end.
func MarshalCanonical(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return b.Bytes(), nil
}

// DecodeStrict decodes one JSON value of at most limit bytes into v. Unknown fields and anything after the value are
// errors. The text need not be canonical.
func DecodeStrict(data []byte, v any, limit int64) error {
	if int64(len(data)) > limit {
		return fmt.Errorf("decoding JSON: %d bytes are more than the limit of %d", len(data), limit)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("decoding JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("decoding JSON: there is more after the value, at byte %d", dec.InputOffset())
	}
	return nil
}

// DecodeCanonical is DecodeStrict for what MarshalCanonical wrote: encoding v again must give the same bytes. That
// refuses repeated and differently cased keys, spare white space and invalid UTF-8, which encoding/json lets pass. When v
// has a method Normalise, it is called before.
func DecodeCanonical(data []byte, v any, limit int64) error {
	if err := DecodeStrict(data, v, limit); err != nil {
		return err
	}
	if n, ok := v.(interface{ Normalise() }); ok {
		n.Normalise() // null and an empty list would both survive otherwise
	}
	again, err := MarshalCanonical(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return fmt.Errorf("decoding JSON: not in canonical form from byte %d on", firstDifference(data, again))
	}
	return nil
}

// firstDifference returns the first index at which a and b differ, or the length of the shorter.
func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
