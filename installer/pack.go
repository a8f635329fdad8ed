package installer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/installer/host"
)

// Files of a role's directory beside what was carried of its bundle, each named by the bundle's root.
const (
	openedPrefix = "pack-"   // the opened host pack, until its files are in their places
	placedPrefix = "placed-" // what is known of it afterwards: nothing secret
)

func openedPath(dir string, root bundle.Digest) string {
	return path.Join(dir, openedPrefix+root.Hex()+".json")
}

func placedPath(dir string, root bundle.Digest) string {
	return path.Join(dir, placedPrefix+root.Hex()+".json")
}

// placedPack is placed-HEX.json: a host pack whose files are in their places. The content of the secret ones is there and
// nowhere else.
type placedPack struct {
	Format  int             `json:"format"` // 0
	Cluster string          `json:"cluster"`
	Role    string          `json:"role"`
	Host    string          `json:"host"`
	IP      string          `json:"ip"`
	Files   []placedFile    `json:"files"`
	Token   *hostpack.Token `json:"token,omitempty"` // until a master has made it known
}

// placedFile is one file of it.
type placedFile struct {
	Path   string        `json:"path"`
	Mode   uint32        `json:"mode"`
	Owner  string        `json:"owner"`
	Group  string        `json:"group"`
	Secret bool          `json:"secret"`
	Fill   bool          `json:"fill,omitempty"`
	Data   []byte        `json:"data,omitempty"` // as in the pack; of a secret file it is not kept
	Digest bundle.Digest `json:"digest"`         // of what was placed
	Size   int64         `json:"size"`           // bytes of what was placed
	Holes  []hole        `json:"holes,omitempty"`
}

// hole is where a placeholder of a secret file was filled in.
type hole struct {
	At     int    `json:"at"`     // byte of what was placed
	Length int    `json:"length"` // bytes
	Text   string `json:"text"`   // the placeholder: "{{IP}}"
}

// template is what was placed with its placeholders again.
func (f *placedFile) template(data []byte) []byte {
	out := make([]byte, 0, len(data))
	at := 0
	for _, h := range f.Holes {
		if h.At < at || h.Length < 0 || h.At+h.Length > len(data) {
			return data // the digest was right, so this is not our record
		}
		out = append(append(out, data[at:h.At]...), h.Text...)
		at = h.At + h.Length
	}
	return append(out, data[at:]...)
}

// PackGoneError says that a secret file is not as it was placed, and that what it was is only in the sealed bundle.
type PackGoneError struct{ Path string }

func (e *PackGoneError) Error() string {
	return e.Path + " is not as it was placed, and its content is kept nowhere else on this host"
}

// Unwrap makes it one of the things that only the medium has.
func (e *PackGoneError) Unwrap() error { return bundle.ErrNotCarried }

// packState is one role's host pack in a plan: opened, or what is left of it on the host.
type packState struct {
	role  string
	root  bundle.Digest
	pack  *hostpack.Pack        // as the bundle has it
	gone  map[string]placedFile // files whose content on the host is not the one that was placed
	files []*FileStep           // that place it, filled in by the planner
	holes map[string][]hole     // of the secret files among them
}

// carriedPack reads what a role's directory has of its pack; nil when there is none. Contents of secret files come from where
// they were placed.
func carriedPack(h host.Host, dir string, root bundle.Digest) (*hostpack.Pack, map[string]placedFile, error) {
	data, err := host.ReadFile(h, openedPath(dir, root), bundle.MaxPackSize)
	if err == nil {
		p, err := hostpack.Unmarshal(data)
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", openedPath(dir, root), err)
		}
		return p, nil, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	rec, err := readPlaced(h, dir, root)
	if rec == nil || err != nil {
		return nil, nil, err
	}
	p := &hostpack.Pack{Format: bundle.Format, Cluster: rec.Cluster, Role: rec.Role, Host: rec.Host, IP: rec.IP, Token: rec.Token, Files: []hostpack.File{}}
	gone := map[string]placedFile{}
	for _, f := range rec.Files {
		file := hostpack.File{Path: f.Path, Mode: f.Mode, Owner: f.Owner, Group: f.Group, Secret: f.Secret, Fill: f.Fill, Data: f.Data}
		if f.Secret {
			data, err := placedContent(h, f.Path)
			if err != nil {
				return nil, nil, err
			}
			if bundle.DigestOf(data) == f.Digest {
				file.Data = f.template(data)
			} else {
				file.Data, file.Fill, gone[f.Path] = data, false, f // what the services on the host use now
			}
		}
		p.Files = append(p.Files, file)
	}
	return p, gone, nil
}

