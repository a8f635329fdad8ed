package medium_test

import (
	"bytes"
	"context"
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
	"time"

	"offgrid/builder/medium"
	list "offgrid/bundle/medium"
	"offgrid/bundle/recovery"
	damage "offgrid/bundle/recovery/damagetest"
)

// TestMain lets this program be the one that is killed while it writes.
func TestMain(m *testing.M) {
	if source := os.Getenv("OFFGRID_WRITE_FROM"); source != "" {
		_, err := medium.Write(context.Background(), medium.Options{Source: source, Target: os.Getenv("OFFGRID_WRITE_TO"), Parity: 5, PartSize: 256 << 10})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dist makes a dist/ of files that are no bundles: those are for the tests of the command.
func dist(t *testing.T, seed byte) string {
	t.Helper()
	dir := t.TempDir()
	var sums strings.Builder
	for i, name := range []string{"install", "master.image", "node.image"} {
		content := make([]byte, (i+1)*300_000+7)
		rand.NewChaCha8([32]byte{seed, byte(i)}).Read(content)
		must(t, os.WriteFile(filepath.Join(dir, name), content, 0o700))
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), name)
	}
	must(t, os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o600))
	return dir
}

func write(t *testing.T, source, target string) (*medium.Result, error) {
	t.Helper()
	return medium.Write(t.Context(), medium.Options{Source: source, Target: target, Parity: 5, PartSize: 256 << 10})
}

// tree returns the content of every file of a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		files[e.Name()] = string(data)
	}
	return files
}

func TestAMediumHoldsEverythingInPartsWithRecordsAndSums(t *testing.T) {
	source, target := dist(t, 1), filepath.Join(t.TempDir(), "stick")
	res, err := write(t, source, target)
	must(t, err)
	if want := []string{"install", "master.image", "node.image"}; !slices.Equal(res.Split, want) {
		t.Errorf("in parts %v, want %v", res.Split, want)
	}
	var joined bytes.Buffer
	for n := 1; n <= 4; n++ {
		data, err := os.ReadFile(filepath.Join(target, fmt.Sprintf("node.image.%03d", n)))
		must(t, err)
		joined.Write(data)
	}
	original, err := os.ReadFile(filepath.Join(source, "node.image"))
	must(t, err)
	if !bytes.Equal(joined.Bytes(), original) {
		t.Error("the parts one after the other are not the file")
	}
	for line := range strings.Lines(tree(t, target)["SHA256SUMS"]) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		data, err := os.ReadFile(filepath.Join(target, name))
		must(t, err)
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != sum {
			t.Errorf("SHA256SUMS says another digest of %s", name)
		}
	}
	if left, err := filepath.Glob(filepath.Join(source, ".write-*")); err != nil || len(left) > 0 {
		t.Errorf("left beside the source: %v", left)
	}
	before := tree(t, target)
	if res, err = write(t, source, target); err != nil || len(res.Written) > 0 {
		t.Errorf("a second time: %v, written %v", err, res.Written)
	}
	if after := tree(t, target); !same(before, after) {
		t.Error("the second time changed the medium")
	}
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, content := range a {
		if other, ok := b[name]; !ok || other != content {
			return false
		}
	}
	return true
}

func TestDamageOnAMediumIsWrittenAnewAndOnlyThat(t *testing.T) {
	source, target := dist(t, 1), t.TempDir()
	_, err := write(t, source, target)
	must(t, err)
	want := tree(t, target)
	must(t, damage.Flip(filepath.Join(target, "node.image.002"), 1000))
	must(t, os.Remove(filepath.Join(target, "master.image.recovery")))
	res, err := write(t, source, target)
	must(t, err)
	if !slices.Equal(res.Written, []string{"master.image.recovery", "node.image.002"}) {
		t.Errorf("written %v", res.Written)
	}
	if !same(want, tree(t, target)) {
		t.Error("the medium is not as it was")
	}
}

func TestAnotherBuildReplacesTheOldOneAndLeavesForeignFilesAlone(t *testing.T) {
	first, second, target := dist(t, 1), dist(t, 2), t.TempDir()
	must(t, os.Remove(filepath.Join(second, "master.image")))
	sums, err := os.ReadFile(filepath.Join(second, "SHA256SUMS"))
	must(t, err)
	lines := strings.SplitAfter(string(sums), "\n")
	must(t, os.WriteFile(filepath.Join(second, "SHA256SUMS"), []byte(lines[0]+lines[2]), 0o600))
	must(t, os.WriteFile(filepath.Join(target, "holiday.jpg"), []byte("foreign"), 0o600))
	_, err = write(t, first, target)
	must(t, err)
	res, err := write(t, second, target)
	must(t, err)
	if len(res.Removed) != 4 { // three parts and a record
		t.Errorf("removed %v", res.Removed)
	}
	got := tree(t, target)
	fresh := filepath.Join(t.TempDir(), "stick")
	_, err = write(t, second, fresh)
	must(t, err)
	want := tree(t, fresh)
	want["holiday.jpg"] = "foreign"
	if !same(got, want) {
		t.Error("the medium is not that of the second build and the foreign file")
	}
}

