package installer

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// addressError is a plan that cannot be made because the host has not got its planned address, which is what tells the
// interface.
type addressError struct {
	ip   string
	path string // of the file that names the interface
}

func (e *addressError) Error() string {
	return fmt.Sprintf("no interface of this host has the address %s, and %s has to name that interface", e.ip, e.path)
}

// leftPlaceholder finds what was not filled in.
var leftPlaceholder = regexp.MustCompile(`\{\{[A-Za-z_]*\}\}`)

// fill replaces the placeholders of a pack's file by what the host is at this moment: interfaces may have other names after
// the next boot, and the next plan then has another content for the file.
// The second result is where that was done.
func fill(f hostpack.File, own bundle.Host, facts *Facts) ([]byte, []hole, error) {
	name := own.NodeName
	if name == "" {
		name = own.Name
	}
	pairs := []string{hostpack.FillIP, own.IP, hostpack.FillName, name}
	if strings.Contains(string(f.Data), hostpack.FillInterface) {
		nic := interfaceOf(facts, own.IP)
		if nic == "" {
			return nil, nil, &addressError{ip: own.IP, path: f.Path}
		}
		pairs = append(pairs, hostpack.FillInterface, nic)
	}
	text, holes := fillHoles(f.Data, pairs)
	if left := leftPlaceholder.Find(text); left != nil {
		return nil, nil, fmt.Errorf("%s holds %q, which this installer does not know; use the file install that was written together with the bundle", f.Path, left)
	}
	return text, holes, nil
}

// fillHoles replaces placeholders, which come in pairs with what they stand for, and says where.
func fillHoles(data []byte, pairs []string) (out []byte, holes []hole) {
	for len(data) > 0 {
		at := bytes.Index(data, []byte("{{"))
		if at < 0 {
			return append(out, data...), holes
		}
		out, data = append(out, data[:at]...), data[at:]
		i := 0
		for i < len(pairs) && !bytes.HasPrefix(data, []byte(pairs[i])) {
			i += 2
		}
		if i >= len(pairs) {
			out, data = append(out, data[0]), data[1:]
			continue
		}
		holes = append(holes, hole{At: len(out), Length: len(pairs[i+1]), Text: pairs[i]})
		out, data = append(out, pairs[i+1]...), data[len(pairs[i]):]
	}
	return out, holes
}

// interfaceOf is the interface that has an address, "" when none has.
func interfaceOf(facts *Facts, ip string) string {
	for _, a := range facts.Addresses {
		if a.Prefix.Addr().String() == ip {
			return a.Interface
		}
	}
	return ""
}
