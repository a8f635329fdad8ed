package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"offgrid/bundle"
)

// me returns a Local for which the user of the test is root, and a directory.
func me(t *testing.T) (Local, string) {
	t.Helper()
	dir := t.TempDir()
	l := Local{Passwd: filepath.Join(dir, "passwd"), Group: filepath.Join(dir, "group")}
	must(t, os.WriteFile(l.Passwd, fmt.Appendf(nil, "root:x:%d:0::/root:/bin/sh\n", os.Getuid()), 0o600))
	must(t, os.WriteFile(l.Group, fmt.Appendf(nil, "root:x:%d:\n", os.Getgid()), 0o600))
	work := filepath.Join(dir, "work")
	must(t, os.Mkdir(work, 0o755))
	return l, work
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWriteReplacesAFileWithItsModeAndLeavesNothingElse(t *testing.T) {
	l, dir := me(t)
	name := filepath.Join(dir, "kubelet")
	must(t, os.WriteFile(name, []byte("old"), 0o600))
	// what a killed installer left
	must(t, os.WriteFile(filepath.Join(dir, ".kubelet.offgrid-tmp"), []byte("ha"), 0o600))
	must(t, l.Write(name, strings.NewReader("new"), Meta{Mode: 0o755}))
	data, err := os.ReadFile(name)
	must(t, err)
	info, err := os.Stat(name)
	must(t, err)
	names, err := l.ReadDir(dir)
	must(t, err)
	got := fmt.Sprintf("%s %v %v", data, info.Mode(), names)
	if want := "new -rwxr-xr-x [kubelet]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	user, group, err := l.Owner(name)
	must(t, err)
	if user+":"+group != "root:root" {
		t.Errorf("owner is %s:%s", user, group)
	}
}

func TestAWriteThatFailsLeavesTheOldFileAndNoTemporaryOne(t *testing.T) {
	l, dir := me(t)
	name := filepath.Join(dir, "conf")
	must(t, os.WriteFile(name, []byte("old"), 0o600))
	bad := io.MultiReader(strings.NewReader("half"), errReader{})
	if err := l.Write(name, bad, Meta{Mode: 0o644}); err == nil || !strings.Contains(err.Error(), "medium gone") {
		t.Errorf("error is %v", err)
	}
	data, err := os.ReadFile(name)
	must(t, err)
	names, err := l.ReadDir(dir)
	must(t, err)
	if got := fmt.Sprintf("%s %v", data, names); got != "old [conf]" {
		t.Errorf("got %s", got)
	}
}

// placer is content that must be placed; it ends with err.
type placer struct {
	errReader
	err error
}

// Place implements Placer, the end first.
func (p placer) Place(w io.WriterAt) (bundle.Digest, int64, error) {
	for _, at := range []int64{2 << 20, 0, 1 << 20} {
		if _, err := w.WriteAt(bytes.Repeat([]byte{byte('a' + at>>20)}, 1<<20), at); err != nil {
			return bundle.Digest{}, 0, err
		}
	}
	return bundle.Digest{}, 3 << 20, p.err
}

func TestContentThatCanPlaceItselfIsNotRead(t *testing.T) {
	l, dir := me(t)
	name := filepath.Join(dir, "kubelet")
	must(t, l.Write(name, placer{}, Meta{Mode: 0o755}))
	got, err := os.ReadFile(name)
	must(t, err)
	if want := strings.Repeat("a", 1<<20) + strings.Repeat("b", 1<<20) + strings.Repeat("c", 1<<20); string(got) != want {
		t.Errorf("%d bytes, not the %d that were placed", len(got), len(want))
	}
	if err := l.Write(name, placer{err: errors.New("frame 2 is damaged")}, Meta{Mode: 0o700}); err == nil || !strings.Contains(err.Error(), "frame 2 is damaged") {
		t.Errorf("error is %v", err)
	}
	again, err := os.ReadFile(name)
	must(t, err)
	names, err := l.ReadDir(dir)
	must(t, err)
	if len(names) != 1 || !bytes.Equal(again, got) {
		t.Errorf("after the error there are %v, and the file has %d bytes", names, len(again))
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("medium gone") }

func TestAnAdministratorsAbsoluteLinkIsFollowed(t *testing.T) {
	l, dir := me(t)
	data := filepath.Join(dir, "data")
	must(t, os.Mkdir(data, 0o755))
	link := filepath.Join(dir, "docker")
	must(t, os.Symlink(data, link))
	must(t, l.Mkdir(link, Meta{Mode: 0o711}))
	must(t, l.Write(filepath.Join(link, "x"), strings.NewReader("x"), Meta{Mode: 0o600}))
	must(t, l.Mkdir(filepath.Join(link, "sub"), Meta{Mode: 0o700}))
	info, err := l.Stat(link)
	must(t, err)
	there, err := Exists(l, filepath.Join(data, "x"))
	must(t, err)
	if target, err := l.Readlink(link); err != nil || target != data || info.Mode().Perm() != 0o711 || !there {
		t.Errorf("link %s (%v), mode %v, file there %v", target, err, info.Mode(), there)
	}
}

func TestAnUnknownOwnerIsAnErrorThatNamesIt(t *testing.T) {
	l, dir := me(t)
	err := l.Write(filepath.Join(dir, "x"), strings.NewReader(""), Meta{Mode: 0o600, Owner: "etcd"})
	if err == nil || !strings.Contains(err.Error(), `has no "etcd"`) {
		t.Errorf("error is %v", err)
	}
	names, err := l.ReadDir(dir)
	if err != nil || len(names) != 0 {
		t.Errorf("left behind: %v %v", names, err)
	}
}

func TestSymlinkReplacesALinkAndRemoveIsContentWithNothing(t *testing.T) {
	l, dir := me(t)
	name := filepath.Join(dir, "kubectl")
	must(t, l.Symlink("/a", name))
	must(t, l.Symlink("/b", name))
	target, err := l.Readlink(name)
	must(t, err)
	must(t, l.Remove(name))
	must(t, l.Remove(name))
	there, err := Exists(l, name)
	if err != nil || there || target != "/b" {
		t.Errorf("target %s, there %v, %v", target, there, err)
	}
}

func TestRemoveAllFollowsNoLink(t *testing.T) {
	l, dir := me(t)
	must(t, os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "outside"), []byte("x"), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "kept"), 0o755))
	must(t, os.Symlink(filepath.Join(dir, "kept"), filepath.Join(dir, "a/b/link")))
	must(t, os.WriteFile(filepath.Join(dir, "kept/x"), []byte("x"), 0o600))
	must(t, l.RemoveAll(filepath.Join(dir, "a")))
	must(t, l.RemoveAll(filepath.Join(dir, "a")))
	must(t, l.RemoveAll(filepath.Join(dir, "outside")))
	names, err := l.ReadDir(dir)
	must(t, err)
	below, err := l.ReadDir(filepath.Join(dir, "kept"))
	must(t, err)
	if got := fmt.Sprint(names, below); got != "[kept] [x]" {
		t.Errorf("left: %s", got)
	}
}

