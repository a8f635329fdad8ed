package installer

import (
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
func fill(f hostpack.File, own bundle.Host, facts *Facts) ([]byte, error) {
	name := own.NodeName
	if name == "" {
		name = own.Name
	}
	pairs := []string{hostpack.FillIP, own.IP, hostpack.FillName, name}
	if strings.Contains(string(f.Data), hostpack.FillInterface) {
		nic := interfaceOf(facts, own.IP)
		if nic == "" {
			return nil, &addressError{ip: own.IP, path: f.Path}
		}
		pairs = append(pairs, hostpack.FillInterface, nic)
	}
	text := strings.NewReplacer(pairs...).Replace(string(f.Data))
	if left := leftPlaceholder.FindString(text); left != "" {
		return nil, fmt.Errorf("%s holds %q, which this installer does not know; use the file install that was written together with the bundle", f.Path, left)
	}
	return []byte(text), nil
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
