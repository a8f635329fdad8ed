package rpmrepo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"offgrid/builder/internal/inflate"
)

// Limits on a payload: a kernel's has 250 MB, its list of built-in modules 10 KB.
const (
	maxPayload     int64 = 4 << 30
	maxBuiltinList int64 = 4 << 20
	maxCpioName          = 4096
)

// Kernel is what a kernel's package brings.
type Kernel struct {
	Release string   // what /proc/sys/kernel/osrelease says once it runs
	Modules []string // as lsmod names them, built-in ones too, sorted
}

// ReadKernel reads the modules off a kernel's package, whose bytes were verified before.
func ReadKernel(ctx context.Context, r io.ReadSeeker) (*Kernel, error) {
	c, err := ReadContents(r)
	if err != nil {
		return nil, err
	}
	k := &Kernel{}
	var list string // of what is built in
	for _, f := range c.Files {
		rest, ok := strings.CutPrefix(f.Path, "/lib/modules/")
		release, rest, deeper := strings.Cut(rest, "/")
		if !ok || !deeper {
			continue
		}
		if k.Release != "" && k.Release != release {
			return nil, fmt.Errorf("reading a kernel's package: it has modules for %q and for %q", k.Release, release)
		}
		k.Release = release
		if name, ok := moduleName(rest); ok {
			k.Modules = append(k.Modules, name)
		}
		if rest == "modules.builtin" && !f.Ghost {
			list = f.Path
		}
	}
	if k.Release == "" || len(k.Modules) == 0 || list == "" {
		return nil, errors.New("reading a kernel's package: it has no modules below /lib/modules, or no list of those that are built in (modules.builtin)")
	}
	builtin, err := readFromPayload(ctx, r, c.Compressor, list)
	if err != nil {
		return nil, fmt.Errorf("reading a kernel's package: %w", err)
	}
	for line := range strings.Lines(string(builtin)) {
		if name, ok := moduleName(strings.TrimSpace(line)); ok {
			k.Modules = append(k.Modules, name)
		}
	}
	slices.Sort(k.Modules)
	k.Modules = slices.Compact(k.Modules)
	return k, nil
}

// moduleName turns a module's file into its name: "net/netfilter/nf-x.ko.xz" is nf_x.
func moduleName(file string) (string, bool) {
	name, rest, ok := strings.Cut(path.Base(file), ".ko")
	if !ok || name == "" || !slices.Contains([]string{"", ".xz", ".gz", ".zst"}, rest) {
		return "", false
	}
	return strings.ReplaceAll(name, "-", "_"), true
}

// readFromPayload reads one file out of a payload at which r stands.
func readFromPayload(ctx context.Context, r io.Reader, compressor, wanted string) ([]byte, error) {
	var z io.Reader
	var err error
	in := bufio.NewReaderSize(&contextReader{ctx, r}, 256<<10)
	switch compressor {
	case "gzip", "":
		z, err = inflate.NewReader(in)
	case "xz":
		z, err = openXZ(in)
	default:
		return nil, fmt.Errorf("its payload is packed with %q, rpm of CentOS 7 knows gzip and xz", compressor)
	}
	if err != nil {
		return nil, err
	}
	return findInCpio(bufio.NewReaderSize(&limited{z, maxPayload}, 256<<10), wanted)
}

// findInCpio looks for a file in an archive of the form that rpm uses ("newc").
func findInCpio(r io.Reader, wanted string) ([]byte, error) {
	head := make([]byte, 110)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return nil, fmt.Errorf("reading the payload: %w", err)
		}
		if magic := string(head[:6]); magic != "070701" && magic != "070702" {
			return nil, errors.New("reading the payload: it is no cpio archive")
		}
		size, err := cpioNumber(head[54:62])
		if err != nil {
			return nil, err
		}
		length, err := cpioNumber(head[94:102])
		if err != nil {
			return nil, err
		}
		if length < 2 || length > maxCpioName {
			return nil, fmt.Errorf("reading the payload: a name has %d bytes", length)
		}
		name := make([]byte, length+(-(110+length)&3))
		if _, err := io.ReadFull(r, name); err != nil {
			return nil, fmt.Errorf("reading the payload: %w", err)
		}
		file := strings.TrimPrefix(string(name[:length-1]), ".")
		if file == "TRAILER!!!" {
			return nil, fmt.Errorf("reading the payload: it has no %q, which its header names", wanted)
		}
		if file == wanted {
			if size > maxBuiltinList {
				return nil, fmt.Errorf("reading the payload: %q has %d bytes, the limit is %d", wanted, size, maxBuiltinList)
			}
			content := make([]byte, size)
			if _, err := io.ReadFull(r, content); err != nil {
				return nil, fmt.Errorf("reading the payload: %q: %w", wanted, err)
			}
			return content, nil
		}
		if _, err := io.CopyN(io.Discard, r, size+(-size&3)); err != nil {
			return nil, fmt.Errorf("reading the payload: %w", err)
		}
	}
}

func cpioNumber(digits []byte) (int64, error) {
	n, err := strconv.ParseUint(string(digits), 16, 32)
	if err != nil {
		return 0, errors.New("reading the payload: a number in it is none")
	}
	return int64(n), nil
}
