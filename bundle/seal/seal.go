// Package seal keeps secrets in age files (https://age-encryption.org/v1): for a passphrase, for a fresh key, or for the
// SSH host key of a machine. It is the one package that knows how.
//
// Every file that is read must have exactly one recipient, of the kind that is expected: what else age allows is refused.
package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"

	"filippo.io/age"
)

// Work factors of scrypt, as powers of two. One more doubles time and memory: 1 KiB times 2 to that power.
const (
	// DefaultWorkFactor is age's own: 256 MiB, and about a second on a machine of 2020.
	DefaultWorkFactor = 18
	// MaxWorkFactor is the greatest that a reader accepts: 1 GiB. A hostile file must not take a host's memory.
	MaxWorkFactor = 20
)

// kind is the type of a recipient, as it stands in the header of an age file.
const (
	kindFresh  = "X25519"
	kindScrypt = "scrypt"
)

// ErrWrongKey says that a file was not sealed for the key or the passphrase at hand.
var ErrWrongKey = errors.New("it was sealed for another key or passphrase")

// Memory is how many bytes scrypt takes with a work factor.
func Memory(workFactor int) int64 { return 1 << (10 + workFactor) }

// release gives back the memory that scrypt had, for the next one would come on top of it. After a small work factor there is nothing
// that would be worth the wait.
func release() {
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc+m.HeapIdle-m.HeapReleased >= 64<<20 {
		debug.FreeOSMemory()
	}
}

// Encrypt seals data for a passphrase. A work factor of 0 is DefaultWorkFactor.
func Encrypt(data []byte, p Passphrase, workFactor int) ([]byte, error) {
	r, err := passphraseRecipient(p, workFactor)
	if err != nil {
		return nil, err
	}
	defer release()
	return encrypt(data, r)
}

// EncryptTo seals what is written to the returned writer for a passphrase. Only after its Close is it whole.
func EncryptTo(w io.Writer, p Passphrase, workFactor int) (io.WriteCloser, error) {
	r, err := passphraseRecipient(p, workFactor)
	if err != nil {
		return nil, err
	}
	defer release()
	return age.Encrypt(w, r)
}

func passphraseRecipient(p Passphrase, workFactor int) (age.Recipient, error) {
	if workFactor == 0 {
		workFactor = DefaultWorkFactor
	}
	if workFactor < 1 || workFactor > MaxWorkFactor {
		return nil, fmt.Errorf("sealing: work factor %d is not from 1 to %d", workFactor, MaxWorkFactor)
	}
	r, err := age.NewScryptRecipient(p.text)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	r.SetWorkFactor(workFactor)
	return r, nil
}

// Decrypt opens what Encrypt made, of at most limit bytes of content. Another passphrase is ErrWrongKey.
func Decrypt(data []byte, p Passphrase, limit int64) ([]byte, error) {
	r, err := DecryptFrom(bytes.NewReader(data), p)
	if err != nil {
		return nil, err
	}
	return readAll(r, limit)
}

// DecryptFrom opens what EncryptTo made. No byte of the content is handed out before it is proved right, but only io.EOF says
// that it is whole.
func DecryptFrom(r io.Reader, p Passphrase) (io.Reader, error) {
	i, err := age.NewScryptIdentity(p.text)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	i.SetMaxWorkFactor(MaxWorkFactor)
	defer release()
	return decrypt(r, kindScrypt, i)
}

// WorkFactor reads from the header of a file how much work its passphrase takes. It computes nothing.
func WorkFactor(data []byte) (int, error) {
	peek := &peeker{}
	if _, err := decrypt(bytes.NewReader(data), kindScrypt, peek); !errors.Is(err, ErrWrongKey) {
		return 0, err
	}
	if len(peek.args) != 2 {
		return 0, errors.New("opening: its header names no work factor")
	}
	n, err := strconv.Atoi(peek.args[1])
	if err != nil || n < 1 || n > MaxWorkFactor {
		return 0, fmt.Errorf("opening: work factor %.20q is not from 1 to %d", peek.args[1], MaxWorkFactor)
	}
	return n, nil
}

// peeker is a key that fits nothing and remembers what it was tried on.
type peeker struct{ args []string }

// Unwrap implements age.Identity.
func (p *peeker) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	p.args = stanzas[0].Args
	return nil, age.ErrIncorrectIdentity
}

func encrypt(data []byte, to age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return out.Bytes(), nil
}

// decrypt opens an age file whose one recipient is of a kind.
func decrypt(r io.Reader, kind string, i age.Identity) (io.Reader, error) {
	opened, err := age.Decrypt(r, &only{kind, i})
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, ErrWrongKey
	}
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	return opened, nil
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("opening: it holds more than %d bytes", limit)
	}
	return data, nil
}

// only insists on one recipient of a kind before a key is tried.
type only struct {
	kind string
	key  age.Identity
}

// Unwrap implements age.Identity.
func (o *only) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != o.kind {
		return nil, fmt.Errorf("it has %d recipients, the first of type %.20q; want one of type %s", len(stanzas), stanzas[0].Type, o.kind)
	}
	return o.key.Unwrap(stanzas)
}
