package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const kindImage = "image"

// ImageStep gives docker one container image out of what was carried to the host, under the name that pods use. Another
// image of that name loses it. Nothing is unpacked beside docker's own directory: docker reads an archive that is made
// of the carried blobs on its way.
type ImageStep struct {
	Ref   string        // "k8s.gcr.io/pause:3.2"
	Image bundle.Digest // what docker calls the image's ID
	Dir   string        // on this machine: what was carried of the bundle
}

// imageBefore is an ImageStep's begin record.
type imageBefore struct {
	ID   string        `json:"id"`   // of the image that had the name, "sha256:..."; "" when there was none
	Ours bundle.Digest `json:"ours"` // of the image that is about to get it
}

// imageSteps are the steps of all images of a role, in the order of its index. dir is on this machine.
func imageSteps(index *bundle.RoleIndex, dir string) []*ImageStep {
	var steps []*ImageStep
	for _, img := range index.Images {
		steps = append(steps, &ImageStep{Ref: img.Ref, Image: img.ID, Dir: dir})
	}
	return steps
}

// images gives docker what pods need, out of what was carried: the medium may be gone by then.
func (p *planner) images() {
	for _, s := range imageSteps(p.index, p.in.Carried) {
		p.add(s)
	}
}

// ID implements Step.
func (s *ImageStep) ID() string { return kindImage + ":" + s.Ref }

// Line implements Step.
func (s *ImageStep) Line() Line { return Line{Verb: "load", Object: "image " + s.Ref} }

// Check implements Step.
func (s *ImageStep) Check(ctx context.Context, h host.Host) (Status, error) {
	have, err := dockerImages(ctx, h, s.Ref)
	if err != nil {
		return Status{}, err
	}
	return s.judge(have[s.Ref]), nil
}

// judge says what is to be done when docker has the image id under the name, or none.
func (s *ImageStep) judge(id string) Status {
	switch id {
	case s.Image.String():
		return Status{State: Satisfied}
	case "":
		return Status{State: Needed, Why: "docker does not have it"}
	}
	return Status{State: Needed, Why: fmt.Sprintf("docker has another image of that name: %s instead of %s", shortID(id), s.Image.Short())}
}

// shortID is an image's ID as docker shows it.
func shortID(id string) string {
	d, err := bundle.ParseDigest(id)
	if err != nil {
		return id
	}
	return d.Short()
}

// Before implements Undoer.
func (s *ImageStep) Before(ctx context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	have, err := dockerImages(ctx, h, s.Ref)
	if err != nil {
		return nil, err
	}
	return json.Marshal(imageBefore{ID: have[s.Ref], Ours: s.Image})
}

// Do implements Step.
func (s *ImageStep) Do(ctx context.Context, h host.Host) error {
	b, err := bundle.Open(s.Dir)
	if err != nil {
		return err
	}
	err = s.load(ctx, h, b)
	return errors.Join(err, b.Close())
}

func (s *ImageStep) load(ctx context.Context, h host.Host, b *bundle.Bundle) error {
	r, _, err := b.DockerArchive(ctx, s.Ref)
	if err != nil {
		return err
	}
	_, err = dockerRun(ctx, h, dockerLoadTime, r, "load")
	return errors.Join(err, r.Close())
}

// undoImage takes our image away unless something uses it, and gives the name back to the image that had it. docker does
// not run any more, or again, when it was stopped on purpose: then its images are left with the rest of its data.
func undoImage(ctx context.Context, u Undoing) error {
	var was imageBefore
	if err := u.first(&was); err != nil {
		return err
	}
	ours := map[string]bool{}
	for _, raw := range u.Begins {
		var b imageBefore
		if err := decodeBefore(raw, &b); err != nil {
			return err
		}
		ours[b.Ours.String()] = true
	}
	have, err := dockerImages(ctx, u.Host, u.Object)
	if err != nil {
		u.note("image %s stays with docker's data: docker does not answer", u.Object)
		return nil
	}
	id := have[u.Object]
	if id == was.ID || id != "" && !ours[id] {
		return nil // as it was, or somebody else's by now
	}
	if id != "" {
		if err := removeImage(ctx, u); err != nil {
			return err
		}
	}
	if was.ID == "" {
		return nil
	}
	_, err = dockerRun(ctx, u.Host, dockerAskTime, nil, "tag", was.ID, u.Object)
	if err != nil && onlyMissing(err) {
		u.note("the image %s that was called %s before is not there any more", shortID(was.ID), u.Object)
		return nil
	}
	return err
}

// removeImage takes the name away, and with its last name the image. docker refuses when a container uses it.
func removeImage(ctx context.Context, u Undoing) error {
	_, err := dockerRun(ctx, u.Host, dockerLoadTime, nil, "rmi", u.Object)
	var run *host.RunError
	switch {
	case err == nil, onlyMissing(err):
		return nil
	case errors.As(err, &run) && strings.Contains(run.Stderr, "conflict:"):
		u.note("image %s stays with docker's data: a container uses it", u.Object)
		return nil
	}
	return err
}
