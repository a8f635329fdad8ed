package compare

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"offgrid/bundle"
)

// maxText bounds the bytes of a text that is compared line by line; of a longer one only the size is told.
const maxText = 8 << 20

// artifacts compares programs, and the texts that belong to no file: files are looked at where they are placed.
func (c *comparison) artifacts() {
	placed := map[string]bool{}
	for _, b := range []*bundle.Bundle{c.a, c.b} {
		for _, f := range b.Role.Files {
			placed[f.Artifact] = true
		}
	}
	only := func(b *bundle.Bundle, kind string) []bundle.Artifact {
		var list []bundle.Artifact
		for _, a := range b.Role.Artifacts {
			if a.Kind == kind && (kind == bundle.KindProgram || !placed[a.Name]) {
				list = append(list, a)
			}
		}
		return list
	}
	name := func(a bundle.Artifact) string { return a.Name }
	pairs(c, WhatProgram, only(c.a, bundle.KindProgram), only(c.b, bundle.KindProgram), name, version, func(name string, x, y bundle.Artifact) {
		before, after := version(x), version(y)
		if x.Blob.Digest != y.Blob.Digest && before == after {
			before, after = before+", sha256 "+x.Blob.Digest.Short(), after+", sha256 "+y.Blob.Digest.Short()
		}
		c.values(WhatProgram, name, before, after)
	})
	size := func(a bundle.Artifact) string { return fmt.Sprintf("%d bytes", a.Blob.Size) }
	pairs(c, WhatText, only(c.a, bundle.KindText), only(c.b, bundle.KindText), name, size, func(name string, x, y bundle.Artifact) {
		c.content(WhatText, name, x, y)
	})
}

func version(a bundle.Artifact) string {
	return strings.TrimPrefix(fmt.Sprintf("%s, %d bytes", a.Version, a.Blob.Size), ", ")
}

// placed compares files, directories and links. The content of a program is told as the program's.
func (c *comparison) placed() {
	about := func(b *bundle.Bundle) func(f bundle.File) string {
		return func(f bundle.File) string {
			text := fmt.Sprintf("%04o %s:%s", f.Mode, f.Owner, f.Group)
			if a, ok := b.Artifact(f.Artifact); ok && a.Kind == bundle.KindProgram {
				text += " " + a.Name
			}
			return text
		}
	}
	pairs(c, WhatFile, c.a.Role.Files, c.b.Role.Files, func(f bundle.File) string { return f.Path }, about(c.b), func(name string, x, y bundle.File) {
		before, after := about(c.a)(x), about(c.b)(y)
		c.values(WhatFile, name, before, after)
		xa, _ := c.a.Artifact(x.Artifact)
		ya, _ := c.b.Artifact(y.Artifact)
		if xa.Kind != bundle.KindProgram || ya.Kind != bundle.KindProgram {
			c.content(WhatFile, name, xa, ya)
		}
	})
	texts(c, WhatFile, c.a.Role.Dirs, c.b.Role.Dirs, func(d bundle.Dir) string { return d.Path + "/" }, func(d bundle.Dir) string {
		return strings.TrimSpace(fmt.Sprintf("%04o %s:%s %s", d.Mode, d.Owner, d.Group, d.Keep))
	})
	texts(c, WhatFile, c.a.Role.Links, c.b.Role.Links, func(l bundle.Link) string { return l.Path }, func(l bundle.Link) string { return "-> " + l.Target })
}

// content compares two artifacts' contents.
func (c *comparison) content(what, name string, x, y bundle.Artifact) {
	if x.Blob.Digest == y.Blob.Digest || c.err != nil {
		return
	}
	before, ok1 := c.read(c.a, x)
	after, ok2 := c.read(c.b, y)
	if !ok1 || !ok2 {
		before, after = nil, nil
	}
	if c.certificates("", name, before, after) {
		return
	}
	c.add(textChange(what, "", name, before, after, x.Blob.Size, y.Blob.Size))
}

// read returns a text, or false when it is too long or not here.
func (c *comparison) read(b *bundle.Bundle, a bundle.Artifact) ([]byte, bool) {
	if a.Blob.Size > maxText || c.err != nil {
		return nil, false
	}
	r, err := b.Content(c.ctx, a.Blob, a.Name)
	if errors.Is(err, bundle.ErrNotCarried) {
		return nil, false
	}
	if err != nil {
		c.err = err
		return nil, false
	}
	data, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		c.err = err
		return nil, false
	}
	return data, true
}

// textChange tells of two contents that differ how many lines do, or their sizes when they are no texts.
func textChange(what, host, name string, before, after []byte, was, is int64) Change {
	change := Change{What: what, Host: host, Name: name, Change: Changed}
	if isText(before) && isText(after) {
		change.Lines = countLines(before, after)
		return change
	}
	if was == is {
		change.Note = fmt.Sprintf("other content of the same %d bytes", is)
		return change
	}
	change.Before, change.After = fmt.Sprintf("%d bytes", was), fmt.Sprintf("%d bytes", is)
	return change
}

func isText(data []byte) bool {
	return data != nil && utf8.Valid(data) && !bytes.ContainsRune(data, 0)
}

// countLines counts lines that the other text has not, or not so often.
func countLines(before, after []byte) *Lines {
	count := map[string]int{}
	for line := range strings.Lines(string(after)) {
		count[strings.TrimSuffix(line, "\n")]++
	}
	for line := range strings.Lines(string(before)) {
		count[strings.TrimSuffix(line, "\n")]--
	}
	var l Lines
	for _, n := range count {
		l.Added += max(0, n)
		l.Removed += max(0, -n)
	}
	return &l
}
