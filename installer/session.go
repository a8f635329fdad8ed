package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/bundle/seal"
	"offgrid/installer/host"
)

// Session is the installer at work on one host.
type Session struct {
	Host       host.Host
	Root       string // where the host's root directory is on this machine: "" for the host itself
	Executable string // path of the running installer on the host
	Version    string // of the installer
	Now        func() time.Time
	Probe      Prober
	Patience   time.Duration // the longest that a step waits; 0: nothing waits
	Unattended bool          // nobody is watching: the timer started this run
	// DrainTimeout is how long the pods of a node that is upgraded may take to go; 0 means the constant of that name.
	DrainTimeout time.Duration
	// Reboot says whether a reboot that a new kernel needs may come: RebootNow, RebootLater, RebootNever; "" is not said.
	Reboot string
	// Kernel is what becomes of the kernel that a bundle brings: KernelKeep, KernelRetry; "" is not said.
	Kernel string
	// Trust says whose bundles are let in.
	Trust bundle.Trust
	// AllowOlder lets in a bundle that is older than what is installed of its cluster.
	AllowOlder bool
	// Passphrase gives the passphrase of the site's host packs; nil: nobody can be asked. It is asked again after one that was wrong.
	Passphrase func(ctx context.Context, ask Asked) (seal.Passphrase, error)
	alone      bool            // the other roles of the host are not looked at
	words      seal.Passphrase // that has opened a pack in this run
	Report     progress.Func
}

// RoleJob is one role that is to be installed.
type RoleJob struct {
	Bundle *bundle.Bundle
	Input  RoleInput
	Plan   *Plan // nil when the findings leave nothing to plan
}

// Job is an installation that was prepared. Nothing has been changed yet. Close it.
type Job struct {
	Want     Want
	Host     bundle.Host // zero when the address is not planned
	Facts    *Facts
	Roles    []RoleJob
	Findings []Finding

	kept      []*Job // installed versions that are upgraded
	unplanned error  // why a role has no plan, when it is not for want of a pack
}

// Close closes the bundles.
func (j *Job) Close() {
	for _, r := range j.Roles {
		r.Bundle.Close()
	}
	closeJobs(j.kept)
}

// Prepare opens the bundles, looks at the host and makes the plans. It only reads. Errors are those of package bundle,
// *UsageError, or what went wrong; reasons to refuse are in the job's findings.
func (s *Session) Prepare(ctx context.Context, req Request) (*Job, error) {
	roles, err := checkRoles(req.Roles)
	if err != nil {
		return nil, err
	}
	req.Roles = roles
	opened, err := openBundles(ctx, req, filepath.Join(s.Root, s.Executable), &s.Trust, s.Report)
	if err != nil {
		return nil, err
	}
	ip, err := findIP(ctx, s.Host, req, &opened[0].Role)
	if err == nil {
		roles, opened, err = chooseRoles(req, ip, opened)
	}
	if err != nil {
		closeAll(opened)
		return nil, err
	}
	want := Want{Roles: roles, IP: ip, Token: s.givenToken(req.Token, roles)}
	job, err := s.prepare(ctx, want, opened)
	if s.healed(ctx, err, opened) {
		job, err = s.prepare(ctx, want, opened)
	}
	if err != nil {
		closeAll(opened)
		return nil, err
	}
	s.balanceFacts(ctx, job)
	before := s.previous(opened)
	job.Findings = Preflight(PreflightInput{Want: job.Want, Facts: job.Facts, Roles: job.inputs(), Previous: before, Reboot: s.Reboot})
	job.Findings = append(job.Findings, s.trustFindings(job, before)...)
	for _, r := range job.Roles {
		if r.Plan != nil {
			job.Findings = append(job.Findings, r.Plan.conflicts(ctx, s.Host)...)
		}
	}
	job.Findings = append(job.Findings, s.baseFindings(ctx, job)...)
	job.Findings = append(job.Findings, s.authorityFindings(ctx, job)...)
	job.Findings = append(job.Findings, s.upgradeFindings(ctx, job)...)
	refusedFirst(job.Findings)
	return job, nil
}

// healed repairs, in memory, the bundle whose damage err is, and reports whether there is anything to be tried again.
func (s *Session) healed(ctx context.Context, err error, opened []*bundle.Bundle) bool {
	var damage *bundle.DamageError
	if !errors.As(err, &damage) {
		return false
	}
	for _, b := range opened {
		if b.Path == damage.Path && b.Heal(ctx, s.Report) == nil {
			return true
		}
	}
	return false
}

