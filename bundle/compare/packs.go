package compare

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// packPrefix comes before the name of the host in the ref name of its pack.
const packPrefix = "host-"

// packs compares the hosts' packs: opened when both can be, else as blobs.
func (c *comparison) packs() {
	before, after := c.a.PackHosts(), c.b.PackHosts()
	for _, host := range before {
		if !slices.Contains(after, host) {
			c.add(Change{What: WhatPack, Host: host, Name: "pack", Change: Removed})
		}
	}
	for _, host := range after {
		if !slices.Contains(before, host) {
			c.add(Change{What: WhatPack, Host: host, Name: "pack", Change: Added})
			continue
		}
		if packDigest(c.a, host) != packDigest(c.b, host) && c.err == nil {
			c.pack(host)
		}
	}
}

// packDigest is that of the manifest of a host's pack: of all that belongs to it.
func packDigest(b *bundle.Bundle, host string) bundle.Digest {
	for _, d := range b.Root.Manifests {
		if d.ArtifactType == bundle.ArtifactTypePack && d.Annotations[bundle.AnnotationRefName] == packPrefix+host {
			return d.Digest
		}
	}
	return bundle.Digest{}
}

// pack compares two packs of a host that are not the same bytes.
func (c *comparison) pack(host string) {
	x, y := c.open(c.a, host), c.open(c.b, host)
	if c.err != nil {
		return
	}
	if x == nil || y == nil {
		c.add(Change{What: WhatPack, Host: host, Name: "pack", Change: Changed, Note: "sealed: in what it differs cannot be told"})
		return
	}
	seen := len(c.changes)
	files := byKey(x.Files, func(f hostpack.File) string { return f.Path })
	for _, f := range y.Files {
		was, ok := files[f.Path]
		if !ok {
			c.add(Change{What: WhatFile, Host: host, Name: f.Path, Change: Added, After: packFile(f)})
			continue
		}
		delete(files, f.Path)
		c.packFile(host, was, f)
	}
	for _, f := range x.Files {
		if _, ok := files[f.Path]; ok {
			c.add(Change{What: WhatFile, Host: host, Name: f.Path, Change: Removed, Before: packFile(f)})
		}
	}
	if (x.Token == nil) != (y.Token == nil) || x.Token != nil && *x.Token != *y.Token {
		c.add(Change{What: WhatPack, Host: host, Name: "bootstrap token", Change: Changed})
	}
	if x.IP != y.IP {
		c.add(Change{What: WhatPack, Host: host, Name: "address", Change: Changed, Before: x.IP, After: y.IP})
	}
	if len(c.changes) == seen {
		c.add(Change{What: WhatPack, Host: host, Name: "pack", Change: Changed, Note: "sealed anew, with the same content"})
	}
}

func (c *comparison) open(b *bundle.Bundle, host string) *hostpack.Pack {
	if c.unpack == nil || c.err != nil {
		return nil
	}
	p, err := c.unpack(c.ctx, b, host)
	if err != nil {
		c.err = err
	}
	return p
}

func packFile(f hostpack.File) string {
	text := fmt.Sprintf("%04o %s:%s", f.Mode, f.Owner, f.Group)
	if f.Secret {
		text += ", secret"
	}
	return text
}

// packFile compares one file of two packs. Certificates in it are told by name and end; of a secret file nothing else is.
func (c *comparison) packFile(host string, x, y hostpack.File) {
	if before, after := packFile(x), packFile(y); before != after {
		c.add(Change{What: WhatFile, Host: host, Name: y.Path, Change: Changed, Before: before, After: after})
	}
	if bytes.Equal(x.Data, y.Data) {
		return
	}
	if c.certificates(host, y.Path, x.Data, y.Data) {
		return
	}
	if x.Secret || y.Secret {
		c.add(Change{What: WhatFile, Host: host, Name: y.Path, Change: Changed, Note: "another secret"})
		return
	}
	c.add(textChange(WhatFile, host, y.Path, x.Data, y.Data, int64(len(x.Data)), int64(len(y.Data))))
}

// certificates reports other certificates in a file, if that is what has changed.
func (c *comparison) certificates(host, name string, before, after []byte) bool {
	was, is := certificates(before), certificates(after)
	if was == is || was == "" || is == "" {
		return false
	}
	c.add(Change{What: WhatCertificate, Host: host, Name: name, Change: Changed, Before: was, After: is})
	return true
}

// certificates tells those of a PEM file, or the client's in a kubeconfig: name, serial number and end. "" when there are none.
func certificates(data []byte) string {
	if m := regexp.MustCompile(`client-certificate-data"?: *"?([A-Za-z0-9+/=]+)`).FindSubmatch(data); m != nil {
		data, _ = base64.StdEncoding.DecodeString(string(m[1]))
	}
	var all []string
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return strings.Join(all, "; ")
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue
		}
		all = append(all, fmt.Sprintf("%s, serial %.12s, until %s", cert.Subject.CommonName, cert.SerialNumber.Text(16), cert.NotAfter.UTC().Format(time.DateOnly)))
	}
}
