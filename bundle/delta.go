package bundle

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// A delta bundle brings what another one lacks: blobs that are new, and changed programs as differences from the files that the
// host has (FORMAT.md, "Delta bundles").

const (
	// DeltaFormat is the number of the delta index.
	DeltaFormat = 1
	// DeltaWindow is how much of the base file the frames of a difference may refer to, each, in bytes: twice a frame. Larger
	// windows gain nothing (kubelet v1.20.13 to v1.20.15: 8 MiB 0.295 of the size, 64 MiB no less), since the encoder's tables
	// no longer hold them.
	DeltaWindow = 2 * FrameSize
	// DeltaMemory is about what a host needs to decode a difference, in bytes: the window, a frame before and after, tables.
	DeltaMemory = DeltaWindow + 3*FrameSize
	// MaxDeltaIndex bounds the delta index in bytes: a frame takes about 140 there.
	MaxDeltaIndex = MaxRoleIndexSize
	// MaxLeft bounds the blobs that a delta names as left out: as many as members.
	MaxLeft = MaxMembers
)

// Delta is the delta index: what a delta bundle builds on and what it brings instead of programs.
type Delta struct {
	Format   int            `json:"format"`
	Base     DeltaBase      `json:"base"`
	Left     []Digest       `json:"left"`     // stored bytes of the bulk that the base has, ascending: they are not aboard
	Programs []DeltaProgram `json:"programs"` // that changed, by name: a difference is aboard in place of each
}

// DeltaBase says which bundle a delta was made against.
type DeltaBase struct {
	Root    Digest `json:"root"`
	Serial  int64  `json:"serial"`
	Version string `json:"version"` // of etcd for the role etcd, else of Kubernetes: "v1.20.13"
}

// DeltaProgram is one program as a difference from a file that the host has. The frames are those of the new content, each as
// a zstd frame with a part of the base file as its dictionary.
type DeltaProgram struct {
	Name       string       `json:"name"` // artifact of the role index
	Path       string       `json:"path"` // of the base file on the host
	Digest     Digest       `json:"digest"`
	Size       int64        `json:"size"` // of the base file, bytes
	Stored     Digest       `json:"stored"`
	StoredSize int64        `json:"storedSize"` // of the difference, bytes
	Frames     []DeltaFrame `json:"frames"`
}

// DeltaFrame is one frame of a difference.
type DeltaFrame struct {
	Stored int64  `json:"stored"` // bytes
	Digest Digest `json:"digest"` // of them
	From   int64  `json:"from"`   // offset in the base file of what the frame refers to
	Length int64  `json:"length"` // of it, bytes
}

// DeltaInput is what Write makes a delta bundle from.
type DeltaInput struct {
	Base DeltaBase
	// Has tells the stored bytes that a host with the base has: carried blobs, and programs that are in their place already.
	Has      map[Digest]bool
	Programs []DeltaProgram // their differences come from Input.Open
}

// ChangedProgram is a program that an older bundle has in another version, at the same place.
type ChangedProgram struct {
	Was, Now Artifact
	Path     string // the first place of it on hosts
}

// PlanDelta says what a host has that an older bundle of a role was installed on, and which programs may come as differences. A
// program that is new, or placed elsewhere, comes whole.
func PlanDelta(old *Bundle, now *RoleIndex) (*DeltaInput, []ChangedProgram) {
	policy := old.Role.Cluster.Policy
	in := &DeltaInput{Base: DeltaBase{Root: old.RootDigest, Serial: old.Role.Cluster.Serial, Version: policy.KubeVersion}, Has: map[Digest]bool{}}
	if now.Role == RoleEtcd {
		in.Base.Version = policy.EtcdVersion
	}
	for _, b := range old.blobs { // packages and images are carried to hosts
		in.Has[b.Digest] = b.Bulk
	}
	for _, a := range old.Role.Artifacts {
		if a.Kind == KindProgram {
			in.Has[a.Blob.Stored] = false // programs are on hosts as files
		}
	}
	var changed []ChangedProgram
	for _, a := range now.Artifacts {
		was, known := old.Artifact(a.Name)
		paths := now.placesOf(a.Name)
		if a.Kind != KindProgram || !known || was.Kind != KindProgram || len(paths) == 0 || !slices.Equal(paths, old.Role.placesOf(a.Name)) {
			continue
		}
		if was.Blob.Digest == a.Blob.Digest {
			in.Has[a.Blob.Stored] = true
			continue
		}
		changed = append(changed, ChangedProgram{Was: was, Now: a, Path: paths[0]})
	}
	return in, changed
}

