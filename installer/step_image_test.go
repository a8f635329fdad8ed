package installer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/installer/host"
	"offgrid/installer/hosttest"
)

// Refs of the images in testBundle.
const (
	busyboxRef = "docker.io/library/busybox:1.28.4"
	pauseRef   = "k8s.gcr.io/pause:3.2"
)

// testImages puts two images aboard, with one layer each that is not compressed.
func testImages(in *bundle.Input, stored map[bundle.Digest][]byte) {
	keep := func(data []byte) (bundle.Digest, int) {
		d := bundle.DigestOf(data)
		stored[d] = data
		return d, len(data)
	}
	for _, ref := range []string{busyboxRef, pauseRef} {
		var layer bytes.Buffer
		w := tar.NewWriter(&layer)
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: "ref", Mode: 0o644, Size: int64(len(ref))}), writeAll(w, ref), w.Close()); err != nil {
			panic(err)
		}
		l, lsize := keep(layer.Bytes())
		id, size := keep(fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, sha256.Sum256(layer.Bytes())))
		m, msize := keep(fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":%d,"digest":%q},`+
			`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":%d,"digest":%q}]}`, size, id, lsize, l))
		in.Role.Images = append(in.Role.Images, bundle.Image{Ref: ref, Manifest: m, ID: id})
		in.Images = append(in.Images, bundle.ImageInput{Ref: ref, Manifest: bundle.Descriptor{MediaType: bundle.MediaTypeManifest, Digest: m, Size: int64(msize)}})
	}
}

func writeAll(w *tar.Writer, text string) error {
	_, err := w.Write([]byte(text))
	return err
}

// dockerHost is a host on which docker runs and has nothing, with the steps of both images.
func dockerHost(t *testing.T) (h *hosttest.Host, b *bundle.Bundle, steps []Step) {
	t.Helper()
	h, b = hosttest.New(t), testBundle(t)
	h.Unit(t, "docker.service", true, true)
	return h, b, imageStepsOf(b)
}

func imageStepsOf(b *bundle.Bundle) (steps []Step) {
	for _, s := range imageSteps(&b.Role, b.Path) {
		steps = append(steps, s)
	}
	return steps
}

func wantNames(t *testing.T, h *hosttest.Host, want map[string]string) {
	t.Helper()
	if got := h.DockerNames(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("docker has %v, want %v", got, want)
	}
}

func TestAnImageIsLoadedUnderItsNameAndTakenAwayAgain(t *testing.T) {
	h, b, steps := dockerHost(t)
	before := h.Tree(t)
	must(t, applyAll(h, "node", steps))
	wantNames(t, h, map[string]string{"busybox:1.28.4": b.Role.Images[0].ID.String(), "k8s.gcr.io/pause:3.2": b.Role.Images[1].ID.String()})
	ran := len(h.Ran)
	must(t, applyAll(h, "node", steps))
	if got := strings.Join(h.Ran[ran:], "\n"); strings.Contains(got, "docker load") {
		t.Errorf("it was loaded a second time:\n%s", got)
	}
	notes, err := undoAll(h, false)
	if err != nil || len(notes) > 0 {
		t.Errorf("error %v, notes %q", err, notes)
	}
	if d := hosttest.Diff(before, h.Tree(t)); d != "" {
		t.Error(d)
	}
}

func TestAnotherImageOfTheNameGivesItUpAndGetsItBack(t *testing.T) {
	h, b, steps := dockerHost(t)
	old := h.DockerImage(t, "theirs", "busybox:1.28.4", "mine:1")
	status, err := steps[0].Check(t.Context(), h)
	must(t, err)
	if want := "docker has another image of that name: " + old.Short() + " instead of " + b.Role.Images[0].ID.Short(); status.Why != want {
		t.Errorf("it is %q, want %q", status.Why, want)
	}
	must(t, applyAll(h, "node", steps[:1]))
	wantNames(t, h, map[string]string{"busybox:1.28.4": b.Role.Images[0].ID.String(), "mine:1": old.String()})
	if notes, err := undoAll(h, false); err != nil || len(notes) > 0 {
		t.Errorf("error %v, notes %q", err, notes)
	}
	wantNames(t, h, map[string]string{"busybox:1.28.4": old.String(), "mine:1": old.String()})
}

