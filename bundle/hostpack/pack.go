package hostpack

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"offgrid/bundle"
)

// MaxFiles bounds the files of a pack: a host has some dozens.
const MaxFiles = 1024

// Marshal returns the canonical JSON of a pack.
func Marshal(p *Pack) ([]byte, error) {
	c := *p
	c.Normalise()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	data, err := bundle.MarshalCanonical(c)
	if err != nil {
		return nil, err
	}
	if len(data) > bundle.MaxPackSize {
		return nil, fmt.Errorf("packing for %q: %d bytes are more than the limit of %d", p.Host, len(data), bundle.MaxPackSize)
	}
	return data, nil
}

// Unmarshal reads what Marshal wrote.
func Unmarshal(data []byte) (*Pack, error) {
	var p Pack
	if err := bundle.DecodeCanonical(data, &p, bundle.MaxPackSize); err != nil {
		return nil, fmt.Errorf("reading host pack: %w", err)
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return &p, nil
}

// Normalise fills in the number of the format and makes nil lists and contents empty, so that nothing has one form only. Marshal does
// it by itself.
func (p *Pack) Normalise() {
	if p.Format == 0 {
		p.Format = bundle.Format
	}
	p.Files = append([]File{}, p.Files...)
	for i := range p.Files {
		if p.Files[i].Data == nil {
			p.Files[i].Data = []byte{}
		}
	}
}

// Validate returns all faults of a pack, joined.
func (p *Pack) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("host pack of %q: "+format, append([]any{p.Host}, args...)...))
		}
	}
	check(p.Format == bundle.Format, "format is %d, want %d", p.Format, bundle.Format)
	check(p.Cluster != "" && p.Role != "" && p.Host != "", "cluster, role or host is empty")
	join := p.Host == bundle.JoinPack
	_, err := netip.ParseAddr(p.IP)
	check(join && p.IP == "" || !join && err == nil, "IP: %q", p.IP)
	if len(p.Files) > MaxFiles {
		check(false, "%d files are more than the limit of %d", len(p.Files), MaxFiles)
		return errors.Join(faults...)
	}
	last := ""
	for _, f := range p.Files {
		err := bundle.CheckPath(f.Path)
		check(err == nil, "%v", err)
		check(last < f.Path, "%q comes before %q: not sorted, or twice", last, f.Path)
		check(join || p.Role == bundle.RoleLB || !f.Fill, "%q: only a load balancer, or a node that joins, has something to fill in", f.Path)
		check(f.Mode <= 0o777, "%q: mode is %#o", f.Path, f.Mode)
		check(!f.Secret || f.Mode&0o007 == 0, "%q: it is secret, but its mode %#o lets everybody at it", f.Path, f.Mode)
		last = f.Path
	}
	if t := p.Token; t != nil {
		check(isToken(t.ID, 6) && isToken(t.Secret, 16), "token: want 6 and 16 characters of a-z and 0-9")
		check(t.TTLSeconds > 0, "token: it lives %d s", t.TTLSeconds)
	}
	return errors.Join(faults...)
}

func isToken(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}
