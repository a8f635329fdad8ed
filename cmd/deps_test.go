package cmd_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "offgrid"

// goPackage is what is of interest in `go list -json`.
type goPackage struct {
	ImportPath   string
	Name         string
	Dir          string
	Doc          string
	Standard     bool
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// rule says what the packages below Path may import of this module. The most exact path counts.
type rule struct {
	path    string
	allowed []string // packages, or trees that end in "/..."
	reason  string
}

func rules() []rule {
	return []rule{
		{"bundle", []string{"bundle/progress", "bundle/recovery", "bundle/signature"}, "the format knows nothing of building or installing"},
		{"bundle/progress", nil, "events are understood by all and know nobody"},
		{"bundle/recovery", nil, "a recovery record is of any file: it knows nothing of bundles"},
		{"bundle/signature", nil, "signatures are of bytes, whatever these are"},
		{"bundle/medium", []string{"bundle/recovery"}, "what a medium holds is said without opening it"},
		{"bundle/hostpack", []string{"bundle", "bundle/seal"}, "a pack is part of the format"},
		{"bundle/seal", nil, "age files know nothing of what is in them"},
		{"bundle/compare", []string{"bundle", "bundle/hostpack"}, "what differs is told by looking at two bundles, nothing else"},
		{"builder", []string{"bundle/...", "builder/..."}, "a build knows nothing of hosts' insides"},
		{"builder/internal/render", []string{"bundle/...", "builder/...", "manifests"}, "only rendering reads the templates"},
		{"builder/catalogue", []string{"bundle/...", "builder/...", "manifests"}, "a catalogue names templates: it looks whether they are there"},
		{"installer", []string{"bundle/...", "installer/..."}, "the installer runs offline: it cannot fetch, sign or render"},
		{"manifests", nil, "manifests are data"},
		{"cmd/internal/console", []string{"bundle/progress"}, "the console shows events and knows no work"},
		{"cmd/internal/passphrase", []string{"bundle/seal", "cmd/internal/console"}, "it asks for a passphrase and opens nothing"},
		{"cmd/internal/version", nil, "a number"},
		{"cmd/internal/docstest", nil, "it reads documents and is given the program"},
		{"cmd/bundle", []string{"bundle/...", "builder/...", "manifests", "cmd/internal/..."}, "the command of the connected machine"},
		{"cmd/install", []string{"bundle/...", "installer/...", "cmd/internal/..."}, "the command of the hosts: nothing of a build in it"},
	}
}

// importers is which package may import which third-party module: one each, so that it can be replaced in one place.
func importers() map[string][]string {
	return map[string][]string{
		"github.com/klauspost/compress":          {"bundle"},
		"github.com/klauspost/reedsolomon":       {"bundle/recovery"},
		"aead.dev/minisign":                      {"bundle/signature"},
		"filippo.io/age":                         {"bundle/seal"},
		"golang.org/x/crypto":                    {"bundle/seal"}, // the lines of SSH keys, as age reads them
		"github.com/google/go-containerregistry": {"builder/internal/image"},
		"github.com/cloudflare/cfssl":            {"builder/internal/pki"},
		"github.com/cavaliergopher/rpm":          {"builder/internal/rpmrepo"},
		"github.com/ProtonMail/go-crypto":        {"builder/internal/rpmrepo"},
		"github.com/ulikunitz/xz":                {"builder/internal/rpmrepo"},
		"github.com/goccy/go-yaml":               {"builder/internal/strictyaml"},
		"github.com/gofrs/flock":                 {"builder/internal/filelock"},
		"github.com/spf13/cobra":                 {"cmd/bundle", "cmd/install"},
		"github.com/spf13/pflag":                 {"cmd/bundle", "cmd/install"},
		"github.com/schollz/progressbar":         {"cmd/internal/console"},
		"golang.org/x/term":                      {"cmd/internal/console"},
		"golang.org/x/sys":                       {"installer", "installer/host", "builder/medium"},
		"github.com/spdx/tools-golang":           {"builder/internal/sbom"},
		"github.com/CycloneDX/cyclonedx-go":      {"builder/internal/sbom"},
		"github.com/santhosh-tekuri/jsonschema":  nil, // tests only
		"github.com/rogpeppe/go-internal":        nil, // tests only
	}
}

// forbiddenInTree is what must not even be reached through others.
func forbiddenInTree() map[string]map[string]string {
	return map[string]map[string]string{
		"cmd/install": {
			"github.com/google/go-containerregistry": "size and attack surface of the program on the hosts",
			"github.com/cloudflare/cfssl":            "certificates are made by the build",
			"github.com/goccy/go-yaml":               "the installer reads JSON only",
			module + "/builder":                      "the installer runs offline",
		},
		"bundle": {
			"net/http": "reading a bundle never touches the network",
			"os/exec":  "reading a bundle runs nothing",
		},
		"builder": {
			module + "/installer": "a build knows nothing of hosts' insides",
		},
	}
}

func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json=ImportPath,Name,Dir,Doc,Standard,GoFiles,Imports,TestImports,XTestImports"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// shipped lists the packages of this module that are part of the programs.
func shipped(t *testing.T) []goPackage {
	return list(t, "./cmd/...", "./bundle/...", "./builder/...", "./installer/...", "./manifests/...")
}

// testSupport are packages that only tests import: they may use what the tested code uses.
func testSupport(path string) bool {
	return strings.HasSuffix(path, "test") // hosttest, upstreamtest
}

func under(path, tree string) bool { return path == tree || strings.HasPrefix(path, tree+"/") }

func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && first != module
}

