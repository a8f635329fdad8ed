package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	s := newSample(t)
	data := s.write(t)
	b := mustOpen(t, data)
	want := s.in.Role
	want.Normalise()
	if !reflect.DeepEqual(b.Role, want) {
		t.Errorf("role index\n got %+v\nwant %+v", b.Role, want)
	}
	for _, name := range []string{"conntrack-1.rpm", "kubelet", "unit/kubelet.service"} {
		a, ok := b.Artifact(name)
		if !ok {
			t.Fatalf("artifact %q is not there", name)
		}
		r, err := b.Content(t.Context(), a.Blob, name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || DigestOf(got) != a.Blob.Digest {
			t.Errorf("content of %s: %d bytes with digest %s, error %v", name, len(got), DigestOf(got), err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("closing %s: %v", name, err)
		}
	}
	if faults := b.Verify(t.Context(), nil); len(faults) > 0 {
		t.Errorf("Verify: %v", faults)
	}
	if faults := b.VerifyContent(t.Context(), nil); len(faults) > 0 {
		t.Errorf("VerifyContent: %v", faults)
	}
	if got := b.PackHosts(); !slices.Equal(got, []string{"node01", "node02"}) {
		t.Errorf("packs of %q", got)
	}
	img, ok := b.Image("example.org/a:1")
	if !ok || len(img.Layers) != 2 || img.Manifest.MediaType != MediaTypeDockerManifest || img.Layers[0].MediaType != dockerType {
		t.Errorf("image: %+v", img)
	}
}

func TestMembersComeInTheirOrderWithNothingInTheHeaders(t *testing.T) {
	data := newSample(t).write(t)
	b := mustOpen(t, data)
	tr := tar.NewReader(bytes.NewReader(data))
	var names []string
	var sizes []int64
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode != 0o644 || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.ModTime.Unix() != 0 || h.Typeflag != tar.TypeReg || h.Format != tar.FormatUSTAR {
			t.Errorf("header of %s: %+v", h.Name, h)
		}
		names, sizes = append(names, h.Name), append(sizes, h.Size)
	}
	want := []string{"oci-layout", "index.json", blobPath(b.RootDigest), blobPath(b.Root.Manifests[0].Digest), blobPath(b.Manifest.Config.Digest)}
	if !slices.Equal(names[:5], want) {
		t.Errorf("first members\n got %q\nwant %q", names[:5], want)
	}
	if !slices.IsSorted(sizes[5:]) {
		t.Errorf("blobs are not sorted by size: %v", sizes[5:])
	}
	if len(data)%512 != 0 || !bytes.Equal(data[len(data)-1024:], make([]byte, 1024)) {
		t.Errorf("the end mark is not two zero blocks")
	}
}

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one := newSample(t).write(t)
	runtime.GOMAXPROCS(4)
	s := newSample(t)
	slices.Reverse(s.in.Images) // the order of the inputs does not matter
	four := s.write(t)
	if i := firstDifference(one, four); i < len(one) || len(one) != len(four) {
		t.Errorf("%d and %d bytes, different from byte %d on", len(one), len(four), i)
	}
}

func TestTheFormatOfASampleDoesNotChangeByAccident(t *testing.T) {
	// What is in a format that was released does not change: this digest and the files in testdata go together.
	const want = "sha256:7964f7051f80e7005a74391868d96f76eca328fc8047ea29bbe2ea3a0bddc67c"
	if got := DigestOf(newSample(t).write(t)).String(); got != want {
		t.Errorf("the sample bundle has digest\n%s, want\n%s", got, want)
	}
}

