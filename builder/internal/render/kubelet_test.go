package render

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/bundle"
)

// The names are those that kubelet v1.20 gives (client-go's certificate store); the link is its own, too.
func TestKubeletStartsAgainAfterAPowerCutThatLeftACertificateEmpty(t *testing.T) {
	const whole = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n"
	script := filepath.Join(t.TempDir(), "kubelet-certificates")
	for _, text := range rendered(t, bundle.RoleNode).Texts {
		if text.Path == "/opt/kubernetes/bin/kubelet-certificates" {
			if err := os.WriteFile(script, text.Data, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		files   map[string]string
		current string // what the link led to
		left    string // names, and where the link leads now
	}{
		"nothing is there yet": {nil, "", ""},
		"all is well": {map[string]string{"kubelet-client-2026-01-02-03-04-05.pem": whole}, "kubelet-client-2026-01-02-03-04-05.pem",
			"kubelet-client-2026-01-02-03-04-05.pem kubelet-client-current.pem>kubelet-client-2026-01-02-03-04-05.pem"},
		"the first one is empty": {map[string]string{"kubelet-client-2026-01-02-03-04-05.pem": ""}, "kubelet-client-2026-01-02-03-04-05.pem", ""},
		"a later one is empty": {map[string]string{"kubelet-client-2026-01-02-03-04-05.pem": whole, "kubelet-client-2026-10-02-03-04-05.pem": ""},
			"kubelet-client-2026-10-02-03-04-05.pem",
			"kubelet-client-2026-01-02-03-04-05.pem kubelet-client-current.pem>kubelet-client-2026-01-02-03-04-05.pem"},
		"the key is missing": {map[string]string{"kubelet-client-2026-01-02-03-04-05.pem": whole[:60]}, "kubelet-client-2026-01-02-03-04-05.pem", ""},
		"other files stay":   {map[string]string{"kubelet-server.pem": "", "ca.pem": ""}, "", "ca.pem kubelet-server.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range c.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.current != "" {
				if err := os.Symlink(filepath.Join(dir, c.current), filepath.Join(dir, "kubelet-client-current.pem")); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := exec.Command("sh", script, dir).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("it ended with %v and said %s", err, out)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, e := range entries {
				name := e.Name()
				if target, err := os.Readlink(filepath.Join(dir, name)); err == nil {
					name += ">" + strings.TrimPrefix(target, dir+"/")
				}
				left = append(left, name)
			}
			if got := strings.Join(left, " "); got != c.left {
				t.Errorf("there is %q, want %q", got, c.left)
			}
		})
	}
}
