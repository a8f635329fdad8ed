package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"offgrid/installer/host"
)

const kindJSON = "json"

// JSONMergeStep puts values into a JSON file and leaves the others as they are. A key that has another value already is a
// conflict: somebody wanted it so.
type JSONMergeStep struct {
	Path   string
	Values []byte // a JSON object; objects in it are merged, all else must be equal
}

// ID implements Step.
func (s *JSONMergeStep) ID() string { return kindJSON + ":" + s.Path }

// Line implements Step.
func (s *JSONMergeStep) Line() Line { return Line{Verb: "merge into", Object: s.Path} }

// Check implements Step.
func (s *JSONMergeStep) Check(_ context.Context, h host.Host) (Status, error) {
	now, _, err := readEdited(h, s.Path)
	if err != nil {
		return Status{}, err
	}
	if now == nil {
		return Status{State: Needed, Why: "it is not there"}, nil
	}
	have, err := decodeObject(now)
	if err != nil {
		return Status{State: Conflict, Why: fmt.Sprintf("%s is not a JSON object: %v", s.Path, err)}, nil
	}
	want, err := decodeObject(s.Values)
	if err != nil {
		return Status{}, fmt.Errorf("reading what %s should hold: %w", s.Path, err)
	}
	added, clashes := mergeObject(have, want, "")
	switch {
	case len(clashes) > 0:
		return Status{State: Conflict, Why: fmt.Sprintf("%s has %s", s.Path, strings.Join(clashes, "; "))}, nil
	case len(added) > 0:
		return Status{State: Needed, Why: "it lacks " + strings.Join(slices.Sorted(maps.Keys(added)), ", ")}, nil
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *JSONMergeStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	now, _, err := readEdited(h, s.Path)
	if err != nil {
		return nil, err
	}
	have, want, err := s.decode(now)
	if err != nil {
		return nil, err
	}
	added, _ := mergeObject(have, want, "")
	return beforeEdit(h, s.Path, s.change, added)
}

// Do implements Step.
func (s *JSONMergeStep) Do(_ context.Context, h host.Host) error { return doEdit(h, s.Path, s.change) }

// decode returns the file's object, empty when there is no file, and the wanted one.
func (s *JSONMergeStep) decode(now []byte) (have, want map[string]any, err error) {
	have = map[string]any{}
	if now != nil {
		if have, err = decodeObject(now); err != nil {
			return nil, nil, err
		}
	}
	want, err = decodeObject(s.Values)
	return have, want, err
}

// change merges. A file that lacks nothing is not written again in our own layout.
func (s *JSONMergeStep) change(now []byte) ([]byte, error) {
	have, want, err := s.decode(now)
	if err != nil {
		return nil, err
	}
	added, clashes := mergeObject(have, want, "")
	if len(clashes) > 0 {
		return nil, errors.New(strings.Join(clashes, "; "))
	}
	if len(added) == 0 && now != nil {
		return now, nil
	}
	return encodeObject(have)
}

// mergeObject puts into have what want has and have lacks. It returns what was added, and the keys whose values clash.
func mergeObject(have, want map[string]any, at string) (added map[string]any, clashes []string) {
	added = map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		old, there := have[key]
		if !there {
			have[key], added[key] = want[key], want[key]
			continue
		}
		oldObject, ok1 := old.(map[string]any)
		newObject, ok2 := want[key].(map[string]any)
		switch {
		case ok1 && ok2:
			in, more := mergeObject(oldObject, newObject, at+key+".")
			clashes = append(clashes, more...)
			if len(in) > 0 {
				added[key] = in
			}
		case !reflect.DeepEqual(old, want[key]):
			clashes = append(clashes, fmt.Sprintf("%s = %s where %s is needed", at+key, compact(old), compact(want[key])))
		}
	}
	return added, clashes
}

// subtractObject removes from have what was added and still has its value, and objects that become empty by it.
func subtractObject(have, added map[string]any) {
	for key, value := range added {
		inner, ok1 := have[key].(map[string]any)
		sub, ok2 := value.(map[string]any)
		switch {
		case ok1 && ok2:
			subtractObject(inner, sub)
			if len(inner) == 0 {
				delete(have, key)
			}
		case reflect.DeepEqual(have[key], value):
			delete(have, key)
		}
	}
}

// undoJSON takes the keys out that we added.
func undoJSON(_ context.Context, u Undoing) error {
	var b editBefore
	if err := u.first(&b); err != nil {
		return err
	}
	return undoEdit(u, u.Object, func(now []byte, raw json.RawMessage) ([]byte, error) {
		have, err := decodeObject(now)
		if err != nil {
			return nil, fmt.Errorf("taking our keys out of %s: %w", u.Object, err)
		}
		added, err := decodeObject(raw)
		if err != nil {
			return nil, err
		}
		subtractObject(have, added)
		if len(have) == 0 && b.Was.Kind == wasAbsent {
			return nil, nil // undoEdit removes the file
		}
		return encodeObject(have)
	})
}

// decodeObject reads one JSON object and keeps its numbers as they are written.
func decodeObject(data []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the object")
	}
	if v == nil {
		return nil, errors.New("it is null")
	}
	return v, nil
}

// encodeObject writes an object the way people write such files: indented, keys sorted.
func encodeObject(v map[string]any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

// compact is a value as it stands in JSON, for messages.
func compact(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(out)
}
