package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// siteSample makes the inputs of the roles etcd, master and node of one site. They share a package; etcd and node have the same
// host, with a pack of its own in each.
func siteSample(t testing.TB) []Input {
	t.Helper()
	node := newSample(t)
	var roles []Input
	for _, role := range []string{RoleEtcd, RoleMaster} {
		s := newSample(t)
		s.in.Role.Role, s.in.Images, s.in.Role.Images = role, nil, nil
		s.in.Packs = map[string]PackInput{"node01": {Pack: fmt.Appendf(nil, `{"role":%q}`, role)}}
		s.in.Role.Artifacts = slices.DeleteFunc(s.in.Role.Artifacts, func(a Artifact) bool { return a.Name == "kubelet" })
		s.in.Role.Files[0].Artifact = "z-" + role
		s.artifact(t, "z-"+role, KindProgram, []byte("the program of "+role))
		roles = append(roles, s.in)
	}
	return append(roles, node.in)
}

func writeSite(t testing.TB, roles []Input) []byte {
	t.Helper()
	var out bytes.Buffer
	sum, err := WriteSite(t.Context(), &out, roles)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Size != int64(out.Len()) {
		t.Errorf("%d bytes written, the summary says %d", out.Len(), sum.Size)
	}
	return out.Bytes()
}

func openSiteBytes(data []byte) ([]*Bundle, error) {
	return openArchive("site.bundle", bytes.NewReader(data), Appended{Size: int64(len(data))}, nil, Options{})
}