func (j *Job) inputs() []RoleInput {
	var inputs []RoleInput
	for _, r := range j.Roles {
		inputs = append(inputs, r.Input)
	}
	return inputs
}

// prepare reads what the bundles have for the host, looks at it and plans.
func (s *Session) prepare(ctx context.Context, want Want, opened []*bundle.Bundle) (*Job, error) {
	job := &Job{Want: want, Host: s.ownHost(want, opened)}
	for _, b := range opened {
		input, err := s.readRole(ctx, b, packName(&b.Role, job.Host))
		if err == nil {
			err = input.adapt(job.Host, want.Token)
		}
		if err == nil {
			input.Kernel, err = s.kernelWish(input.Index)
		}
		if err != nil {
			return nil, err
		}
		job.Roles = append(job.Roles, RoleJob{Bundle: b, Input: input})
	}
	var err error
	if job.Facts, err = GatherFacts(ctx, s.Host, s.questions(job)); err != nil {
		return nil, err
	}
	job.Facts.Skew = s.skew(ctx, job)
	program, err := programSize(s.local(s.Executable))
	if err != nil {
		return nil, err
	}
	for i := range job.Roles {
		r := &job.Roles[i]
		if job.Host.Name == "" || r.Input.Pack == nil {
			continue
		}
		r.Plan, err = NewPlan(PlanInput{Bundle: r.Bundle, Pack: r.Input.Pack, Texts: r.Input.Texts, Host: job.Host, Facts: job.Facts, Token: want.Token, State: r.Input.state,
			Probe: s.Probe, Now: s.Now, Installer: s.Executable, Program: program, Patience: s.Patience,
			Carried: s.local(RoleDir(r.Bundle.Role.Role)), Kernel: r.Input.Kernel})
		var away *addressError
		if errors.As(err, &away) {
			job.unplanned = err // preflight has a finding about the address, with what helps
			continue
		}
		if err != nil {
			return nil, err
		}
		s.fromBase(r)
	}
	if err := s.compare(ctx, job); err != nil {
		closeJobs(job.kept)
		return nil, err
	}
	return job, nil
}

// readRole reads the small things of a bundle that preflight and plan look into.
func (s *Session) readRole(ctx context.Context, b *bundle.Bundle, name string) (RoleInput, error) {
	in := RoleInput{Path: b.Path, Index: &b.Role, Texts: map[string][]byte{}}
	for _, f := range b.Role.Files {
		a, ok := b.Artifact(f.Artifact)
		if !ok || a.Kind != bundle.KindText {
			continue
		}
		data, err := artifactData(ctx, b, a)
		if err != nil {
			return in, err
		}
		in.Texts[f.Path] = data
	}
	for _, blob := range b.CarriedBlobs() {
		in.Carry += blob.Size
	}
	in.Images = dockerBytes(b, func(bundle.Digest) bool { return false })
	var err error
	if in.KernelModules, err = kernelModules(ctx, b); err != nil {
		return in, err
	}
	return in, s.readPack(ctx, b, name, &in)
}

// questions is what the roles need to know of the host.
func (s *Session) questions(job *Job) Questions {
	q := Questions{Now: s.Now(), Files: append(foreignFiles(), selinuxConfig), Units: foreignUnits(), Commands: []string{"ipset"}}
	for _, r := range job.Roles {
		q.Modules = append(q.Modules, r.Input.Index.Modules...)
		q.Files = append(q.Files, kernelFiles(r.Input.Index)...)
		q.Boot = q.Boot || r.Input.Index.Kernel != nil && r.Input.Index.Cluster.Policy.KernelMode == kernelUpgrade
		if r.Input.Index.Cluster.VIP != "" {
			q.Units = append(q.Units, nginxUnit, keepalivedUnit)
		}
		for _, f := range r.Input.Index.Files {
			q.Files = append(q.Files, f.Path)
		}
		for _, u := range r.Input.Index.Units {
			q.Units = append(q.Units, u.Name)
		}
		if r.Input.Index.Role == bundle.RoleEtcd {
			q.EtcdData = r.Input.Index.Cluster.Policy.EtcdDataDir
		}
	}
	return q
}

