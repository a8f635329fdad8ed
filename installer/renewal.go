package installer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// mostMissing is how many missing things a finding names: more do not help.
const mostMissing = 4

// partial is what kind of bundle leaves something out: "renewal" or "delta"; "" it is whole.
func partial(b *bundle.Bundle) string {
	switch {
	case b.Delta != nil:
		return bundle.PartDelta
	case b.Renewal:
		return bundle.PartRenewal
	}
	return ""
}

// baseFindings insists that what renewal and delta bundles leave out is on the host, byte for byte: packages and images where an
// earlier bundle was carried to, programs in their places, and the files that differences are made from. Otherwise the
// host would end half new.
func (s *Session) baseFindings(ctx context.Context, job *Job) []Finding {
	var found []Finding
	for i := range job.Roles {
		r := &job.Roles[i]
		if partial(r.Bundle) == "" || r.Plan == nil || r.Plan.Upgrade != nil && r.Plan.Upgrade.PutBack {
			continue // a put-back needs nothing of the bundle that the operator brought
		}
		found = append(found, s.baseOf(ctx, r)...)
	}
	return append(found, s.deltaMemory(job)...)
}

// baseOf judges one role.
func (s *Session) baseOf(ctx context.Context, r *RoleJob) []Finding {
	role := r.Plan.Role
	whole := fmt.Sprintf("./install --role %s --ip %s   (from the medium with the whole bundle, which `bundle build` makes)", role, r.Plan.Host.IP)
	part := partial(r.Bundle)
	why := "a renewal bundle brings certificates and settings; programs, packages and images it builds on"
	if d := r.Bundle.Delta; d != nil {
		why = fmt.Sprintf("a delta bundle brings what %s of serial %d lacks; the rest it builds on", d.Base.Version, d.Base.Serial)
	}
	installed, err := InstalledRoles(s.Host)
	if err == nil && !slices.ContainsFunc(installed, func(in Installed) bool { return in.Role == role }) {
		found := usage("part-first", "the role "+role+" is not installed on this host, and this is a "+part+" bundle", r.Bundle.Path, why, whole)
		found[0].Role = role
		return found
	}
	var missing []string
	if err == nil {
		missing, err = s.leftBehind(ctx, r)
	}
	if err != nil {
		missing = []string{err.Error()}
	}
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing[:min(len(missing), mostMissing)], ", ")
	if more := len(missing) - mostMissing; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	found := usage("part-base", "this "+part+" bundle does not fit what is installed: the host lacks "+names, r.Bundle.Path, why, whole)
	found[0].Role = role
	return found
}

// leftBehind names what the bundle left out and the host does not have as the whole bundle would have brought it.
func (s *Session) leftBehind(ctx context.Context, r *RoleJob) ([]string, error) {
	var missing []string
	for _, step := range r.Plan.Steps() {
		carry, ok := step.(*CarryStep)
		if !ok {
			continue
		}
		for _, blob := range r.Bundle.CarriedBlobs() {
			if r.Bundle.HasStored(blob.Digest) {
				continue
			}
			has, err := carry.target(s.Host).Has(ctx, blob)
			if err != nil {
				return nil, err
			}
			if !has {
				missing = append(missing, blob.Name)
			}
		}
	}
	for _, f := range programSteps(r.Plan) {
		now, err := f.Check(ctx, s.Host)
		if err != nil {
			return nil, err
		}
		if now.State == Satisfied {
			continue
		}
		brought, lacks, err := s.brings(r, f)
		if err != nil {
			return nil, err
		}
		switch {
		case lacks != "":
			missing = append(missing, lacks)
		case !brought:
			missing = append(missing, programMissing(s.Host, f))
		}
	}
	return missing, nil
}

// programMissing says what is in a program's place instead of it.
func programMissing(h host.Host, f *FileStep) string {
	if there, err := host.Exists(h, f.Path); err != nil || there {
		return f.Path + " as it was built (" + f.Why + ")"
	}
	return f.Path
}
