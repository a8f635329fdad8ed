package installer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"offgrid/bundle"
)

// imagesService runs "install images", started by the timer of the same name. The bundle brings both.
const imagesService = "offgrid-images.service"

// ImagesReport is what Images found and did.
type ImagesReport struct {
	Skipped string       `json:"skipped"` // why nothing was looked at; "" when it was
	Images  []ImageFound `json:"images"`  // that the node's bundle brought, in the order of its index
}

// ImageFound is one image.
type ImageFound struct {
	Ref    string        `json:"ref"`
	ID     bundle.Digest `json:"id"`     // what docker must have under the name
	Found  string        `json:"found"`  // what it had: "sha256:..."; "" when there was none, or none that it could read
	Loaded bool          `json:"loaded"` // it was loaded in this run
}

// Images asks docker for every image that the node's bundle brought, and loads those again that it lacks or has with another
// content, from what was carried to this host. A load that fails does not keep the others from being loaded; all errors
// are returned. Where there is nothing to do yet, because another installer is at work, docker does not answer or
// the host is no node, the report says so.
func (s *Session) Images(ctx context.Context) (ImagesReport, error) {
	report := ImagesReport{Images: []ImageFound{}}
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return report, err
	}
	if !slices.ContainsFunc(installed, func(in Installed) bool { return in.Role == bundle.RoleNode }) {
		report.Skipped = "no node is installed on this host"
		return report, nil
	}
	lock, err := LockState(s.local(StateDir))
	var held *LockedError
	if errors.As(err, &held) {
		report.Skipped = fmt.Sprintf("another installer is at work (process %s): it does what is to be done", held.PID)
		return report, nil
	}
	if err != nil {
		return report, err
	}
	b, err := s.carriedRoleBundle(bundle.RoleNode)
	if err != nil {
		return report, errors.Join(err, lock.Close())
	}
	err = s.reload(ctx, lock, imageSteps(&b.Role, b.Path), &report)
	return report, errors.Join(err, b.Close(), lock.Close())
}

// reload looks at all images with one question, and loads what is to be loaded one by one.
func (s *Session) reload(ctx context.Context, lock *StateLock, steps []*ImageStep, report *ImagesReport) error {
	refs := make([]string, len(steps))
	for i, step := range steps {
		refs[i] = step.Ref
	}
	have, err := dockerImages(ctx, s.Host, refs...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		report.Skipped = "docker does not answer on this host: " + complaint(err)
		return nil
	}
	var todo []*ImageStep
	for _, step := range steps {
		report.Images = append(report.Images, ImageFound{Ref: step.Ref, ID: step.Image, Found: have[step.Ref].ID})
		status, err := step.judge(s.Host, have[step.Ref])
		if err != nil {
			return err
		}
		if status.State != Satisfied {
			todo = append(todo, step)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	journal, err := s.journal(lock)
	if err != nil {
		return err
	}
	var errs []error
	for _, step := range todo {
		_, err := Apply(ctx, ApplyOptions{Host: s.Host, Journal: journal, Role: bundle.RoleNode, Steps: []Step{step}, Report: s.Report})
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
		i := slices.Index(refs, step.Ref)
		report.Images[i].Loaded = err == nil
	}
	return errors.Join(append(errs, journal.Close())...)
}
