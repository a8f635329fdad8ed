package bundle

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzOpen: whatever opens is what Write would have written, and nothing makes Open or Verify panic.
func FuzzOpen(f *testing.F) {
	data := newSample(f).write(f)
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add(newSample(f).renewal(f))
	f.Add(newSample(f).signed(f, newKey(f)))
	f.Add([]byte{})
	f.Add(rawMember("oci-layout", ociLayout))
	f.Add(append(rawMember("oci-layout", ociLayout), rawMember("index.json", `{"artifactType":"application/vnd.offgrid.bundle.v1"}`)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := openBytes(data)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		defer b.Close()
		if faults := b.Verify(t.Context(), nil); len(faults) > 0 {
			return
		}
		again, err := rewrite(t, b)
		if err != nil {
			t.Fatalf("what was opened cannot be written: %v", err)
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("what was opened is written differently from byte %d on", firstDifference(again, data))
		}
	})
}

// rewrite writes an open bundle anew from its parts.
func rewrite(t *testing.T, b *Bundle) ([]byte, error) {
	in, err := inputOf(t, b)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = Write(t.Context(), &out, in)
	return out.Bytes(), err
}

// inputOf is what an open bundle was written from.
func inputOf(t *testing.T, b *Bundle) (Input, error) {
	t.Helper()
	in := Input{Role: b.Role, Renewal: b.Renewal, Packs: map[string]PackInput{}, Open: func(d Digest) (io.ReadCloser, error) {
		r, _, err := b.Stored(d)
		return r, err
	}}
	if b.Signature != nil {
		in.Sign = func([]byte, string) ([]byte, error) { return b.Signature.Bytes(), nil }
	}
	for _, host := range b.PackHosts() {
		p, _ := b.Pack(host)
		var out PackInput
		for _, part := range []struct {
			to   *[]byte
			from StoredBlob
		}{{&out.Pack, p.Data}, {&out.Passphrase, p.Passphrase}, {&out.SSHHostKey, p.SSHHostKey}} {
			if part.from.Name == "" {
				continue
			}
			r, _, err := b.Stored(part.from.Digest)
			if err != nil {
				return in, err
			}
			data, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil {
				return in, err
			}
			*part.to = data
		}
		in.Packs[host] = out
	}
	for _, img := range b.Role.Images {
		blobs, _ := b.Image(img.Ref)
		in.Images = append(in.Images, ImageInput{Ref: img.Ref, Manifest: blobs.Manifest})
	}
	return in, nil
}

// FuzzDecodeRoleIndex: whatever is decoded has one form only and passes or fails validation without a panic.
func FuzzDecodeRoleIndex(f *testing.F) {
	role := newSample(f).in.Role
	role.Normalise()
	data, err := MarshalCanonical(role)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(bytes.Replace(data, []byte(`"mode":493`), []byte(`"mode":4294967295`), 1))
	f.Add(bytes.Replace(data, []byte(`"size":8389608`), []byte(`"size":-1`), 1))
	f.Add(bytes.Replace(data, []byte("2026-01-02T03:04:05Z"), []byte("2026-01-02T03:04:05+02:00"), 1))
	f.Add([]byte("{}\n"))
	f.Add([]byte("null\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r RoleIndex
		if DecodeCanonical(data, &r, MaxRoleIndexSize) != nil {
			return
		}
		again, err := MarshalCanonical(r)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("encoded again it is %q, error %v; was %q", again, err, data)
		}
		_ = r.Validate()
	})
}

// FuzzFrames: stored bytes and a frame table from anywhere give the content that was promised, or an error.
func FuzzFrames(f *testing.F) {
	for _, content := range []string{"short", string(bytes.Repeat([]byte("longer "), 5000))} {
		var out bytes.Buffer
		blob, err := Encode(f.Context(), bytes.NewReader([]byte(content)), &out, 1)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes(), blob.Size, int64(0))
		f.Add(out.Bytes(), blob.Size-1, int64(3))
		f.Add(append(out.Bytes(), out.Bytes()...), 2*blob.Size, blob.StoredSize)
	}
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, int64(FrameSize), int64(0))
	f.Fuzz(func(t *testing.T, stored []byte, size, cut int64) {
		if size > 3*FrameSize { // more is only slow
			return
		}
		blob := Blob{Digest: DigestOf([]byte("promised")), Size: size, Stored: DigestOf(stored), StoredSize: int64(len(stored)), Encoding: EncodingZstd}
		for _, part := range [][]byte{stored[:min(max(cut, 0), int64(len(stored)))], stored[min(max(cut, 0), int64(len(stored))):]} {
			if len(part) > 0 {
				blob.Frames = append(blob.Frames, Frame{Stored: int64(len(part)), Digest: DigestOf(part)})
			}
		}
		b := &Bundle{Path: "fuzz", src: &archive{r: bytes.NewReader(stored), blobs: map[Digest]extent{blob.Stored: {r: bytes.NewReader(stored), size: int64(len(stored))}}}}
		r, err := b.Content(t.Context(), blob, "fuzz")
		if err != nil {
			return
		}
		defer r.Close()
		got, err := io.ReadAll(r)
		if int64(len(got)) > size {
			t.Errorf("%d bytes of content, %d promised", len(got), size)
		}
		if err == nil && DigestOf(got) != blob.Digest {
			t.Errorf("%d bytes with another digest came without an error", len(got))
		}
		b.codec.close()
	})
}

// FuzzImageManifest: other people's JSON neither panics nor names blobs beyond the limits.
func FuzzImageManifest(f *testing.F) {
	s := newSample(f)
	for _, img := range s.in.Images {
		f.Add(s.stored[img.Manifest.Digest])
	}
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"sha256:00"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseImageManifest(data)
		if err != nil {
			return
		}
		for _, d := range append(m.Layers, m.Config) {
			if d.Digest.IsZero() || d.Size < 0 || d.Size > MaxBlobSize {
				t.Errorf("descriptor %+v passed", d)
			}
		}
	})
}

// FuzzRoot: any text in the place of the root, with digests that fit it, is refused or is the root that belongs there.
func FuzzRoot(f *testing.F) {
	data := newSample(f).write(f)
	b, err := openBytes(data)
	if err != nil {
		f.Fatal(err)
	}
	root, err := MarshalCanonical(b.Root)
	if err != nil {
		f.Fatal(err)
	}
	_, at := b.src.index()
	rest := data[at+int64(len(b.src.(*archive).idx)):]
	rest = rest[bytes.Index(rest, []byte(blobPath(b.Root.Manifests[0].Digest)+"\x00")):] // from the role manifest's header on
	f.Add(root)
	f.Add(bytes.Replace(root, []byte("host-node01"), []byte("host-node03"), 1))
	f.Add(bytes.Replace(root, []byte(`"size":545`), []byte(`"size":-545`), 1))
	f.Add(bytes.Replace(root, []byte("example.org/a:1"), []byte("example.org/c:1"), 1))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Index
		_ = DecodeStrict(text, &r, MaxIndexJSON) // what is left out is refused by Open as well
		idx, err := MarshalCanonical(topIndex(descriptorOf(MediaTypeIndex, text), &r, false))
		if err != nil {
			return
		}
		made := append(rawMember(layoutName, ociLayout), rawMember(indexName, string(idx))...)
		made = append(made, rawMember(blobPath(DigestOf(text)), string(text))...)
		b, err := openBytes(append(made, rest...))
		if err == nil {
			b.Close()
		}
		if (err == nil) != bytes.Equal(text, root) {
			t.Errorf("error %v for %q", err, text)
		}
	})
}
