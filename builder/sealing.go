package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"offgrid/builder/cluster"
	"offgrid/builder/internal/durable"
	"offgrid/builder/internal/render"
	"offgrid/builder/internal/words"
	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/bundle/progress"
	"offgrid/bundle/seal"
)

// PassphraseBits is how many bits of chance are in a passphrase that a build makes.
const PassphraseBits = words.Bits

// Names in pki/.
const (
	sealedName = "sealed"         // sealed/KEY: host packs as they were sealed, so that the same pack is sealed once
	checkName  = "passphrase.age" // in sealed: opens with the site's passphrase, and only with that
	checkText  = "the passphrase of this site's host packs\n"
)

// Names in sealed/KEY.
const (
	sealedPack       = "pack.age"
	sealedPassphrase = "passphrase.age"
	sealedHostKey    = "sshhostkey.age"
)

// Passphrases is how a build gets the passphrase of a site's host packs. It is needed only when something is sealed.
type Passphrases struct {
	// Ask returns what the operator gives, the zero value when he gives none. With known the site has one already, and test
	// tells whether it is that.
	Ask func(ctx context.Context, known bool, test func(seal.Passphrase) error) (seal.Passphrase, error)
	// Made is told of a passphrase that was made because none was given, before anything is sealed with it.
	Made func(seal.Passphrase)
	// New takes another passphrase than the one that the site has: everything is sealed anew.
	New bool
	// WorkFactor is that of scrypt; 0 means seal.DefaultWorkFactor.
	WorkFactor int
}

// NoPassphraseError says that host packs must be sealed and the site's passphrase was not given.
type NoPassphraseError struct{ Packs int }

func (e *NoPassphraseError) Error() string {
	return fmt.Sprintf("sealing host packs: %d have changed, and sealing them takes the passphrase that the others of this site were sealed with", e.Packs)
}

// WrongPassphraseError says that the passphrase is not the one of the site.
type WrongPassphraseError struct{}

func (e *WrongPassphraseError) Error() string {
	return "sealing host packs: this is not the passphrase that the host packs of this site were sealed with"
}

// sealing is the host packs of one build.
type sealing struct {
	site *Site
	how  Passphrases
	dir  string
	salt string // digest of the file that checks the passphrase; "" when there is none
	todo []*sealJob
	done map[string]map[string]bundle.PackInput // role, host
}

// sealJob is one pack that has to be sealed.
type sealJob struct {
	pack *hostpack.Pack
	key  *seal.HostKey
	out  bundle.PackInput
}

// seal makes the packs of all roles ready for their bundles: those that were sealed before are taken as they are, so that the
// same input gives the same bytes.
func (s *Site) seal(ctx context.Context, rendered map[string]*render.Role, how Passphrases) (map[string]map[string]bundle.PackInput, int, error) {
	x := &sealing{site: s, how: how, dir: filepath.Join(s.path(PKIName), sealedName), done: map[string]map[string]bundle.PackInput{}}
	plain := s.cluster.Security.Packs == cluster.PacksPlain
	if err := x.open(plain); err != nil {
		return nil, 0, fmt.Errorf("sealing host packs: %w", err)
	}
	for name, role := range rendered {
		x.done[name] = map[string]bundle.PackInput{}
		for i := range role.Packs {
			p := &role.Packs[i]
			var err error
			if plain {
				x.done[name][p.Host], err = hostpack.Plain(p)
			} else {
				err = x.find(p)
			}
			if err != nil {
				return nil, 0, fmt.Errorf("host %q: %w", p.Host, err)
			}
		}
	}
	if len(x.todo) > 0 {
		if err := x.sealTodo(ctx); err != nil {
			return nil, 0, err
		}
	}
	return x.done, len(x.todo), nil
}

