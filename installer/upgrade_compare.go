package installer

import (
	"context"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// changes are the IDs of the steps that have work, and the paths of the files among them.
func (s *Session) changes(ctx context.Context, p *Plan) map[string]bool {
	changed := map[string]bool{}
	for _, step := range p.Steps() {
		now, ok := lookAt(ctx, s.Host, step)
		if ok && now.State == Satisfied {
			continue
		}
		changed[step.ID()] = true
		if _, object, file := strings.Cut(step.ID(), ":"); file {
			changed[object] = true
		}
	}
	return changed
}

// restarted reports whether a unit is started anew by what changes.
func restarted(u *UnitStep, changed map[string]bool) bool {
	return changed[u.ID()] || changed["/usr/lib/systemd/system/"+u.Unit] || changed[unitDir+u.Unit] ||
		slices.ContainsFunc(u.Restarts, func(name string) bool { return changed[name] })
}

// holdsPods tells the services whose restart pods may feel.
func holdsPods(unit string) bool {
	return unit == "kubelet.service" || unit == "docker.service" || unit == "containerd.service"
}

// drains reports whether pods may feel the changes on their node. A kubelet that is started anew with other certificates
// finds them as they were.
func drains(p *Plan, changed map[string]bool) bool {
	felt := map[string]bool{}
	for what := range changed {
		felt[what] = !strings.HasSuffix(what, ".pem") && !strings.HasSuffix(what, ".kubeconfig")
	}
	for _, step := range p.Steps() {
		if u, ok := step.(*UnitStep); ok && holdsPods(u.Unit) && restarted(u, felt) {
			return true
		}
	}
	return changed[kindPackages+":"+bundle.RoleNode]
}

// replaced lists the old plan's programs that the new one replaces or does without.
func replaced(old, now *Plan) []keptProgram {
	stay := map[string]bundle.Digest{}
	for _, step := range now.Steps() {
		if f, ok := step.(*FileStep); ok {
			stay[f.Path] = f.Digest
		}
	}
	found := []keptProgram{}
	for _, f := range programSteps(old) {
		if stay[f.Path] != f.Digest {
			found = append(found, keptProgram{Path: f.Path, Digest: f.Digest})
		}
	}
	return found
}

// programSteps are the plan's steps that place programs.
func programSteps(p *Plan) []*FileStep {
	var found []*FileStep
	for _, phase := range p.Phases {
		for _, step := range phase.Steps {
			if f, ok := step.(*FileStep); ok && phase.Name == phasePrograms {
				found = append(found, f)
			}
		}
	}
	return found
}

// onlyIn lists the steps that one plan has and the other one has not, also not as another kind of step for the same thing.
func onlyIn(p, other *Plan) []string {
	known := map[string]bool{}
	for _, step := range other.Steps() {
		_, object, _ := strings.Cut(step.ID(), ":")
		known[step.ID()], known[object] = true, true
	}
	found := []string{}
	for _, step := range p.Steps() {
		_, object, _ := strings.Cut(step.ID(), ":")
		if !known[step.ID()] && !(strings.HasPrefix(object, "/") && known[object]) && !isOfKernel(step) {
			found = append(found, step.ID())
		}
	}
	return found
}

// isOfKernel tells the steps that bring a kernel. What they did outlives the bundle that brought it: a host whose next bundle
// has another kernel, or none, must not come back with an older one at its next boot. Uninstall takes them back.
func isOfKernel(step Step) bool {
	switch s := step.(type) {
	case *KernelStep, *BootOnceStep, *BootStep, *BootDefaultStep, *OldKernelsStep:
		return true
	case *KeyStep:
		return s.Path == kernelConfig
	}
	return false
}

// count finds out how many bytes the upgrade takes: blobs that are not here yet, and programs that cannot be linked.
func (s *Session) count(job *Job, r *RoleJob, u *Upgrade) {
	r.Input.Carry = 0
	for _, b := range r.Bundle.CarriedBlobs() {
		if there, err := host.Exists(s.Host, path.Join(RoleDir(r.Plan.Role), b.Path())); err != nil || !there {
			r.Input.Carry += b.Size
		}
	}
	r.Input.Images = dockerBytes(r.Bundle, func(d bundle.Digest) bool {
		there, err := host.Exists(s.Host, path.Join(RoleDir(r.Plan.Role), bundle.StoredBlob{Digest: d}.Path()))
		return err == nil && there
	})
	state, _ := mountOf(job.Facts, StateDir)
	for _, p := range u.keep.Record.Programs {
		m, ok := mountOf(job.Facts, p.Path)
		info, err := s.Host.Lstat(p.Path)
		if ok && err == nil && m.Path != state.Path {
			u.copy += info.Size()
		}
	}
}

// copies is how many bytes are kept as copies.
func (u *Upgrade) copies() int64 {
	if u == nil {
		return 0
	}
	return u.copy
}

// replaces reports whether a program gets another content, and the old one stays for as long as it may be put back.
func (u *Upgrade) replaces(name string) bool {
	return u != nil && u.keep != nil && slices.ContainsFunc(u.keep.Record.Programs, func(p keptProgram) bool { return p.Path == name })
}

// newerPackages are the packages of a plan that the host has in an older version.
func (s *Session) newerPackages(ctx context.Context, p *Plan) (map[string]string, error) {
	found := map[string]string{}
	for _, step := range p.Steps() {
		set, ok := step.(*PackagesStep)
		if !ok {
			continue
		}
		installed, err := queryPackages(ctx, s.Host, set.Packages)
		if err != nil {
			return nil, err
		}
		todo, _ := set.sort(installed)
		for _, rpm := range todo {
			if len(installed[rpm.id()]) > 0 {
				found[rpm.id()] = fullEVR(rpm.EVR)
			}
		}
	}
	return found, nil
}

// fullEVR is a version as rpm is asked for it: with its epoch.
func fullEVR(evr string) string {
	if strings.Contains(evr, ":") {
		return evr
	}
	return "0:" + evr
}