// placesOf lists where a role places an artifact, sorted.
func (r *RoleIndex) placesOf(artifact string) []string {
	var paths []string
	for _, f := range r.Files {
		if f.Artifact == artifact {
			paths = append(paths, f.Path)
		}
	}
	slices.Sort(paths)
	return paths
}

// Normalise makes nil slices empty.
func (d *Delta) Normalise() {
	fill(&d.Left)
	fill(&d.Programs)
	for i := range d.Programs {
		fill(&d.Programs[i].Frames)
	}
}

// Program returns the difference that stands for a program, by the artifact's name.
func (d *Delta) Program(name string) (DeltaProgram, bool) {
	if d == nil {
		return DeltaProgram{}, false
	}
	i := slices.IndexFunc(d.Programs, func(p DeltaProgram) bool { return p.Name == name })
	if i < 0 {
		return DeltaProgram{}, false
	}
	return d.Programs[i], true
}

// validate checks a delta index against the bundle that it is in. bulk tells the blobs that a delta may leave out.
func (d *Delta) validate(role *RoleIndex, bulk func(Digest) bool) error {
	v := &checker{what: deltaName}
	v.check(d.Format == DeltaFormat, "delta index format %d, want %d", d.Format, DeltaFormat)
	v.check(!d.Base.Root.IsZero(), "the base has no root")
	v.text("base version", d.Base.Version, false)
	v.check(len(d.Left) <= MaxLeft, "%d blobs are left out, the limit is %d", len(d.Left), MaxLeft)
	left := map[Digest]bool{}
	for i, s := range d.Left {
		v.check(i == 0 || bytes.Compare(d.Left[i-1][:], s[:]) < 0, "blob %s is left out of order, or twice", s.Short())
		v.check(bulk(s), "blob %s is left out and is not one that may be", s.Short())
		left[s] = true
	}
	list(v, "programs", d.Programs, MaxArtifacts, func(p DeltaProgram) string { return p.Name })
	for _, p := range d.Programs {
		v.program(p, role, left, bulk)
	}
	return errors.Join(v.faults...)
}

// program checks one difference.
func (v *checker) program(p DeltaProgram, role *RoleIndex, left map[Digest]bool, bulk func(Digest) bool) {
	v.path("base of "+p.Name, p.Path)
	i := slices.IndexFunc(role.Artifacts, func(a Artifact) bool { return a.Name == p.Name })
	if i < 0 || role.Artifacts[i].Kind != KindProgram {
		v.check(false, "there is no program %.100q", p.Name)
		return
	}
	whole := role.Artifacts[i].Blob
	twins := 0
	for _, a := range role.Artifacts {
		if a.Blob.Stored == whole.Stored {
			twins++
		}
	}
	v.check(twins == 1 && bulk(whole.Stored) && !left[whole.Stored], "%s: its stored bytes are left out, or needed by something else", p.Name)
	v.check(p.Size > 0 && p.Size <= MaxBlobSize, "%s: a base of %d bytes", p.Name, p.Size)
	frames := (whole.Size + FrameSize - 1) / FrameSize
	v.check(int64(len(p.Frames)) == frames, "%s: %d frames, its content needs %d", p.Name, len(p.Frames), frames)
	sum := int64(0)
	for k, f := range p.Frames {
		v.check(f.Stored > 0 && f.Stored <= MaxFrameStored, "%s: frame %d has %d stored bytes", p.Name, k+1, f.Stored)
		v.check(f.From >= 0 && f.Length >= 0 && f.Length <= DeltaWindow && f.From <= p.Size-f.Length, "%s: frame %d refers to %d bytes from byte %d on", p.Name, k+1, f.Length, f.From)
		sum += f.Stored
	}
	v.check(sum == p.StoredSize && sum <= MaxBlobSize, "%s: its frames have %d bytes, and it has %d", p.Name, sum, p.StoredSize)
}

