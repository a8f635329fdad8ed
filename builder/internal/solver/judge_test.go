package solver_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/builder/internal/solver"
)

// python is Debian's, for which python3-solv is made.
const python = "/usr/bin/python3"

type judgePackage struct {
	N string     `json:"n"`
	V string     `json:"v"`
	A string     `json:"a"`
	P [][]string `json:"p,omitempty"`
	R [][]string `json:"r,omitempty"`
	C [][]string `json:"c,omitempty"`
	O [][]string `json:"o,omitempty"`
	F []string   `json:"f,omitempty"`
}

type judgeCase struct {
	Installed []judgePackage `json:"installed"`
	Available []judgePackage `json:"available"`
	Wanted    [][]string     `json:"wanted"`
	Answer    []int          `json:"answer"`
}

type verdict struct {
	Solvable bool
	Seconds  float64
	Why      string
	Size     int
	Valid    bool
	Wrong    string
	Extra    []string
	Gone     []string
}

func judgeDeps(deps []solver.Dep) [][]string {
	var l [][]string
	for _, d := range deps {
		version := ""
		if d.Op != 0 {
			version = d.EVR.String()
		}
		l = append(l, []string{d.Name, d.Op.String(), version})
	}
	return l
}

func judgePackages(list []*solver.Package) []judgePackage {
	l := []judgePackage{}
	for _, p := range list {
		l = append(l, judgePackage{p.Name, p.EVR.String(), p.Arch, judgeDeps(p.Provides), judgeDeps(p.Requires), judgeDeps(p.Conflicts), judgeDeps(p.Obsoletes), p.Files})
	}
	return l
}

// ask gives the cases to libsolv, all to one process.
func ask(t testing.TB, cases []judgeCase) ([]verdict, time.Duration) {
	t.Helper()
	if out, err := exec.Command(python, "-c", "import solv").CombinedOutput(); err != nil {
		if os.Getenv("OFFGRID_JUDGE") != "" {
			t.Fatalf("the judge is not there: %v\n%s", err, out)
		}
		t.Skip("libsolv's binding is not there: apt-get install python3-solv")
	}
	question, err := json.Marshal(map[string]any{"cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/judge.py")
	cmd.Stdin = bytes.NewReader(question)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("asking libsolv: %v\n%s", err, errs.Bytes())
	}
	var answer struct {
		Verdicts []verdict
		Seconds  float64
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Verdicts, time.Duration(answer.Seconds * float64(time.Second))
}

// judged is a problem with our answer.
type judged struct {
	problem  solver.Problem
	solution *solver.Solution
	err      error
}

func solveFor(p solver.Problem) judged {
	s, err := solver.Solve(p)
	return judged{p, s, err}
}

func (j judged) asked() judgeCase {
	c := judgeCase{Installed: judgePackages(j.problem.Installed), Available: judgePackages(j.problem.Available), Wanted: [][]string{}}
	for _, w := range j.problem.Wanted {
		c.Wanted = append(c.Wanted, judgeDeps([]solver.Dep{w.Dep})...)
	}
	if j.solution != nil {
		c.Answer = []int{}
		for _, ch := range j.solution.Install {
			c.Answer = append(c.Answer, slices.Index(j.problem.Available, ch.Package))
		}
	}
	return c
}

// compare says how an answer differs from the judge's, "" when it does not.
func (j judged) compare(v verdict) string {
	switch {
	case j.solution == nil && v.Solvable:
		return fmt.Sprintf("we found nothing, libsolv found %d packages: %v", v.Size, j.err)
	case j.solution == nil:
		return ""
	case !v.Solvable:
		return "we found an answer, libsolv none: " + v.Why
	case !v.Valid:
		return "libsolv does not take our answer: " + v.Wrong
	case len(v.Extra) > 0:
		return fmt.Sprintf("libsolv did not install %v of our answer", v.Extra)
	}
	var gone []string
	for _, p := range j.solution.Gone {
		gone = append(gone, strings.Replace(p.String(), "(none)", "", 1))
	}
	slices.Sort(gone)
	if !slices.Equal(gone, v.Gone) && len(gone)+len(v.Gone) > 0 {
		return fmt.Sprintf("our answer replaces %v, libsolv says %v", gone, v.Gone)
	}
	return ""
}

func (j judged) String() string {
	var b strings.Builder
	show := func(title string, list []*solver.Package) {
		for _, p := range list {
			fmt.Fprintf(&b, "%s %s provides %v requires %v conflicts %v obsoletes %v files %v\n", title, p, p.Provides, p.Requires, p.Conflicts, p.Obsoletes, p.Files)
		}
	}
	show("installed", j.problem.Installed)
	show("available", j.problem.Available)
	fmt.Fprintf(&b, "wanted %v\n", j.problem.Wanted)
	if j.solution != nil {
		for _, c := range j.solution.Install {
			fmt.Fprintf(&b, "answer %s\n", c.Package)
		}
	}
	return b.String()
}

var (
	judgeSeed  = flag.Uint64("judge.seed", 0, "seed of the random repositories; 0: one of today's")
	judgeCases = flag.Int("judge.cases", 600, "how many random repositories")
)

func TestLibsolvAgreesOnRandomRepositories(t *testing.T) {
	seed := *judgeSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (-judge.seed)", seed)
	var all []judged
	var cases []judgeCase
	for i := range *judgeCases {
		j := solveFor(randomProblem(rand.New(rand.NewPCG(seed, uint64(i)))))
		all, cases = append(all, j), append(cases, j.asked())
	}
	verdicts, took := ask(t, cases)
	h := histogram{}
	for i, j := range all {
		h.count(j.problem, verdicts[i])
		if text := j.compare(verdicts[i]); text != "" {
			t.Errorf("seed %d, case %d: %s\n%s", seed, i, text, j)
			if len(all) > 5 {
				t.FailNow()
			}
		}
		if j.solution != nil && len(j.solution.Install) > verdicts[i].Size {
			h["larger than libsolv's answer"]++
		}
		if j.solution != nil && len(j.solution.Install) < verdicts[i].Size {
			h["smaller than libsolv's answer"]++
		}
	}
	t.Logf("libsolv took %v\n%s", took, h)
	n := len(all)
	if h["unsolvable"]*100 < 30*n || h["with conflicts, obsoletes or files"]*100 < 30*n {
		t.Errorf("the cases are too easy: want 30 %% unsolvable and 30 %% with conflicts, obsoletes or required files\n%s", h)
	}
}

type histogram map[string]int

func (h histogram) count(p solver.Problem, v verdict) {
	h["all"]++
	if !v.Solvable {
		h["unsolvable"]++
	} else {
		h[fmt.Sprintf("solvable with %d to %d packages", v.Size/4*4, v.Size/4*4+3)]++
	}
	var conflicts, obsoletes, files bool
	for _, pkg := range append(slices.Clone(p.Installed), p.Available...) {
		conflicts = conflicts || len(pkg.Conflicts) > 0
		obsoletes = obsoletes || len(pkg.Obsoletes) > 0
		files = files || slices.ContainsFunc(pkg.Requires, func(d solver.Dep) bool { return d.Name[0] == '/' })
	}
	for name, there := range map[string]bool{"with conflicts": conflicts, "with obsoletes": obsoletes, "with required files": files, "with conflicts, obsoletes or files": conflicts || obsoletes || files} {
		if there {
			h[name]++
		}
	}
	if v.Solvable && len(v.Gone) > 0 {
		h["solvable, replacing what is installed"]++
	}
}

func (h histogram) String() string {
	var lines []string
	for k, n := range h {
		lines = append(lines, fmt.Sprintf("%-40s %4d", k, n))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
