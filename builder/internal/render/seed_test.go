package render

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"offgrid/builder/cluster"
	"offgrid/bundle"
)

func seed(f *cluster.File) { f.Security.Profile = cluster.ProfileSeed }

// changes lists the lines that two texts do not share, with the heading of the file that they stand in.
func changes(was, now string) string {
	var out strings.Builder
	a, b := files(was), files(now)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(a.names), b.names...)))) {
		lines := append(more("- ", a.text[name], b.text[name]), more("+ ", b.text[name], a.text[name])...)
		if len(lines) > 0 {
			out.WriteString(name + "\n" + strings.Join(lines, ""))
		}
	}
	return out.String()
}

// more lists the lines of one text that another does not have, or not as often.
func more(mark, of, than string) []string {
	have := map[string]int{}
	for line := range strings.Lines(than) {
		have[line]++
	}
	var lines []string
	for line := range strings.Lines(of) {
		if have[line]--; have[line] < 0 {
			lines = append(lines, mark+line)
		}
	}
	return lines
}

type described struct {
	names []string
	text  map[string]string
}

// files cuts what describe wrote into its files.
func files(text string) described {
	d := described{text: map[string]string{}}
	name := "index"
	for line := range strings.Lines(text) {
		if heading, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(heading, "\n")
			line = "there\n"
		}
		if d.text[name] == "" {
			d.names = append(d.names, name)
		}
		d.text[name] += line
	}
	return d
}

func TestTheProfileSeedChangesNothingButThis(t *testing.T) {
	var got strings.Builder
	for _, role := range roles() {
		r, err := Render(request(t, role, seed))
		if err != nil {
			t.Fatal(err)
		}
		hardened, err := os.ReadFile(filepath.Join("testdata", role+".golden"))
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString("== " + role + "\n" + changes(string(hardened), describe(t, r)))
	}
	const name = "testdata/seed.golden"
	if updating() {
		if err := os.WriteFile(name, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("%s differs (-update writes it anew):\n%s", name, got.String())
	}
}

func TestWhatWasWrongInTheTutorialIsRightInItsProfileToo(t *testing.T) {
	req := request(t, bundle.RoleMaster, seed)
	master, err := Render(req)
	if err != nil {
		t.Fatal(err)
	}
	req.Role = bundle.RoleNode
	node, err := Render(req)
	if err != nil {
		t.Fatal(err)
	}
	token, _, _ := strings.Cut(string(file(t, master, "master01", tokenCSV)), ",")
	bootstrap := string(file(t, node, "node01", "/opt/kubernetes/cfg/bootstrap.kubeconfig"))
	jobs := string(file(t, master, "", "/opt/kubernetes/cfg/cluster-jobs.yaml"))
	for name, right := range map[string]bool{
		"the token is the masters'":                   len(token) == 32 && strings.Contains(bootstrap, "token: "+token+"\n"),
		"it is the same on all masters":               string(file(t, master, "master01", tokenCSV)) == string(file(t, master, "master02", tokenCSV)),
		"nodes begin at the API, not at themselves":   strings.Contains(bootstrap, "server: https://20.0.0.110:6443\n"),
		"nodes renew as nodes":                        strings.Contains(jobs, "selfnodeclient\nsubjects:\n- apiGroup: rbac.authorization.k8s.io\n  kind: Group\n  name: system:nodes\n"),
		"nobody anonymous is bound":                   !strings.Contains(jobs, "system:anonymous") && !strings.Contains(jobs, "system:unauthenticated"),
		"no token is made known with an end":          master.Packs[0].Token == nil,
		"tokens are verified with the signer's key":   strings.Contains(string(file(t, master, "master01", "/opt/kubernetes/cfg/kube-apiserver")), "--service-account-key-file=/opt/kubernetes/ssl/sa.pub \\\n--service-account-signing-key-file=/opt/kubernetes/ssl/sa.key "),
		"statuses are asked on the master alone":      strings.Contains(string(file(t, master, "master01", "/opt/kubernetes/cfg/kube-scheduler")), "--address=127.0.0.1 \\\n--port=10251 "),
		"certificates are signed for ten years":       strings.Contains(string(file(t, master, "master01", "/opt/kubernetes/cfg/kube-controller-manager")), "--cluster-signing-duration=87600h "),
		"the token is read by nobody but root":        strings.Contains(describe(t, master), "-- master01 "+tokenCSV+" 0600 root:root secret\n"),
		"an API server starts anew with another file": slices.Contains(unit(t, master, "kube-apiserver.service").Restarts, tokenCSV),
	} {
		if !right {
			t.Errorf("not so: %s", name)
		}
	}
	req.Role = bundle.RoleEtcd
	etcd, err := Render(req)
	if err != nil {
		t.Fatal(err)
	}
	settings := string(file(t, etcd, "node01", "/opt/etcd/cfg/etcd"))
	if !strings.Contains(settings, "ETCD_CLIENT_CERT_AUTH=true\n") || !strings.Contains(settings, "ETCD_PEER_CLIENT_CERT_AUTH=true\n") || !strings.Contains(settings, "ETCD_PEER_CERT_FILE=/opt/etcd/ssl/server.pem\n") {
		t.Errorf("etcd:\n%s", settings)
	}
	if strings.Contains(describe(t, etcd), "/opt/etcd/ssl/peer") {
		t.Error("etcd has a pair that nothing uses")
	}
}

func unit(t *testing.T, r *Role, name string) bundle.Unit {
	t.Helper()
	i := slices.IndexFunc(r.Units, func(u bundle.Unit) bool { return u.Name == name })
	if i < 0 {
		t.Fatalf("no unit %s", name)
	}
	return r.Units[i]
}
