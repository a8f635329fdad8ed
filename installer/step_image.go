package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
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
	return s.judge(h, have[s.Ref])
}

// judge says what is to be done when docker has that under the name.
func (s *ImageStep) judge(h host.Host, have dockerImage) (Status, error) {
	interrupted, err := host.Exists(h, s.loadingMark())
	switch {
	case err != nil:
		return Status{}, err
	case interrupted:
		return Status{State: Needed, Why: "its loading was interrupted: docker may have less of it than it says"}, nil
	case have.Fault != "":
		return Status{State: Needed, Why: "docker has it and cannot read it: " + have.Fault}, nil
	case have.ID == s.Image.String():
		return Status{State: Satisfied}, nil
	case have.ID == "":
		return Status{State: Needed, Why: "docker does not have it"}, nil
	}
	return Status{State: Needed, Why: fmt.Sprintf("docker has another image of that name: %s instead of %s", shortID(have.ID), s.Image.Short())}, nil
}

// loadingMark exists while docker loads the image, until what it wrote is on the disk. docker itself does not wait for
// the disk: after a power cut it may list an image whose layers are empty.
func (s *ImageStep) loadingMark() string {
	return path.Join(StateDir, "image-"+s.Image.Short()+".json")
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
	return json.Marshal(imageBefore{ID: have[s.Ref].ID, Ours: s.Image})
}

// Do implements Step. docker uses the layers again that it has from an interrupted load, whole or not, so these are made
// an image's and go with it before the load that counts.
func (s *ImageStep) Do(ctx context.Context, h host.Host) error {
	have, err := dockerImages(ctx, h, s.Ref)
	if err != nil {
		return err
	}
	interrupted, err := host.Exists(h, s.loadingMark())
	if err != nil {
		return err
	}
	b, err := bundle.Open(s.Dir)
	if err != nil {
		return err
	}
	defer b.Close()
	if interrupted || have[s.Ref].Fault != "" {
		if err := s.clear(ctx, h, b); err != nil {
			return err
		}
	}
	if err := s.load(ctx, h, b); err != nil {
		return err
	}
	if _, err := h.Run(ctx, nil, "sync"); err != nil {
		return fmt.Errorf("waiting for the disk: %w", err)
	}
	return h.Remove(s.loadingMark())
}

// clear makes docker forget the image with all its layers.
func (s *ImageStep) clear(ctx context.Context, h host.Host, b *bundle.Bundle) error {
	if err := s.load(ctx, h, b); err != nil && !fromDaemon(err) {
		return err
	}
	_, err := dockerRun(ctx, h, dockerLoadTime, nil, "rmi", "--force", s.Image.String())
	if err != nil && !onlyMissing(err) {
		return fmt.Errorf("removing what docker cannot read: %w", err)
	}
	return nil
}

func (s *ImageStep) load(ctx context.Context, h host.Host, b *bundle.Bundle) error {
	if err := writeJSON(h, s.loadingMark(), loadingImage{Ref: s.Ref}, 0o600); err != nil {
		return err
	}
	r, _, err := b.DockerArchive(ctx, s.Ref)
	if err != nil {
		return err
	}
	_, err = dockerRun(ctx, h, dockerLoadTime, r, "load")
	return errors.Join(err, r.Close())
}

// loadingImage is the content of the mark, for people: that it is there says everything.
type loadingImage struct {
	Format int    `json:"format"` // 0
	Ref    string `json:"ref"`
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
	if fault := have[u.Object].Fault; fault != "" {
		u.note("image %s stays with docker's data: docker cannot read it: %s", u.Object, fault)
		return nil
	}
	id := have[u.Object].ID
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
