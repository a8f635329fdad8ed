package installer

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
)

const (
	// spaceReserve stays free on every mount point that something is written to: logs and the journal grow.
	spaceReserve = 64 << 20
	// packageFactor is an estimate of how much an installed package takes, against its compressed file, on the safe side.
	packageFactor = 5
	// layerFactor is an estimate of how much a layer takes once docker has unpacked it, against its gzip: programs shrink to
	// 30 to 45 %, so this is on the safe side. The true size is known only to who unpacks it.
	layerFactor = 3
	// dockerDir is where docker keeps images.
	dockerDir = "/var/lib/docker"
)

// checkStateExec insists that programs may be run from where they are put, and that files may be put there at all.
func checkStateExec(in *PreflightInput, _ *RoleInput) []Finding {
	var found []Finding
	seen := map[string]bool{}
	look := func(name string, runs bool) {
		m, ok := mountOf(in.Facts, name)
		if !ok || seen[m.Path] {
			return
		}
		if slices.Contains(m.Options, "ro") {
			seen[m.Path] = true
			found = append(found, conflict("read-only", m.Path+" is mounted read-only", "mount point of "+name, "files are written there",
				"mount -o remount,rw "+m.Path)...)
		}
		if runs && slices.Contains(m.Options, "noexec") {
			seen[m.Path] = true
			found = append(found, conflict("noexec", m.Path+" is mounted noexec", "mount point of "+name, "programs are started from there",
				"mount -o remount,exec "+m.Path+"   (and remove noexec from its line in /etc/fstab)")...)
		}
	}
	look(StateDir, true)
	for _, r := range in.Roles {
		for _, f := range r.Index.Files {
			look(f.Path, f.Mode&0o111 != 0)
		}
	}
	return found
}

// mountOf finds the mounted file system that a path is on.
func mountOf(f *Facts, name string) (Mount, bool) {
	best, found := Mount{}, false
	for _, m := range f.Mounts {
		inside := m.Path == "/" || name == m.Path || strings.HasPrefix(name, m.Path+"/")
		if inside && (!found || len(m.Path) > len(best.Path)) {
			best, found = m, true
		}
	}
	return best, found
}

// need is the bytes that the roles write, by mount point, and what the largest share is for.
type need struct {
	bytes int64
	what  map[string]int64
}

// needs sums the bytes that the plan writes below each mount point. Files that are in place already with the right size
// count only once more, since a file is replaced by way of a temporary one.
func needs(in *PreflightInput) map[string]*need {
	total := map[string]*need{}
	add := func(name, what string, bytes int64) {
		m, ok := mountOf(in.Facts, name)
		if !ok || bytes <= 0 {
			return
		}
		if total[m.Path] == nil {
			total[m.Path] = &need{what: map[string]int64{}}
		}
		total[m.Path].bytes += bytes
		total[m.Path].what[what] += bytes
	}
	placed := map[string]bool{}
	for _, r := range in.Roles {
		if in.Previous.Clusters[r.Index.Role] == "" || r.Upgrade != nil {
			add(StateDir, "what is kept for later runs", r.Carry)
			add(dockerDir, "container images", r.Images)
		}
		add(StateDir, "the version that is replaced", r.Upgrade.copies())
		for _, f := range r.Index.Files {
			a, ok := artifactOf(r.Index, f.Artifact)
			if ok && !placed[f.Path] && (in.Facts.Files[f.Path] != a.Blob.Size || r.Upgrade.replaces(f.Path)) {
				placed[f.Path] = true
				add(path.Dir(f.Path), "programs and settings", a.Blob.Size)
			}
		}
		for _, p := range r.Index.Packages {
			a, ok := artifactOf(r.Index, p.Artifact)
			if _, installed := in.Facts.Packages[p.Name]; ok && !installed && !placed[p.Name] {
				placed[p.Name] = true
				add("/usr", "packages", a.Blob.Size*packageFactor)
			}
		}
		if upgradesKernel(r.Index, in.Facts.Kernel) && r.Kernel != kernelKept {
			addKernel(in, r.Index, placed, add)
		}
	}
	return total
}

