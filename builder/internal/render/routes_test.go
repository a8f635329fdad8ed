package render

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"offgrid/builder/cluster"
	"offgrid/bundle"
)

func TestOnlyFlannelsPodsNeedRoutesOnMasters(t *testing.T) {
	for cni, want := range map[string]bool{cluster.CNIFlannel: true, cluster.CNICalico: false, cluster.CNINone: false} {
		r, err := Render(request(t, bundle.RoleMaster, func(f *cluster.File) { f.Network.CNI = cni }))
		if err != nil {
			t.Fatal(err)
		}
		has := slices.ContainsFunc(r.Units, func(u bundle.Unit) bool { return u.Name == "offgrid-pod-routes.service" })
		if has != want {
			t.Errorf("with %s, a master has offgrid-pod-routes.service: %v, want %v", cni, has, want)
		}
	}
}

// podRoutesScript is the script with its programs in dir, where the last, sleep, ends it.
func podRoutesScript(t *testing.T, dir string) string {
	t.Helper()
	script := rendered(t, bundle.RoleMaster)
	i := slices.IndexFunc(script.Texts, func(f Text) bool { return f.Path == "/opt/kubernetes/bin/pod-routes" })
	if i < 0 {
		t.Fatal("a master has no pod-routes")
	}
	text := script.Texts[i].Data
	text = bytes.ReplaceAll(text, []byte("/opt/kubernetes/bin/kubectl"), []byte("kubectl"))
	text = bytes.ReplaceAll(text, []byte("/sys/class/net"), []byte(dir))
	for name, text := range map[string]string{
		"pod-routes": string(text),
		// a node that has no network yet, and one with two addresses
		"kubectl": "#!/bin/sh\nprintf ' 20.0.0.105\\n10.244.0.0/24 20.0.0.103\\n10.244.1.0/24 20.0.0.104 20.0.1.104\\n'\n",
		"ip":      "#!/bin/sh\necho \"$*\" >>" + dir + "/calls\n",
		"sleep":   "#!/bin/sh\nkill -9 $PPID\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "pod-routes")
}

// callsOf runs the script and says how it called ip.
func callsOf(t *testing.T, dir, script string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{script}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil && len(args) > 0 {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(calls)
}

func TestAMasterHasARouteToThePodsOfEveryNodeThatHasANetwork(t *testing.T) {
	dir := t.TempDir()
	want := "route replace 10.244.0.0/24 via 20.0.0.103 proto 86\nroute replace 10.244.1.0/24 via 20.0.0.104 proto 86\n"
	if got := callsOf(t, dir, podRoutesScript(t, dir)); got != want {
		t.Errorf("ip was called with\n%swant\n%s", got, want)
	}
}

func TestWhereFlannelIsThereItHasTheRoutes(t *testing.T) {
	dir := t.TempDir()
	script := podRoutesScript(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "flannel.1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := callsOf(t, dir, script); got != "" {
		t.Errorf("ip was called with\n%swant no call", got)
	}
}

func TestTheRoutesGoWithTheirService(t *testing.T) {
	dir := t.TempDir()
	if got, want := callsOf(t, dir, podRoutesScript(t, dir), "remove"), "route flush proto 86\n"; got != want {
		t.Errorf("ip was called with %q, want %q", got, want)
	}
}
