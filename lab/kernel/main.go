// Command kernel gives a Linux image another release, so that a kernel of Debian's runs as the one that the catalogue names: what
// uname(2) and /proc/sys/kernel/osrelease say is changed where it stands, in the compressed kernel inside the image.
//
//	kernel IMAGE OLD NEW OUT     OLD is the image's release, at most as long as the 64 bytes that it has
//
// It calls lz4, with which Debian's kernels are compressed.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: kernel IMAGE OLD NEW OUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "kernel:", err)
		os.Exit(1)
	}
}

func run(in, old, release, out string) error {
	image, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	place, err := payload(image)
	if err != nil {
		return fmt.Errorf("reading %s: %w", in, err)
	}
	whole, err := lz4("-d", place[:len(place)-4])
	if err != nil {
		return err
	}
	if n := rename(whole, old, release); n == 0 {
		return fmt.Errorf("renaming %s: it does not say %q where uname(2) has its answer from", in, old)
	}
	small, err := lz4("-12", whole)
	if err != nil {
		return err
	}
	if err := fit(place, small); err != nil {
		return fmt.Errorf("renaming %s: %w", in, err)
	}
	return os.WriteFile(out, image, 0o644)
}

// payload is where the compressed kernel is in an image, as x86's boot protocol says from 2.08 on: behind the setup sectors, at the
// offset and of the length that the header has. Its last four bytes are the length of what comes out.
func payload(image []byte) ([]byte, error) {
	const header = 0x250
	if len(image) < header || string(image[0x202:0x206]) != "HdrS" {
		return nil, errors.New("it is no Linux image")
	}
	sectors := int(image[0x1f1])
	if sectors == 0 {
		sectors = 4
	}
	from := (sectors+1)*512 + int(binary.LittleEndian.Uint32(image[0x248:]))
	to := from + int(binary.LittleEndian.Uint32(image[0x24c:]))
	if from > to || to > len(image) || to-from < 8 {
		return nil, errors.New("its header points outside of it")
	}
	place := image[from:to]
	if binary.LittleEndian.Uint32(place) != 0x184c2102 {
		return nil, errors.New("its kernel is not compressed with lz4")
	}
	return place, nil
}

// rename replaces the release in every struct new_utsname: six fields of 65 bytes, the system's name and the node's before it.
// It returns how many there were. The banner of the boot still tells whose kernel it is.
func rename(kernel []byte, old, release string) int {
	const field = 65
	was := make([]byte, 3*field)
	copy(was, "Linux")
	copy(was[field:], "(none)")
	copy(was[2*field:], old)
	is := bytes.Clone(was)
	clear(is[2*field:])
	copy(is[2*field:3*field-1], release)
	n := 0
	for at := 0; ; n++ {
		next := bytes.Index(kernel[at:], was)
		if next < 0 {
			return n
		}
		at += next
		copy(kernel[at:], is)
	}
}

// fit puts another payload where the old one was. The loader stops at a block of length 0; what comes out is as long as before.
func fit(place, small []byte) error {
	room := len(place) - 4
	if len(small)+4 > room {
		return fmt.Errorf("the kernel has %d bytes, its place %d", len(small)+4, room)
	}
	copy(place, small)
	clear(place[len(small):room])
	return nil
}

// lz4 runs lz4 in the format that the kernel reads.
func lz4(how string, data []byte) ([]byte, error) {
	cmd := exec.Command("lz4", "-l", how, "-c")
	if how == "-d" {
		cmd = exec.Command("lz4", "-d", "-c")
	}
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(data), &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running lz4 %s: %w: %s", how, err, said.String())
	}
	return out.Bytes(), nil
}
