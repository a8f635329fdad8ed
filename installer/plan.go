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
	"time"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/installer/host"
)

// Phase is a part of a plan that an operator knows by its name.
type Phase struct {
	Name  string
	Steps []Step
}

// Plan is all that one role's installation does on one host, in order. It is printed, serialised and executed from this
// value; nothing is done that is not in it.
type Plan struct {
	Role   string
	Host   bundle.Host
	Bundle bundle.Digest // of the bundle's root
	Phases []Phase
	// Upgrade is what the plan changes of a version that is on the host already; nil when there is none.
	Upgrade *Upgrade
}

// ID identifies the plan: the same bundle on the same host for the same role always has the same.
func (p *Plan) ID() bundle.Digest {
	return bundle.DigestOf([]byte(p.Bundle.String() + "\n" + p.Host.Name + "\n" + p.Host.IP + "\n" + p.Role + "\n"))
}

// Steps returns the steps of all phases in order.
func (p *Plan) Steps() []Step {
	var steps []Step
	for _, phase := range p.Phases {
		steps = append(steps, phase.Steps...)
	}
	return steps
}

// PlanDocument is a plan as data, with what the host needs of it.
type PlanDocument struct {
	Format int             `json:"format"` // 0
	ID     bundle.Digest   `json:"id"`
	Role   string          `json:"role"`
	Host   string          `json:"host"`
	IP     string          `json:"ip"`
	Bundle bundle.Digest   `json:"bundle"`
	Phases []PhaseDocument `json:"phases"`
	// Upgrade is missing unless the role is on the host already from another bundle.
	Upgrade *Upgrade `json:"upgrade,omitempty"`
}

// PhaseDocument is a phase as data.
type PhaseDocument struct {
	Name  string         `json:"name"`
	Steps []StepDocument `json:"steps"`
}

// StepDocument is a step as data.
type StepDocument struct {
	ID string `json:"id"`
	Line
	State string `json:"state"` // "needed", "satisfied", "pending" or "conflict", as the host is now
	Note  string `json:"note"`  // why it is in that state
}

// stateName is a State as the plan's document writes it.
func stateName(s State) string {
	return [...]string{Needed: "needed", Satisfied: "satisfied", Pending: "pending", Conflict: "conflict"}[s]
}

// Describe checks every step and returns the plan as data. It only reads. A step whose check fails now, because an earlier
// step has to come first, is needed.
func (p *Plan) Describe(ctx context.Context, h host.Host) (PlanDocument, error) {
	doc := PlanDocument{ID: p.ID(), Role: p.Role, Host: p.Host.Name, IP: p.Host.IP, Bundle: p.Bundle, Phases: []PhaseDocument{}, Upgrade: p.Upgrade}
	for _, phase := range p.Phases {
		d := PhaseDocument{Name: phase.Name, Steps: []StepDocument{}}
		for _, s := range phase.Steps {
			step := StepDocument{ID: s.ID(), Line: s.Line(), State: stateName(Needed)}
			if now, ok := lookAt(ctx, h, s); ok {
				step.State, step.Note = stateName(now.State), now.Why
			}
			d.Steps = append(d.Steps, step)
		}
		doc.Phases = append(doc.Phases, d)
	}
	return doc, ctx.Err()
}

// lookAt checks a step for a description. What waits for other hosts is not asked: a plan dials nobody.
func lookAt(ctx context.Context, h host.Host, s Step) (Status, bool) {
	if dials(s) {
		return Status{}, false
	}
	status, err := s.Check(ctx, h)
	return status, err == nil
}

// dials tells the steps whose check asks other hosts or the cluster.
func dials(s Step) bool {
	switch s.(type) {
	case *WaitStep, *ApplyStep, *TokenStep, *memberStep, *DrainStep, *UncordonStep:
		return true
	}
	return false
}

// conflicts are the steps that the host as it is does not allow, as findings.
func (p *Plan) conflicts(ctx context.Context, h host.Host) []Finding {
	var found []Finding
	for _, s := range p.Steps() {
		now, ok := lookAt(ctx, h, s)
		if !ok || now.State != Conflict {
			continue
		}
		line := s.Line()
		for _, f := range conflict("step-conflict", now.Why, line.Object, "the plan has to "+line.Verb+" it", conflictFix(s, line)) {
			f.Role = p.Role
			found = append(found, f)
		}
	}
	return found
}

// conflictFix is the command that shows what is in the way.
func conflictFix(s Step, line Line) string {
	switch s := s.(type) {
	case *UnitStep:
		return "systemctl unmask " + s.Unit
	case *KeepStep:
		return "./install verify   (shows what differs; ./install from the old medium puts it right)"
	case *UserStep:
		return "getent passwd " + s.Name + "; getent group " + s.Name + "   (make both or remove the one that is there)"
	case *JSONMergeStep:
		return "vi " + s.Path + "   (remove the setting named above)"
	}
	return "mv " + strings.TrimSuffix(line.Object, "/") + " /root/"
}

// PlanInput is what a plan is made from.
type PlanInput struct {
	Bundle    *bundle.Bundle
	Pack      *hostpack.Pack
	Texts     map[string][]byte // rendered public files by their path
	Host      bundle.Host
	Token     string // bootstrap token that the operator gave in place of the pack's; "" none
	Facts     *Facts
	Probe     Prober
	Now       func() time.Time
	Installer string        // path of the running executable on this machine
	Program   int64         // bytes of it that are the program, when a bundle was appended to it; 0: all
	Carried   string        // directory on this machine that the carry step fills: what comes later reads images there
	Patience  time.Duration // the longest that a step waits; 0: nothing waits
	// Kernel is what was said of the kernel that the bundle brings: kernelKept or kernelHeld; "" nothing.
	Kernel string
	State  *packState // of Pack; nil: it is not carried
}

