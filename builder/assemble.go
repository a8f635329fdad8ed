package builder

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"offgrid/builder/catalogue"
	"offgrid/builder/internal/pki"
	"offgrid/builder/internal/render"
	"offgrid/bundle"
)

// programMode is that of every program on a host.
const programMode = 0o755

// assemble makes every role of the site ready to be written: rendered, fetched, checked and encoded. What can be found
// wrong without a byte of upstream's is found first.
func (s *Site) assemble(ctx context.Context, lock *Lock, set *pki.Set, level bundle.Level, how Passphrases) (roles []roleInput, sealed int, err error) {
	selection, err := Select(s.cluster, s.catalogue)
	if err != nil {
		return nil, 0, &CatalogueError{err}
	}
	download, err := s.download()
	if err != nil {
		return nil, 0, err
	}
	rendered, err := s.renderAll(selection, set)
	if err != nil {
		return nil, 0, err
	}
	packs, sealed, err := s.seal(ctx, rendered, how) // before anything is fetched: nobody waits to be asked
	if err != nil {
		return nil, 0, err
	}
	materials, err := Materialise(ctx, MaterialiseOptions{Lock: lock, Store: s.store, Download: download, Level: level, Report: s.opts.Report})
	if err != nil {
		return nil, 0, err
	}
	for _, name := range bundle.RoleOrder() {
		i := slices.IndexFunc(selection.Roles, func(r catalogue.Role) bool { return r.Name == name })
		if i < 0 {
			continue
		}
		a := &assembly{site: s, ctx: ctx, lock: lock, selection: selection, spec: selection.Roles[i], materials: materials, packs: packs[name], renewal: set.Serial}
		in, err := a.role(rendered[name])
		if err != nil {
			return nil, 0, fmt.Errorf("assembling role %q: %w", name, err)
		}
		r := roleInput{role: name, in: in}
		for _, h := range s.cluster.With(name) {
			r.hosts = append(r.hosts, h.Name)
		}
		if name == bundle.RoleNode && len(s.cluster.Nodes.JoinCIDRs) > 0 {
			r.hosts = append(r.hosts, bundle.JoinPack)
		}
		roles = append(roles, r)
	}
	return roles, sealed, nil
}

// assembly puts one role together.
type assembly struct {
	site      *Site
	ctx       context.Context
	lock      *Lock
	selection *Selection
	spec      catalogue.Role
	materials *Materials
	packs     map[string]bundle.PackInput // by host
	renewal   int64                       // serial of the last renewal of certificates
	in        bundle.Input
	used      map[string]bool // artifacts aboard
}

func (a *assembly) role(rendered *render.Role) (bundle.Input, error) {
	locked, err := a.lock.Bytes()
	if err != nil {
		return a.in, err
	}
	cluster := rendered.Cluster
	cluster.Lock = bundle.DigestOf(locked)
	cluster.NotBefore = latest(cluster.NotBefore, a.lock.Date).UTC().Truncate(time.Second)
	cluster.Serial = max(cluster.NotBefore.Unix(), a.renewal)
	a.used = map[string]bool{}
	a.in = bundle.Input{
		Role: bundle.RoleIndex{
			Format: bundle.Format, Role: a.spec.Name, Platform: a.site.catalogue.Platform, Cluster: cluster,
			Modules: rendered.Modules, Sysctls: rendered.Sysctls, Dirs: rendered.Dirs, Links: rendered.Links,
			Units: rendered.Units, Checks: rendered.Checks, Hosts: rendered.Hosts, Addons: rendered.Addons,
		},
		Packs: a.packs,
		Open:  func(d bundle.Digest) (io.ReadCloser, error) { return a.site.store.Open(d) },
	}
	for _, add := range []func(*render.Role) error{a.programs, a.packages, a.images, a.texts} {
		if err := add(rendered); err != nil {
			return a.in, err
		}
	}
	r := &a.in.Role
	slices.SortFunc(r.Artifacts, func(x, y bundle.Artifact) int { return strings.Compare(x.Name, y.Name) })
	slices.SortFunc(r.Files, func(x, y bundle.File) int { return strings.Compare(x.Path, y.Path) })
	slices.SortFunc(r.Packages, func(x, y bundle.Package) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Arch, y.Arch))
	})
	slices.SortFunc(r.Images, func(x, y bundle.Image) int { return strings.Compare(x.Ref, y.Ref) })
	return a.in, nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// take puts an artifact aboard, once.
func (a *assembly) take(art bundle.Artifact) {
	if !a.used[art.Name] {
		a.used[art.Name] = true
		a.in.Role.Artifacts = append(a.in.Role.Artifacts, art)
	}
}

func (a *assembly) programs(*render.Role) error {
	for _, p := range a.spec.Programs {
		art, ok := a.materials.Artifact(p.Artifact)
		if !ok {
			return fmt.Errorf("program %q: the lock has nothing that it comes from", p.Artifact)
		}
		a.take(art)
		a.in.Role.Files = append(a.in.Role.Files, bundle.File{Path: p.Path, Mode: programMode, Owner: "root", Group: "root", Artifact: art.Name})
	}
	return nil
}

func (a *assembly) images(*render.Role) error {
	for _, ref := range a.spec.Images {
		image, ok := a.materials.Images[ref]
		if !ok {
			return fmt.Errorf("image %q: the lock does not have it", ref)
		}
		a.in.Role.Images = append(a.in.Role.Images, bundle.Image{Ref: ref, Manifest: image.Manifest.SHA256, ID: image.Config.SHA256})
		a.in.Images = append(a.in.Images, bundle.ImageInput{Ref: ref, Manifest: bundle.Descriptor{
			MediaType: image.Manifest.MediaType, Digest: image.Manifest.SHA256, Size: image.Manifest.Size,
		}})
	}
	return nil
}

// texts puts what was rendered for all hosts into the store, as it is: texts are small.
func (a *assembly) texts(rendered *render.Role) error {
	for _, t := range rendered.Texts {
		d, err := a.site.store.PutBytes(a.ctx, t.Data)
		if err != nil {
			return err
		}
		size := int64(len(t.Data))
		a.take(bundle.Artifact{
			Name: t.Artifact, Kind: bundle.KindText, Source: "rendered", Vouched: "made by this build",
			Blob: bundle.Blob{Digest: d, Size: size, Stored: d, StoredSize: size, Encoding: bundle.EncodingRaw},
		})
		a.in.Role.Files = append(a.in.Role.Files, bundle.File{Path: t.Path, Mode: t.Mode, Owner: t.Owner, Group: t.Group, Artifact: t.Artifact})
	}
	return nil
}
