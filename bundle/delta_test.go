package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// programVersions are two versions of a program of three frames: the second has some bytes more in the middle and some others
// everywhere.
func programVersions() (old, now []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	old = make([]byte, 2*FrameSize+1000)
	for i := range old {
		old[i] = byte(r.Uint32())
	}
	now = slices.Concat(old[:FrameSize+77], []byte("this was put in"), old[FrameSize+77:])
	for i := 0; i < len(now); i += 50_000 {
		now[i]++
	}
	return old, now
}

// programDifference is EncodeDelta of programVersions, once: it takes seconds under the race detector.
var programDifference = sync.OnceValues(func() (made struct {
	program DeltaProgram
	stored  []byte
}, err error) {
	old, now := programVersions()
	var out bytes.Buffer
	made.program, err = EncodeDelta(context.Background(), bytes.NewReader(old), int64(len(old)), bytes.NewReader(now), int64(len(now)), &out)
	made.stored = out.Bytes()
	return made, err
})

// deltaSample is a bundle with the second version of kubelet, and its input as a delta against one with the first.
type deltaSample struct {
	*sample
	old, now []byte
}

func newDeltaSample(t testing.TB) *deltaSample {
	t.Helper()
	s := &deltaSample{sample: newSample(t)}
	s.old, s.now = programVersions()
	s.in.Role.Artifacts = slices.DeleteFunc(s.in.Role.Artifacts, func(a Artifact) bool { return a.Name == "kubelet" })
	s.artifact(t, "kubelet", KindProgram, s.now)
	s.artifact(t, "new.rpm", KindPackage, []byte("a package that the base has not"))
	slices.SortFunc(s.in.Role.Artifacts, func(a, b Artifact) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// delta writes it as a delta.
func (s *deltaSample) delta(t testing.TB) []byte {
	t.Helper()
	made, err := programDifference()
	if err != nil {
		t.Fatal(err)
	}
	p := made.program
	p.Name, p.Path, p.Digest = "kubelet", "/opt/kubernetes/bin/kubelet", DigestOf(s.old)
	s.stored[p.Stored] = made.stored
	has := map[Digest]bool{}
	for _, a := range newSample(t).in.Role.Artifacts {
		has[a.Blob.Stored] = a.Name != "kubelet"
	}
	for _, text := range []string{"shared layer", "layer of a", `{"architecture":"amd64","os":"linux","a":1}`, `{"architecture":"amd64","os":"linux","b":2}`} {
		has[DigestOf([]byte(text))] = true
	}
	s.in.Delta = &DeltaInput{Base: DeltaBase{Root: DigestOf([]byte("base")), Serial: 1, Version: "v1.20.13"}, Has: has, Programs: []DeltaProgram{p}}
	defer func() { s.in.Delta = nil }()
	return s.write(t)
}

func TestADeltaHasTheRootOfTheWholeBundleAndMakesItsProgram(t *testing.T) {
	s := newDeltaSample(t)
	whole, delta := mustOpen(t, s.write(t)), mustOpen(t, s.delta(t))
	if delta.RootDigest != whole.RootDigest || delta.Delta == nil || whole.Delta != nil || delta.Renewal {
		t.Errorf("root %s, the whole has %s", delta.RootDigest, whole.RootDigest)
	}
	if delta.Size > whole.Size/4 {
		t.Errorf("it has %d bytes, the whole bundle has %d", delta.Size, whole.Size)
	}
	if faults := append(delta.Verify(t.Context(), nil), delta.VerifyContent(t.Context(), nil)...); len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
	var left []string
	for _, b := range delta.Blobs() {
		if !delta.HasStored(b.Digest) {
			left = append(left, b.Name)
		}
	}
	slices.Sort(left)
	if want := []string{"conntrack-1.rpm", "image example.org/a:1, config", "image example.org/a:1, layer 1 of 2", "image example.org/a:1, layer 2 of 2",
		"image example.org/b:2, config", "kubelet"}; !slices.Equal(left, want) {
		t.Errorf("left out\n got %q\nwant %q", left, want)
	}
	r, err := delta.DeltaContent(t.Context(), "kubelet", bytes.NewReader(s.old), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, s.now) || r.Close() != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	kubelet, _ := delta.Artifact("kubelet")
	if _, err := delta.Content(t.Context(), kubelet.Blob, "kubelet"); !errors.Is(err, ErrNotCarried) || !strings.Contains(err.Error(), "a delta bundle does not bring it") {
		t.Errorf("the content without its base: %v", err)
	}
	if idx := delta.LayoutFiles()[1].Data; !bytes.Equal(idx, whole.LayoutFiles()[1].Data) {
		t.Errorf("a directory would get %s", idx)
	}
	if again := s.delta(t); !bytes.Equal(again, s.delta(t)) {
		t.Error("made twice it is not the same")
	}
}

// TestADifferenceDoesNotDependOnTheMachine makes it with one processor and with several, and again from other sizes in between:
// encoders are used again.
func TestADifferenceDoesNotDependOnTheMachine(t *testing.T) {
	old, now := programVersions()
	difference := func(procs int) Digest {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		p, err := EncodeDelta(t.Context(), bytes.NewReader(old), int64(len(old)), bytes.NewReader(now), int64(len(now)), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		return p.Stored
	}
	made, err := programDifference()
	if err != nil {
		t.Fatal(err)
	}
	if one := difference(1); one != made.program.Stored {
		t.Errorf("with one processor %s, with all %s", one, made.program.Stored)
	}
	if raceEnabled {
		return // a second run is enough for it
	}
	if several := difference(7); several != made.program.Stored {
		t.Errorf("with seven processors %s, with all %s", several, made.program.Stored)
	}
}

func TestADifferenceFromAnotherFileIsNoContent(t *testing.T) {
	s := newDeltaSample(t)
	b := mustOpen(t, s.delta(t))
	other := bytes.Clone(s.old)
	other[FrameSize/2]++
	for _, base := range [][]byte{other, s.old[:len(s.old)-1], nil} {
		r, err := b.DeltaContent(t.Context(), "kubelet", bytes.NewReader(base), nil)
		if err == nil {
			_, err = io.ReadAll(r)
		}
		var wrong *BaseError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "kubelet cannot be made from /opt/kubernetes/bin/kubelet") {
			t.Errorf("from %d bytes: %v", len(base), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := b.DeltaContent(ctx, "kubelet", bytes.NewReader(s.old), nil)
	cancel()
	if err == nil {
		_, err = io.ReadAll(r)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestADamagedDeltaIsNamedWithItsPlace(t *testing.T) {
	data := newDeltaSample(t).delta(t)
	step := 1 + len(data)/2500
	if raceEnabled {
		step *= 20
	}
	each(len(data)/step, func(i int) {
		i *= step
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		if problem := flipProblem(openAndVerify(t, damaged), int64(i)); problem != "" {
			t.Errorf("byte %d: %s", i, problem)
		}
	})
	at := int64(bytes.Index(data, []byte(`"offgrid.delta"`)))
	for i := at; i < at+100; i++ { // what the annotation says leads elsewhere then
		damaged := bytes.Clone(data)
		damaged[i] ^= 1
		if problem := flipProblem(openAndVerify(t, damaged), i); problem != "" {
			t.Errorf("byte %d: %s", i, problem)
		}
	}
	for _, at := range boundaries(t, data) {
		for _, cut := range []int64{at, at + 1, at + 100} {
			if cut >= int64(len(data)) || cut == 0 {
				continue
			}
			var damage *DamageError
			if _, err := openBytes(data[:cut]); !errors.As(err, &damage) || !errors.Is(err, ErrCutShort) || damage.Offset != cut {
				t.Errorf("cut to %d bytes: %v", cut, err)
			}
		}
	}
}

func TestADeltaIndexThatDoesNotFitIsRefused(t *testing.T) {
	s := newDeltaSample(t)
	data := s.delta(t)
	b := mustOpen(t, data)
	bulk := func(Digest) bool { return true }
	for want, spoil := range map[string]func(*Delta){
		"delta index format 7":           func(d *Delta) { d.Format = 7 },
		"is left out of order, or twice": func(d *Delta) { d.Left = append(d.Left, d.Left[0]) },
		"2 frames, its content needs 3":  func(d *Delta) { d.Programs[0].Frames = d.Programs[0].Frames[:2] },
		"frame 1 refers to":              func(d *Delta) { d.Programs[0].Frames[0].Length = DeltaWindow + 1 },
		"frame 2 refers to":              func(d *Delta) { d.Programs[0].Frames[1].From = d.Programs[0].Size },
		"frame 3 refers to":              func(d *Delta) { d.Programs[0].Frames[2].From = -1 },
		"frame 1 has 0 stored bytes":     func(d *Delta) { d.Programs[0].Frames[0].Stored = 0 },
		"not sorted, or twice":           func(d *Delta) { d.Programs = append(d.Programs, d.Programs[0]) },
		"the base has no root":           func(d *Delta) { d.Base.Root = Digest{} },
		"a base of 0 bytes":              func(d *Delta) { d.Programs[0].Size = 0 },
		"its frames have":                func(d *Delta) { d.Programs[0].StoredSize++ },
	} {
		d := *b.Delta
		d.Left, d.Programs = slices.Clone(d.Left), slices.Clone(d.Programs)
		d.Programs[0].Frames = slices.Clone(d.Programs[0].Frames)
		spoil(&d)
		if err := d.validate(&b.Role, bulk); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := b.Delta.validate(&b.Role, func(Digest) bool { return false }); err == nil || !strings.Contains(err.Error(), "is left out and is not one that may be") {
		t.Errorf("what is no bulk is left out: %v", err)
	}
	if _, err := WriteSite(t.Context(), io.Discard, []Input{{Role: s.in.Role, Packs: s.in.Packs, Images: s.in.Images, Open: s.in.Open, Delta: &DeltaInput{Base: b.Delta.Base}}}); err == nil || !strings.Contains(err.Error(), "a site file cannot hold deltas") {
		t.Errorf("in a site file: %v", err)
	}
}

// TestZstdMakesTheProgramOfADifference with its base, as FORMAT.md says.
func TestZstdMakesTheProgramOfADifference(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("zstd is not installed")
	}
	s := newDeltaSample(t)
	b := mustOpen(t, s.delta(t))
	p, _ := b.Delta.Program("kubelet")
	stored, dir, offset, got := s.stored[p.Stored], t.TempDir(), int64(0), []byte(nil)
	for _, f := range p.Frames {
		frame, dict := filepath.Join(dir, "frame.zst"), filepath.Join(dir, "dict")
		for name, data := range map[string][]byte{frame: stored[offset : offset+f.Stored], dict: s.old[f.From : f.From+f.Length]} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.CommandContext(t.Context(), "zstd", "-dc", "-D", dict, frame).Output()
		if err != nil {
			t.Fatal(err)
		}
		got, offset = append(got, out...), offset+f.Stored
	}
	if !bytes.Equal(got, s.now) {
		t.Errorf("%d bytes, want %d", len(got), len(s.now))
	}
}

// FuzzDecodeDelta: whatever is decoded has one form, and fits its bundle or is refused; decoding a difference with it ends.
func FuzzDecodeDelta(f *testing.F) {
	s := newDeltaSample(f)
	b, err := openBytes(s.delta(f))
	if err != nil {
		f.Fatal(err)
	}
	data, err := MarshalCanonical(b.Delta)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(bytes.Replace(data, []byte(`"from":0`), []byte(`"from":-1`), 1))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Delta
		if DecodeCanonical(data, &d, MaxDeltaIndex) != nil {
			return
		}
		if d.validate(&b.Role, func(Digest) bool { return true }) != nil {
			return
		}
		again, err := MarshalCanonical(d)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%v: decoded and encoded it is another text", err)
		}
	})
}
