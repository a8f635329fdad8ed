package medium

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/signature"
)

// maxInstaller is how much of an installer is looked at for whom it trusts, in bytes: more than any is long. What follows it in a
// single file is a bundle.
const maxInstaller = 32 << 20

// sheet gathers what the run sheet says. It holds no secret and no time: the same build gives the same sheet.
type sheet struct {
	cluster   *bundle.Cluster
	hosts     []bundle.Host
	roles     []sheetRole
	files     []sheetFile
	installer string // sha256
	trusted   []signature.PublicKey
	signers   []string // what the installer shows of the keys that signed, each once
	upgrade   bool     // a kernel is aboard
}

type sheetRole struct{ role, file, fingerprint string }

type sheetFile struct {
	name, what string
	size       int64
	sum        string
}

// add notes a file of dist/ and how it lies on the medium. It returns what identifies the bundles in it.
func (s *sheet) add(src *source, pieces []piece) (roots []string, err error) {
	what := "recovery: " + src.name
	if src.name == "install" {
		s.installer, what = src.sum, "the installer, for every host"
	}
	if isBundle(src.name) {
		all, err := bundle.OpenAll(src.path)
		if err != nil {
			return nil, &SourceError{src.path, err}
		}
		var roles []string
		for _, b := range all {
			defer b.Close()
			roots = append(roots, b.RootDigest.String())
			roles = append(roles, b.Role.Role)
			s.roles = append(s.roles, sheetRole{b.Role.Role, src.name, b.RootDigest.Fingerprint()})
			if by := s.signer(b); !slices.Contains(s.signers, by) {
				s.signers = append(s.signers, by)
			}
			s.cluster, s.hosts = &b.Role.Cluster, b.Role.Hosts
			s.upgrade = s.upgrade || b.Role.Kernel != nil
		}
		what = "hosts with the role " + strings.Join(roles, ", ")
	}
	for _, p := range pieces {
		s.files = append(s.files, sheetFile{p.name, what, p.size, p.sum})
	}
	return roots, nil
}

// signer is what the installer shows of the key that signed a bundle.
func (s *sheet) signer(b *bundle.Bundle) string {
	if i := slices.IndexFunc(s.trusted, b.VerifySignature); i >= 0 {
		return s.trusted[i].Fingerprint()
	}
	return "NOBODY whom this installer trusts"
}

// trust reads whom the installer among the sources trusts. Where there is none, such as beside a renewal, or one of another
// release, the sheet says nothing of signers.
func (s *sheet) trust(sources []source) error {
	i := slices.IndexFunc(sources, func(src source) bool { return strings.HasPrefix(src.name, "install") })
	if i < 0 {
		return nil
	}
	f, err := os.Open(sources[i].path)
	if err != nil {
		return err
	}
	defer f.Close()
	program, err := io.ReadAll(io.LimitReader(f, maxInstaller))
	if err != nil {
		return fmt.Errorf("reading %s: %w", sources[i].path, err)
	}
	if keys, err := signature.TrustedBy(program); err == nil {
		s.trusted = keys
	}
	return nil
}

// document makes the sheet of what was gathered.
func (s *sheet) document() document {
	d := document{title: "Run sheet"}
	if s.cluster != nil {
		d.title = "Run sheet: cluster " + s.cluster.Name
	}
	s.head(&d)
	s.check(&d)
	s.steps(&d)
	s.expect(&d)
	s.refusals(&d)
	s.after(&d)
	return d
}

func (s *sheet) head(d *document) {
	d.section("What is on this medium")
	if c := s.cluster; c != nil {
		d.para("Kubernetes %s, etcd %s, docker %s. Cluster id %s, serial %d.", c.Policy.KubeVersion, c.Policy.EtcdVersion, c.Policy.DockerVersion, c.ID, c.Serial)
	}
	var rows [][]string
	for _, f := range s.files {
		rows = append(rows, []string{f.name, size(f.size), f.what})
	}
	d.table([]string{"file", "size", "for"}, rows)
	d.para("Beside each file lies NAME.recovery: what makes it readable again when the medium is damaged. A file in parts (.001, .002, ...) is read as it is; nothing is to be joined. Guard this medium: it holds what makes hosts members of this cluster. Nothing on this sheet is secret.")
}

func (s *sheet) check(d *document) {
	d.section("Before the first host")
	d.para("On each host, as root. The device may have another name: lsblk shows it.")
	d.command("mount -o ro /dev/sdb1 /mnt && cd /mnt")
	if s.installer != "" {
		d.para("Is the installer the one that was built? Compare all 64 digits:")
		d.command("sha256sum install")
		d.output("%s  install", s.installer)
	}
	d.para("Is everything whole? This reads all of the medium, and may be left out: the installer checks every byte that it uses.")
	d.command("sha256sum -c --quiet SHA256SUMS")
	d.para("It prints nothing when all is well. If it names a file, go on all the same: the installer repairs what the recovery record can repair, and says so.")
	d.para("\"Permission denied\" when ./install is typed: the medium is mounted noexec. Then type")
	d.command("cp install /root/ && /root/install --bundle /mnt ...")
	d.para("with the rest of the command as below.")
}

