//go:build e2e

package media

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"offgrid/builder/medium"
	"offgrid/bundle/recovery"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// mounted mounts something until the test ends and returns where.
func mounted(t *testing.T, args ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root mounts")
	}
	dir := t.TempDir()
	command(t, "mount", append(args, dir)...)
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}

// image makes a file system in a file.
func image(t *testing.T, mib int64, mkfs ...string) string {
	t.Helper()
	if _, err := exec.LookPath(mkfs[0]); err != nil {
		t.Skipf("%s is not installed", mkfs[0])
	}
	kind := strings.TrimPrefix(filepath.Ext(mkfs[0]), ".")
	if known, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(known), "\t"+kind+"\n") {
		t.Skipf("this kernel has no %s", kind)
	}
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	must(t, err)
	must(t, errors.Join(f.Truncate(mib<<20), f.Close()))
	command(t, mkfs[0], append(mkfs[1:], path)...)
	return path
}

// dist makes a directory like dist/ and returns what is in it.
func dist(t *testing.T) (dir string, content []byte) {
	t.Helper()
	dir, content = t.TempDir(), make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{1}).Read(content)
	must(t, os.WriteFile(filepath.Join(dir, "node.image"), content, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "SHA256SUMS"), fmt.Appendf(nil, "%x  node.image\n", sha256.Sum256(content)), 0o600))
	return dir, content
}

func write(t *testing.T, source, target string) (*medium.Result, error) {
	t.Helper()
	return medium.Write(t.Context(), medium.Options{Source: source, Target: target, Parity: 5})
}

func TestAStickOnALoopDevice(t *testing.T) {
	for _, mkfs := range [][]string{{"mkfs.ext4", "-q"}, {"mkfs.vfat", "-F", "32"}, {"mkfs.exfat"}} {
		t.Run(mkfs[0], func(t *testing.T) { stick(t, mkfs) })
	}
}

// stick writes a stick, spoils its device below the file system, repairs it, and has it refuse writing.
func stick(t *testing.T, mkfs []string) {
	source, content := dist(t)
	img := image(t, 64, mkfs...)
	dir := mounted(t, "-o", "loop", img)
	res, err := write(t, source, dir)
	must(t, err)
	kind := strings.TrimPrefix(filepath.Ext(mkfs[0]), ".")
	if res.System.Kind != kind || res.Same || (kind == "vfat") != (res.System.Largest == 1<<32-1) {
		t.Errorf("the file system is known as %+v", res.System)
	}
	command(t, "umount", dir)
	spoil(t, img, content[3<<20:3<<20+512])
	command(t, "mount", "-o", "loop,ro", img, dir)
	var locked *medium.ReadOnlyError
	if _, err := write(t, source, dir); !errors.As(err, &locked) {
		t.Errorf("a read-only medium: %v", err)
	}
	p, err := recovery.Find(filepath.Join(dir, "node.image"))
	must(t, err)
	defer p.Close()
	h, err := p.Heal(t.Context(), nil)
	must(t, err)
	if h.Bad() != 1 || h.Faults[0].Verdict != recovery.BadCopy {
		t.Errorf("found %+v", h.Faults)
	}
	must(t, p.Close())
	command(t, "umount", dir)
	command(t, "mount", "-o", "loop", img, dir)
	_, err = recovery.Repair(t.Context(), filepath.Join(dir, "node.image"), nil, nil)
	must(t, err)
	got, err := os.ReadFile(filepath.Join(dir, "node.image"))
	must(t, err)
	if !bytes.Equal(got, content) {
		t.Error("repaired is not as it was")
	}
	if res, err = write(t, source, dir); err != nil || len(res.Written) > 0 {
		t.Errorf("after the repair: %v, written %v", err, res.Written)
	}
}

// spoil changes bytes of the device that a file has there.
func spoil(t *testing.T, img string, needle []byte) {
	t.Helper()
	data, err := os.ReadFile(img)
	must(t, err)
	i := bytes.Index(data, needle)
	if i < 0 {
		t.Fatal("the file's bytes are not on the device")
	}
	f, err := os.OpenFile(img, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, len(needle)), int64(i))
	must(t, errors.Join(err, f.Sync(), f.Close()))
}

// TestAMediumThatIsTooSmall: refused before anything is changed, and enough is enough.
func TestAMediumThatIsTooSmall(t *testing.T) {
	source, _ := dist(t)
	dir := mounted(t, "-t", "tmpfs", "-o", "size=5m", "tmpfs")
	var room *medium.RoomError
	if _, err := write(t, source, dir); !errors.As(err, &room) {
		t.Fatalf("a medium that is too small: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it was changed: %v", left)
	}
	dir = mounted(t, "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", room.Need+4096), "tmpfs")
	res, err := write(t, source, dir)
	must(t, err)
	if !slices.Contains(res.Files, "node.image.recovery") {
		t.Errorf("files %v", res.Files)
	}
}
