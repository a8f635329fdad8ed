package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// openAndVerify returns every fault that reading a bundle brings to light.
func openAndVerify(t *testing.T, data []byte) []error {
	t.Helper()
	b, err := openBytes(data)
	if err != nil {
		return []error{err}
	}
	defer b.Close()
	return b.Verify(t.Context(), nil)
}

func TestEveryFlippedByteIsNamedWithItsPlace(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(2000)) // thousands of small bundles: collecting them takes most of the time
	data := newSample(t).write(t)
	step := 1
	if raceEnabled {
		step = 211
	}
	each(len(data)/step, func(i int) {
		i *= step
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		if problem := flipProblem(openAndVerify(t, damaged), int64(i)); problem != "" {
			t.Errorf("byte %d: %s", i, problem)
		}
	})
}

// flipProblem says why the faults do not name the damaged byte.
func flipProblem(faults []error, at int64) string {
	var format *FormatError
	var damage *DamageError
	switch {
	case len(faults) != 1:
		return fmt.Sprintf("%d faults: %v", len(faults), faults)
	case errors.As(faults[0], &format): // the digit of the number itself
		return ""
	case !errors.As(faults[0], &damage):
		return faults[0].Error()
	case errors.Is(damage, ErrCutShort): // a size that became larger than the file
		return ""
	case at < damage.Offset || at >= damage.Offset+damage.Length:
		return fmt.Sprintf("named as %d and %d more: %v", damage.Offset, damage.Length, damage)
	}
	return ""
}

// boundaries returns the offset of every member's header, content and end.
func boundaries(t *testing.T, data []byte) []int64 {
	t.Helper()
	var out []int64
	for at := int64(0); ; {
		out = append(out, at)
		_, size, err := parseTarHeader(data[at : at+tarBlock])
		if err != nil {
			return append(out, at+tarBlock)
		}
		out = append(out, at+tarBlock, at+tarBlock+size, at+tarBlock+size-1)
		at += tarBlock + size + tarPadding(size)
	}
}

func TestABundleCutAnywhereIsNoticedAtOpen(t *testing.T) {
	data := newSample(t).write(t)
	places := boundaries(t, data)
	for _, at := range places {
		places = append(places, at+1, at+100)
	}
	for _, at := range places {
		if at >= int64(len(data)) {
			continue
		}
		_, err := openBytes(data[:at])
		var no *NotABundleError
		var damage *DamageError
		switch {
		case at == 0 && errors.As(err, &no):
		case errors.As(err, &damage) && errors.Is(err, ErrCutShort) && damage.Offset == at && damage.Artifact != "":
		default:
			t.Errorf("cut to %d bytes: %v", at, err)
		}
	}
}

func TestACutNamesTheArtifactThatIsNotWhole(t *testing.T) {
	data := newSample(t).write(t)
	b := mustOpen(t, data)
	kubelet, _ := b.Artifact("kubelet")
	e, err := b.src.open(kubelet.Blob.Stored)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		at   int64
		want string
	}{
		{e.offset + e.size - 1, "kubelet"},
		{e.offset, "kubelet"},
		{e.offset - 100, "kubelet"},
		{int64(len(data)) - 1024, "the end of the archive"},
		{int64(len(data)) - 1, "the end of the archive"},
		{600, "oci-layout"},
		{1600, "index.json"},
	} {
		_, err := openBytes(data[:test.at])
		var damage *DamageError
		if !errors.As(err, &damage) || damage.Artifact != test.want {
			t.Errorf("cut to %d bytes: %v, want it to name %s", test.at, err, test.want)
		}
	}
}

func TestVerifyFindsAllFaultsAndNotOnlyTheFirst(t *testing.T) {
	data := newSample(t).write(t)
	b := mustOpen(t, data)
	flip := func(d Digest, offset int64) {
		e, err := b.src.open(d)
		if err != nil {
			t.Fatal(err)
		}
		data[e.offset+offset] ^= 0x10
	}
	kubelet, _ := b.Artifact("kubelet")
	rpm, _ := b.Artifact("conntrack-1.rpm")
	frames := kubelet.Blob.Frames
	flip(kubelet.Blob.Stored, 5)
	flip(kubelet.Blob.Stored, frames[0].Stored+frames[1].Stored+5)
	flip(rpm.Blob.Stored, 0)
	pack, _ := b.Pack("node02")
	flip(pack.Data.Digest, 3)
	flip(pack.Passphrase.Digest, 3)
	var got []string
	for _, err := range b.Verify(t.Context(), nil) {
		var damage *DamageError
		if !errors.As(err, &damage) {
			t.Fatalf("not a damage error: %v", err)
		}
		got = append(got, strings.TrimSpace(damage.Artifact+" "+damage.Where))
	}
	slices.Sort(got)
	want := []string{"conntrack-1.rpm", "host pack of node02", "host pack of node02, key for the passphrase", "kubelet frame 1 of 3", "kubelet frame 3 of 3"}
	if !slices.Equal(got, want) {
		t.Errorf("faults\n got %q\nwant %q", got, want)
	}
}

