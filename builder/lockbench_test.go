//go:build !windows

package builder_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"offgrid/builder"
	"offgrid/builder/catalogue"
	"offgrid/builder/upstreamtest"
)

// bigRepository is one of 10,000 packages whose list is as long as that of CentOS 7 os (30 MB). Package 49 needs 20 others at most.
func bigRepository() []upstreamtest.RPM {
	r := rand.New(rand.NewPCG(1, 2))
	var list []upstreamtest.RPM
	for i := range 10_000 {
		p := upstreamtest.RPM{Name: fmt.Sprintf("package-%04d", i), Version: "1.0", Release: "1.el7", Arch: "x86_64", Payload: []byte("payload")}
		if i < 50 {
			p.SignAll, p.AllTag = vendorKey().sign, 1002
		}
		for k := range 6 {
			p.Provides = append(p.Provides, fmt.Sprintf("libpackage-%04d.so.%d()(64bit)", i, k))
		}
		for range 16 {
			j := i/50*50 + r.IntN(i%50+1)
			p.Requires = append(p.Requires, fmt.Sprintf("libpackage-%04d.so.%d()(64bit)", j, r.IntN(6)))
		}
		for k := range 8 {
			p.Files = append(p.Files, upstreamtest.RPMFile{Path: fmt.Sprintf("/usr/bin/program-%04d-%d", i, k), Digest: "00"})
		}
		list = append(list, p)
	}
	return list
}

// BenchmarkLockOfTenThousandPackages makes a lock from nothing: index fetched, read and solved, packages fetched and checked. The
// peak is that of the whole process, the upstream's server included.
func BenchmarkLockOfTenThousandPackages(b *testing.B) {
	s := newSite(b)
	base := s.up.Repo("/big", upstreamtest.Repo{RPMs: bigRepository()})
	s.cat.Repositories = append(s.cat.Repositories, catalogue.Repository{ID: "big", BaseURL: base, Key: "docker", Dependencies: true})
	s.cat.PackageSets[0].Releases[0].Packages = append(s.cat.PackageSets[0].Releases[0].Packages, catalogue.Package{Name: "package-0049", Repository: "big"})
	var worst, cpu time.Duration
	locked := 0
	for b.Loop() {
		store, err := builder.OpenStore(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		s.store.Close()
		s.store = store
		begin, before := time.Now(), processCPU(b)
		l, err := s.lock(b)
		if err != nil {
			b.Fatal(err)
		}
		worst, cpu = max(worst, time.Since(begin)), processCPU(b)-before
		locked = len(packagesOf(l))
	}
	b.ReportMetric(float64(locked), "packages")
	b.ReportMetric(worst.Seconds(), "s-worst")
	b.ReportMetric(cpu.Seconds(), "s-cpu")
	b.ReportMetric(peakMiB(b), "MiB-peak")
}

func peakMiB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	b.Log("the kernel does not tell the peak")
	return 0
}

// processCPU is what the process has used of the processors, all threads together.
func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