// out are the stored bytes that a delta leaves out.
func (d *Delta) out(role *RoleIndex) map[Digest]bool {
	out := map[Digest]bool{}
	for _, s := range d.Left {
		out[s] = true
	}
	for _, a := range role.Artifacts {
		if _, ok := d.Program(a.Name); ok {
			out[a.Blob.Stored] = true
		}
	}
	return out
}

// delta adds what makes the bundle a delta: its index and the differences.
func (p *pieces) delta() error {
	in := p.in.Delta
	d := Delta{Format: DeltaFormat, Base: in.Base, Programs: slices.Clone(in.Programs)}
	slices.SortFunc(d.Programs, func(a, b DeltaProgram) int { return strings.Compare(a.Name, b.Name) })
	changed := d.out(&p.in.Role)
	for s := range p.sizes {
		if p.bulk[s] && in.Has[s] && !changed[s] {
			d.Left = append(d.Left, s)
		}
	}
	slices.SortFunc(d.Left, func(a, b Digest) int { return bytes.Compare(a[:], b[:]) })
	d.Normalise()
	if err := d.validate(&p.in.Role, func(s Digest) bool { return p.bulk[s] }); err != nil {
		return err
	}
	p.out = d.out(&p.in.Role)
	for _, prog := range d.Programs {
		if err := p.add(prog.Stored, prog.StoredSize, differenceName(prog.Name), false); err != nil {
			return err
		}
	}
	data, err := MarshalCanonical(d)
	if err != nil {
		return err
	}
	desc, err := p.blob(MediaTypeDelta, data, deltaName, MaxDeltaIndex)
	p.deltaIndex = desc.Digest
	return err
}

const deltaName = "delta index"

func differenceName(program string) string { return program + ", difference" }

// deltaAnnotations are those of a delta bundle's index.json.
func deltaAnnotations(index Digest) map[string]string {
	return map[string]string{AnnotationPart: PartDelta, AnnotationDelta: index.String()}
}

// loadDelta reads the delta index of a delta bundle. index.json names it; what it says is checked against what the root gives,
// and what is made with it is content whose digest the root gives.
func (b *Bundle) loadDelta() error {
	if b.deltaIndex.IsZero() {
		return nil
	}
	if _, err := b.src.open(b.deltaIndex); err != nil {
		idx, at := b.src.index()
		where := int64(max(bytes.Index(idx, []byte(b.deltaIndex.String())), 0))
		if a, ok := b.src.(*archive); ok && a.scanned != nil {
			return b.missing(b.deltaIndex, deltaName)
		}
		return &DamageError{Path: b.Path, Artifact: indexName, Offset: at + where, Length: int64(len(b.deltaIndex.String())), Err: errors.New("it names a delta index that is not aboard")}
	}
	var d Delta
	data, err := b.metadata(b.deltaIndex, -1, deltaName, MaxDeltaIndex, &d)
	if err != nil {
		return err
	}
	bulk := func(s Digest) bool {
		i, ok := b.byHash[s]
		return ok && b.blobs[i].Bulk
	}
	if err := d.validate(&b.Role, bulk); err != nil {
		return b.damage(b.deltaIndex, deltaName, err)
	}
	b.Delta, b.out = &d, d.out(&b.Role)
	b.expect(StoredBlob{Digest: b.deltaIndex, Size: int64(len(data)), Name: deltaName})
	for _, p := range d.Programs {
		b.expect(StoredBlob{Digest: p.Stored, Size: p.StoredSize, Name: differenceName(p.Name)})
	}
	return nil
}