func TestWhatCannotBeWrittenIsRefusedBeforeAnythingIsChanged(t *testing.T) {
	source := dist(t, 1)
	target := t.TempDir()
	must(t, os.WriteFile(filepath.Join(target, "SHA256SUMS"), []byte("another's"), 0o600))
	var foreign *medium.ForeignError
	if _, err := write(t, source, target); !errors.As(err, &foreign) || len(tree(t, target)) != 1 {
		t.Errorf("a foreign file of our name: %v", err)
	}
	var wrong *medium.TargetError
	for _, bad := range []string{source, filepath.Join(source, "install"), filepath.Join(source, "no", "such")} {
		if _, err := write(t, source, bad); !errors.As(err, &wrong) {
			t.Errorf("%s as target: %v", bad, err)
		}
	}
	var unfinished *medium.SourceError
	must(t, damage.Flip(filepath.Join(source, "install"), 5))
	if _, err := write(t, source, filepath.Join(t.TempDir(), "stick")); !errors.As(err, &unfinished) {
		t.Errorf("a damaged dist/: %v", err)
	}
	must(t, os.Remove(filepath.Join(source, "SHA256SUMS")))
	if _, err := write(t, source, filepath.Join(t.TempDir(), "stick")); !errors.As(err, &unfinished) {
		t.Errorf("an unfinished dist/: %v", err)
	}
}

// TestAWriterThatIsKilledAtAnyMomentFinishesTheNextTime: another build is written over the first and killed at random
// moments; until it is done the medium says so, and in the end it is what it would have been.
func TestAWriterThatIsKilledAtAnyMomentFinishesTheNextTime(t *testing.T) {
	first, second := dist(t, 1), dist(t, 2)
	fresh := filepath.Join(t.TempDir(), "stick")
	began := time.Now()
	_, err := write(t, second, fresh)
	must(t, err)
	whole := time.Since(began)
	want := tree(t, fresh)
	target := t.TempDir()
	kills := 0
	r := damage.Random(1)
	for try := range 12 {
		if try%4 == 0 { // begin with the first build again
			_, err := write(t, first, target)
			must(t, err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "OFFGRID_WRITE_FROM="+second, "OFFGRID_WRITE_TO="+target)
		must(t, cmd.Start())
		timer := time.AfterFunc(time.Duration(r.Int64N(int64(whole)*3/2)), func() { cmd.Process.Kill() })
		if cmd.Wait() != nil {
			kills++
		}
		timer.Stop()
		m, err := list.Read(target)
		if err != nil || m == nil {
			t.Fatalf("after a kill the medium has no list: %v", err)
		}
		if got := tree(t, target); m.State == list.Complete && got["node.image.001"] == want["node.image.001"] && !same(got, want) {
			t.Error("the medium says that it is complete and is not")
		}
	}
	_, err = write(t, second, target)
	must(t, err)
	if got := tree(t, target); !same(got, want) {
		t.Errorf("after %d kills the medium is not what it would have been", kills)
	}
	if kills == 0 {
		t.Error("nothing was killed")
	}
}

func TestAMediumThatIsRepairedIsWholeAgain(t *testing.T) {
	source, target := dist(t, 1), t.TempDir()
	_, err := write(t, source, target)
	must(t, err)
	want := tree(t, target)
	must(t, damage.Run(filepath.Join(target, "node.image.003"), 4096, 3, 5, damage.Random(1)))
	if _, err := recovery.Repair(t.Context(), filepath.Join(target, "node.image"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if !same(want, tree(t, target)) {
		t.Error("repaired is not as written")
	}
}

func TestADoneContextEndsTheWritingAndTheMediumSaysSo(t *testing.T) {
	source, target := dist(t, 1), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := medium.Write(ctx, medium.Options{Source: source, Target: target, Parity: 5, Report: nil})
	must(t, err)
	cancel()
	if _, err := medium.Write(ctx, medium.Options{Source: source, Target: target, Parity: 10}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
