package installer

import (
	"context"
	"slices"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// RoleStatus is how far one role is.
type RoleStatus struct {
	Role      string        `json:"role"`
	Host      string        `json:"host"`
	IP        string        `json:"ip"`
	Cluster   string        `json:"cluster"` // name
	Bundle    bundle.Digest `json:"bundle"`  // of the root
	Signer    string        `json:"signer"`  // public key that signed it and was trusted; "" when it was let in without one
	Steps     int           `json:"steps"`   // of the plan
	Done      int           `json:"done"`    // that are as the plan wants them
	Waiting   string        `json:"waiting"` // what the first unfinished step waits for; "" when none waits
	Next      string        `json:"next"`    // the first step that is not done; "" when all are
	Units     []UnitStatus  `json:"units"`
	Versions  []string      `json:"versions"` // "kubelet v1.20.15"
	Installed bool          `json:"installed"`
	Serial    int64         `json:"serial"`            // of the bundle: the newer one is greater
	Upgrade   string        `json:"upgrade,omitempty"` // that is not finished: "upgrade of node from v1.20.13 to v1.20.15"

	// Kernel is what is left to do for the kernel that the bundle brings; missing: nothing.
	Kernel *KernelOutcome `json:"kernel,omitempty"`

	Certificates []CertificateStatus `json:"certificates"` // soonest end first
	Etcd         []MemberStatus      `json:"etcd"`         // on members and masters
	VIP          *VIPStatus          `json:"vip,omitempty"`
}

// UnitStatus is a service of a role.
type UnitStatus struct {
	Name   string `json:"name"`
	Active string `json:"active"`
	File   string `json:"file"` // "enabled"
}

// Status says how far every installed role is. It only reads.
func (s *Session) Status(ctx context.Context) ([]RoleStatus, error) {
	jobs, err := s.resumed(ctx, "")
	if err != nil {
		return nil, err
	}
	defer closeJobs(jobs)
	all := []RoleStatus{}
	for _, j := range jobs {
		all = append(all, s.roleStatus(ctx, j.Roles[0]))
	}
	return all, ctx.Err()
}

func (s *Session) roleStatus(ctx context.Context, r RoleJob) RoleStatus {
	st := RoleStatus{Role: r.Plan.Role, Host: r.Plan.Host.Name, IP: r.Plan.Host.IP, Cluster: r.Input.Index.Cluster.Name, Bundle: r.Plan.Bundle, Signer: signerText(r.Bundle),
		Units: []UnitStatus{}, Versions: []string{}}
	if r.Plan.Upgrade != nil {
		st.Upgrade = r.Plan.Upgrade.Title
	}
	for _, step := range r.Plan.Steps() {
		st.Steps++
		if boot, ok := step.(*BootStep); ok {
			if left, err := boot.look(ctx, s.Host); err == nil {
				st.Kernel = left
			}
		}
		now, err := checkAlone(ctx, s.Host, step)
		if err == nil && now.State == Satisfied {
			st.Done++
			continue
		}
		if st.Next == "" {
			line := step.Line()
			st.Next = line.Verb + " " + line.Object
			if err == nil && now.State == Pending {
				st.Waiting = now.Why
			}
		}
	}
	st.Installed = st.Done == st.Steps
	for _, u := range r.Input.Index.Units {
		now, err := host.ShowUnit(ctx, s.Host, u.Name)
		if err != nil {
			now.Active = "unknown"
		}
		st.Units = append(st.Units, UnitStatus{Name: u.Name, Active: now.Active, File: now.File})
	}
	for _, a := range r.Input.Index.Artifacts {
		if a.Kind == bundle.KindProgram {
			st.Versions = append(st.Versions, programWhy(a))
		}
	}
	slices.Sort(st.Versions)
	st.Serial, st.Certificates = r.Input.Index.Cluster.Serial, s.certificates(r)
	st.Etcd, st.VIP = s.etcdStatuses(ctx, r), s.vipStatus(ctx, r)
	return st
}
