package installer

import (
	"strings"
	"testing"

	"offgrid/bundle"
)

func TestDockersDirectoryMustHoldTheImagesUnpacked(t *testing.T) {
	b := testBundle(t)
	layer := int64(2048) // a tar of one small file; there are two, and the archive of one while it is loaded
	if got := dockerBytes(b, func(bundle.Digest) bool { return false }); got != 3*layer {
		t.Errorf("docker needs %d bytes, want %d", got, 3*layer)
	}
	first, _ := b.Image(busyboxRef)
	if got := dockerBytes(b, func(d bundle.Digest) bool { return d == first.Manifest.Digest }); got != 2*layer {
		t.Errorf("docker needs %d bytes for the second, want %d", got, 2*layer)
	}
	if got := dockerBytes(b, func(bundle.Digest) bool { return true }); got != 0 {
		t.Errorf("docker needs %d bytes for nothing", got)
	}
	facts := pfFacts("20.0.0.103")
	facts.Mounts = append(facts.Mounts, Mount{Path: dockerDir, Type: "xfs", Options: []string{"rw"}, Free: 1 << 30})
	in := PreflightInput{Facts: facts, Roles: []RoleInput{{Index: pfIndex(bundle.RoleNode), Images: 1 << 30}}}
	found := checkSpace(&in, nil)
	if len(found) != 1 || found[0].What != "/var/lib/docker has 1024 MiB free, 1088 MiB is needed" ||
		found[0].Why != "1024 MiB for container images, 64 MiB in reserve" || !strings.HasPrefix(found[0].Fix, "du -x -m -d 2 /var/lib/docker ") {
		t.Errorf("found %+v", found)
	}
	in.Previous.Clusters = map[string]string{bundle.RoleNode: "c0ffee"}
	if found := checkSpace(&in, nil); len(found) != 0 {
		t.Errorf("the images are there already, and it finds %+v", found)
	}
}
