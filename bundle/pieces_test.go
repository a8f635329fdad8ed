package bundle

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"offgrid/bundle/progress"
	"offgrid/bundle/recovery"
	damage "offgrid/bundle/recovery/damagetest"
)

// onMedium writes a sample bundle, whole, with a record of half its size in parity.
func onMedium(t *testing.T) (path string, content []byte) {
	t.Helper()
	content = newSample(t).write(t)
	path = filepath.Join(t.TempDir(), "node.bundle")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := recovery.CreateFile(t.Context(), path, recovery.ParityBlocks(int64(len(content)), 50), nil); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// warnings collects what is reported.
func warnings() (progress.Func, func() string) {
	var mu sync.Mutex
	var lines []string
	return func(e progress.Event) {
			if e.Kind == progress.Warn {
				mu.Lock()
				lines = append(lines, e.Text)
				mu.Unlock()
			}
		}, func() string {
			mu.Lock()
			defer mu.Unlock()
			return strings.Join(lines, "\n")
		}
}

// TestEveryDamagedStretchIsRepairedWhileReading: wherever it lies, in the metadata as well.
func TestEveryDamagedStretchIsRepairedWhileReading(t *testing.T) {
	path, content := onMedium(t)
	step := int64(4096)
	for at := int64(0); at+100 < int64(len(content)); at += step {
		if err := errors.Join(os.WriteFile(path, content, 0o600), damage.Noise(path, at, 100, damage.Random(uint64(at)))); err != nil {
			t.Fatal(err)
		}
		report, said := warnings()
		all, err := OpenAllRepairing(t.Context(), path, Options{}, report)
		if err != nil {
			t.Fatalf("damage at %d: %v", at, err)
		}
		if faults := VerifyAllRepairing(t.Context(), all, report); len(faults) > 0 {
			t.Errorf("damage at %d: %v", at, faults)
		}
		if faults := all[0].VerifyContent(t.Context(), nil); len(faults) > 0 {
			t.Errorf("damage at %d: content: %v", at, faults)
		}
		if !strings.Contains(said(), "the medium stays as it is") {
			t.Errorf("damage at %d: it is said: %s", at, said())
		}
		all[0].Close()
	}
}

func TestARecordOfAnotherBuildMakesNoOtherBundleOfThisOne(t *testing.T) {
	path, content := onMedium(t)
	other := newSample(t)
	other.in.Role.Cluster.Serial++
	changed := other.write(t)
	if len(changed) != len(content) {
		t.Fatal("the samples should have one size")
	}
	whole := mustOpen(t, changed)
	kubelet, _ := whole.Artifact("kubelet")
	place, err := whole.src.open(kubelet.Blob.Stored)
	if err == nil {
		err = errors.Join(os.WriteFile(path, changed, 0o600), damage.Noise(path, place.offset+10, 10, damage.Random(1)))
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if faults := VerifyAllRepairing(t.Context(), []*Bundle{b}, nil); len(faults) == 0 {
		t.Error("the record of another build was used")
	}
}

// shaky gives a wrong byte the first time that it is read.
type shaky struct {
	io.ReaderAt
	mu   *sync.Mutex
	at   int64
	left *int
}

func (s shaky) ReadAt(b []byte, off int64) (int, error) {
	n, err := s.ReaderAt.ReadAt(b, off)
	s.mu.Lock()
	defer s.mu.Unlock()
	if *s.left > 0 && off <= s.at && s.at < off+int64(n) {
		*s.left--
		b[s.at-off] ^= 1
	}
	return n, err
}

func TestAReaderThatIsWrongOnceIsSaidToBeAndDoesNoHarm(t *testing.T) {
	content := newSample(t).write(t)
	left := 0
	at := int64(len(content)) * 3 / 4
	b, err := OpenReaderAt("node.bundle", shaky{strings.NewReader(string(content)), &sync.Mutex{}, at, &left}, int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	left = 1
	faults := b.Verify(t.Context(), nil)
	var found *DamageError
	if len(faults) > 1 || len(faults) == 1 && (!errors.As(faults[0], &found) || found.Verdict != recovery.RightLater) {
		t.Errorf("a reader that is wrong once: %v", faults)
	}
	left = 1
	report, _ := warnings()
	if faults := VerifyAllRepairing(t.Context(), []*Bundle{b}, report); len(faults) > 0 {
		t.Errorf("it is refused: %v", faults)
	}
}