func (s *sheet) steps(d *document) {
	d.section("Host by host")
	d.para("This order is the quickest. Any other works too: what waits for other hosts goes on by itself when they come.")
	var rows [][]string
	for _, step := range s.order() {
		rows = append(rows, []string{fmt.Sprint(len(rows) + 1), step.host.Name, step.host.IP, fmt.Sprintf("./install --role %s --ip %s", step.role.role, step.host.IP), step.role.file})
	}
	d.table([]string{"", "host", "address", "type there", "file"}, rows)
	d.para("Tick each line when its command has ended with exit code 0 (type: echo $?). It asks before it changes anything.")
	if s.cluster != nil && len(s.cluster.JoinCIDRs) > 0 {
		d.para("Any other host with an address in %s may join as a node: ./install --role node --ip ADDRESS, then on a master: /var/lib/offgrid/install approve", strings.Join(s.cluster.JoinCIDRs, ", "))
	}
}

// sheetStep is one command on one host.
type sheetStep struct {
	host bundle.Host
	role sheetRole
}

// order lists the commands: all etcd members, then masters, nodes and balancers, spares last.
func (s *sheet) order() []sheetStep {
	var steps []sheetStep
	for _, role := range bundle.RoleOrder() {
		i := slices.IndexFunc(s.roles, func(r sheetRole) bool { return r.role == role })
		for _, h := range s.hosts {
			if i >= 0 && slices.Contains(h.Roles, role) {
				steps = append(steps, sheetStep{h, s.roles[i]})
			}
		}
	}
	slices.SortStableFunc(steps, func(a, b sheetStep) int { return cmp.Compare(spare(a.host), spare(b.host)) })
	return steps
}

func spare(h bundle.Host) int {
	if h.Spare {
		return 1
	}
	return 0
}

func (s *sheet) expect(d *document) {
	d.section("What you will see")
	d.para("First the bundle and its fingerprint. It must be one of these; else stop, this is another build:")
	var rows [][]string
	for _, r := range s.roles {
		rows = append(rows, []string{r.role, r.fingerprint, r.file})
	}
	d.table([]string{"role", "fingerprint", "file"}, rows)
	if len(s.trusted) > 0 {
		d.para("Then who signed it. It must be:")
		for _, by := range s.signers {
			d.output("signed by   %s", by)
		}
	}
	d.para("Then the plan and a question; answer y. If it asks for a passphrase: that is the one chosen when the bundles were built. It is neither on this medium nor on this sheet. At the end one of:")
	d.output("Done.")
	d.output("Everything that this host can do alone is done. It still waits: ...")
	d.para("Both are good. \"the medium may be removed now\" means what it says, also while the work still goes on.")
}

func (s *sheet) refusals(d *document) {
	d.section("When it ends with another exit code")
	d.para("What is wrong, and the one command that helps, stand in its last lines. Type: echo $?")
	d.table([]string{"code", "it means", "do"}, [][]string{
		{"0", "done, or waiting for other hosts", "go to the next line of the table above"},
		{"1", "a step failed", "do what the hint says; then the same command again: it goes on where it stopped"},
		{"2", "refused: wrong command, host or bundle; nothing was changed", "compare command and address with the table above"},
		{"3", "a reboot is needed, or under way", "reboot; it goes on by itself. No answer after ten minutes: power-cycle it once"},
		{"4", "the medium is damaged beyond repair; nothing was changed", "it names the one file to copy again. Another port or reader first, if it says that the reader is bad"},
		{"5", "something on the host is in the way", "it names what; remove it, or /var/lib/offgrid/install uninstall"},
		{"6", "all is in place, a check failed", "/var/lib/offgrid/install status; journalctl -n 50"},
		{"130", "interrupted", "the same command again"},
	})
	if s.upgrade {
		d.para("These bundles bring a kernel. It is tried once; a host that does not come back within ten minutes is power-cycled once and comes back with its old kernel.")
	}
}

func (s *sheet) after(d *document) {
	d.section("After a power failure, and at the end")
	d.para("A host that lost its power goes on by itself when it is back. To see how far it is, or to go on at once, without this medium:")
	d.command("/var/lib/offgrid/install status")
	d.command("/var/lib/offgrid/install resume")
	d.para("When all hosts are done, on a master:")
	d.command("/var/lib/offgrid/install check")
	d.para("tries the whole cluster and removes again what it made for that.")
}

// size formats bytes as the installer does: decimal units.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	value, i := float64(n), 0
	for value >= 999.95 && i < len(units)-1 {
		value, i = value/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}