func TestContentEndsWithAnErrorAtTheDamagedFrameAndGivesOutNothingOfIt(t *testing.T) {
	data := newSample(t).write(t)
	b := mustOpen(t, data)
	kubelet, _ := b.Artifact("kubelet")
	e, err := b.src.open(kubelet.Blob.Stored)
	if err != nil {
		t.Fatal(err)
	}
	data[e.offset+kubelet.Blob.Frames[0].Stored+9] ^= 1
	r, err := b.Content(t.Context(), kubelet.Blob, "kubelet")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	r.Close()
	var damage *DamageError
	if !errors.As(err, &damage) || damage.Where != "frame 2 of 3" || len(got) != FrameSize {
		t.Errorf("%d bytes, then %v; want one frame of %d, then the second named", len(got), err, FrameSize)
	}
}

// members cuts a tar into its members, the end mark apart.
func members(t *testing.T, data []byte) [][]byte {
	t.Helper()
	var out [][]byte
	for {
		_, size, err := parseTarHeader(data[:tarBlock])
		if err != nil {
			return out
		}
		n := tarBlock + size + tarPadding(size)
		out, data = append(out, data[:n]), data[n:]
	}
}

func rawMember(name, content string) []byte {
	var out bytes.Buffer
	tw := &tarWriter{w: &out}
	_ = tw.bytes(name, []byte(content))
	return out.Bytes()
}

