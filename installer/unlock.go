package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/bundle/progress"
	"offgrid/bundle/seal"
	"offgrid/installer/host"
)

// NoPassphraseError says that a sealed pack is there and nobody can be asked for its passphrase.
type NoPassphraseError struct {
	Host string
	Role string
	IP   string
}

func (e *NoPassphraseError) Error() string {
	return fmt.Sprintf("the pack of %s in the bundle is sealed, and there is no terminal to ask for the passphrase at", e.Host)
}

// WrongPassphraseError says that a sealed pack did not open with what was typed.
type WrongPassphraseError struct{ Host string }

func (e *WrongPassphraseError) Error() string {
	return fmt.Sprintf("this is not the passphrase that opens the pack of %s; nothing was changed", e.Host)
}

// Asked says for which pack a passphrase is wanted, and how often it was wrong in this run.
type Asked struct {
	Host string
	Role string
	IP   string
	Try  int // 0 the first time
}

// openPack opens a host's pack in a bundle that the operator brought: with the host's SSH key when it is for that, else with the
// passphrase. The finding says why it was not tried. A bundle without a pack for the host gives nothing.
func (s *Session) openPack(ctx context.Context, b *bundle.Bundle, name string, ip string) (*hostpack.Pack, []Finding, error) {
	if _, ok := b.Pack(name); !ok {
		return nil, nil, nil
	}
	box, err := hostpack.Load(ctx, b, name)
	if err != nil {
		return nil, nil, err
	}
	if !box.Sealed {
		pack, err := box.Open()
		return pack, nil, err
	}
	pack, err := s.openWithHostKey(box, name)
	if pack != nil || err != nil {
		return pack, nil, err
	}
	if found := s.memoryFinding(box, name); found != nil {
		return nil, found, nil
	}
	pack, err = s.openWithPassphrase(ctx, box, Asked{Host: name, Role: b.Role.Role, IP: ip})
	return pack, nil, err
}

// openWithHostKey tries the SSH keys of this host; nil when none fits.
func (s *Session) openWithHostKey(box *hostpack.Box, name string) (*hostpack.Pack, error) {
	if box.HostKey == "" {
		return nil, nil
	}
	why := "this host has none"
	for _, path := range seal.HostKeyPaths() {
		private, err := host.ReadFile(s.Host, path, seal.MaxHostKeyFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var pack *hostpack.Pack
		if err == nil {
			pack, err = box.OpenWithHostKey(private)
		}
		switch {
		case err == nil:
			s.Report.Report(progress.Event{Phase: "check", Item: "pack of " + name, Kind: progress.Note, Text: "opened with this host's SSH key " + path})
			return pack, nil
		case errors.As(err, new(*bundle.DamageError)):
			return nil, err
		case errors.Is(err, seal.ErrWrongKey):
			why = "it was sealed for another one"
		default:
			why = err.Error()
		}
	}
	s.Report.Report(progress.Event{Phase: "check", Item: "pack of " + name, Kind: progress.Note,
		Text: "it is sealed for an " + box.HostKey + " key of this host, too, and does not open with it (" + why + "): the passphrase is needed"})
	return nil, nil
}

// openWithPassphrase asks for the passphrase once in a run, and again when it does not fit.
func (s *Session) openWithPassphrase(ctx context.Context, box *hostpack.Box, ask Asked) (*hostpack.Pack, error) {
	p := s.words
	for {
		if p.IsZero() {
			if s.Passphrase == nil {
				return nil, &NoPassphraseError{Host: ask.Host, Role: ask.Role, IP: ask.IP}
			}
			var err error
			if p, err = s.Passphrase(ctx, ask); err != nil {
				return nil, err
			}
			ask.Try++
		}
		pack, err := box.OpenWithPassphrase(p)
		switch {
		case err == nil:
			s.words = p
			return pack, nil
		case !errors.Is(err, seal.ErrWrongKey):
			return nil, err
		}
		p = seal.Passphrase{}
	}
}

// memoryReserve is what the installer takes beside scrypt, in bytes.
const memoryReserve = 48 << 20

// memoryFinding speaks of a host on which opening a pack would be killed. A kernel that does not say what is free is trusted.
func (s *Session) memoryFinding(box *hostpack.Box, name string) []Finding {
	text, err := host.ReadFile(s.Host, "/proc/meminfo", saveMax)
	free, ok := memAvailable(string(text))
	if err != nil || !ok || free >= box.Memory()+memoryReserve {
		return nil
	}
	return conflict("memory-passphrase", fmt.Sprintf("%s of memory are available, and opening the pack of %s with the passphrase takes %s", mib(free), name, mib(box.Memory()+memoryReserve)),
		"/proc/meminfo", "a passphrase that is tried cheaply is guessed cheaply",
		"ps -eo rss,pid,args --sort=-rss | head   (stop what takes the most for a minute; or put the host's SSH key into cluster.yaml as sshHostKey: then it takes no memory)")
}

// readPack reads the host's pack: of a bundle that the operator brought, or of what was carried from one.
func (s *Session) readPack(ctx context.Context, b *bundle.Bundle, name string, in *RoleInput) (err error) {
	st := &packState{role: b.Role.Role, root: b.RootDigest, holes: map[string][]hole{}}
	if s.isCarried(b) {
		st.pack, st.gone, err = carriedPack(s.Host, strings.TrimPrefix(b.Path, s.Root), b.RootDigest)
	} else if name != "" {
		p, _ := b.Pack(name)
		h, _ := b.Role.Host(name)
		in.Plain = p.Data.Size > 0 && !p.Sealed
		st.pack, in.Closed, err = s.openPack(ctx, b, name, h.IP)
	}
	if err != nil || st.pack == nil {
		return err
	}
	for _, f := range st.pack.Files {
		in.Carry += int64(len(f.Data))
	}
	in.state, in.Pack = st, new(hostpack.Pack)
	*in.Pack = *st.pack
	in.Pack.Files = slices.Clone(st.pack.Files) // adapt changes them
	return nil
}

// isCarried reports whether a bundle is what was carried to this host.
func (s *Session) isCarried(b *bundle.Bundle) bool {
	return strings.HasPrefix(b.Path, s.local(StateDir)+"/")
}
