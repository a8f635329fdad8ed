package hosttest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// Where docker keeps its images: a file per image, named by the hex digits of its ID, with its names, one per line. An
// image that a container uses has a file of that name in another directory; so has one whose layers are not whole, which
// may be there before the image is, and goes when the image is removed.
const (
	dockerImages = state + "docker/images/"
	dockerUsed   = state + "docker/used/"
	dockerBroken = state + "docker/broken/"
)

// emptyLower is what docker says of an image when the list of a layer's parents was not yet on the disk when the power failed.
const emptyLower = daemonSays + " readlink /var/lib/docker/overlay2: invalid argument"

const daemonSays = "Error response from daemon:"

// dockerFormat is the one template that the fake of "docker image inspect" knows.
const dockerFormat = `{{.Id}} {{json .RepoTags}}`

// DockerImage gives docker an image with that config, under names as docker writes them, and returns its ID.
func (h *Host) DockerImage(t testing.TB, config string, names ...string) bundle.Digest {
	t.Helper()
	id := bundle.DigestOf([]byte(config))
	h.Put(t, dockerImages+id.Hex(), lines(names))
	return id
}

// UseImage makes a container of an image.
func (h *Host) UseImage(t testing.TB, id bundle.Digest) {
	t.Helper()
	h.Put(t, dockerUsed+id.Hex(), "")
}

// BreakImage does what a power cut does to layers that docker has written and the disk has not.
func (h *Host) BreakImage(t testing.TB, id bundle.Digest) {
	t.Helper()
	h.Put(t, dockerBroken+id.Hex(), "")
}

// DockerNames returns the ID of every image that docker has a name for, by that name.
func (h *Host) DockerNames() map[string]string {
	names := map[string]string{}
	ids, err := h.ReadDir(dockerImages)
	if err != nil {
		return names
	}
	for _, id := range ids {
		for _, name := range strings.Fields(h.Get(dockerImages + id)) {
			names[name] = "sha256:" + id
		}
	}
	return names
}

func lines(names []string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(slices.Values(names)) {
		b.WriteString(name + "\n")
	}
	return b.String()
}

// docker is the fake: what docker 20.10 says and does about images.
func (h *Host) docker(stdin io.Reader, argv []string) (string, error) {
	if at, _ := h.unitFile("docker.service"); at == "" {
		return "", &host.RunError{Argv: argv, Code: -1, Err: &exec.Error{Name: argv[0], Err: exec.ErrNotFound}}
	}
	if strings.TrimSpace(h.Get(state+"active/docker.service")) != "active" {
		return "", Exit(argv, 1, "", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
	}
	switch args := argv[1:]; {
	case len(args) > 4 && slices.Equal(args[:4], []string{"image", "inspect", "--format", dockerFormat}):
		return h.dockerInspect(argv, args[4:])
	case slices.Equal(args, []string{"load"}):
		return h.dockerLoad(stdin, argv)
	case len(args) == 2 && args[0] == "rmi":
		return h.dockerRemove(argv, args[1])
	case len(args) == 3 && args[0] == "rmi" && args[1] == "--force":
		return h.dockerForget(argv, args[2])
	case len(args) == 3 && args[0] == "tag":
		id := h.dockerFind(args[1])
		if id == "" {
			return "", Exit(argv, 1, "", "Error response from daemon: No such image: "+args[1])
		}
		return "", h.dockerTag(id, bundle.DockerName(args[2]))
	}
	return "", Exit(argv, 125, "", "docker: the fake does not know "+strings.Join(argv[1:], " "))
}

// dockerFind returns the hex digits of an image's ID, "" when there is none of that name or ID.
func (h *Host) dockerFind(name string) string {
	if id, ok := strings.CutPrefix(name, "sha256:"); ok {
		if there, err := host.Exists(h, dockerImages+id); err == nil && there {
			return id
		}
		return ""
	}
	return strings.TrimPrefix(h.DockerNames()[bundle.DockerName(name)], "sha256:")
}

// dockerInspect prints a line for each image that is there, and complains of each that is not.
func (h *Host) dockerInspect(argv, names []string) (string, error) {
	var out, complaint strings.Builder
	for _, name := range names {
		id := h.dockerFind(name)
		if id == "" {
			complaint.WriteString("Error: No such image: " + name + "\n")
			continue
		}
		if broken, err := host.Exists(h, dockerBroken+id); err != nil || broken {
			complaint.WriteString(emptyLower + "\n")
			continue
		}
		tags, err := json.Marshal(append([]string{}, strings.Fields(h.Get(dockerImages+id))...))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "sha256:%s %s\n", id, tags)
	}
	if complaint.Len() == 0 {
		return out.String(), nil
	}
	if out.Len() == 0 {
		out.WriteString("\n")
	}
	return out.String(), Exit(argv, 1, out.String(), complaint.String())
}

// dockerTag gives a name to an image and takes it from the one that had it.
func (h *Host) dockerTag(id, name string) error {
	old := h.dockerFind(name)
	if old == id {
		return nil
	}
	return h.change(func() error {
		if old != "" {
			left := slices.DeleteFunc(strings.Fields(h.Get(dockerImages+old)), func(n string) bool { return n == name })
			if err := h.put(dockerImages+old, []byte(lines(left)), host.Meta{Mode: 0o644}); err != nil {
				return err
			}
		}
		return h.put(dockerImages+id, []byte(lines(append(strings.Fields(h.Get(dockerImages+id)), name))), host.Meta{Mode: 0o644})
	})
}