func TestWhatUninstallCannotTakeFromDockerStaysAndIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		admin func(h *hosttest.Host, b *bundle.Bundle)
		note  string
		stays bool
	}{
		"a container uses it": {func(h *hosttest.Host, b *bundle.Bundle) { h.UseImage(t, b.Role.Images[0].ID) },
			"image " + busyboxRef + " stays with docker's data: a container uses it", true},
		"docker was stopped": {func(h *hosttest.Host, _ *bundle.Bundle) {
			h.Put(t, "/run/hosttest/active/docker.service", "inactive\n")
		},
			"image " + busyboxRef + " stays with docker's data: docker does not answer", true},
		"the name is somebody else's by now": {func(h *hosttest.Host, _ *bundle.Bundle) {
			h.DockerImage(t, "theirs")
			if _, err := h.Run(t.Context(), nil, "docker", "tag", bundle.DigestOf([]byte("theirs")).String(), busyboxRef); err != nil {
				t.Fatal(err)
			}
		}, "", true},
		"it was removed":           {func(h *hosttest.Host, _ *bundle.Bundle) { mustRun(t, h, "docker", "rmi", busyboxRef) }, "", false},
		"it has another name, too": {func(h *hosttest.Host, _ *bundle.Bundle) { mustRun(t, h, "docker", "tag", busyboxRef, "theirs:1") }, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			h, b, steps := dockerHost(t)
			must(t, applyAll(h, "node", steps[:1]))
			c.admin(h, b)
			notes, err := undoAll(h, true)
			if err != nil || strings.Join(notes, "\n") != c.note {
				t.Errorf("error %v, notes %q, want %q", err, notes, c.note)
			}
			if _, stays := h.DockerNames()["busybox:1.28.4"]; stays != c.stays {
				t.Errorf("docker has %v", h.DockerNames())
			}
		})
	}
}

func mustRun(t *testing.T, h *hosttest.Host, argv ...string) {
	t.Helper()
	if _, err := h.Run(t.Context(), nil, argv...); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedLayerIsNamedAndNothingOfItIsAnImage(t *testing.T) {
	h, b, steps := dockerHost(t)
	h.Put(t, "/mnt/usb/install", "the installer")
	must(t, applyAll(h, "node", []Step{&CarryStep{Bundle: b, Executable: "/mnt/usb/install", Role: "node", IP: "20.0.0.103", Host: "node01"}}))
	dir := filepath.Join(h.Root, RoleDir("node"))
	img, _ := b.Image(busyboxRef)
	name := filepath.Join(dir, bundle.StoredBlob{Digest: img.Layers[0].Digest}.Path())
	data, err := os.ReadFile(name)
	must(t, err)
	data[len(data)-1] ^= 1
	must(t, os.WriteFile(name, data, 0o644))
	steps[0].(*ImageStep).Dir = dir
	err = applyAll(h, "node", steps[:1])
	var damage *bundle.DamageError
	if !errors.As(err, &damage) || damage.Artifact != "image "+busyboxRef+", layer 1 of 1" {
		t.Errorf("error is %v", err)
	}
	wantNames(t, h, map[string]string{})
	steps[0].(*ImageStep).Dir = b.Path
	must(t, applyAll(h, "node", steps[:1]))
	wantNames(t, h, map[string]string{"busybox:1.28.4": b.Role.Images[0].ID.String()})
}

func TestDockerIsAskedForAllImagesAtOnce(t *testing.T) {
	h, b, steps := dockerHost(t)
	must(t, applyAll(h, "node", steps[1:]))
	h.Ran = nil
	have, err := dockerImages(t.Context(), h, busyboxRef, pauseRef, "none:1")
	if want := map[string]dockerImage{pauseRef: {ID: b.Role.Images[1].ID.String()}}; err != nil || fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("error %v, images %v, want %v", err, have, want)
	}
	if len(h.Ran) != 1 {
		t.Errorf("it took %q", h.Ran)
	}
}

