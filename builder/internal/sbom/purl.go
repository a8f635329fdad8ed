package sbom

import (
	"fmt"
	"net/url"
	"strings"

	"offgrid/bundle"
)

// Package URLs as https://github.com/package-url/purl-spec has them: type, namespace, name, version, qualifiers sorted by key.

// escape writes a part of a package URL: everything but letters, digits and ".-_~" as per cent signs, the colon left alone.
func escape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%3A", ":")
}

func versioned(purl, version string) string {
	if version == "" || version == "(devel)" {
		return purl
	}
	return purl + "@" + escape(version)
}

// rpmURL names a package; the family of the platform stands for the distribution.
func rpmURL(p bundle.Package, family string) string {
	s := versioned("pkg:rpm/"+escape(p.Name), p.Version+"-"+p.Release) + "?arch=" + escape(p.Arch) + "&distro=" + escape(family)
	if p.Epoch > 0 {
		s += fmt.Sprintf("&epoch=%d", p.Epoch)
	}
	return s
}

// moduleURL names a Go module. Its name is in lower case, as the specification wants it.
func moduleURL(path, version string) string {
	var parts []string
	for part := range strings.SplitSeq(strings.ToLower(path), "/") {
		if part != "" && part != "." && part != ".." {
			parts = append(parts, escape(part))
		}
	}
	return versioned("pkg:golang/"+strings.Join(parts, "/"), version)
}

// imageURL names an image by its manifest.
func imageURL(i bundle.Image) string {
	repository, tag := i.Ref, ""
	if at := strings.LastIndexByte(i.Ref, ':'); at > strings.LastIndexByte(i.Ref, '/') {
		repository, tag = i.Ref[:at], i.Ref[at+1:]
	}
	name := repository[strings.LastIndexByte(repository, '/')+1:]
	s := versioned("pkg:oci/"+escape(strings.ToLower(name)), i.Manifest.String()) + "?repository_url=" + escape(strings.ToLower(repository))
	if tag != "" {
		s += "&tag=" + escape(tag)
	}
	return s
}

func genericURL(name, version string, d bundle.Digest) string {
	return versioned("pkg:generic/"+escape(name), version) + "?checksum=" + escape(d.String())
}