// dockerRemove takes a name away, and with the last one the image, unless a container uses it.
func (h *Host) dockerRemove(argv []string, name string) (string, error) {
	id := h.dockerFind(name)
	if id == "" {
		return "", Exit(argv, 1, "", "Error: No such image: "+name)
	}
	left := slices.DeleteFunc(strings.Fields(h.Get(dockerImages+id)), func(n string) bool { return n == bundle.DockerName(name) })
	if len(left) > 0 {
		return "Untagged: " + name + "\n", h.set(dockerImages+id, lines(left))
	}
	if used, err := host.Exists(h, dockerUsed+id); err != nil || used {
		return "", Exit(argv, 1, "", fmt.Sprintf("Error response from daemon: conflict: unable to remove repository reference %q (must force) - "+
			"container 0123456789ab is using its referenced image %s", name, id[:12]))
	}
	return "Untagged: " + name + "\nDeleted: sha256:" + id + "\n", h.change(func() error { return h.drop(dockerImages + id) })
}

// dockerForget removes an image with all its names and layers.
func (h *Host) dockerForget(argv []string, id string) (string, error) {
	hex := h.dockerFind(id)
	if hex == "" {
		return "", Exit(argv, 1, "", "Error: No such image: "+id)
	}
	if used, err := host.Exists(h, dockerUsed+hex); err != nil || used {
		return "", Exit(argv, 1, "", daemonSays+" conflict: unable to delete "+hex[:12]+" (cannot be forced) - image is being used by running container 0123456789ab")
	}
	return "Deleted: " + id + "\n", h.change(func() error {
		return errors.Join(h.drop(dockerImages+hex), h.drop(dockerBroken+hex))
	})
}

// dockerItem is an image in manifest.json.
type dockerItem struct {
	Config           string
	RepoTags, Layers []string
}

// dockerLoad does what docker does: it unpacks all of the archive first, reads manifest.json, and looks at each image's
// layers before it believes in the image.
func (h *Host) dockerLoad(stdin io.Reader, argv []string) (string, error) {
	members := map[string][]byte{}
	for r := tar.NewReader(stdin); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			members[header.Name], err = io.ReadAll(r)
		}
		if err != nil {
			return "", Exit(argv, 1, "", "Error processing tar file(exit status 1): "+err.Error())
		}
	}
	var items []dockerItem
	if _, ok := members["manifest.json"]; !ok {
		return "", Exit(argv, 1, "", "open /var/lib/docker/tmp/docker-import-0123456789/repositories: no such file or directory")
	}
	if err := json.Unmarshal(members["manifest.json"], &items); err != nil {
		return "", Exit(argv, 1, "", err.Error())
	}
	var said strings.Builder
	for _, item := range items {
		if err := checkItem(members, item); err != nil {
			return said.String(), Exit(argv, 1, said.String(), err.Error())
		}
		if err := h.dockerCreate(&said, bundle.DigestOf(members[item.Config]).Hex(), item.RepoTags); err != nil {
			return said.String(), err
		}
	}
	return said.String(), nil
}

// dockerCreate makes the image, then names it: it may die between the two.
func (h *Host) dockerCreate(said io.Writer, id string, names []string) error {
	if h.dockerFind("sha256:"+id) == "" {
		if err := h.set(dockerImages+id, ""); err != nil {
			return err
		}
	}
	for _, name := range names {
		name = bundle.DockerName(name)
		if old := h.dockerFind(name); old != "" && old != id {
			fmt.Fprintf(said, "The image %s already exists, renaming the old one with ID sha256:%s to empty string\n", name, old)
		}
		if err := h.dockerTag(id, name); err != nil {
			return err
		}
		fmt.Fprintf(said, "Loaded image: %s\n", name)
	}
	return nil
}

// checkItem compares the layers of an image with what its config says of them.
func checkItem(members map[string][]byte, item dockerItem) error {
	var config struct {
		RootFS *struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	data, ok := members[item.Config]
	if !ok {
		return fmt.Errorf("open /var/lib/docker/tmp/docker-import-0123456789/%s: no such file or directory", item.Config)
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	if config.RootFS == nil {
		return errors.New("invalid image JSON, no RootFS key")
	}
	if want, got := len(item.Layers), len(config.RootFS.DiffIDs); want != got {
		return fmt.Errorf("invalid manifest, layers length mismatch: expected %d, got %d", want, got)
	}
	for i, want := range config.RootFS.DiffIDs {
		layer := members[item.Layers[i]]
		if bytes.HasPrefix(layer, []byte{0x1f, 0x8b, 0x08}) {
			z, err := gzip.NewReader(bytes.NewReader(layer))
			if err == nil {
				layer, err = io.ReadAll(z)
			}
			if err != nil {
				return err
			}
		}
		sum := sha256.Sum256(layer)
		if got := "sha256:" + hex.EncodeToString(sum[:]); got != want {
			return fmt.Errorf("invalid diffID for layer %d: expected %q, got %q", i, want, got)
		}
	}
	return nil
}
