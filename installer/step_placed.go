package installer

import (
	"bytes"
	"context"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const (
	kindPlaced = "placed"
	kindForget = "forget"
)

// placedStep ends the time of the opened host pack: its files are in their places, so it goes. What stays are paths, modes and
// digests, the contents of files that are no secret, and the bootstrap token until a master has made it known.
// It changes only what was carried, so it leaves no record.
type placedStep struct{ pack *packState }

// ID implements Step.
func (s *placedStep) ID() string { return kindPlaced + ":" + s.pack.role }

// Line implements Step.
func (s *placedStep) Line() Line {
	return Line{Verb: "remove", Object: "the opened pack of " + s.pack.role, Why: "its files are in their places"}
}

// Check implements Step.
func (s *placedStep) Check(_ context.Context, h host.Host) (Status, error) {
	dir := RoleDir(s.pack.role)
	open, err := host.Exists(h, openedPath(dir, s.pack.root))
	if err != nil {
		return Status{}, err
	}
	want := s.pack.record()
	same, err := sameRecord(h, dir, s.pack.root, want)
	if err == nil && !same && want.Token != nil {
		want.Token = nil
		same, err = sameRecord(h, dir, s.pack.root, want)
	}
	if err != nil || open || !same {
		return Status{State: Needed, Why: "it is still carried"}, err
	}
	return Status{State: Satisfied}, nil
}

// Do implements Step. First what is known of the pack, then the pack: a kill between the two leaves it to be removed.
func (s *placedStep) Do(_ context.Context, h host.Host) error {
	dir := RoleDir(s.pack.role)
	if err := writeRecord(h, dir, s.pack.root, s.pack.record()); err != nil {
		return err
	}
	return h.Remove(openedPath(dir, s.pack.root))
}

// sameRecord reports whether placed-HEX.json says that.
func sameRecord(h host.Host, dir string, root bundle.Digest, want placedPack) (bool, error) {
	data, err := bundle.MarshalCanonical(want)
	if err != nil {
		return false, err
	}
	text, err := readWhole(h, placedPath(dir, root))
	return err == nil && bytes.Equal(text, data), err
}

func writeRecord(h host.Host, dir string, root bundle.Digest, rec placedPack) error {
	data, err := bundle.MarshalCanonical(rec)
	if err != nil {
		return err
	}
	return h.Write(placedPath(dir, root), bytes.NewReader(data), host.Meta{Mode: 0o600})
}

// readWhole reads a record, nil when there is none.
func readWhole(h host.Host, name string) ([]byte, error) {
	there, err := host.Exists(h, name)
	if err != nil || !there {
		return nil, err
	}
	return host.ReadFile(h, name, 2*bundle.MaxPackSize)
}

// forgetStep removes the bootstrap token from what is known of the pack, once the cluster has it.
type forgetStep struct{ pack *packState }

// ID implements Step.
func (s *forgetStep) ID() string { return kindForget + ":" + s.pack.role }

// Line implements Step.
func (s *forgetStep) Line() Line {
	return Line{Verb: "forget", Object: "the bootstrap token", Why: "the cluster has it"}
}

// Check implements Step.
func (s *forgetStep) Check(_ context.Context, h host.Host) (Status, error) {
	rec, err := readPlaced(h, RoleDir(s.pack.role), s.pack.root)
	if err != nil || rec == nil || rec.Token != nil {
		return Status{State: Needed, Why: "it is still carried"}, err
	}
	return Status{State: Satisfied}, nil
}

// Do implements Step.
func (s *forgetStep) Do(_ context.Context, h host.Host) error {
	rec, err := readPlaced(h, RoleDir(s.pack.role), s.pack.root)
	if err != nil || rec == nil {
		return err
	}
	rec.Token = nil
	return writeRecord(h, RoleDir(s.pack.role), s.pack.root, *rec)
}