func TestWhatDockerSaysOfImagesIsUnderstood(t *testing.T) {
	id := bundle.DigestOf([]byte("x")).String()
	line := func(names string) string { return id + " " + names + "\n" }
	for name, c := range map[string]struct {
		script hosttest.Script
		want   string // ID of busybox; "error: TEXT"
	}{
		"by its familiar name":   {hosttest.Says(line(`["other:1","busybox:1.28.4"]`)), id},
		"without names":          {hosttest.Says(line(`null`)), ""},
		"docker 19.03, none":     {hosttest.Fails(1, "Error: No such image: "+busyboxRef+"\n"), ""},
		"docker 23, none":        {hosttest.Fails(1, "Error response from daemon: No such image: busybox:1.28.4\n"), ""},
		"docker is not there":    {nil, "error: executable file not found"},
		"docker is down":         {hosttest.Fails(1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"), "error: Cannot connect"},
		"it fails and says none": {hosttest.Fails(1, ""), "error: exit 1"},
		"one of two complaints":  {hosttest.Fails(1, "Error: No such image: a\nError response from daemon: i/o error\n"), "fault: Error response from daemon: i/o error"},
		"something else":         {hosttest.Says("sha256:1 []\n"), "error: asking docker for its images: it said"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			if c.script != nil {
				h.Script("docker", c.script)
			}
			have, err := dockerImages(t.Context(), h, busyboxRef)
			got := have[busyboxRef].ID
			if fault := have[busyboxRef].Fault; fault != "" {
				got += "fault: " + fault
			}
			want, fails := strings.CutPrefix(c.want, "error: ")
			if fails && (err == nil || !strings.Contains(err.Error(), want)) || !fails && (err != nil || got != want) {
				t.Errorf("error %v, images %v, want %q", err, have, c.want)
			}
		})
	}
}

// docker writes an image's layers without waiting for the disk. The power failed during the load or soon after it.
func TestAnImageWhoseLayersAreNotWholeIsLoadedAnew(t *testing.T) {
	mark := func(b *bundle.Bundle) string { return StateDir + "/image-" + b.Role.Images[0].ID.Short() + ".json" }
	for name, c := range map[string]struct {
		power func(t *testing.T, h *hosttest.Host, b *bundle.Bundle)
		why   string
		ran   []string
	}{
		"docker lists it and cannot read it": {func(t *testing.T, h *hosttest.Host, b *bundle.Bundle) {
			must(t, applyAll(h, "node", imageStepsOf(b)[:1]))
			h.BreakImage(t, b.Role.Images[0].ID)
		}, "docker has it and cannot read it: Error response from daemon: readlink /var/lib/docker/overlay2: invalid argument",
			[]string{"docker load", "docker rmi --force IMAGE", "docker load", "sync"}},
		"docker lists it, and says nothing is wrong": {func(t *testing.T, h *hosttest.Host, b *bundle.Bundle) {
			must(t, applyAll(h, "node", imageStepsOf(b)[:1]))
			h.Put(t, mark(b), "")
		}, "its loading was interrupted: docker may have less of it than it says",
			[]string{"docker load", "docker rmi --force IMAGE", "docker load", "sync"}},
		"docker has a layer of it that no image has": {func(t *testing.T, h *hosttest.Host, b *bundle.Bundle) {
			h.BreakImage(t, b.Role.Images[0].ID)
			h.Put(t, mark(b), "")
		}, "its loading was interrupted: docker may have less of it than it says",
			[]string{"docker load", "docker rmi --force IMAGE", "docker load", "sync"}},
		"docker has lost it": {func(*testing.T, *hosttest.Host, *bundle.Bundle) {}, "docker does not have it", []string{"docker load", "sync"}},
	} {
		t.Run(name, func(t *testing.T) {
			h, b, steps := dockerHost(t)
			c.power(t, h, b)
			status, err := steps[0].Check(t.Context(), h)
			must(t, err)
			if status.State != Needed || status.Why != c.why {
				t.Errorf("it is %q, want %q", status.Why, c.why)
			}
			from := len(h.Ran)
			must(t, applyAll(h, "node", steps[:1]))
			var ran []string
			for _, line := range h.Ran[from:] {
				if !strings.Contains(line, "inspect") {
					ran = append(ran, strings.ReplaceAll(line, b.Role.Images[0].ID.String(), "IMAGE"))
				}
			}
			if fmt.Sprint(ran) != fmt.Sprint(c.ran) {
				t.Errorf("it ran %q, want %q", ran, c.ran)
			}
			wantNames(t, h, map[string]string{"busybox:1.28.4": b.Role.Images[0].ID.String()})
			if status, err := steps[0].Check(t.Context(), h); err != nil || status.State != Satisfied {
				t.Errorf("afterwards it is %+v, error %v", status, err)
			}
			if left, err := host.Exists(h, mark(b)); err != nil || left {
				t.Errorf("the mark stays (%v)", err)
			}
		})
	}
}

func FuzzWhatDockerSays(f *testing.F) {
	f.Add(bundle.DigestOf(nil).String()+` ["busybox:1.28.4"]`, "")
	f.Add("\n", "Error: No such image: x")
	f.Fuzz(func(t *testing.T, out, complaint string) {
		h := hosttest.New(t)
		h.Script("docker", func(_ string, argv []string) (string, error) {
			if complaint == "" {
				return out, nil
			}
			return out, hosttest.Exit(argv, 1, out, complaint)
		})
		have, err := dockerImages(t.Context(), h, busyboxRef)
		got, ok := have[busyboxRef]
		if ok && (err != nil || !strings.Contains(out, got.ID) || got.ID == "" && !strings.Contains(complaint, "Error response from daemon:")) {
			t.Errorf("%+v of %q and %q", got, out, complaint)
		}
	})
}