// NewPlan makes the plan of the bundle's role for a host.
func NewPlan(in PlanInput) (*Plan, error) {
	if in.Now == nil {
		return nil, errors.New("planning: internal error: no clock")
	}
	p := &planner{in: in, index: &in.Bundle.Role, known: systemDirs(), plan: &Plan{Role: in.Bundle.Role.Role, Host: in.Host, Bundle: in.Bundle.RootDigest}}
	switch p.plan.Role {
	case bundle.RoleEtcd:
		p.etcd()
	case bundle.RoleMaster:
		p.master()
	case bundle.RoleNode:
		p.node()
	case bundle.RoleLB:
		p.lb()
	default:
		return nil, fmt.Errorf("planning: this installer cannot install the role %q", p.plan.Role)
	}
	if p.err != nil {
		return nil, fmt.Errorf("planning %s on %s: %w", p.plan.Role, in.Host.Name, p.err)
	}
	return p.plan, p.unique()
}

// planner collects steps. The first error makes the plan useless.
type planner struct {
	in    PlanInput
	index *bundle.RoleIndex
	plan  *Plan
	known map[string]bool // directories that are there or are in the plan already
	err   error
}

func (p *planner) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// phase begins a part of the plan; one that stays empty is left out.
func (p *planner) phase(name string) {
	if n := len(p.plan.Phases); n > 0 && len(p.plan.Phases[n-1].Steps) == 0 {
		p.plan.Phases = p.plan.Phases[:n-1]
	}
	p.plan.Phases = append(p.plan.Phases, Phase{Name: name})
}

func (p *planner) add(steps ...Step) {
	last := &p.plan.Phases[len(p.plan.Phases)-1]
	last.Steps = append(last.Steps, steps...)
}

// unique insists that no step stands in the plan twice: the journal knows steps by their ID.
func (p *planner) unique() error {
	seen := map[string]bool{}
	for _, s := range p.plan.Steps() {
		if seen[s.ID()] {
			return fmt.Errorf("planning: internal error: the step %q is in the plan twice", s.ID())
		}
		seen[s.ID()] = true
	}
	return nil
}

// systemDirs are the directories that every host of the family has.
func systemDirs() map[string]bool {
	known := map[string]bool{}
	for _, dir := range []string{"/", "/etc", "/opt", "/root", "/usr", "/usr/bin", "/usr/lib", "/usr/lib/systemd", "/usr/lib/systemd/system",
		"/usr/local", "/usr/local/bin", "/usr/sbin", "/var", "/var/lib", "/var/log", "/etc/sysctl.d", "/etc/systemd", "/etc/systemd/system"} {
		known[dir] = true
	}
	return known
}

// parents plans the directories above name that nothing else makes.
func (p *planner) parents(name string) {
	var missing []string
	for dir := path.Dir(name); !p.known[dir]; dir = path.Dir(dir) {
		missing = append(missing, dir)
		p.known[dir] = true
	}
	slices.Reverse(missing)
	for _, dir := range missing {
		if i := slices.IndexFunc(p.index.Dirs, func(d bundle.Dir) bool { return d.Path == dir }); i >= 0 {
			p.add(dirStep(p.index.Dirs[i]))
			continue
		}
		p.add(&DirStep{Path: dir, Keep: KeepFilled})
	}
}

func dirStep(d bundle.Dir) Step {
	return &DirStep{Path: d.Path, Meta: host.Meta{Mode: fs.FileMode(d.Mode), Owner: d.Owner, Group: d.Group}, Keep: d.Keep}
}

// dirs plans the directories of the role that keep says.
func (p *planner) dirs(keep func(bundle.Dir) bool) {
	for _, d := range p.index.Dirs {
		if keep(d) && !p.known[d.Path] {
			p.parents(d.Path)
			p.known[d.Path] = true
			p.add(dirStep(d))
		}
	}
}

// file plans one of the role's files.
func (p *planner) file(f bundle.File, why string) {
	a, ok := p.in.Bundle.Artifact(f.Artifact)
	if !ok {
		p.fail("%s: the bundle has no artifact %q", f.Path, f.Artifact)
		return
	}
	p.parents(f.Path)
	b := p.in.Bundle
	content := func(ctx context.Context) (io.ReadCloser, error) { return b.Content(ctx, a.Blob, a.Name) }
	if data, ok := p.in.Texts[f.Path]; ok { // texts come when the medium may be gone
		content = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	}
	p.add(&FileStep{Path: f.Path, Meta: host.Meta{Mode: fs.FileMode(f.Mode), Owner: f.Owner, Group: f.Group}, Digest: a.Blob.Digest, Size: a.Blob.Size,
		Why: why, Content: content})
}

// text plans a file whose content is at hand, and returns its step.
func (p *planner) text(name string, meta host.Meta, data []byte, secret bool, why string) *FileStep {
	p.parents(name)
	step := &FileStep{
		Path: name, Meta: meta, Digest: bundle.Digest(sha256.Sum256(data)), Size: int64(len(data)), Secret: secret, Why: why,
		Content: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}
	p.add(step)
	return step
}

// artifactData reads a small artifact.
func artifactData(ctx context.Context, b *bundle.Bundle, a bundle.Artifact) ([]byte, error) {
	if a.Blob.Size > saveMax {
		return nil, fmt.Errorf("reading %s: %d bytes are too many for a text", a.Name, a.Blob.Size)
	}
	r, err := b.Content(ctx, a.Blob, a.Name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}