func TestMembersOutOfOrderTwiceOrStrangeAreRefused(t *testing.T) {
	data := newSample(t).write(t)
	all := members(t, data)
	blob := func(content string) []byte { return rawMember(blobPath(DigestOf([]byte(content))), content) }
	tests := []struct {
		name string
		make func(m [][]byte) [][]byte
		want string
	}{
		{"two blobs swapped", func(m [][]byte) [][]byte { m[6], m[7] = m[7], m[6]; return m }, "out of order"},
		{"root and role manifest swapped", func(m [][]byte) [][]byte { m[2], m[3] = m[3], m[2]; return m }, ""},
		{"index.json first", func(m [][]byte) [][]byte { m[0], m[1] = m[1], m[0]; return m }, ""},
		{"a blob twice", func(m [][]byte) [][]byte { return append(m, m[len(m)-1]) }, "comes twice"},
		{"the root twice", func(m [][]byte) [][]byte { return append(m, m[2]) }, "comes twice"},
		{"a blob left out", func(m [][]byte) [][]byte { return slices.Delete(m, 8, 9) }, "it is missing"},
		{"a blob too many", func(m [][]byte) [][]byte { return append(m, blob(strings.Repeat("x", 30000))) }, "nothing refers to this blob"},
		{"a file too many", func(m [][]byte) [][]byte { return append(m, rawMember("README", "hello")) }, "is not a blob"},
		{"a path that leaves", func(m [][]byte) [][]byte { return append(m, rawMember("../../etc/passwd", "root")) }, "is not a blob"},
		{"an absolute path", func(m [][]byte) [][]byte { return append(m, rawMember("/etc/passwd", "root")) }, "is not a blob"},
		{"upper-case digits", func(m [][]byte) [][]byte { return append(m, rawMember(blobDir+strings.Repeat("A", 64), "root")) }, "is not a blob"},
		{"metadata alone", func(m [][]byte) [][]byte { return m[:5] }, "it is missing"},
		{"too little metadata", func(m [][]byte) [][]byte { return m[:4] }, "ends after 4 members"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			made := append(bytes.Join(test.make(slices.Clone(all)), nil), make([]byte, tarEnd)...)
			_, err := openBytes(made)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestWhatFollowsTheEndIsRefused(t *testing.T) {
	data := append(newSample(t).write(t), make([]byte, 512)...)
	_, err := openBytes(data)
	if err == nil || !strings.Contains(err.Error(), "more after the end") {
		t.Errorf("error %v", err)
	}
}

// rebuild writes the sample with other metadata, consistent in itself.
func rebuild(t *testing.T, change func(p *pieces)) []byte {
	t.Helper()
	p := &pieces{in: newSample(t).in, data: map[Digest][]byte{}, names: map[Digest]string{}}
	if err := p.assemble(t.Context()); err != nil {
		t.Fatal(err)
	}
	change(p)
	var out bytes.Buffer
	if err := p.write(t.Context(), &tarWriter{w: &out}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// replaceRoleIndex puts other bytes in the place of the role index and makes digests and manifests fit.
func replaceRoleIndex(t *testing.T, edit func([]byte) []byte) []byte {
	return rebuild(t, func(p *pieces) {
		role := &p.in.Role
		drop := func(d Digest) { delete(p.sizes, d) }
		old := p.fixed
		index := edit(p.data[old[2]])
		var root Index
		if err := DecodeCanonical(p.data[old[0]], &root, MaxIndexJSON); err != nil {
			t.Fatal(err)
		}
		for _, d := range old {
			drop(d)
		}
		config, _ := p.blob(MediaTypeRoleIndex, index, "role index", 1<<30)
		manifest, _ := p.meta(MediaTypeManifest, roleManifest(config, role), "role manifest", 1<<30)
		root.Manifests[0] = named(manifest, role.Role, ArtifactTypeRole)
		rootDesc, _ := p.meta(MediaTypeIndex, root, "root", 1<<30)
		p.fixed = []Digest{rootDesc.Digest, manifest.Digest, config.Digest}
		p.index, _ = MarshalCanonical(topIndex(rootDesc, &root, false))
	})
}

func TestMetadataThatIsNotCanonicalIsRefusedThoughItsDigestsFit(t *testing.T) {
	swap := func(old, with string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("%q is not in the role index", old)
			}
			return bytes.Replace(b, []byte(old), []byte(with), 1)
		}
	}
	tests := []struct {
		name string
		edit func([]byte) []byte
		want string
	}{
		{"a newer format", swap(`"format":1`, `"format":2`), "bundle format 2 is newer than format 1"},
		{"an unknown field", swap(`"role":"node"`, `"role":"node","hook":"rm"`), `unknown field "hook"`},
		{"a field twice", swap(`"role":"node"`, `"role":"etcd","role":"node"`), "not in canonical form"},
		{"a key in capitals", swap(`"role":`, `"Role":`), "not in canonical form"},
		{"white space", swap(`"role":"node"`, `"role": "node"`), "not in canonical form"},
		{"more after the value", func(b []byte) []byte { return append(b, "{}"...) }, "more after the value"},
		{"null for a list", swap(`"packages":[]`, `"packages":null`), "not in canonical form"},
		{"invalid UTF-8", swap(`"name":"demo"`, "\"name\":\"d\xffmo\""), "not in canonical form"},
		{"a path that leaves", swap("/opt/kubernetes/bin/kubelet", "/opt/kubernetes/../../kubelet"), "not absolute and clean"},
		{"another role", swap(`"role":"node"`, `"role":"etcd"`), ""},
		{"cut JSON", func(b []byte) []byte { return b[:len(b)/2] }, "unexpected EOF"},
		{"nothing", func([]byte) []byte { return nil }, "unexpected EOF"},
		{"deep nesting", func([]byte) []byte { return []byte(strings.Repeat("[", 20000)) }, "decoding JSON"},
		{"more than the limit", func(b []byte) []byte { return append(b, make([]byte, MaxRoleIndexSize)...) }, "at most 8388608"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := openBytes(replaceRoleIndex(t, test.edit))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
	if _, err := openBytes(replaceRoleIndex(t, bytes.Clone)); err != nil {
		t.Errorf("the unchanged index: %v", err)
	}
}

func TestANewerFormatIsNamedAsSuchWhateverFollows(t *testing.T) {
	index := `{"signature":"x","artifactType":"application/vnd.offgrid.bundle.v7"}`
	data := slices.Concat(rawMember("oci-layout", ociLayout), rawMember("index.json", index), rawMember("something", "else"), make([]byte, tarEnd))
	_, err := openBytes(data)
	var format *FormatError
	if !errors.As(err, &format) || format.Found != 7 || format.Known != Format {
		t.Errorf("error %v, want format 7 named", err)
	}
}

func TestOtherFilesAreNotCalledDamagedBundles(t *testing.T) {
	foreign := slices.Concat(rawMember("blobs/a", "x"), rawMember("index.json", "{}"), make([]byte, tarEnd))
	layout := slices.Concat(rawMember("oci-layout", ociLayout), rawMember("index.json", `{"schemaVersion":2,"manifests":[]}`), rawMember(blobPath(DigestOf([]byte("x"))), "x"), make([]byte, tarEnd))
	for _, test := range []struct{ name, data, want string }{
		{"nothing", "", "it is empty"},
		{"gzip", "\x1f\x8b\x08" + strings.Repeat("x", 2000), "like a gzip file"},
		{"a program", "\x7fELF" + strings.Repeat("x", 2000), "it is a program"},
		{"zeros", strings.Repeat("\x00", 4096), "does not begin with"},
		{"text", strings.Repeat("hello\n", 1000), "does not begin with"},
		{"a short text", "hello", "does not begin with"},
		{"another tar", string(foreign), "does not begin with"},
		{"another OCI layout", string(layout), "one of ours"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := openBytes([]byte(test.data))
			var no *NotABundleError
			if !errors.As(err, &no) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

// countedReaderAt counts what is read.
type countedReaderAt struct {
	r io.ReaderAt
	n int64
}

func (c *countedReaderAt) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.r.ReadAt(p, at)
	c.n += int64(n)
	return n, err
}

func TestOpenReadsTheMetadataAndNotTheContent(t *testing.T) {
	s := newSample(t)
	noise := make([]byte, 20<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	s.artifact(t, "zz-big", KindProgram, noise)
	data := s.write(t)
	c := &countedReaderAt{r: bytes.NewReader(data)}
	b, err := OpenReaderAt("big", c, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if c.n > 64<<10 {
		t.Errorf("opening read %d of %d bytes", c.n, len(data))
	}
	_, err = openBytes(data[:len(data)-4<<20])
	if want := "zz-big is damaged"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("cut short: %v, want %q in it", err, want)
	}
}

func ExampleDamageError() {
	err := &DamageError{Path: "node.bundle", Artifact: "kubelet", Where: "frame 3 of 28", Offset: 1048576, Length: 4096, Err: errors.New("sha256 differs")}
	fmt.Println(err)
	// Output: node.bundle: kubelet is damaged (frame 3 of 28, bytes 1048576 to 1052671): sha256 differs
}

// TestAManifestOfAPackThatSaysSomethingElseIsRefused changes the manifest of a pack and everything above it, as somebody
// would who builds a bundle of his own.
func TestAManifestOfAPackThatSaysSomethingElseIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		hack func(m *Manifest)
		want string
	}{
		{"no blob", func(m *Manifest) { m.Layers = m.Layers[:0] }, "it names 0 blobs"},
		{"four blobs", func(m *Manifest) { m.Layers = append(m.Layers, m.Layers[0]) }, "it names 4 blobs"},
		{"the key files the other way round", func(m *Manifest) { m.Layers[1], m.Layers[2] = m.Layers[2], m.Layers[1] }, "not the manifest of a host pack"},
		{"a plain pack with a sealed one's type", func(m *Manifest) { m.Layers = m.Layers[:1] }, "not the manifest of a host pack"},
		{"another title", func(m *Manifest) { m.Layers[1].Annotations[AnnotationTitle] = "host-node02.passphrase" }, "not the manifest of a host pack"},
		{"another host", func(m *Manifest) { m.Annotations[AnnotationHost] = "node02" }, "not the manifest of a host pack"},
		{"a long key file", func(m *Manifest) { m.Layers[2].Size = MaxKeyFile + 1 }, "within the limits"},
		{"a negative size", func(m *Manifest) { m.Layers[0].Size = -1 }, "within the limits"},
		{"a plain pack among sealed ones", func(m *Manifest) { m.Layers = packLayers("node01", m.Layers[:1]) }, "or the other way round"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dst := &dirTarget{dir: t.TempDir()}
			b := mustOpen(t, newSample(t).write(t))
			if err := b.Carry(t.Context(), dst); err != nil {
				t.Fatal(err)
			}
			put := func(v any) Descriptor {
				data, err := MarshalCanonical(v)
				if err != nil {
					t.Fatal(err)
				}
				d := descriptorOf(MediaTypeManifest, data)
				if err := os.WriteFile(filepath.Join(dst.dir, filepath.FromSlash(blobPath(d.Digest))), data, 0o600); err != nil {
					t.Fatal(err)
				}
				return d
			}
			for i, d := range b.Root.Manifests {
				var m Manifest
				switch ref := d.Annotations[AnnotationRefName]; ref {
				case "host-node01", "host-node02":
					if _, err := b.metadata(d.Digest, d.Size, ref, MaxIndexJSON, &m); err != nil {
						t.Fatal(err)
					}
					if ref == "host-node01" {
						test.hack(&m)
					}
					b.Root.Manifests[i] = named(put(m), ref, ArtifactTypePack)
				}
			}
			root := put(b.Root)
			idx, err := MarshalCanonical(topIndex(root, &b.Root, false))
			if err == nil {
				err = os.WriteFile(filepath.Join(dst.dir, indexName), idx, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if d, err := Open(dst.dir); err == nil || !strings.Contains(err.Error(), test.want) {
				if err == nil {
					d.Close()
				}
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}
