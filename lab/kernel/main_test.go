package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// utsname is a struct new_utsname as it stands in a kernel.
func utsname(release string) []byte {
	s := make([]byte, 6*65)
	for i, word := range []string{"Linux", "(none)", release, "#1 SMP", "x86_64", "(none)"} {
		copy(s[i*65:], word)
	}
	return s
}

func TestTheReleaseIsReplacedWhereUnameHasItAndNowhereElse(t *testing.T) {
	banner := "Linux version 6.1.0-56-cloud-amd64 (debian)"
	kernel := append([]byte(banner), utsname("6.1.0-56-cloud-amd64")...)
	kernel = append(kernel, utsname("6.1.0-56-cloud-amd64")...)
	want := append([]byte(banner), utsname("5.4.278-1.el7.elrepo.x86_64")...)
	want = append(want, utsname("5.4.278-1.el7.elrepo.x86_64")...)
	if n := rename(kernel, "6.1.0-56-cloud-amd64", "5.4.278-1.el7.elrepo.x86_64"); n != 2 {
		t.Errorf("it was replaced in %d places, want 2", n)
	}
	if !bytes.Equal(kernel, want) {
		t.Errorf("the kernel is %q, want %q", kernel, want)
	}
}

func TestAnotherReleaseIsNotReplaced(t *testing.T) {
	kernel := utsname("6.1.0-56-cloud-amd64")
	if n := rename(kernel, "6.1.0-5", "5.4.278"); n != 0 || !bytes.Equal(kernel, utsname("6.1.0-56-cloud-amd64")) {
		t.Errorf("it was replaced in %d places: %q", n, kernel)
	}
}

func TestThePayloadIsFoundByTheHeader(t *testing.T) {
	image := make([]byte, 0x1000)
	image[0x1f1] = 2
	copy(image[0x202:], "HdrS")
	binary.LittleEndian.PutUint32(image[0x248:], 16)
	binary.LittleEndian.PutUint32(image[0x24c:], 32)
	binary.LittleEndian.PutUint32(image[3*512+16:], 0x184c2102)
	place, err := payload(image)
	if err != nil || len(place) != 32 || &place[0] != &image[3*512+16] {
		t.Errorf("it has %d bytes, error %v", len(place), err)
	}
	image[3*512+16] = 0
	if _, err := payload(image); err == nil || !strings.Contains(err.Error(), "lz4") {
		t.Errorf("with another compression it says %v", err)
	}
}

func TestAKernelThatGrewDoesNotFit(t *testing.T) {
	place := bytes.Repeat([]byte{1}, 16)
	if err := fit(place, bytes.Repeat([]byte{2}, 8)); err != nil || !bytes.Equal(place, []byte{2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 1, 1, 1, 1}) {
		t.Errorf("a smaller one: %v %v", place, err)
	}
	if err := fit(place, bytes.Repeat([]byte{2}, 9)); err == nil {
		t.Error("a larger one fits")
	}
}