func TestWriteRefusesWhatOpenWouldRefuse(t *testing.T) {
	tests := []struct {
		name string
		hack func(*sample)
		want string
	}{
		{"a role nobody knows", func(s *sample) { s.in.Role.Role = "worker" }, `role is "worker"`},
		{"files out of order", func(s *sample) {
			s.in.Role.Files = append(s.in.Role.Files, File{Path: "/etc/a", Artifact: "kubelet"})
		}, "not sorted, or twice"},
		{"a path with dots", func(s *sample) { s.in.Role.Files[0].Path = "/opt/../etc/shadow" }, "not absolute and clean"},
		{"a relative link target", func(s *sample) { s.in.Role.Links = []Link{{Path: "/a", Target: "../b"}} }, "not absolute and clean"},
		{"a setuid file", func(s *sample) { s.in.Role.Files[0].Mode = 0o4755 }, "mode is 04755"},
		{"a file without artifact", func(s *sample) { s.in.Role.Files[0].Artifact = "kubectl" }, `no artifact "kubectl"`},
		{"a directory before its parent", func(s *sample) { slices.Reverse(s.in.Role.Dirs) }, "after a directory in it"},
		{"a check of another host", func(s *sample) { s.in.Role.Checks[0].URL = "http://20.0.0.1/" }, "on the host itself"},
		{"a pack of a stranger", func(s *sample) { s.in.Packs["node03"] = s.in.Packs["node01"] }, "no such host"},
		{"one plain pack among sealed ones", func(s *sample) { s.in.Packs["node02"] = PackInput{Pack: []byte("{}")} }, "all must be, or none"},
		{"an SSH key's file alone", func(s *sample) { s.in.Packs["node02"] = PackInput{Pack: []byte("{}"), SSHHostKey: []byte("k")} }, "cannot be for an SSH host key"},
		{"an SSH key's file for any host", func(s *sample) {
			s.in.Packs[JoinPack] = PackInput{Pack: []byte("{}"), Passphrase: []byte("p"), SSHHostKey: []byte("k")}
		}, "cannot be for an SSH host key"},
		{"a long key file", func(s *sample) {
			s.in.Packs["node02"] = PackInput{Pack: []byte("{}"), Passphrase: make([]byte, MaxKeyFile+1)}
		}, "more than the limit of 4096"},
		{"a long pack", func(s *sample) {
			s.in.Packs["node02"] = PackInput{Pack: make([]byte, MaxSealedSize+1), Passphrase: []byte("p")}
		}, "more than the limit of 8396800"},
		{"an image that is not listed", func(s *sample) { s.in.Role.Images = s.in.Role.Images[:1] }, "2 images given, 1 in the role index"},
		{"an image with another ID", func(s *sample) { s.in.Role.Images[0].ID = DigestOf(nil) }, "the image's ID is"},
		{"a blob that is not there", func(s *sample) { delete(s.stored, s.in.Role.Artifacts[1].Blob.Stored) }, "file does not exist"},
		{"a blob with other bytes", func(s *sample) { s.stored[s.in.Role.Artifacts[0].Blob.Stored] = []byte("no RPM") }, "sha256 is"},
		{"a blob that is too long", func(s *sample) { s.stored[s.in.Role.Artifacts[0].Blob.Stored] = []byte("an RPM and more") }, "more than 6 bytes"},
		{"a blob that is too short", func(s *sample) { s.stored[s.in.Role.Artifacts[0].Blob.Stored] = []byte("an") }, "2 of 6 bytes"},
		{"an image named like the role", func(s *sample) {
			s.in.Role.Images[0].Ref, s.in.Images[0].Ref = "a", "a"
			s.in.Role.Images[1].Ref, s.in.Images[1].Ref = "node", "node"
		}, "stands for two manifests"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSample(t)
			test.hack(s)
			_, err := Write(t.Context(), io.Discard, s.in)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestNoPackIsCarriedAndNoProgram(t *testing.T) {
	b := mustOpen(t, newSample(t).write(t))
	var names []string
	for _, s := range b.CarriedBlobs() {
		names = append(names, s.Name)
		if s.Secret {
			t.Errorf("%s: secret is %v", s.Name, s.Secret)
		}
	}
	slices.Sort(names)
	want := []string{
		"conntrack-1.rpm",
		"image example.org/a:1, config", "image example.org/a:1, index", "image example.org/a:1, layer 1 of 2", "image example.org/a:1, layer 2 of 2", "image example.org/a:1, manifest",
		"image example.org/b:2, config", "image example.org/b:2, index", "image example.org/b:2, manifest",
		"role index", "role manifest", "root index", "unit/kubelet.service",
	}
	if !slices.Equal(names, want) {
		t.Errorf("carried\n got %q\nwant %q", names, want)
	}
}

func TestACarriedDirectoryOpensAndSaysWhatWasNotCarried(t *testing.T) {
	b := mustOpen(t, newSample(t).write(t))
	dst := &dirTarget{dir: t.TempDir()}
	if err := b.Carry(t.Context(), dst); err != nil {
		t.Fatal(err)
	}
	if last := dst.put[len(dst.put)-1]; last != "index.json" {
		t.Errorf("the last file is %s, want index.json", last)
	}
	d, err := Open(dst.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.RootDigest != b.RootDigest || !d.IsDir || !reflect.DeepEqual(d.Role, b.Role) {
		t.Errorf("the directory is another bundle: root %s, want %s", d.RootDigest, b.RootDigest)
	}
	if faults := d.Verify(t.Context(), nil); len(faults) > 0 {
		t.Errorf("Verify: %v", faults)
	}
	if faults := d.VerifyContent(t.Context(), nil); len(faults) > 0 {
		t.Errorf("VerifyContent: %v", faults)
	}
	if _, ok := d.Pack("node01"); ok || !slices.Equal(d.PackHosts(), []string{"node01", "node02"}) {
		t.Errorf("packs of %q, node01's aboard: %v; want both known and none aboard", d.PackHosts(), ok)
	}
	a, _ := d.Artifact("kubelet")
	_, err = d.Content(t.Context(), a.Blob, a.Name)
	var missing *NotCarriedError
	if !errors.As(err, &missing) || missing.Name != "kubelet" || !strings.Contains(err.Error(), "not carried to the host") {
		t.Errorf("reading kubelet: %v", err)
	}
	again := &dirTarget{dir: t.TempDir()}
	if err := d.Carry(t.Context(), again); err != nil {
		t.Errorf("carrying a directory on: %v", err)
	}
	before := len(dst.put)
	if err := b.Carry(t.Context(), dst); err != nil || len(dst.put)-before != 2 {
		t.Errorf("carrying again wrote %q, error %v; want the two layout files", dst.put[before:], err)
	}
}

func TestADamagedDirectoryIsRefusedOrNamed(t *testing.T) {
	b := mustOpen(t, newSample(t).write(t))
	rpm, _ := b.Artifact("conntrack-1.rpm")
	rpmPath := blobPath(rpm.Blob.Stored)
	role := blobPath(b.Manifest.Config.Digest)
	tests := []struct {
		name string
		hack func(dir string) error
		want string
	}{
		{"no index.json", func(dir string) error { return os.Remove(filepath.Join(dir, indexName)) }, "was not finished"},
		{"no oci-layout", func(dir string) error { return os.Remove(filepath.Join(dir, layoutName)) }, "not an offgrid bundle"},
		{"another index.json", func(dir string) error { return os.WriteFile(filepath.Join(dir, indexName), []byte("{}\n"), 0o600) }, "not one of ours"},
		{"no role index", func(dir string) error { return os.Remove(filepath.Join(dir, role)) }, "role index is damaged (" + role + "): it is missing"},
		{"a cut blob", func(dir string) error { return os.Truncate(filepath.Join(dir, rpmPath), 3) }, "conntrack-1.rpm is damaged"},
		{"a longer blob", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, rpmPath), []byte("an RPM and more"), 0o600)
		}, "15 bytes, want 6"},
		{"other bytes", func(dir string) error { return os.WriteFile(filepath.Join(dir, rpmPath), []byte("no RPM"), 0o600) }, "conntrack-1.rpm is damaged (" + rpmPath},
		{"a link in the place of a blob", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, rpmPath)), os.Symlink("/dev/zero", filepath.Join(dir, rpmPath)))
		}, "not a regular file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dst := &dirTarget{dir: t.TempDir()}
			if err := errors.Join(b.Carry(t.Context(), dst), test.hack(dst.dir)); err != nil {
				t.Fatal(err)
			}
			d, err := Open(dst.dir)
			if err == nil {
				defer d.Close()
				err = errors.Join(d.Verify(t.Context(), nil)...)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestOpenTakesAFileAndNothingThatIsNeitherFileNorDirectory(t *testing.T) {
	data := newSample(t).write(t)
	name := filepath.Join(t.TempDir(), "node.bundle")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if b.Path != name || b.Size != int64(len(data)) || b.IsDir {
		t.Errorf("path %q, size %d, directory %v", b.Path, b.Size, b.IsDir)
	}
	if err := b.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	var no *NotABundleError
	for _, other := range []string{os.DevNull, t.TempDir()} {
		if _, err := Open(other); !errors.As(err, &no) {
			t.Errorf("%s: %v", other, err)
		}
	}
}

func TestOneBundleIsReadByManyAtOnce(t *testing.T) {
	b := mustOpen(t, newSample(t).write(t))
	a, _ := b.Artifact("kubelet")
	errs := make([]error, 8)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			r, err := b.Content(t.Context(), a.Blob, a.Name)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				r.Close()
			}
			errs[i] = errors.Join(err, errors.Join(b.Verify(t.Context(), nil)...))
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