func TestARoleOfASiteFileIsThatOfItsOwnFile(t *testing.T) {
	for _, renewal := range []bool{false, true} {
		roles := siteSample(t)
		for i := range roles {
			roles[i].Renewal = renewal
		}
		all, err := openSiteBytes(writeSite(t, roles))
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range all {
			var own bytes.Buffer
			sum, err := Write(t.Context(), &own, roles[i])
			if err != nil {
				t.Fatal(err)
			}
			alone := mustOpen(t, own.Bytes())
			if b.RootDigest != alone.RootDigest || b.RootDigest != sum.Root || b.Role.Role != alone.Role.Role || b.Renewal != renewal || !b.InSite {
				t.Errorf("%s: root %s, its own file has %s", b.Role.Role, b.RootDigest, alone.RootDigest)
			}
			if b.Size != alone.Size {
				t.Errorf("%s: %d bytes, its own file has %d", b.Role.Role, b.Size, alone.Size)
			}
			if got, want := fmt.Sprint(b.Blobs(), b.LayoutFiles(), b.PackHosts(), b.CarriedBlobs()), fmt.Sprint(alone.Blobs(), alone.LayoutFiles(), alone.PackHosts(), alone.CarriedBlobs()); got != want {
				t.Errorf("%s:\n got %s\nwant %s", b.Role.Role, got, want)
			}
			if faults := append(b.Verify(t.Context(), nil), b.VerifyContent(t.Context(), nil)...); len(faults) > 0 {
				t.Errorf("%s: %v", b.Role.Role, faults)
			}
			again, err := rewrite(t, b)
			if err != nil || !bytes.Equal(again, own.Bytes()) {
				t.Errorf("%s: written anew from the site file it is another one (%v)", b.Role.Role, err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestASiteFileHasEachBlobOnce counts: all blobs of the roles' own files, each once, and one head.
func TestASiteFileHasEachBlobOnce(t *testing.T) {
	roles := siteSample(t)
	data := writeSite(t, roles)
	all, err := openSiteBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[Digest]int64{}
	times := 0
	for _, b := range all {
		for _, s := range b.Blobs() {
			sizes[s.Digest] = s.Size
			times++
		}
	}
	if times == len(sizes) {
		t.Error("the roles of this test share nothing")
	}
	a := all[0].src.(*archive)
	want := int64(2*tarBlock+tarEnd) + int64(len(a.idx)) + tarPadding(int64(len(a.idx))) + tarBlock // headers, end, index.json, oci-layout
	for _, size := range sizes {
		want += tarBlock + size + tarPadding(size)
	}
	if int64(len(data)) != want {
		t.Errorf("%d bytes, want %d", len(data), want)
	}
}

func TestTheRefNamesOfASiteFile(t *testing.T) {
	all, err := openSiteBytes(writeSite(t, siteSample(t)))
	if err != nil {
		t.Fatal(err)
	}
	var top Index
	if err := DecodeCanonical(all[0].src.(*archive).idx, &top, MaxIndexJSON); err != nil {
		t.Fatal(err)
	}
	var refs []string
	for i, m := range top.Manifests {
		refs = append(refs, m.Annotations[AnnotationRefName])
		if i < 3 && (m.ArtifactType != ArtifactTypeBundle || m.MediaType != MediaTypeIndex || m.Digest != all[i].RootDigest) {
			t.Errorf("%d: %+v", i, m)
		}
	}
	want := []string{"etcd", "master", "node", "etcd/etcd", "etcd/host-node01", "master/master", "master/host-node01", "node/node", "node/host-node01", "node/host-node02",
		"example.org/a:1", "example.org/b:2"}
	if !slices.Equal(refs, want) {
		t.Errorf("got\n%q, want\n%q", refs, want)
	}
}

// siteFaults returns every fault that reading all of a site file brings to light.
func siteFaults(t *testing.T, data []byte) []error {
	all, err := openSiteBytes(data)
	if err != nil {
		return []error{err}
	}
	defer closeBundles(all)
	return VerifyAll(t.Context(), all, nil)
}

func closeBundles(all []*Bundle) {
	for _, b := range all {
		b.Close()
	}
}

func TestEveryFlippedByteOfASiteFileIsNamedWithItsPlace(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(2000))
	data := writeSite(t, siteSample(t))
	step := 3
	if raceEnabled {
		step = 211
	}
	each(len(data)/step, func(i int) {
		i *= step
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		if problem := flipProblem(siteFaults(t, damaged), int64(i)); problem != "" {
			t.Errorf("byte %d: %s", i, problem)
		}
	})
}

func TestASiteFileCutAnywhereIsNoticedAtOpen(t *testing.T) {
	data := writeSite(t, siteSample(t))
	for _, at := range boundaries(t, data) {
		for _, cut := range []int64{at, at + 1, at + 100} {
			if cut >= int64(len(data)) || cut == 0 {
				continue
			}
			_, err := openSiteBytes(data[:cut])
			var damage *DamageError
			if !errors.As(err, &damage) || !errors.Is(err, ErrCutShort) || damage.Offset != cut || damage.Artifact == "" {
				t.Errorf("cut to %d bytes: %v", cut, err)
			}
		}
	}
}

func TestWhatIsNoSiteFileIsRefused(t *testing.T) {
	write := func(change func([]Input) []Input) string {
		_, err := WriteSite(t.Context(), io.Discard, change(siteSample(t)))
		return fmt.Sprint(err)
	}
	for want, change := range map[string]func([]Input) []Input{
		"the role master is of another cluster or serial than the first one": func(in []Input) []Input { in[1].Role.Cluster.Serial++; return in },
		`the role "master" is not one that may come here`:                    func(in []Input) []Input { slices.Reverse(in); return in },
		`the role "node" is not one that may come here`:                      func(in []Input) []Input { return append(in, in[2]) },
		"some roles are renewals and some are not":                           func(in []Input) []Input { in[1].Renewal = true; return in },
		"there are no roles": func([]Input) []Input { return nil },
	} {
		if got := write(change); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	data := writeSite(t, siteSample(t))
	_, err := openBytes(data)
	var several *SiteFileError
	if !errors.As(err, &several) || !slices.Equal(several.Roles, []string{"etcd", "master", "node"}) {
		t.Errorf("opened as one bundle: %v", err)
	}
}

// TestASiteFileHasExactlyWhatItsRolesNeed moves members about.
func TestASiteFileHasExactlyWhatItsRolesNeed(t *testing.T) {
	data := writeSite(t, siteSample(t))
	extra := rawMember(blobPath(DigestOf([]byte("extra"))), "extra")
	end := len(data) - tarEnd
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a blob too many": {slices.Concat(data[:end], extra, data[end:]), "out of order"},
		"a role is gone":  {bytes.Replace(data, []byte(`"org.opencontainers.image.ref.name":"etcd"`), []byte(`"org.opencontainers.image.ref.name":"etce"`), 1), "does not belong to the root indexes"},
	} {
		if faults := siteFaults(t, c.data); len(faults) != 1 || !strings.Contains(faults[0].Error(), c.want) {
			t.Errorf("%s: %v", name, faults)
		}
	}
}

// TestTheSizeOfASiteFileIsThatOfItsLargestRoleAndWhatTheOthersAddToIt has the proportions of a real stack: programs that one
// role alone has, and packages that all or most have.
func TestTheSizeOfASiteFileIsThatOfItsLargestRoleAndWhatTheOthersAddToIt(t *testing.T) {
	shared := bytes.Repeat([]byte("packages"), 200_000)
	roles := siteSample(t)
	var own, largest int64
	for i := range roles {
		s := &sample{in: roles[i], stored: map[Digest][]byte{}}
		before := roles[i].Open
		s.stored[DigestOf(shared)] = shared
		s.add("zz-shared.rpm", KindPackage, Blob{Digest: DigestOf(shared), Size: int64(len(shared)), Stored: DigestOf(shared), StoredSize: int64(len(shared)), Encoding: EncodingRaw}, shared)
		s.in.Open = func(d Digest) (io.ReadCloser, error) {
			if r, err := s.open(d); err == nil {
				return r, nil
			}
			return before(d)
		}
		roles[i] = s.in
		var out bytes.Buffer
		if _, err := Write(t.Context(), &out, s.in); err != nil {
			t.Fatal(err)
		}
		own, largest = own+int64(out.Len()), max(largest, int64(out.Len()))
	}
	size := int64(len(writeSite(t, roles)))
	if ratio := float64(size) / float64(largest); ratio > 1.02 {
		t.Errorf("%d bytes are %.3f of the largest role's %d; all together have %d", size, ratio, largest, own)
	}
}

// FuzzOpenSite: whatever opens is what WriteSite would have written.
func FuzzOpenSite(f *testing.F) {
	data := writeSite(f, siteSample(f))
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add(writeSite(f, siteSample(f)[2:]))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := openSiteBytes(data)
		if err != nil {
			return
		}
		defer closeBundles(all)
		if len(VerifyAll(t.Context(), all, nil)) > 0 || !all[0].InSite {
			return
		}
		var roles []Input
		for _, b := range all {
			in, err := inputOf(t, b)
			if err != nil {
				t.Fatal(err)
			}
			roles = append(roles, in)
		}
		if again := writeSite(t, roles); !bytes.Equal(again, data) {
			t.Fatalf("what was opened is written differently from byte %d on", firstDifference(again, data))
		}
	})
}
