package installer

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/signature"
	"offgrid/installer/host"
)

// carried opens a directory that holds what was carried of a bundle. Its signature is looked at again: by the key that was
// trusted when it was carried, which want.json beside it names, or one that this installer trusts, whose bundle it is when the
// carrying of another edition was cut off. What was let in without a trusted signature then is let in again.
func (s *Session) carried(dir string) (*bundle.Bundle, error) {
	in, err := readInstalled(s.Host, dir)
	if err != nil {
		return nil, err
	}
	trust := bundle.Trust{Keys: slices.Clone(s.Trust.Keys), Unsigned: s.Trust.Unsigned || in.Signer == ""}
	if in.Signer != "" {
		key, err := signature.ParsePublicKey(in.Signer)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path.Join(dir, wantName), err)
		}
		trust.Keys = append(trust.Keys, key)
	}
	all, err := bundle.OpenWith(s.local(dir), bundle.Options{Trust: &trust})
	if err != nil {
		return nil, err
	}
	return bundle.TheRole(dir, all, "")
}

// carriedRoleBundle is carried for what is installed of a role.
func (s *Session) carriedRoleBundle(role string) (*bundle.Bundle, error) {
	return s.carried(RoleDir(role))
}

// readInstalled reads want.json of a carried directory.
func readInstalled(h host.Host, dir string) (Installed, error) {
	var in Installed
	name := path.Join(dir, wantName)
	data, err := host.ReadFile(h, name, inlineMax)
	if err != nil {
		return in, err
	}
	if err := bundle.DecodeStrict(data, &in, inlineMax); err != nil {
		return in, fmt.Errorf("reading %s: %w", name, err)
	}
	if in.Format != 0 {
		return in, fmt.Errorf("reading %s: format %d is newer than this installer", name, in.Format)
	}
	return in, nil
}

// signerText is the key in want.json.
func signerText(b *bundle.Bundle) string {
	if b.Signer == nil {
		return ""
	}
	return b.Signer.String()
}

// previous finds out what an earlier run left. What cannot be read is as if it were not there: a carry that was
// interrupted is repeated.
func (s *Session) previous(opened []*bundle.Bundle) Previous {
	p := Previous{Clusters: map[string]string{}, Serials: map[string]int64{}, Roots: map[string]bundle.Digest{}, Data: map[string]string{}}
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return p
	}
	for _, in := range installed {
		if b, err := s.carriedRoleBundle(in.Role); err == nil {
			p.Clusters[in.Role], p.Serials[in.Role], p.Roots[in.Role] = b.Role.Cluster.ID, b.Role.Cluster.Serial, in.Bundle
			b.Close()
		}
	}
	for _, b := range opened {
		dir := b.Role.Cluster.Policy.EtcdDataDir
		if mark, err := readOptional(s.Host, dataMark(dir)); err == nil && mark != "" {
			p.Data[dir] = strings.TrimSpace(mark)
		}
	}
	return p
}

// trustFindings warns of bundles that no trusted key signed, and refuses those that are older than what this host has of their
// cluster: certificates that were replaced and programs with known holes would come back. What an upgrade that is not finished
// puts back is none of these, nor what is installed already.
func (s *Session) trustFindings(job *Job, before Previous) []Finding {
	var found []Finding
	for i := range job.Roles {
		r := &job.Roles[i]
		if r.Bundle.Signer == nil {
			found = append(found, warning("unsigned-bundle", "nobody whom this installer trusts has signed this bundle", r.Bundle.Path,
				"--allow-unsigned lets it in all the same; whoever made it, or changed it on its way, decides what runs here as root",
				"compare "+r.Bundle.RootDigest.Fingerprint()+" with what bundle build printed")...)
		}
		found = append(found, s.olderFinding(r, before)...)
	}
	return found
}

// olderFinding judges one role.
func (s *Session) olderFinding(r *RoleJob, before Previous) []Finding {
	c := r.Input.Index.Cluster
	newest, of := int64(0), ""
	for _, role := range bundle.RoleOrder() {
		if at, ok := before.Serials[role]; ok && before.Clusters[role] == c.ID && at > newest {
			newest, of = at, role
		}
	}
	begun := r.Plan != nil && r.Plan.Upgrade != nil && r.Plan.Upgrade.begun != nil
	if c.Serial >= newest || begun || before.Roots[r.Bundle.Role.Role] == r.Bundle.RootDigest {
		return nil
	}
	what := fmt.Sprintf("the bundle is older than what is installed (serial %d; this host's %s has %d)", c.Serial, of, newest)
	const why = "an old bundle brings back what was replaced since: certificates, keys, programs with known holes. Only an upgrade that is not finished is put back"
	if s.AllowOlder {
		return warning("older-bundle", what, r.Bundle.Path, why+"; --allow-older lets it in", "./install status   (shows what is installed)")
	}
	return usage("older-bundle", what, r.Bundle.Path, why,
		"bundle lock && bundle build   (that bundle is newer, also with older versions in cluster.yaml); or add --allow-older")
}