func TestEveryPackageImportsOnlyWhatItsLayerMay(t *testing.T) {
	for _, p := range shipped(t) {
		path := strings.TrimPrefix(p.ImportPath, module+"/")
		best := rule{path: "-", reason: "the package has no rule in cmd/deps_test.go"}
		for _, r := range rules() {
			if under(path, r.path) && len(r.path) > len(best.path) {
				best = r
			}
		}
		for _, imported := range p.Imports {
			own, ok := strings.CutPrefix(imported, module+"/")
			if !ok || allowed(best, own) {
				continue
			}
			t.Errorf("%s imports %s: %s", path, own, best.reason)
		}
	}
}

func allowed(r rule, path string) bool {
	return slices.ContainsFunc(r.allowed, func(a string) bool {
		tree, isTree := strings.CutSuffix(a, "/...")
		return path == a || isTree && under(path, tree)
	})
}

func TestEachThirdPartyModuleHasOneImporter(t *testing.T) {
	for _, p := range shipped(t) {
		path := strings.TrimPrefix(p.ImportPath, module+"/")
		if testSupport(path) {
			continue
		}
		for _, imported := range p.Imports {
			if isStandard(imported) || under(imported, module) || imported == "C" {
				continue
			}
			if !mayImport(path, imported) {
				t.Errorf("%s imports %s: each module has one importing package; see importers() in cmd/deps_test.go", path, imported)
			}
		}
	}
}

func mayImport(path, imported string) bool {
	for mod, packages := range importers() {
		if under(imported, mod) && slices.Contains(packages, path) {
			return true
		}
	}
	return false
}

func TestOnlyTheProbeOfTheInstallerDials(t *testing.T) {
	for _, p := range list(t, "./installer/...") {
		if testSupport(p.ImportPath) {
			continue
		}
		for name, imports := range fileImports(t, p) {
			if slices.Contains(imports, "net/http") && p.ImportPath+"/"+name != module+"/installer/probe.go" {
				t.Errorf("%s/%s imports net/http: only installer/probe.go may dial", p.ImportPath, name)
			}
		}
	}
}

func TestWhatALayerMustNotEvenReach(t *testing.T) {
	for root, never := range forbiddenInTree() {
		for _, p := range list(t, "-deps", "./"+root) {
			for path, reason := range never {
				if under(p.ImportPath, path) {
					t.Errorf("%s reaches %s: %s", root, p.ImportPath, reason)
				}
			}
		}
	}
}

func TestEveryPackageSaysInOneSentenceWhatItIs(t *testing.T) {
	for _, p := range shipped(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
