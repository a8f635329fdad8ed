package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const kindCarry = "carry"

// CarryStep copies to the state directory what the host needs when the medium is gone: the installer itself, and those
// blobs of the role's bundle that a later boot, a put-back or an uninstall reads. want.json is written last: a role without
// it was not carried.
type CarryStep struct {
	Bundle     *bundle.Bundle
	Executable string // path of the running installer on the host
	Program    int64  // bytes of Executable that are the program, when a bundle was appended to it; 0: all
	Role       string
	IP         string
	Host       string // name
	Token      string // that the operator gave; "" none

	pack *packState // of the host; nil: none is carried

	sound map[string]bool // paths of carried blobs whose digest this process has seen to be right
}

// carryBefore is a CarryStep's begin record.
type carryBefore struct{}

// ID implements Step.
func (s *CarryStep) ID() string { return kindCarry + ":" + s.Role }

// Line implements Step.
func (s *CarryStep) Line() Line {
	return Line{Verb: "carry", Object: s.Role + " bundle to " + RoleDir(s.Role), Why: "so that the medium may be removed"}
}

// wanted is the content of want.json.
func (s *CarryStep) wanted() Installed {
	return Installed{Role: s.Role, IP: s.IP, Host: s.Host, Bundle: s.Bundle.RootDigest, Token: s.Token, Signer: signerText(s.Bundle)}
}

// target is where the blobs go.
func (s *CarryStep) target(h host.Host) carryTarget {
	if s.sound == nil {
		s.sound = map[string]bool{}
	}
	return carryTarget{h: h, dir: RoleDir(s.Role), sound: s.sound}
}

// Check implements Step. It hashes what was carried, once: a blob that has rotted is found while the medium is at hand. A file of
// the host pack that is not in its place takes the opened pack once more.
func (s *CarryStep) Check(ctx context.Context, h host.Host) (Status, error) {
	st, err := s.checkCarried(ctx, h)
	if err != nil || st.State != Satisfied || s.pack == nil {
		return st, err
	}
	if ok, err := s.pack.settled(ctx, h); err != nil || !ok {
		return Status{State: Needed, Why: "the host pack is not carried"}, err
	}
	return st, nil
}

// checkCarried is Check without a look at the places of the host pack's files.
func (s *CarryStep) checkCarried(ctx context.Context, h host.Host) (Status, error) {
	installed, err := InstalledRoles(h)
	if err != nil {
		return Status{}, err
	}
	found := false
	for _, in := range installed {
		found = found || in == s.wanted()
	}
	if !found {
		return Status{State: Needed, Why: "it is not carried yet"}, nil
	}
	if s.pack != nil {
		if ok, err := s.pack.carried(h); err != nil || !ok {
			return Status{State: Needed, Why: "the host pack is not carried yet"}, err
		}
	}
	target := s.target(h)
	for _, blob := range s.Bundle.CarriedBlobs() {
		has, err := target.Has(ctx, blob)
		if err != nil || !has {
			return Status{State: Needed, Why: blob.Name + " is not carried yet"}, err
		}
	}
	for _, f := range s.Bundle.LayoutFiles() {
		text, err := readOptional(h, path.Join(target.dir, f.Path))
		if err != nil || text != string(f.Data) {
			return Status{State: Needed, Why: f.Path + " is another bundle's"}, err
		}
	}
	same, err := s.installerInPlace(h)
	if err != nil || !same {
		return Status{State: Needed, Why: InstallPath() + " is another installer"}, err
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *CarryStep) Before(context.Context, host.Host, bool) (json.RawMessage, error) {
	return json.Marshal(carryBefore{})
}

// Do implements Step.
func (s *CarryStep) Do(ctx context.Context, h host.Host) error {
	same, err := s.installerInPlace(h)
	if err == nil && !same {
		err = s.copyInstaller(h)
	}
	if err != nil {
		return fmt.Errorf("carrying the installer: %w", err)
	}
	target := s.target(h)
	if s.pack != nil {
		// Before the rest: a directory whose index names this bundle always has the pack.
		if err := stateDir(h, rolesName, s.Role); err != nil {
			return err
		}
		if err := s.pack.keepOpen(ctx, h); err != nil {
			return err
		}
	}
	if err := s.Bundle.Carry(ctx, target); err != nil {
		return err
	}
	if err := s.dropOthers(h, target.dir); err != nil {
		return err
	}
	return writeJSON(h, path.Join(target.dir, wantName), s.wanted(), 0o600)
}

// dropOthers removes the blobs of an earlier bundle of the role and its signature, and first what is left of its pack.
func (s *CarryStep) dropOthers(h host.Host, dir string) error {
	if err := dropPacks(h, dir, s.Bundle.RootDigest); err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, blob := range s.Bundle.CarriedBlobs() {
		keep[path.Join(dir, blob.Path())] = true
	}
	for _, f := range s.Bundle.LayoutFiles() {
		keep[path.Join(dir, f.Path)] = true
	}
	for _, below := range []string{"blobs/sha256", "signatures/sha256"} {
		names, err := h.ReadDir(path.Join(dir, below))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if full := path.Join(dir, below, name); !keep[full] {
				if err := h.Remove(full); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// copyFile copies a file on the host.
func copyFile(h host.Host, from, to string, meta host.Meta) error {
	r, err := h.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	return h.Write(to, r, meta)
}

// carryTarget is the directory of a role on the host.
type carryTarget struct {
	h     host.Host
	dir   string
	sound map[string]bool
}

// Has implements bundle.CarryTarget.
func (t carryTarget) Has(_ context.Context, s bundle.StoredBlob) (bool, error) {
	name := path.Join(t.dir, s.Path())
	info, err := t.h.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.Mode().IsRegular() || info.Size() != s.Size || t.sound[name] {
		return err == nil && t.sound[name] && info.Mode().IsRegular() && info.Size() == s.Size, err
	}
	d, _, err := host.DigestFile(t.h, name)
	t.sound[name] = err == nil && d == s.Digest
	return t.sound[name], err
}

// Put implements bundle.CarryTarget. A layout file that is right already is not written again, so that carrying from the
// carried directory itself changes nothing.
func (t carryTarget) Put(_ context.Context, name string, size int64, secret bool, r io.Reader) error {
	full := path.Join(t.dir, name)
	below := strings.TrimPrefix(path.Dir(full), StateDir+"/")
	if err := stateDir(t.h, strings.Split(below, "/")...); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if secret {
		mode = 0o600
	}
	if size <= inlineMax {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if now, err := host.ReadFile(t.h, full, inlineMax); err == nil && bytes.Equal(now, data) {
			return nil
		}
		r = bytes.NewReader(data)
	}
	return t.h.Write(full, r, host.Meta{Mode: mode})
}

// undoCarry removes what was carried of the role. It is the last thing that is undone: packages are carried, too.
func undoCarry(_ context.Context, u Undoing) error {
	return u.Host.RemoveAll(RoleDir(u.Object))
}
