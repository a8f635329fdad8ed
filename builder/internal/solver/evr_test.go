package solver_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"offgrid/builder/internal/solver"
)

func TestVersionsAreOrderedAsRpmOrdersThem(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0", 0}, {"1.0", "2.0", -1}, {"2.0.1", "2.0", 1}, {"5.5p1", "5.5p10", -1}, {"10xyz", "10.1xyz", -1},
		{"xyz10", "xyz10.1", -1}, {"8", "xyz.4", 1}, {"xyz", "8", -1}, {"1.0010", "1.9", 1}, {"1.05", "1.5", 0}, {"4.999.9", "5.0", -1},
		{"20101122", "20101121", 1}, {"2_0", "2.0", 0}, {"a+", "a_", 0}, {"+_", "_+", 0}, {"1.0~rc1", "1.0", -1}, {"1.0~rc1", "1.0~rc2", -1},
		{"1.0~rc1~git1", "1.0~rc1", -1}, {"1.0", "1.0.", 0}, {"1.0a", "1.0", 1}, {"34.el7", "34.el7_9", -1}, {"0.86.el7.centos", "0.87.0.2.el7.centos", -1},
		{"00123", "123", 0}, {"1.18446744073709551616", "1.18446744073709551615", 1},
	} {
		if got := solver.CompareVersions(c.a, c.b); got != c.want {
			t.Errorf("%q against %q: got %d, want %d", c.a, c.b, got, c.want)
		}
		if got := solver.CompareVersions(c.b, c.a); got != -c.want {
			t.Errorf("%q against %q: got %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

func TestRpmAgreesOnRandomVersions(t *testing.T) {
	if _, err := exec.LookPath("rpm"); err != nil {
		t.Skip("rpm is not there")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	part := func() string {
		var b strings.Builder
		for range r.IntN(7) {
			b.WriteString([]string{"0", "1", "2", "10", "01", "a", "b", "el", ".", "-", "_", "~", "+", "rc"}[r.IntN(14)])
		}
		return b.String()
	}
	var lua strings.Builder
	var pairs [][2]string
	for range 1500 {
		a, b := part(), part()
		pairs = append(pairs, [2]string{a, b})
		fmt.Fprintf(&lua, "print(rpm.vercmp(%q,%q)..' ')", "0:1-"+strings.ReplaceAll(a, "-", ".")+"", "0:1-"+strings.ReplaceAll(b, "-", "."))
	}
	out, err := exec.CommandContext(t.Context(), "rpm", "--eval", "%{lua:"+lua.String()+"}").Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Fields(string(out))
	if len(answers) != len(pairs) {
		t.Fatalf("rpm gave %d answers for %d pairs", len(answers), len(pairs))
	}
	for i, p := range pairs {
		a, b := strings.ReplaceAll(p[0], "-", "."), strings.ReplaceAll(p[1], "-", ".")
		if got := fmt.Sprint(solver.CompareVersions(a, b)); got != answers[i] {
			t.Errorf("%q against %q: got %s, rpm says %s", a, b, got, answers[i])
		}
	}
}

func TestRangesOverlapAsRpmSays(t *testing.T) {
	dep := func(s string) solver.Dep {
		f := strings.Fields(s)
		d := solver.Dep{Name: "x"}
		if len(f) == 2 {
			d.Op, _ = solver.ParseOp(f[0])
			var err error
			if d.EVR, err = solver.ParseEVR(f[1]); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "= 1-1", true}, {"= 1-1", "= 1-1", true}, {"= 1-1", "= 1-2", false}, {"= 1-1", "= 1", true}, {"= 1-1", "> 1", false}, {"= 1-1", ">= 1", true},
		{"= 1-1", "< 1", false}, {"= 1-1", "<= 1", true}, {"= 1", "> 1-5", true}, {"> 1-5", "= 1", true}, {"= 1:1-1", "> 9-9", true}, {"= 1-1", "< 1:0", true},
		{"= 2-1", ">= 0:2", true}, {"< 2", "> 1", true}, {"< 1", "> 2", false}, {"<= 1", ">= 1", true}, {"< 1", ">= 1", false}, {"< 1", "< 9", true}, {"> 9", "> 1", true},
		{"= 2:2.119-1", ">= 2:2.74", true}, {"= 2.119-1", ">= 2:2.74", false}, {"= 1~rc1-1", ">= 1", false},
	} {
		if got := dep(c.a).Overlaps(dep(c.b)); got != c.want {
			t.Errorf("%q and %q: got %v", c.a, c.b, got)
		}
		if got := dep(c.b).Overlaps(dep(c.a)); got != c.want {
			t.Errorf("%q and %q: got %v", c.b, c.a, got)
		}
	}
}

func FuzzParseEVR(f *testing.F) {
	for _, s := range []string{"3:20.10.24-3.el7", "1", "0:1-2", ":", "-", "9999999999:1", "1-2-3"} {
		f.Add(s, "1.0~rc1-2")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err := solver.ParseEVR(a)
		if err != nil {
			return
		}
		y, err := solver.ParseEVR(b)
		if err != nil {
			return
		}
		if x.Compare(y) != -y.Compare(x) || x.Compare(x) != 0 {
			t.Errorf("%q against %q: %d and %d", a, b, x.Compare(y), y.Compare(x))
		}
	})
}