// skewTimeout keeps preflight short when masters are not there yet.
const skewTimeout = 2 * time.Second

// skew asks the masters for the time, all at once. Every HTTP answer has a date, also the one that refuses us.
func (s *Session) skew(ctx context.Context, job *Job) map[string]int64 {
	found := map[string]int64{}
	if s.Probe == nil || len(job.Roles) == 1 && job.Roles[0].Input.Index.Role == bundle.RoleEtcd {
		return found
	}
	index := job.Roles[0].Input.Index
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, m := range hostsWith(index, bundle.RoleMaster) {
		if m.IP == job.Want.IP {
			continue
		}
		group.Go(func() {
			address := net.JoinHostPort(m.IP, strconv.Itoa(apiPort(index)))
			a, err := s.Probe(ctx, Probe{URL: "https://" + address + "/healthz", Timeout: skewTimeout})
			if err != nil || a.Date.IsZero() {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found[m.IP] = int64(a.Date.Sub(s.Now().Truncate(time.Second)) / time.Second)
		})
	}
	group.Wait()
	return found
}

// local is where a path of the host is on this machine.
func (s *Session) local(name string) string {
	if s.Root == "" {
		return name
	}
	return filepath.Join(s.Root, name)
}

// VerifyBundles reads every byte of the job's bundles and returns all damage. It comes before the first change: a bundle
// that is damaged anywhere leaves the host as it is.
func (j *Job) VerifyBundles(ctx context.Context, report progress.Func) []error {
	files := map[string][]*bundle.Bundle{}
	var order []string
	for _, r := range j.Roles {
		if len(files[r.Bundle.Path]) == 0 {
			order = append(order, r.Bundle.Path)
		}
		files[r.Bundle.Path] = append(files[r.Bundle.Path], r.Bundle)
	}
	var faults []error
	for _, path := range order {
		item, size := filepath.Base(path), int64(0)
		for _, b := range files[path] {
			size += b.Size // what roles share is read once, so that this is reached early
		}
		found := bundle.VerifyAllRepairing(ctx, files[path], wholeFile(item, size, report))
		if len(found) == 0 {
			report.Report(progress.Event{Phase: "check", Item: item, Kind: progress.Done, Done: size, Total: size})
		}
		faults = append(faults, found...)
	}
	return faults
}

// wholeFile turns the events of the many blobs of a bundle file into those of one item.
func wholeFile(item string, size int64, report progress.Func) progress.Func {
	report.Report(progress.Event{Phase: "check", Item: item, Kind: progress.Start, Total: size})
	var mu sync.Mutex
	done := map[string]int64{}
	return func(e progress.Event) {
		if e.Phase == "repair" && e.Kind == progress.Warn {
			report.Report(e)
			return
		}
		if e.Kind != progress.Advance && e.Kind != progress.Done {
			return // damage comes back as an error
		}
		mu.Lock()
		defer mu.Unlock()
		done[e.Item] = e.Done
		var sum int64
		for _, n := range done {
			sum += n
		}
		report.Report(progress.Event{Phase: "check", Item: item, Kind: progress.Advance, Done: min(sum, size), Total: size})
	}
}

// resumed makes the job of what was carried to this host. It asks for no medium. role "" means all roles.
func (s *Session) resumed(ctx context.Context, role string) ([]*Job, error) {
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return nil, err
	}
	var jobs []*Job
	for _, in := range installed {
		if role != "" && in.Role != role {
			continue
		}
		b, err := s.carriedRoleBundle(in.Role)
		if err != nil {
			closeJobs(jobs)
			return nil, err
		}
		job, err := s.prepare(ctx, in.want(), []*bundle.Bundle{b})
		if err == nil {
			err = job.unplanned
		}
		if err == nil && job.Roles[0].Plan == nil {
			err = fmt.Errorf("reading %s: it holds no pack for %s", RoleDir(in.Role), in.IP)
		}
		if err != nil {
			b.Close()
			closeJobs(jobs)
			return nil, err
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

func closeJobs(jobs []*Job) {
	for _, j := range jobs {
		j.Close()
	}
}

// journalPath is where the journal is on this machine.
func (s *Session) journalPath() string { return s.local(path.Join(StateDir, journalName)) }

// readJournal returns the journal, nil when there is none.
func (s *Session) readJournal() (*Journal, error) {
	j, err := ReadJournal(s.journalPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return j, err
}
