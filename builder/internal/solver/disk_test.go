package solver_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/builder/internal/inflate"
	"offgrid/builder/internal/rpmrepo"
	"offgrid/builder/internal/solver"
	"offgrid/bundle"
)

var (
	diskRepositories = flag.String("judge.repositories", "", "directories of yum repositories with gzipped lists, separated by commas")
	diskBaseline     = flag.String("judge.baseline", "", "file that says what is installed (see bundle.Baseline)")
	diskWanted       = flag.String("judge.wanted", "", "names of wanted packages, separated by blanks")
)

// Repositories of one's own, a mirror of CentOS's for example, can be tried as well:
//
//	go test ./builder/internal/solver -run Disk -v -judge.repositories DIR,DIR -judge.baseline FILE -judge.wanted 'docker-ce chrony'
func TestLibsolvAgreesOnRepositoriesOnDisk(t *testing.T) {
	if *diskRepositories == "" {
		t.Skip("no repositories are named (-judge.repositories)")
	}
	p := solver.Problem{Arches: []string{"x86_64", "noarch"}}
	for _, dir := range strings.Split(*diskRepositories, ",") {
		repomd, err := os.ReadFile(filepath.Join(dir, "repodata/repomd.xml"))
		if err != nil {
			t.Fatal(err)
		}
		index, err := rpmrepo.ParseRepomd(repomd)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(filepath.Join(dir, index.Primary.Path))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := inflate.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := rpmrepo.ReadPrimary(z, p.Arches, func(l *rpmrepo.Listed) { p.Available = append(p.Available, l.Solvable(filepath.Base(dir), 0)) }); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(*diskBaseline)
	if err != nil {
		t.Fatal(err)
	}
	base, err := bundle.ParseBaseline(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, have := range base.Packages {
		pkg := &solver.Package{Name: have.Name, EVR: solver.EVR{Epoch: have.Epoch, Version: have.Version, Release: have.Release}, Arch: have.Arch, Files: have.Files}
		for _, c := range have.Provides {
			d := solver.Dep{Name: c.Name}
			if evr, err := solver.ParseEVR(c.EVR); err == nil {
				d.Op, _ = solver.ParseOp(c.Flags)
				d.EVR = evr
			}
			pkg.Provides = append(pkg.Provides, d)
		}
		p.Installed = append(p.Installed, pkg)
	}
	for _, name := range strings.Fields(*diskWanted) {
		p.Wanted = append(p.Wanted, solver.Wanted{Dep: solver.Dep{Name: name}})
	}
	j := solveFor(p)
	verdicts, took := ask(t, []judgeCase{j.asked()})
	if text := j.compare(verdicts[0]); text != "" {
		t.Error(text)
	}
	if j.err != nil {
		t.Logf("no answer, says libsolv too (%v): %v", took, j.err)
		return
	}
	t.Logf("%d packages available, %d installed; answer of %d, libsolv's has %d:\n%s", len(p.Available), len(p.Installed), len(j.solution.Install), verdicts[0].Size, told(j.solution))
}