// open finds out whether the site has a passphrase.
func (x *sealing) open(plain bool) error {
	if plain {
		return nil
	}
	if err := os.MkdirAll(x.dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(x.dir)
	for _, e := range entries {
		if strings.Contains(e.Name(), tempMark) { // what a killed build left
			err = errors.Join(err, os.RemoveAll(filepath.Join(x.dir, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	data, err := readAtMost(filepath.Join(x.dir, checkName), bundle.MaxKeyFile)
	if errors.Is(err, fs.ErrNotExist) || x.how.New {
		return nil
	}
	x.salt = bundle.DigestOf(data).String()
	return err
}

// hostKey is the host's SSH key, nil when it is not known.
func (x *sealing) hostKey(host string) (*seal.HostKey, error) {
	h, ok := x.site.cluster.HostNamed(host)
	if !ok || h.SSHHostKey == "" {
		return nil, nil
	}
	key, err := seal.ParseHostKey(h.SSHHostKey)
	return &key, err
}

// place is where a pack lies when it was sealed for these ways of opening it.
func (x *sealing) place(p *hostpack.Pack, key *seal.HostKey) (string, error) {
	plain, err := hostpack.Marshal(p)
	if err != nil {
		return "", err
	}
	line := ""
	if key != nil {
		line = key.Line
	}
	name, err := bundle.MarshalCanonical([]string{bundle.DigestOf(plain).String(), line, x.salt})
	return filepath.Join(x.dir, bundle.DigestOf(name).Hex()), err
}

// find takes a pack that was sealed before, or notes that it has to be.
func (x *sealing) find(p *hostpack.Pack) error {
	key, err := x.hostKey(p.Host)
	if err != nil {
		return err
	}
	dir, err := x.place(p, key)
	if err != nil {
		return err
	}
	in, err := readSealed(dir, key != nil)
	if errors.Is(err, fs.ErrNotExist) || x.salt == "" {
		x.todo = append(x.todo, &sealJob{pack: p, key: key})
		return nil
	}
	x.done[p.Role][p.Host] = in
	return err
}

func readSealed(dir string, hostKey bool) (in bundle.PackInput, err error) {
	if in.Pack, err = readAtMost(filepath.Join(dir, sealedPack), bundle.MaxSealedSize); err != nil {
		return in, err
	}
	in.Passphrase, err = readAtMost(filepath.Join(dir, sealedPassphrase), bundle.MaxKeyFile)
	if err == nil && hostKey {
		in.SSHHostKey, err = readAtMost(filepath.Join(dir, sealedHostKey), bundle.MaxKeyFile)
	}
	return in, err
}

// sealTodo seals what was not sealed before, two packs at a time: each takes the memory that scrypt takes.
func (x *sealing) sealTodo(ctx context.Context) error {
	p, err := x.passphrase(ctx)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d host packs", len(x.todo))
	x.site.report(progress.Event{Phase: "seal", Item: what, Kind: progress.Start})
	errs := make([]error, len(x.todo))
	turn := make(chan struct{}, min(2, runtime.NumCPU()))
	var group sync.WaitGroup
	for i, job := range x.todo {
		turn <- struct{}{}
		if ctx.Err() != nil {
			errs[i] = context.Cause(ctx)
			break
		}
		group.Go(func() {
			defer func() { <-turn }()
			errs[i] = x.sealOne(job, p)
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, job := range x.todo {
		x.done[job.pack.Role][job.pack.Host] = job.out
	}
	x.site.report(progress.Event{Phase: "seal", Item: what, Kind: progress.Done})
	return nil
}

func (x *sealing) sealOne(job *sealJob, p seal.Passphrase) (err error) {
	job.out, err = hostpack.Seal(job.pack, hostpack.Ways{Passphrase: p, SSHHostKey: job.key, WorkFactor: x.how.WorkFactor})
	if err != nil {
		return err
	}
	dir, err := x.place(job.pack, job.key)
	if err == nil {
		err = writeSealed(dir, job.out)
	}
	if err != nil {
		return fmt.Errorf("keeping the sealed pack of %q: %w", job.pack.Host, err)
	}
	return nil
}

// writeSealed keeps a sealed pack: all of it or nothing.
func writeSealed(dir string, in bundle.PackInput) error {
	temp := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+tempMark+"0")
	err := os.RemoveAll(temp)
	if err == nil {
		err = os.Mkdir(temp, 0o700)
	}
	for name, data := range map[string][]byte{sealedPack: in.Pack, sealedPassphrase: in.Passphrase, sealedHostKey: in.SSHHostKey} {
		if err == nil && data != nil {
			err = WriteFile(filepath.Join(temp, name), 0o600, writeBytes(data))
		}
	}
	if err == nil {
		err = os.RemoveAll(dir) // one that is not whole
	}
	if err == nil {
		err = os.Rename(temp, dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return durable.Dir(filepath.Dir(dir))
}

// passphrase gets the site's passphrase, or makes one and a file that checks it from now on.
func (x *sealing) passphrase(ctx context.Context) (p seal.Passphrase, err error) {
	known := x.salt != ""
	if x.how.Ask != nil {
		if p, err = x.how.Ask(ctx, known, x.test); err != nil {
			return p, err
		}
	}
	switch {
	case known && p.IsZero():
		return p, &NoPassphraseError{len(x.todo)}
	case known:
		return p, x.test(p)
	case p.IsZero():
		if p, err = words.Passphrase(); err != nil {
			return p, err
		}
		if x.how.Made == nil {
			return p, errors.New("sealing host packs: internal error: nobody would see the passphrase")
		}
		x.how.Made(p)
	}
	return p, x.begin(p)
}

// test tells whether p is the site's passphrase.
func (x *sealing) test(p seal.Passphrase) error {
	data, err := readAtMost(filepath.Join(x.dir, checkName), bundle.MaxKeyFile)
	if err != nil {
		return err
	}
	text, err := seal.Decrypt(data, p, int64(len(checkText)))
	if errors.Is(err, seal.ErrWrongKey) {
		return &WrongPassphraseError{}
	}
	if err == nil && string(text) != checkText {
		err = errors.New("it holds another text")
	}
	if err != nil {
		return fmt.Errorf("%s is damaged: %w; put it back from a copy of %s/", filepath.Join(x.dir, checkName), err, PKIName)
	}
	return nil
}

// begin makes p the site's passphrase. What was sealed with another one goes: no build takes it any more.
func (x *sealing) begin(p seal.Passphrase) error {
	check, err := seal.Encrypt([]byte(checkText), p, x.how.WorkFactor)
	if err != nil {
		return err
	}
	if err := WriteFile(filepath.Join(x.dir, checkName), 0o600, writeBytes(check)); err != nil {
		return err
	}
	x.salt = bundle.DigestOf(check).String()
	entries, err := os.ReadDir(x.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := os.RemoveAll(filepath.Join(x.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return durable.Dir(x.dir)
}
