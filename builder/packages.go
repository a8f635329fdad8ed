package builder

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"offgrid/builder/internal/render"
	"offgrid/builder/internal/rpmrepo"
	"offgrid/builder/internal/store"
	"offgrid/bundle"
)

// kernelModulesName is the artifact that lists the modules of the carried kernel.
const kernelModulesName = "kernel/modules"

// packages takes the RPMs that the lock gives to the role.
func (a *assembly) packages(*render.Role) error {
	var kernels []bundle.Package
	for i := range a.lock.Entries {
		e := &a.lock.Entries[i]
		if e.Package == nil || !slices.Contains(e.Package.Roles, a.spec.Name) {
			continue
		}
		p, ok := a.materials.Packages[e.Package.Name]
		art, fetched := a.materials.Artifact(p.Artifact)
		if !ok || !fetched {
			return fmt.Errorf("internal error: package %q was not fetched", e.Package.Name)
		}
		a.take(art)
		if e.Package.Kernel {
			kernels = append(kernels, p)
			continue
		}
		a.in.Role.Packages = append(a.in.Role.Packages, p)
	}
	if a.selection.Kernel != nil {
		if err := a.kernel(kernels); err != nil {
			return err
		}
	}
	return a.repository(slices.Concat(a.in.Role.Packages, kernels))
}

// repository puts the index of a yum repository aboard that lists the role's packages: for people. The installer does not
// look at it.
func (a *assembly) repository(packages []bundle.Package) (err error) {
	if len(packages) == 0 {
		return nil
	}
	var members []rpmrepo.Member
	for _, p := range packages {
		art, _ := a.materials.Artifact(p.Artifact)
		f, err := a.site.store.Open(art.Blob.Digest)
		if err != nil {
			return err
		}
		defer f.Close()
		members = append(members, rpmrepo.Member{File: f, Package: rpmrepo.Package{
			Name: p.Name, Epoch: p.Epoch, Version: p.Version, Release: p.Release, Arch: p.Arch,
			Path: bundle.RepositoryPackages + p.Artifact, SHA256: art.Blob.Digest, Size: art.Blob.Size,
		}})
	}
	files, err := rpmrepo.Describe(members, a.lock.Date.Unix())
	if err != nil {
		return err
	}
	for name, content := range files {
		d, err := a.site.store.PutBytes(a.ctx, content)
		if err != nil {
			return err
		}
		size := int64(len(content))
		a.take(bundle.Artifact{
			Name: bundle.RepositoryPrefix + name, Kind: bundle.KindText, Source: "rendered", Vouched: "made by this build",
			Blob: bundle.Blob{Digest: d, Size: size, Stored: d, StoredSize: size, Encoding: bundle.EncodingRaw},
		})
	}
	return nil
}

// kernel describes the carried kernel, and refuses one that lacks a module which the role needs.
func (a *assembly) kernel(packages []bundle.Package) error {
	i := slices.IndexFunc(packages, func(p bundle.Package) bool { return p.Name == a.selection.Kernel.Image })
	if i < 0 {
		return fmt.Errorf("kernel: the lock gives this role no %q: run \"bundle lock\" again", a.selection.Kernel.Image)
	}
	art, _ := a.materials.Artifact(packages[i].Artifact)
	kernel, err := a.site.readKernel(a.ctx, art.Blob.Digest)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", packages[i].Artifact, err)
	}
	want := packages[i].Version + "-" + packages[i].Release + "." + packages[i].Arch
	if kernel.Release != want {
		return fmt.Errorf("kernel %s: its modules are for %q, want %q", packages[i].Artifact, kernel.Release, want)
	}
	var lacks []string
	for _, m := range a.in.Role.Modules {
		if !slices.Contains(kernel.Modules, strings.ReplaceAll(m, "-", "_")) {
			lacks = append(lacks, m)
		}
	}
	if lacks != nil {
		return fmt.Errorf("kernel %s: it has no module %s, neither as a file nor built in, and hosts of this role load it; choose another versions.kernel", kernel.Release, strings.Join(lacks, ", "))
	}
	list := []byte(strings.Join(kernel.Modules, "\n") + "\n")
	d, err := a.site.store.PutBytes(a.ctx, list)
	if err != nil {
		return err
	}
	size := int64(len(list))
	a.take(bundle.Artifact{
		Name: kernelModulesName, Kind: bundle.KindText, Source: "rendered", Vouched: "read from " + packages[i].Artifact,
		Blob: bundle.Blob{Digest: d, Size: size, Stored: d, StoredSize: size, Encoding: bundle.EncodingRaw},
	})
	slices.SortFunc(packages, func(x, y bundle.Package) int { return strings.Compare(x.Name, y.Name) })
	a.in.Role.Kernel = &bundle.Kernel{Release: kernel.Release, Packages: packages, Modules: kernelModulesName}
	return nil
}

// readKernel reads a kernel's package in the store, once: unpacking takes its time.
func (s *Site) readKernel(ctx context.Context, d bundle.Digest) (*rpmrepo.Kernel, error) {
	key := store.RecordKey("kernel modules", "1", d.String())
	var kernel rpmrepo.Kernel
	if data, ok := s.store.Record(key); ok && json.Unmarshal(data, &kernel) == nil {
		return &kernel, nil
	}
	f, err := s.store.Open(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	read, err := rpmrepo.ReadKernel(ctx, f)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(read)
	if err == nil {
		err = s.store.PutRecord(key, data)
	}
	return read, err
}
