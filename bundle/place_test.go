package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// placed is a bundle of the sample whose program has eight different frames, and that program's content.
func placed(t *testing.T) (data, content []byte, blob Blob) {
	t.Helper()
	content = make([]byte, 7*FrameSize+12345)
	for i := range 8 {
		copy(content[i*FrameSize:], bytes.Repeat([]byte{byte('a' + i)}, 5000*(i+1)))
	}
	s := newSample(t)
	s.in.Role.Artifacts = slices.DeleteFunc(s.in.Role.Artifacts, func(a Artifact) bool { return a.Name == "kubelet" })
	s.artifact(t, "kubelet", KindProgram, content)
	slices.SortFunc(s.in.Role.Artifacts, func(a, b Artifact) int { return strings.Compare(a.Name, b.Name) })
	data = s.write(t)
	a, _ := mustOpen(t, data).Artifact("kubelet")
	return data, content, a.Blob
}

func TestPlacedContentIsWhatReadingGives(t *testing.T) {
	data, content, blob := placed(t)
	b := mustOpen(t, data)
	for _, digest := range []bool{true, false} {
		name := filepath.Join(t.TempDir(), "kubelet")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Place(t.Context(), blob, "kubelet", f, digest), f.Close()); err != nil {
			t.Errorf("digest %v: %v", digest, err)
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, content) {
			t.Errorf("digest %v: %d bytes instead of %d, %v", digest, len(got), len(content), err)
		}
	}
	for _, a := range b.Role.Artifacts { // raw ones as well
		w := &pieceCounter{}
		if err := b.Place(t.Context(), a.Blob, a.Name, w, true); err != nil || w.bytes != a.Blob.Size {
			t.Errorf("%s: %d of %d bytes, %v", a.Name, w.bytes, a.Blob.Size, err)
		}
	}
}

// pieceCounter fails a write from the given one on.
type pieceCounter struct {
	mu     sync.Mutex
	bytes  int64
	pieces int
	failAt int // 0: never
}

var errFull = errors.New("the disk is full")

func (w *pieceCounter) WriteAt(p []byte, _ int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pieces++; w.pieces == w.failAt {
		return 0, errFull
	}
	w.bytes += int64(len(p))
	return len(p), nil
}

func TestPlacingNamesTheFirstDamagedFrame(t *testing.T) {
	data, _, blob := placed(t)
	b := mustOpen(t, data)
	e, err := b.src.open(blob.Stored)
	if err != nil {
		t.Fatal(err)
	}
	at := e.offset
	for i, f := range blob.Frames {
		if i == 3 {
			data[at+9] ^= 1
		}
		at += f.Stored
	}
	for _, digest := range []bool{true, false} {
		err := b.Place(t.Context(), blob, "kubelet", &pieceCounter{}, digest)
		var damage *DamageError
		if !errors.As(err, &damage) || damage.Where != "frame 4 of 8" {
			t.Errorf("digest %v: %v, want frame 4 named", digest, err)
		}
	}
}

func TestPlacingEndsWithTheWritersErrorAndWithTheContext(t *testing.T) {
	data, _, blob := placed(t)
	b := mustOpen(t, data)
	for at := 1; at <= 8; at++ {
		if err := b.Place(t.Context(), blob, "kubelet", &pieceCounter{failAt: at}, true); !errors.Is(err, errFull) {
			t.Errorf("full at piece %d: %v", at, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Place(ctx, blob, "kubelet", &pieceCounter{}, true); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPlacingRefusesAContentThatIsNotTheIndexs(t *testing.T) {
	data, _, blob := placed(t)
	b := mustOpen(t, data)
	blob.Digest[0] ^= 1
	var wrong *DigestError
	if err := b.Place(t.Context(), blob, "kubelet", &pieceCounter{}, true); !errors.As(err, &wrong) {
		t.Errorf("error is %v", err)
	}
}

func TestContentIsEitherReadOrPlaced(t *testing.T) {
	data, _, blob := placed(t)
	b := mustOpen(t, data)
	for _, readFirst := range []bool{true, false} {
		r, err := b.Content(t.Context(), blob, "kubelet")
		if err != nil {
			t.Fatal(err)
		}
		p := r.(interface {
			Place(w io.WriterAt) (Digest, int64, error)
		})
		if readFirst {
			_, err = r.Read(make([]byte, 1))
		}
		d, size, perr := p.Place(&pieceCounter{})
		if err != nil || readFirst != (perr != nil) {
			t.Errorf("read first: %v; %v, then placing: %v", readFirst, err, perr)
		}
		if !readFirst && (d != blob.Digest || size != blob.Size) {
			t.Errorf("placed %s of %d bytes", d, size)
		}
		if n, err := r.Read(make([]byte, 1)); !readFirst && (n != 0 || !errors.Is(err, io.EOF)) {
			t.Errorf("after placing: %d, %v", n, err)
		}
		r.Close()
	}
}
