package installer_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// aNode is a site whose only node is installed.
func aNode(t *testing.T) (*sitetest.Site, *hosttest.Host) {
	t.Helper()
	s := sitetest.New(t)
	for _, w := range []what{{"etcd", "20.0.0.100"}, {"etcd", "20.0.0.104"}, {"master", "20.0.0.100"}, {"node", "20.0.0.103"}} {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	return s, s.Hosts["20.0.0.103"]
}

func images(t *testing.T, s *sitetest.Site) installer.ImagesReport {
	t.Helper()
	report, err := s.Session("20.0.0.103").Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestImagesThatDockerLostComeBackFromWhatWasCarried(t *testing.T) {
	s, h := aNode(t)
	want := h.DockerNames()
	if err := os.Remove(s.Bundle("node")); err != nil { // the medium is gone
		t.Fatal(err)
	}
	changes := h.Changes()
	for _, i := range images(t, s).Images {
		if i.Loaded || i.Found != i.ID.String() {
			t.Errorf("nothing is wrong, and it found %+v", i)
		}
	}
	if n := h.Changes(); n != changes {
		t.Errorf("looking made %d changes", n-changes)
	}
	theirs := h.DockerImage(t, "theirs")
	for _, argv := range [][]string{{"docker", "rmi", sitetest.PauseRef}, {"docker", "tag", theirs.String(), sitetest.BusyboxRef}} {
		if _, err := h.Run(t.Context(), nil, argv...); err != nil {
			t.Fatal(err)
		}
	}
	verified, err := s.Session("20.0.0.103").Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var differ []string
	for _, d := range verified.Differences {
		differ = append(differ, d.Object+": "+d.Why)
	}
	wantDiffer := []string{"image " + sitetest.BusyboxRef + ": docker has another image of that name: " + theirs.Short() + " instead of " + want["busybox:1.28.4"][7:19],
		"image " + sitetest.PauseRef + ": docker does not have it"}
	if fmt.Sprint(differ) != fmt.Sprint(wantDiffer) {
		t.Errorf("verify says\n%q, want\n%q", differ, wantDiffer)
	}
	var got []string
	for _, i := range images(t, s).Images {
		got = append(got, fmt.Sprintf("%s had %q, loaded %v", i.Ref, i.Found, i.Loaded))
	}
	if want := []string{sitetest.BusyboxRef + ` had "` + theirs.String() + `", loaded true`, sitetest.PauseRef + ` had "", loaded true`}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("it did %q, want %q", got, want)
	}
	if got := h.DockerNames(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("docker has %v, want %v", got, want)
	}
}

func TestImagesDoesNothingWhereThereIsNothingToDoYet(t *testing.T) {
	s, h := aNode(t)
	skipped := func(want string) {
		t.Helper()
		changes := h.Changes()
		if got := images(t, s); got.Skipped != want || len(got.Images) > 0 || h.Changes() != changes {
			t.Errorf("it says %+v after %d changes, want %q", got, h.Changes()-changes, want)
		}
	}
	h.Put(t, "/run/hosttest/active/docker.service", "inactive\n")
	skipped("docker does not answer on this host: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
	lock, err := installer.LockState(filepath.Join(h.Root, installer.StateDir))
	if err != nil {
		t.Fatal(err)
	}
	skipped("another installer is at work (process " + strconv.Itoa(os.Getpid()) + "): it does what is to be done")
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"20.0.0.100", "20.0.0.101"} {
		report, err := s.Session(ip).Images(t.Context())
		if err != nil || report.Skipped != "no node is installed on this host" {
			t.Errorf("on %s: %+v, %v", ip, report, err)
		}
	}
	if _, err := s.Hosts["20.0.0.101"].Lstat(installer.StateDir); err == nil {
		t.Error("looking made a state directory")
	}
}

func TestADamagedImageIsNamedAndTheOthersAreLoaded(t *testing.T) {
	s, h := aNode(t)
	want := h.DockerNames()
	b, err := bundle.Open(s.Bundle("node"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	img, _ := b.Image(sitetest.BusyboxRef)
	name := filepath.Join(h.Root, installer.RoleDir("node"), bundle.StoredBlob{Digest: img.Layers[1].Digest}.Path())
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rotten := slices.Clone(data)
	rotten[len(rotten)/2] ^= 4
	if err := os.WriteFile(name, rotten, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{sitetest.PauseRef, sitetest.BusyboxRef} {
		if _, err := h.Run(t.Context(), nil, "docker", "rmi", ref); err != nil {
			t.Fatal(err)
		}
	}
	report, err := s.Session("20.0.0.103").Images(t.Context())
	var damage *bundle.DamageError
	if !errors.As(err, &damage) || damage.Artifact != "image "+sitetest.BusyboxRef+", layer 2 of 2" || report.Images[0].Loaded || !report.Images[1].Loaded {
		t.Errorf("error %v, report %+v", err, report)
	}
	if got := h.DockerNames(); len(got) != 1 || got[sitetest.PauseRef] == "" {
		t.Errorf("docker has %v", got)
	}
	// the medium brings it again
	if _, err := install(t.Context(), s, what{"node", "20.0.0.103"}); err != nil {
		t.Fatal(err)
	}
	if got := h.DockerNames(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("docker has %v, want %v", got, want)
	}
}

func TestAnOperatorComesBeforeTheImagesTimer(t *testing.T) {
	s, h := aNode(t)
	// a process that holds the lock and looks like what the timer starts
	sleeper := exec.CommandContext(t.Context(), "sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleeper.Wait() //nolint:errcheck // it is killed
	defer sleeper.Process.Kill()
	pid := strconv.Itoa(sleeper.Process.Pid)
	lock, err := installer.LockState(filepath.Join(h.Root, installer.StateDir))
	if err != nil {
		t.Fatal(err)
	}
	h.Put(t, installer.StateDir+"/lock", pid+"\n")
	h.Put(t, "/proc/"+pid+"/cmdline", "/var/lib/offgrid/install\x00images\x00")
	stopped := false
	h.Script("systemctl stop offgrid-images.service", func(string, []string) (string, error) {
		stopped = true
		return "", lock.Close()
	})
	if _, err := s.Session("20.0.0.103").Resume(t.Context()); err != nil || !stopped {
		t.Errorf("error %v, stopped %v", err, stopped)
	}
}

func TestTheImagesTimerIsStartedAndGoesWithItsService(t *testing.T) {
	s, h := aNode(t)
	if h.Get("/run/hosttest/active/offgrid-images.timer") != "active\n" || h.Get("/etc/systemd/system/multi-user.target.wants/offgrid-images.timer") == "" {
		t.Error("the timer does not run")
	}
	h.Put(t, "/run/hosttest/active/offgrid-images.service", "failed\n")
	if _, err := s.Session("20.0.0.103").Uninstall(t.Context(), installer.UninstallRequest{}); err != nil {
		t.Fatal(err)
	}
	for name := range h.Tree(t) {
		if strings.Contains(name, "offgrid-images") {
			t.Errorf("%s is left", name)
		}
	}
}

func TestThePlanOfABundleWithoutImagesHasNoneAndAsksDockerNothing(t *testing.T) {
	s := sitetest.New(t)
	for _, w := range []what{{"etcd", "20.0.0.103"}, {"master", "20.0.0.100"}} {
		if text, _ := describe(t, s, w); strings.Contains(text, "image:") {
			t.Errorf("%s has images in its plan:\n%s", w.role, text)
		}
	}
}

func TestNothingAfterTheProgramsReadsTheMedium(t *testing.T) {
	s := sitetest.New(t)
	for _, w := range []what{{"etcd", "20.0.0.103"}, {"master", "20.0.0.100"}, {"node", "20.0.0.103"}} {
		job, err := s.Session(w.ip).Prepare(t.Context(), installer.Request{Roles: []string{w.role}, IP: w.ip, Bundle: s.Bundle(w.role)})
		if err != nil {
			t.Fatal(err)
		}
		job.Close() // what is read of the medium now fails
		files := 0
		for _, phase := range job.Roles[0].Plan.Phases {
			for _, step := range phase.Steps {
				file, ok := step.(*installer.FileStep)
				if !ok || phase.Name == "programs" {
					continue
				}
				files++
				r, err := file.Content(t.Context())
				if err == nil {
					_, err = io.Copy(io.Discard, r)
				}
				if err != nil {
					t.Errorf("%s of %s: %v", file.Path, w.role, err)
				}
			}
		}
		if files == 0 {
			t.Errorf("%s writes no file", w.role)
		}
	}
}
