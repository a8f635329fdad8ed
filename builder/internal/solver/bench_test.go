package solver_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"offgrid/builder/internal/solver"
)

// large makes a repository of 10,000 packages in the proportions of CentOS 7 os: libraries that everybody needs, names in several
// versions, a dozen requirements each, files, some conflicts and obsoletes; 300 of them are installed.
func large(seed uint64) solver.Problem {
	r := rand.New(rand.NewPCG(seed, 0))
	p := solver.Problem{Arches: []string{"x86_64", "noarch"}}
	for i := range 7000 {
		versions := 1
		if r.IntN(5) == 0 {
			versions = 3
		}
		for v := range versions {
			pkg := &solver.Package{Name: fmt.Sprintf("pkg%04d", i), EVR: solver.EVR{Version: fmt.Sprintf("1.%d", v), Release: "1.el7"}, Arch: "x86_64", Repository: "os"}
			for k := range 1 + r.IntN(5) {
				pkg.Provides = append(pkg.Provides, solver.Dep{Name: fmt.Sprintf("lib%04d-%d.so()(64bit)", i, k)})
			}
			for range 2 + r.IntN(16) {
				j := r.IntN(i + 1)
				if r.IntN(3) > 0 {
					j = r.IntN(min(i+1, 300)) // what everybody needs
				}
				d := solver.Dep{Name: fmt.Sprintf("lib%04d-0.so()(64bit)", j)}
				switch r.IntN(12) {
				case 0:
					d = solver.Dep{Name: fmt.Sprintf("pkg%04d", j), Op: solver.Greater | solver.Equal, EVR: solver.EVR{Version: "1.0"}}
				case 1:
					d = solver.Dep{Name: fmt.Sprintf("/usr/bin/prog%04d", j)}
				}
				pkg.Requires = append(pkg.Requires, d)
			}
			pkg.Files = []string{fmt.Sprintf("/usr/bin/prog%04d", i), fmt.Sprintf("/etc/pkg%04d.conf", i)}
			if r.IntN(100) == 0 {
				pkg.Conflicts = []solver.Dep{{Name: fmt.Sprintf("pkg%04d", r.IntN(7000)), Op: solver.Less, EVR: solver.EVR{Version: "1.0"}}}
			}
			if i < 300 && v == 0 {
				pkg.Repository = ""
				p.Installed = append(p.Installed, pkg)
			} else {
				p.Available = append(p.Available, pkg)
			}
		}
	}
	for range 12 {
		p.Wanted = append(p.Wanted, solver.Wanted{Dep: solver.Dep{Name: fmt.Sprintf("pkg%04d", 300+r.IntN(6700))}})
	}
	return p
}

// BenchmarkAgainstLibsolv asks both the same, in turn and in the same run. What libsolv's binding takes to be filled is left out;
// ours reads the packages anew each time.
func BenchmarkAgainstLibsolv(b *testing.B) {
	var ratios, ours, theirs []float64
	for seed := range uint64(5) {
		p := large(seed)
		j := solveFor(p)
		if j.err != nil {
			b.Fatal(j.err)
		}
		verdicts, _ := ask(b, []judgeCase{j.asked()})
		if text := j.compare(verdicts[0]); text != "" {
			b.Fatalf("seed %d: %s", seed, text)
		}
		begin := time.Now()
		solveFor(p)
		took := time.Since(begin).Seconds()
		ours, theirs, ratios = append(ours, took), append(theirs, verdicts[0].Seconds), append(ratios, took/verdicts[0].Seconds)
		b.Logf("seed %d: %d packages, %d wanted, answer %d (libsolv %d); ours %.3f s, libsolv %.3f s, ratio %.2f", seed, len(p.Available), len(p.Wanted), len(j.solution.Install), verdicts[0].Size, took, verdicts[0].Seconds, took/verdicts[0].Seconds)
	}
	for b.Loop() {
		solveFor(large(0))
	}
	for _, l := range [][]float64{ratios, ours, theirs} {
		slices.Sort(l)
	}
	b.ReportMetric(ratios[len(ratios)/2], "ratio-to-libsolv")
	b.ReportMetric(ours[len(ours)/2], "s-ours")
	b.ReportMetric(theirs[len(theirs)/2], "s-libsolv")
}
