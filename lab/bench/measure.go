package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// usage is what one run took.
type usage struct {
	wall time.Duration
	cpu  time.Duration // user and system, children included
	peak int64         // bytes: of the largest process
}

// command runs a program and takes its time and peak memory from the kernel's own accounts, its children's included.
func command(dir string, argv ...string) (usage, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	return measured(cmd)
}

func measured(cmd *exec.Cmd) (usage, error) {
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	start := time.Now()
	err := cmd.Run()
	u := usage{wall: time.Since(start)}
	if cmd.ProcessState != nil {
		u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			u.peak = r.Maxrss << 10
		}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, errOut.String())
	}
	return u, err
}

// job is one way to do a thing.
type job struct {
	prepare func() error // not measured
	run     func() (usage, error)
	took    []usage // one per round
}

func (j *job) once() (usage, error) {
	if j.prepare != nil {
		if err := j.prepare(); err != nil {
			return usage{}, err
		}
	}
	return j.run()
}

// group is jobs that run in turn, and what is to be read from them.
type group struct {
	jobs []*job
	rows []row
}

// row compares two jobs. Without b, a's time itself is what matters.
type row struct {
	what   string
	target string
	a, b   *job
}

// enough is how long the rounds of a group may take: on a machine that is busy with other things there are fewer of them.
const enough = 200 * time.Second

// measure runs the jobs in turn. The first round fills the page cache for all and is thrown away.
func (g *group) measure(rounds int) error {
	start := time.Now()
	for round := range rounds + 1 {
		if round > 1 && time.Since(start) > enough {
			fmt.Fprintf(os.Stderr, "%d rounds have taken %.0f s: that is enough\n", round-1, time.Since(start).Seconds())
			break
		}
		for i, j := range g.jobs {
			u, err := j.once()
			if err != nil {
				return fmt.Errorf("job %d: %w", i+1, err)
			}
			if round > 0 {
				j.took = append(j.took, u)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round, rounds)
	}
	return nil
}

func printHead() {
	fmt.Print("\n| medians, A and B in turn | target | A / B | A / B cpu | A s | B s | A peak |\n|---|---|---|---|---|---|---|\n")
}

func (g *group) print() {
	for _, r := range g.rows {
		peak := int64(0)
		for _, u := range r.a.took {
			peak = max(peak, u.peak)
		}
		ratio, cpu, other := "", "", ""
		if r.b != nil {
			ratio, cpu, other = ratios(r, usage.seconds), ratios(r, usage.cpuSeconds), fmt.Sprintf("%.2f", middle(r.b, usage.seconds))
		}
		fmt.Printf("| %s | %s | %s | %s | %.2f | %s | %.0f MiB |\n", r.what, r.target, ratio, cpu, middle(r.a, usage.seconds), other, float64(peak)/(1<<20))
	}
}

func (u usage) seconds() float64    { return u.wall.Seconds() }
func (u usage) cpuSeconds() float64 { return u.cpu.Seconds() }

// ratios is the median of the rounds' ratios.
func ratios(r row, of func(usage) float64) string {
	var list []float64
	for i := range r.a.took {
		list = append(list, of(r.a.took[i])/of(r.b.took[i]))
	}
	return fmt.Sprintf("%.2f", median(list))
}

func middle(j *job, of func(usage) float64) float64 {
	var list []float64
	for _, u := range j.took {
		list = append(list, of(u))
	}
	return median(list)
}

func median[T cmp.Ordered](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
