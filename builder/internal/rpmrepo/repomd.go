// Package rpmrepo finds RPMs in a yum repository, and checks who vouches for them: the repository's index gives each
// package's sha256, and the package carries a signature by a key that is pinned by its whole fingerprint.
package rpmrepo

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"offgrid/bundle"
)

// Limits on what a repository may say. The largest known index (CentOS 7 updates) has 25 MB compressed.
const (
	maxRepomd        int64 = 1 << 20
	maxPrimary       int64 = 256 << 20
	maxPrimaryOpened int64 = 4 << 30
	maxPackage       int64 = 1 << 30
)

// Index is where a repository's list of packages is.
type Index struct {
	Path   string // below the repository's base address
	SHA256 bundle.Digest
	Size   int64 // bytes; 0 when it is not told
}

type repomdXML struct {
	XMLName xml.Name `xml:"repomd"`
	Data    []struct {
		Type     string      `xml:"type,attr"`
		Checksum checksumXML `xml:"checksum"`
		Location locationXML `xml:"location"`
		Size     int64       `xml:"size"`
	} `xml:"data"`
}

type checksumXML struct {
	Type string `xml:"type,attr"`
	Hex  string `xml:",chardata"`
}

type locationXML struct {
	Href string `xml:"href,attr"`
	Base string `xml:"base,attr"`
}

// ParseRepomd reads repomd.xml and returns where the list of packages is.
func ParseRepomd(data []byte) (Index, error) {
	var doc repomdXML
	d := xml.NewDecoder(strings.NewReader(string(data)))
	if err := d.Decode(&doc); err != nil {
		return Index{}, fmt.Errorf("reading repomd.xml: %w", err)
	}
	if err := onlySpace(d); err != nil {
		return Index{}, fmt.Errorf("reading repomd.xml: %w", err)
	}
	for _, e := range doc.Data {
		if e.Type != "primary" {
			continue
		}
		sum, err := e.Checksum.digest()
		if err == nil {
			err = e.Location.check()
		}
		if err == nil && (e.Size < 0 || e.Size > maxPrimary) {
			err = fmt.Errorf("its size is %d bytes, the limit is %d", e.Size, maxPrimary)
		}
		if err != nil {
			return Index{}, fmt.Errorf("reading repomd.xml: primary: %w", err)
		}
		return Index{Path: e.Location.Href, SHA256: sum, Size: e.Size}, nil
	}
	return Index{}, errors.New("reading repomd.xml: it names no primary index")
}

// onlySpace refuses anything but white space and comments after the document.
func onlySpace(d *xml.Decoder) error {
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.Comment:
		case xml.CharData:
			if strings.TrimSpace(string(t)) != "" {
				return errors.New("there is text after its end")
			}
		default:
			return errors.New("there is more after its end")
		}
	}
}

func (c checksumXML) digest() (bundle.Digest, error) {
	if c.Type != "sha256" {
		return bundle.Digest{}, fmt.Errorf("its checksum is %q, only sha256 is accepted", c.Type)
	}
	return bundle.ParseDigest("sha256:" + strings.TrimSpace(c.Hex))
}

// check refuses a place outside the repository.
func (l locationXML) check() error {
	clean := path.Clean(l.Href)
	switch {
	case l.Base != "":
		return fmt.Errorf("it is said to be at %q, outside the repository", l.Base)
	case l.Href == "", clean != l.Href, path.IsAbs(clean), clean == "..", strings.HasPrefix(clean, "../"), strings.ContainsAny(clean, ":\\?#%\x00"):
		return fmt.Errorf("its place %q is not a plain path inside the repository", l.Href)
	}
	return nil
}
