package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const block = 512

// member is one of the archive, as it lies there.
type member struct {
	name  string
	at    int // of its header
	size  int
	whole []byte // header, content, padding
}

func (m member) content() []byte { return m.whole[block : block+m.size] }

// members takes an archive apart. Only the name and the size of a header are looked at.
func members(data []byte) ([]member, error) {
	var list []member
	for at := 0; ; {
		if at+2*block > len(data) {
			return nil, errors.New("the archive has no end")
		}
		head := data[at : at+block]
		if bytes.Equal(head, make([]byte, block)) {
			return list, nil
		}
		size, err := strconv.ParseInt(strings.Trim(string(head[124:136]), " \x00"), 8, 64)
		if err != nil || size > int64(len(data)) {
			return nil, fmt.Errorf("a header at %d: size %q", at, head[124:136])
		}
		m := member{name: string(bytes.TrimRight(head[:100], "\x00")), at: at, size: int(size)}
		end := at + block + (m.size+block-1)/block*block
		if end > len(data) {
			return nil, fmt.Errorf("member %q does not end", m.name)
		}
		m.whole = data[at:end]
		list = append(list, m)
		at = end
	}
}

// join writes members as an archive.
func join(list []member) []byte {
	var b []byte
	for _, m := range list {
		b = append(b, m.whole...)
	}
	return append(b, make([]byte, 2*block)...)
}

// wrong is one damaged copy.
type wrong struct {
	File string `json:"file"`
	What string `json:"what"` // was done
	Part string `json:"part"` // header, content, padding, end, structure, swap, unsigned
	Name string `json:"name"` // of what was hit, as people call it; "" when it is the archive
}

// vandal writes damaged copies.
type vandal struct {
	data  []byte
	list  []member
	names map[string]string // of members, for people
	dir   string
	lines *json.Encoder
	count int
}

func damage(file, dir, other string, lines *json.Encoder) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	v := &vandal{data: data, dir: dir, lines: lines}
	if v.list, err = members(data); err != nil {
		return err
	}
	if v.names, err = nameMembers(v.list); err != nil {
		return err
	}
	err = errors.Join(v.flips(), v.cuts(), v.orders(), v.appends())
	if err != nil || other == "" {
		return err
	}
	foreign, err := os.ReadFile(other)
	if err != nil {
		return err
	}
	theirs, err := members(foreign)
	if err != nil {
		return err
	}
	return v.swaps(theirs)
}

func (v *vandal) write(data []byte, part, name, format string, args ...any) error {
	if bytes.Equal(data, v.data) {
		return fmt.Errorf("%s is no damage", fmt.Sprintf(format, args...))
	}
	v.count++
	w := wrong{File: filepath.Join(v.dir, fmt.Sprintf("%04d.bundle", v.count)), What: fmt.Sprintf(format, args...), Part: part, Name: name}
	if err := os.WriteFile(w.File, data, 0o600); err != nil {
		return err
	}
	return v.lines.Encode(w)
}

// flips changes one bit in each region: name, size, checksum and the empty rest of headers, both ends and the middle of
// contents, and paddings.
func (v *vandal) flips() error {
	flip := func(at int, part, name, where string, m member) error {
		data := bytes.Clone(v.data)
		data[at] ^= 1 << (at % 7)
		return v.write(data, part, name, "a bit of the %s of %s", where, m.name)
	}
	fields := []struct {
		name string
		at   int
	}{{"name", 3}, {"size", 133}, {"checksum", 150}, {"rest", 400}, {"mode", 104}, {"type", 156}}
	for i, m := range v.list {
		field := fields[i%len(fields)]
		err := flip(m.at+field.at, "header", "", field.name, m)
		places := []int{0, m.size / 2, m.size - 1}
		for k, place := range slices.Compact(places) {
			if m.size > 0 {
				err = errors.Join(err, flip(m.at+block+place, "content", v.names[m.name], []string{"beginning", "middle", "end"}[k], m))
			}
		}
		if m.size%block != 0 {
			err = errors.Join(err, flip(m.at+block+m.size, "padding", "", "padding", m))
		}
		if err != nil {
			return err
		}
	}
	return flip(len(v.data)-block-1, "end", "", "end", member{name: "the archive"})
}

// cuts ends the file at every member's beginning, within it, and before and within the end mark.
func (v *vandal) cuts() error {
	var err error
	for _, m := range v.list {
		for _, at := range []int{m.at, m.at + block/2, m.at + block + m.size/2} {
			err = errors.Join(err, v.write(v.data[:at], "end", "", "cut at %d, in %s", at, m.name))
		}
	}
	return errors.Join(err, v.write(v.data[:len(v.data)-1], "end", "", "the last byte is missing"),
		v.write(v.data[:len(v.data)-block], "end", "", "half of the end mark is missing"),
		v.write(v.data[:len(v.data)-2*block], "end", "", "the end mark is missing"))
}

// orders leaves members out, brings them twice, and in another order.
func (v *vandal) orders() error {
	var err error
	for i, m := range v.list {
		part := "structure"
		if strings.HasPrefix(m.name, "signatures/") {
			part = "unsigned" // what is left is whole, and nobody vouches for it
		}
		err = errors.Join(err, v.write(join(slices.Delete(slices.Clone(v.list), i, i+1)), part, "", "%s is missing", m.name),
			v.write(join(slices.Insert(slices.Clone(v.list), i, m)), "structure", "", "%s comes twice", m.name))
		if i > 0 {
			list := slices.Clone(v.list)
			list[i-1], list[i] = list[i], list[i-1]
			err = errors.Join(err, v.write(join(list), "structure", "", "%s comes before %s", m.name, v.list[i-1].name))
		}
	}
	list := slices.Clone(v.list)
	slices.Reverse(list)
	return errors.Join(err, v.write(join(list), "structure", "", "the other way round"))
}

// appends adds what does not belong there.
func (v *vandal) appends() error {
	last := v.list[len(v.list)-1]
	return errors.Join(
		v.write(append(bytes.Clone(v.data), 0), "end", "", "a byte more"),
		v.write(append(bytes.Clone(v.data), make([]byte, block)...), "end", "", "a block of zeros more"),
		v.write(append(bytes.Clone(v.data), v.data...), "end", "", "the whole bundle again"),
		v.write(append(bytes.Clone(v.data), last.whole...), "end", "", "a member behind the end"),
		v.write(append([]byte{0}, v.data...), "structure", "", "a byte before the beginning"),
	)
}

// swaps puts members of another site's bundle in the place of ours: as they are, and under our member's name.
func (v *vandal) swaps(theirs []member) error {
	var err error
	for i, m := range v.list {
		if i >= len(theirs) || bytes.Equal(m.whole, theirs[i].whole) {
			continue
		}
		list := slices.Clone(v.list)
		list[i] = theirs[i]
		err = errors.Join(err, v.write(join(list), "swap", "", "%s is the other site's %s", m.name, theirs[i].name))
		if m.size != theirs[i].size || m.name == theirs[i].name {
			continue
		}
		list[i].whole = append(bytes.Clone(m.whole[:block]), theirs[i].whole[block:]...)
		err = errors.Join(err, v.write(join(list), "content", v.names[m.name], "%s has the content of the other site's %s", m.name, theirs[i].name))
	}
	return err
}