// addKernel counts the packages of a kernel that is not there yet. /boot is looked at on its own.
func addKernel(in *PreflightInput, index *bundle.RoleIndex, placed map[string]bool, add func(name, what string, bytes int64)) {
	for _, p := range index.Kernel.Packages {
		a, ok := artifactOf(index, p.Artifact)
		if _, there := in.Facts.Files[vmlinuz(index.Kernel.Release)]; ok && !there && !placed[p.Artifact] {
			placed[p.Artifact] = true
			add("/usr", "packages", a.Blob.Size*packageFactor)
		}
	}
}

// dockerBytes is what docker needs below its directory for those layers of the images that it does not have: each once,
// unpacked, and for the time of the load the biggest image as it is stored, since docker keeps the archive until it is
// through.
func dockerBytes(b *bundle.Bundle, has func(bundle.Digest) bool) int64 {
	var unpacked, biggest int64
	seen := map[bundle.Digest]bool{}
	for _, i := range b.Role.Images {
		blobs, ok := b.Image(i.Ref)
		if !ok || has(blobs.Manifest.Digest) {
			continue
		}
		var stored int64
		for _, l := range blobs.Layers {
			stored += l.Size
			if seen[l.Digest] || has(l.Digest) {
				continue
			}
			seen[l.Digest] = true
			if strings.HasSuffix(l.MediaType, "gzip") {
				unpacked += l.Size * layerFactor
			} else {
				unpacked += l.Size
			}
		}
		biggest = max(biggest, stored)
	}
	return unpacked + biggest
}

func artifactOf(index *bundle.RoleIndex, name string) (bundle.Artifact, bool) {
	i := slices.IndexFunc(index.Artifacts, func(a bundle.Artifact) bool { return a.Name == name })
	if i < 0 {
		return bundle.Artifact{}, false
	}
	return index.Artifacts[i], true
}

// checkSpace compares what is free with what is needed, for every mount point.
func checkSpace(in *PreflightInput, _ *RoleInput) []Finding {
	var found []Finding
	total := needs(in)
	for _, m := range in.Facts.Mounts {
		n, ok := total[m.Path]
		if !ok || m.Free < 0 || m.Free >= n.bytes+spaceReserve {
			continue
		}
		found = append(found, conflict("no-space", fmt.Sprintf("%s has %s free, %s is needed", m.Path, mib(m.Free), mib(n.bytes+spaceReserve)),
			m.Path, breakdown(n), "du -x -m -d 2 "+m.Path+" | sort -n | tail -20   (shows what is large; make room)")...)
	}
	return found
}

// breakdown says what the space is for, in a fixed order.
func breakdown(n *need) string {
	var parts []string
	for _, what := range []string{"programs and settings", "packages", "container images", "what is kept for later runs", "the version that is replaced"} {
		if n.what[what] > 0 {
			parts = append(parts, mib(n.what[what])+" for "+what)
		}
	}
	return strings.Join(append(parts, mib(spaceReserve)+" in reserve"), ", ")
}

// mib writes bytes as whole MiB, rounded up.
func mib(bytes int64) string { return fmt.Sprintf("%d MiB", (bytes+1<<20-1)>>20) }

// checkSize warns of a host that is smaller than the role wants. Sizes are those that kubeadm asks for, less what the
// kernel keeps for itself.
func checkSize(in *PreflightInput, r *RoleInput) []Finding {
	want := map[string]struct {
		cpus   int
		memory int64
	}{
		bundle.RoleMaster: {2, 1700 << 20}, bundle.RoleEtcd: {2, 1700 << 20}, bundle.RoleNode: {1, 900 << 20},
	}[r.Index.Role]
	var found []Finding
	if in.Facts.CPUs > 0 && in.Facts.CPUs < want.cpus {
		found = append(found, warning("few-cpus", fmt.Sprintf("%d CPU, %d or more are advised", in.Facts.CPUs, want.cpus), "/proc/cpuinfo",
			r.Index.Role+" becomes slow under load", "grep -c ^processor /proc/cpuinfo")...)
	}
	if in.Facts.Memory > 0 && in.Facts.Memory < want.memory {
		found = append(found, warning("little-memory", fmt.Sprintf("%s of memory, %s or more are advised", mib(in.Facts.Memory), mib(want.memory)),
			"/proc/meminfo", r.Index.Role+" may be killed for want of memory", "free -m")...)
	}
	return found
}
