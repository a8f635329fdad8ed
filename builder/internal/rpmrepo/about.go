package rpmrepo

import (
	"fmt"
	"io"
)

// ReadAbout reads from the header of a package, whose bytes were verified before, under what licence it is and who made it, in
// the words of the packager. A text that is not there is "".
func ReadAbout(r io.ReadSeeker) (licence, vendor string, err error) {
	head, _, err := openHeader(r)
	if err != nil {
		return "", "", fmt.Errorf("reading a package: %w", err)
	}
	licence, _ = head.text(tagLicense)
	vendor, _ = head.text(tagVendor)
	return licence, vendor, nil
}
