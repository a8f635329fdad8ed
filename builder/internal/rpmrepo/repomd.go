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
	maxRepomd int64 = 1 << 20
	maxIndex  int64 = 256 << 20
	maxOpened int64 = 4 << 30
)

// MaxPackage bounds a package that is fetched, in bytes: a kernel has 50 MB. Lists may name larger ones, such as what debuggers need.
const MaxPackage int64 = 1 << 30

// Indexes are the parts of a repository's index.
type Indexes struct {
	Primary   Index // list of packages
	Filelists Index // list of files; Path is "" when there is none
}

// Index is where one part is.
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

// ParseRepomd reads repomd.xml and returns where the lists of packages and of files are.
func ParseRepomd(data []byte) (Indexes, error) {
	var doc repomdXML
	var found Indexes
	d := xml.NewDecoder(strings.NewReader(string(data)))
	if err := d.Decode(&doc); err != nil {
		return found, fmt.Errorf("reading repomd.xml: %w", err)
	}
	if err := onlySpace(d); err != nil {
		return found, fmt.Errorf("reading repomd.xml: %w", err)
	}
	for _, e := range doc.Data {
		into := &found.Primary
		switch {
		case e.Type == "filelists":
			into = &found.Filelists
		case e.Type != "primary":
			continue
		}
		sum, err := e.Checksum.digest()
		if err == nil {
			err = e.Location.check()
		}
		if err == nil && (e.Size < 0 || e.Size > maxIndex) {
			err = fmt.Errorf("its size is %d bytes, the limit is %d", e.Size, maxIndex)
		}
		if err != nil {
			return Indexes{}, fmt.Errorf("reading repomd.xml: %s: %w", e.Type, err)
		}
		if into.Path == "" {
			*into = Index{Path: e.Location.Href, SHA256: sum, Size: e.Size}
		}
	}
	if found.Primary.Path == "" {
		return found, errors.New("reading repomd.xml: it names no primary index")
	}
	return found, nil
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
