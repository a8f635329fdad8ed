package installer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// A delta bundle has differences in place of changed programs. They are put together from the files that the host has: those in
// their places or, once an upgrade has kept them, those.

// fromBase makes the steps that place changed programs read differences.
func (s *Session) fromBase(r *RoleJob) {
	if r.Bundle.Delta == nil || r.Plan == nil {
		return
	}
	for _, f := range programSteps(r.Plan) {
		if p, ok := differenceFor(r.Bundle, f.Path); ok {
			f.Content = func(ctx context.Context) (io.ReadCloser, error) {
				base, err := s.openBase(r.Plan.Role, p)
				if err != nil {
					return nil, err
				}
				return r.Bundle.DeltaContent(ctx, p.Name, base, base)
			}
		}
	}
}

// differenceFor is the difference that makes the program at a path.
func differenceFor(b *bundle.Bundle, path string) (bundle.DeltaProgram, bool) {
	for _, f := range b.Role.Files {
		if f.Path == path {
			return b.Delta.Program(f.Artifact)
		}
	}
	return bundle.DeltaProgram{}, false
}

// baseFile is an open base.
type baseFile struct {
	io.ReaderAt
	io.Closer
}

// openBase opens the file that a difference was made from.
func (s *Session) openBase(role string, p bundle.DeltaProgram) (*baseFile, error) {
	name, ok, err := s.findBase(role, p)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &bundle.BaseError{Program: p.Name, Path: p.Path, Err: errors.New("it is not there as the base has it")}
	}
	r, err := s.Host.Open(name)
	if err != nil {
		return nil, err
	}
	if at, ok := r.(io.ReaderAt); ok {
		return &baseFile{at, r}, nil
	}
	data, err := io.ReadAll(io.LimitReader(r, p.Size))
	return &baseFile{bytes.NewReader(data), r}, err
}

// findBase finds the base by its digest: kept by an upgrade that has begun, or in its place.
func (s *Session) findBase(role string, p bundle.DeltaProgram) (name string, ok bool, err error) {
	for _, name := range []string{keptProgramPath(role, p.Digest), p.Path} {
		info, err := s.Host.Stat(name)
		if err != nil || !info.Mode().IsRegular() || info.Size() != p.Size {
			continue
		}
		got, _, err := host.DigestFile(s.Host, name)
		if err != nil {
			return "", false, err
		}
		if got == p.Digest {
			return name, true, nil
		}
	}
	return "", false, nil
}

// brings reports whether a bundle that is not whole brings a program that the host does not have, and what the host lacks of
// what the bundle makes it from.
func (s *Session) brings(r *RoleJob, f *FileStep) (brought bool, lacks string, err error) {
	if r.Bundle.Delta == nil {
		return false, "", nil
	}
	if p, ok := differenceFor(r.Bundle, f.Path); ok {
		_, ok, err := s.findBase(r.Plan.Role, p)
		if err == nil && !ok {
			lacks = fmt.Sprintf("%s as %s had it (sha256 %s)", p.Path, r.Bundle.Delta.Base.Version, p.Digest.Short())
		}
		return ok, lacks, err
	}
	for _, file := range r.Bundle.Role.Files {
		if a, ok := r.Bundle.Artifact(file.Artifact); ok && file.Path == f.Path {
			return r.Bundle.HasStored(a.Blob.Stored), "", nil
		}
	}
	return false, "", nil
}

// deltaReserve is the memory that a host needs besides what a difference takes, in bytes.
const deltaReserve = 64 << 20

// deltaMemory looks whether there is memory to put differences together in.
func (s *Session) deltaMemory(job *Job) []Finding {
	need := int64(0)
	path := ""
	for _, r := range job.Roles {
		if r.Bundle.Delta != nil && len(r.Bundle.Delta.Programs) > 0 {
			need, path = bundle.DeltaMemory+deltaReserve, r.Bundle.Path
		}
	}
	text, err := host.ReadFile(s.Host, "/proc/meminfo", inlineMax)
	if need == 0 || err != nil {
		return nil
	}
	available, ok := memAvailable(string(text))
	if !ok || available >= need {
		return nil
	}
	return conflict("delta-memory", fmt.Sprintf("%s of memory are available, %s are needed", mib(available), mib(need)), "/proc/meminfo",
		"programs are put together from "+path+" and what is installed", "free -m   (end what takes much, or bring the whole bundle)")
}

// memAvailable returns MemAvailable of /proc/meminfo in bytes. Kernels before 3.14 have no such line, but CentOS 7's has.
func memAvailable(meminfo string) (int64, bool) {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err == nil && kib >= 0 && kib < 1<<50
		}
	}
	return 0, false
}