// placedContent is the content of a file that a pack placed, nil when there is none.
func placedContent(h host.Host, name string) ([]byte, error) {
	info, err := h.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Size() > bundle.MaxPackSize) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return host.ReadFile(h, name, bundle.MaxPackSize)
}

// readPlaced returns placed-HEX.json, nil when there is none.
func readPlaced(h host.Host, dir string, root bundle.Digest) (*placedPack, error) {
	name := placedPath(dir, root)
	data, err := host.ReadFile(h, name, 2*bundle.MaxPackSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rec placedPack
	if err := bundle.DecodeStrict(data, &rec, 2*bundle.MaxPackSize); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if rec.Format != 0 {
		return nil, fmt.Errorf("reading %s: format %d is newer than this installer", name, rec.Format)
	}
	return &rec, nil
}

// carried reports whether the host has the pack, opened or with all its files in their places.
func (s *packState) carried(h host.Host) (bool, error) {
	there, err := host.Exists(h, openedPath(RoleDir(s.role), s.root))
	if err != nil || there {
		return there, err
	}
	return host.Exists(h, placedPath(RoleDir(s.role), s.root))
}

// settled reports whether nothing of the pack has to be placed, or all that is needed for that is there.
func (s *packState) settled(ctx context.Context, h host.Host) (bool, error) {
	there, err := host.Exists(h, openedPath(RoleDir(s.role), s.root))
	if err != nil || there {
		return there, err
	}
	for _, f := range s.files {
		now, err := f.Check(ctx, h)
		if err != nil || now.State != Satisfied {
			return false, err
		}
	}
	return true, nil
}

// keepOpen writes the opened pack, unless all of it is in its place. The file is for root alone.
func (s *packState) keepOpen(ctx context.Context, h host.Host) error {
	if there, err := s.carried(h); err != nil || there {
		if ok, err := s.settled(ctx, h); err != nil || ok {
			return err
		}
	}
	for _, f := range s.pack.Files {
		if _, gone := s.gone[f.Path]; gone {
			return &PackGoneError{f.Path}
		}
	}
	return writeOpened(h, RoleDir(s.role), s.root, s.pack)
}

// writeOpened writes a pack as it is carried until its files are placed.
func writeOpened(h host.Host, dir string, root bundle.Digest, p *hostpack.Pack) error {
	data, err := hostpack.Marshal(p)
	if err != nil {
		return err
	}
	return h.Write(openedPath(dir, root), bytes.NewReader(data), host.Meta{Mode: 0o600})
}

// kept is the pack for a put-back: with the contents that the host has now, whatever they were when they were placed.
func (s *packState) kept() *hostpack.Pack {
	p := *s.pack
	p.Files = slices.DeleteFunc(slices.Clone(p.Files), func(f hostpack.File) bool {
		_, gone := s.gone[f.Path]
		return gone && f.Data == nil
	})
	return &p
}

// record is what is written down once the files are placed.
func (s *packState) record() placedPack {
	p := s.pack
	rec := placedPack{Cluster: p.Cluster, Role: p.Role, Host: p.Host, IP: p.IP, Token: p.Token, Files: []placedFile{}}
	for _, f := range p.Files {
		if old, gone := s.gone[f.Path]; gone {
			rec.Files = append(rec.Files, old)
			continue
		}
		out := placedFile{Path: f.Path, Mode: f.Mode, Owner: f.Owner, Group: f.Group, Secret: f.Secret, Fill: f.Fill,
			Digest: sha256.Sum256(f.Data), Size: int64(len(f.Data)), Holes: s.holes[f.Path]}
		if !f.Secret {
			out.Data, out.Holes = f.Data, nil
		}
		if i := slices.IndexFunc(s.files, func(step *FileStep) bool { return step.Path == f.Path }); i >= 0 {
			out.Digest, out.Size = s.files[i].Digest, s.files[i].Size
		}
		rec.Files = append(rec.Files, out)
	}
	return rec
}

// goneContent is the content of a file that this host has no more.
func goneContent(name string) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return nil, &PackGoneError{name} }
}

// dropPacks removes what an earlier bundle of the role has left of its pack.
func dropPacks(h host.Host, dir string, root bundle.Digest) error {
	names, err := h.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		ours := strings.HasPrefix(name, openedPrefix) || strings.HasPrefix(name, placedPrefix)
		if full := path.Join(dir, name); ours && full != openedPath(dir, root) && full != placedPath(dir, root) {
			if err := h.Remove(full); err != nil {
				return err
			}
		}
	}
	return nil
}