func TestACommandRunsInTheCLocaleWithSbinInItsPath(t *testing.T) {
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("HTTPS_PROXY", "http://proxy.example")
	out, err := Local{}.Run(t.Context(), strings.NewReader("in"), "sh", "-c", `echo "$LC_ALL $PATH [$HTTPS_PROXY] $(cat)"`)
	must(t, err)
	want := "C /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin [] in\n"
	if string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestACommandThatFailsSaysWhatItPrinted(t *testing.T) {
	_, err := Local{}.Run(t.Context(), nil, "sh", "-c", "echo out; echo no such thing >&2; exit 7")
	var failed *RunError
	if !errors.As(err, &failed) {
		t.Fatalf("error is %T %v", err, err)
	}
	if failed.Code != 7 || failed.Stdout != "out\n" || failed.Stderr != "no such thing\n" {
		t.Errorf("got %+v", failed)
	}
	if _, err := (Local{}).Run(t.Context(), nil, "no-such-program-here"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

func TestAnInputThatBreaksOffIsTheCauseWhateverTheCommandSays(t *testing.T) {
	for _, command := range []string{"cat >/dev/null; echo unexpected end >&2; exit 1", "cat >/dev/null"} {
		_, err := Local{}.Run(t.Context(), io.MultiReader(strings.NewReader("half"), errReader{}), "sh", "-c", command)
		if want := "giving sh -c " + command + " its input: medium gone"; err == nil || err.Error() != want {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
	// one that reads no further does not see it
	if _, err := (Local{}).Run(t.Context(), strings.NewReader(strings.Repeat("much", 1<<20)), "true"); err != nil {
		t.Error(err)
	}
}

func TestACancelledCommandGoesWithItsChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pidFile := filepath.Join(t.TempDir(), "pid")
	done := make(chan error, 1)
	go func() {
		_, err := Local{}.Run(ctx, nil, "sh", "-c", "sleep 600 & echo $! > "+pidFile+".new; mv "+pidFile+".new "+pidFile+"; wait")
		done <- err
	}()
	limit := time.Now().Add(20 * time.Second)
	var pid string
	for pid == "" {
		if data, err := os.ReadFile(pidFile); err == nil {
			pid = strings.TrimSpace(string(data))
		}
		if time.Now().After(limit) {
			t.Fatal("the command did not start")
		}
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("a cancelled command ended well")
	}
	// init reaps the child some time after its death; a zombie is dead enough
	for {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("process %s is still there: %s", pid, stat)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	c := &capped{limit: 5}
	for range 3 {
		if n, err := c.Write([]byte("abc")); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if c.String() != "abcab" || !c.over {
		t.Errorf("kept %q, over %v", c.String(), c.over)
	}
}

func TestALinkIsTheSameContentAndOutlivesAWriteOfTheOther(t *testing.T) {
	l, dir := me(t)
	from, name := filepath.Join(dir, "kubelet"), filepath.Join(dir, "kept")
	must(t, os.WriteFile(from, []byte("old"), 0o755))
	must(t, os.WriteFile(name, []byte("in the way"), 0o600))
	must(t, l.Link(from, name))
	must(t, l.Link(from, name)) // a second try changes nothing
	must(t, l.Write(from, strings.NewReader("new"), Meta{Mode: 0o755}))
	data, err := os.ReadFile(name)
	must(t, err)
	names, err := l.ReadDir(dir)
	must(t, err)
	if got, want := fmt.Sprintf("%s %v", data, names), "old [kept kubelet]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
