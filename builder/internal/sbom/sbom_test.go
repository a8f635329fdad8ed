package sbom_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"offgrid/builder"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
)

// goProgram is the path of a small program of Go with two modules in it.
var goProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sbom-test")
	if err != nil {
		return "", err
	}
	sums, err := os.ReadFile("../../../go.sum")
	if err != nil {
		return "", err
	}
	for name, content := range map[string]string{
		"go.mod":  "module example.org/small\n\ngo 1.26\n\nrequire (\n\tgithub.com/inconshreveable/mousetrap v1.1.0\n\tgithub.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db\n)\n",
		"go.sum":  string(sums),
		"main.go": "package main\n\nimport (\n\t\"github.com/inconshreveable/mousetrap\"\n\t\"github.com/mitchellh/colorstring\"\n)\n\nfunc main() { println(mousetrap.StartedByExplorer(), colorstring.Color(\"x\")) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", "small")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return filepath.Join(dir, "small"), nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := goProgram(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// installer is the path of the program that stands for the installer.
func installer(t *testing.T) string {
	t.Helper()
	path, err := goProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// sample is a bundle with one thing of each kind. Its bytes are the same in every call.
func sample(t *testing.T) []byte {
	t.Helper()
	program, err := os.ReadFile(installer(t))
	if err != nil {
		t.Fatal(err)
	}
	stored := map[bundle.Digest][]byte{}
	in := bundle.Input{Open: func(d bundle.Digest) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(stored[d])), nil }}
	in.Role = bundle.RoleIndex{
		Role: bundle.RoleNode, Platform: bundle.Platform{OS: "linux", Arch: "amd64", Family: "el7"},
		Cluster: bundle.Cluster{ID: "0123456789abcdef0123456789abcdef", Name: "demo", Serial: 1700000000, NotBefore: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		Packages: []bundle.Package{
			{Name: "broken", Version: "1", Release: "1", Arch: "noarch", Artifact: "broken-1-1.noarch.rpm"},
			{Name: "docker-ce", Epoch: 3, Version: "20.10.24", Release: "3.el7", Arch: "x86_64", Artifact: "docker-ce-20.10.24-3.el7.x86_64.rpm"},
		},
		Kernel: &bundle.Kernel{Release: "5.4.278-1.el7.elrepo.x86_64", Modules: "kernel/modules",
			Packages: []bundle.Package{{Name: "kernel-lt", Version: "5.4.278", Release: "1.el7.elrepo", Arch: "x86_64", Artifact: "kernel-lt-5.4.278-1.el7.elrepo.x86_64.rpm"}}},
		Files: []bundle.File{{Path: "/opt/kubernetes/bin/kubelet", Mode: 0o755, Owner: "root", Group: "root", Artifact: "kubelet"}},
		Hosts: []bundle.Host{{Name: "node01", IP: "20.0.0.103", Roles: []string{bundle.RoleNode}}},
	}
	add := func(name, version, kind string, content []byte) {
		var out bytes.Buffer
		blob, err := bundle.Encode(t.Context(), bytes.NewReader(content), &out, 1)
		if err != nil {
			t.Fatal(err)
		}
		stored[blob.Stored] = out.Bytes()
		in.Role.Artifacts = append(in.Role.Artifacts, bundle.Artifact{Name: name, Version: version, Kind: kind, Source: "https://example.org/" + name, Vouched: "sha256", Blob: blob})
	}
	docker := upstreamtest.RPM{Name: "docker-ce", Epoch: 3, Version: "20.10.24", Release: "3.el7", Arch: "x86_64", License: "ASL 2.0 and <others>", Vendor: "Docker <support@docker.com>"}
	kernel := upstreamtest.RPM{Name: "kernel-lt", Version: "5.4.278", Release: "1.el7.elrepo", Arch: "x86_64", License: "GPLv2"}
	add("broken-1-1.noarch.rpm", "1-1", bundle.KindPackage, []byte("no RPM"))
	add(docker.FileName(), "3:20.10.24-3.el7", bundle.KindPackage, docker.Bytes())
	add(kernel.FileName(), "5.4.278-1.el7.elrepo", bundle.KindPackage, kernel.Bytes())
	add("kernel/modules", "", bundle.KindText, []byte("overlay\n"))
	add("kubelet", "v1.20.15", bundle.KindProgram, program)
	add("script", "v1", bundle.KindProgram, []byte("#!/bin/sh\n"))
	keep := func(data string) bundle.Descriptor {
		d := bundle.DigestOf([]byte(data))
		stored[d] = []byte(data)
		return bundle.Descriptor{Digest: d, Size: int64(len(data))}
	}
	config, layer := keep(`{"architecture":"amd64","os":"linux"}`), keep("a layer")
	m := keep(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":%q},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":%d,"digest":%q}]}`,
		bundle.MediaTypeDockerManifest, config.Size, config.Digest, layer.Size, layer.Digest))
	m.MediaType = bundle.MediaTypeDockerManifest
	in.Role.Images = []bundle.Image{{Ref: "k8s.gcr.io/pause:3.2", Manifest: m.Digest, ID: config.Digest}}
	in.Images = []bundle.ImageInput{{Ref: "k8s.gcr.io/pause:3.2", Manifest: m}}
	var out bytes.Buffer
	if _, err := bundle.Write(t.Context(), &out, in); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// list makes the list of a bundle whose bytes are data, in a directory of its own.
func list(t *testing.T, data []byte, format string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.bundle")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var out bytes.Buffer
	if err := builder.WriteSBOM(t.Context(), &out, b, builder.SBOMOptions{Format: format, Installer: installer(t), Tool: "offgrid-bundle-0"}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// goVersion asks the go command, which knows nothing of our code, which modules are in the program: path, version, sum.
func goVersion(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "version", "-m", installer(t)).Output()
	if err != nil {
		t.Fatalf("go version -m: %v", err)
	}
	var modules []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "dep" {
			sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(f[3], "h1:"))
			if err != nil {
				t.Fatal(err)
			}
			modules = append(modules, f[1]+" "+f[2]+" "+hex.EncodeToString(sum))
		}
	}
	if len(modules) != 2 {
		t.Fatalf("go version -m lists %d modules: %s", len(modules), out)
	}
	slices.Sort(modules)
	return modules
}

type spdxDocument struct {
	SPDXID, Name, DocumentNamespace string
	CreationInfo                    struct{ Created string }
	Packages                        []struct {
		SPDXID, Name, VersionInfo, LicenseDeclared, Supplier, Comment string
		Checksums                                                     []struct{ Algorithm, ChecksumValue string }
		ExternalRefs                                                  []struct{ ReferenceLocator string }
	}
	Relationships              []struct{ SPDXElementID, RelatedSPDXElement, RelationshipType string }
	HasExtractedLicensingInfos []struct{ LicenseID, Name string }
}

func TestASPDXListNamesAllThatTheBundleBrings(t *testing.T) {
	data := sample(t)
	var doc spdxDocument
	if err := json.Unmarshal(list(t, data, builder.SPDX), &doc); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	var modules []string
	for _, p := range doc.Packages {
		sum, purl := "-", "-"
		if len(p.Checksums) == 1 {
			sum = p.Checksums[0].ChecksumValue
		}
		if len(p.ExternalRefs) == 1 {
			purl = p.ExternalRefs[0].ReferenceLocator
		}
		if strings.HasPrefix(p.SPDXID, "SPDXRef-module-") && sum != "-" {
			modules = append(modules, p.Name+" "+p.VersionInfo+" "+sum)
		}
		got[p.Name] = strings.Join([]string{p.VersionInfo, purl, p.LicenseDeclared, p.Supplier}, " | ")
	}
	for name, want := range map[string]string{
		"docker-ce": "3:20.10.24-3.el7 | pkg:rpm/docker-ce@20.10.24-3.el7?arch=x86_64&distro=el7&epoch=3 | LicenseRef-rpm-ASL-2.0-and--others--57d22342 | Organization: Docker <support@docker.com>",
		"kernel-lt": "5.4.278-1.el7.elrepo | pkg:rpm/kernel-lt@5.4.278-1.el7.elrepo?arch=x86_64&distro=el7 | LicenseRef-rpm-GPLv2 | NOASSERTION",
		"broken":    "1-1 | pkg:rpm/broken@1-1?arch=noarch&distro=el7 | NOASSERTION | NOASSERTION",
	} {
		if got[name] != want {
			t.Errorf("%s: %s\nwant %s", name, got[name], want)
		}
	}
	for _, name := range []string{"demo/node", "kubelet", "script", "install", "stdlib", "k8s.gcr.io/pause:3.2"} {
		if got[name] == "" {
			t.Errorf("%s is not listed; what is: %s", name, slices.Sorted(maps.Keys(got)))
		}
	}
	slices.Sort(modules)
	if want := goVersion(t); !slices.Equal(modules, want) {
		t.Errorf("modules\n%s\nthe go command says\n%s", strings.Join(modules, "\n"), strings.Join(want, "\n"))
	}
	if doc.CreationInfo.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("created %s, want the time of the serial", doc.CreationInfo.Created)
	}
	dependencies := 0
	for _, r := range doc.Relationships {
		if r.SPDXElementID == "SPDXRef-program-kubelet" && r.RelationshipType == "DEPENDS_ON" {
			dependencies++
		}
	}
	if dependencies < len(modules) {
		t.Errorf("kubelet depends on %d modules, want %d at least", dependencies, len(modules))
	}
}

func TestTheSameBundleIsListedInTheSameBytes(t *testing.T) {
	data := sample(t)
	for _, format := range []string{builder.SPDX, builder.CycloneDX} {
		if first, second := list(t, data, format), list(t, data, format); !bytes.Equal(first, second) {
			t.Errorf("%s: two lists of one bundle differ", format)
		}
	}
}

// moduleDir finds the directory of a module in the cache. It fetches nothing: .ci/run has what it takes.
func moduleDir(t *testing.T, module string) string {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod")
	out, err := cmd.Output()
	var found struct{ Dir, Error string }
	if json.Unmarshal(out, &found) == nil && found.Dir != "" {
		return found.Dir
	}
	if os.Getenv("OFFGRID_JUDGE") == "required" {
		t.Fatalf("%s is wanted for its schemas: %v %s", module, err, found.Error)
	}
	t.Skipf("%s is not in the module cache: go mod download %s", module, module)
	return ""
}

// schemas are the published ones, as other projects' modules hold them; the validator is not ours either.
func schema(t *testing.T, format string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	add := func(url, path string) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		doc, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if err := c.AddResource(url, doc); err != nil {
			t.Fatal(err)
		}
	}
	url := "http://spdx.org/rdf/terms/2.3"
	if format == builder.SPDX {
		add(url, filepath.Join(moduleDir(t, "github.com/anchore/syft@v1.18.0"), "schema", "spdx-json", "spdx-schema-2.3.json"))
	} else {
		dir := filepath.Join(moduleDir(t, "github.com/CycloneDX/cyclonedx-go@v0.12.0"), "schema")
		url = "http://cyclonedx.org/schema/bom-1.5.schema.json"
		add(url, filepath.Join(dir, "bom-1.5.schema.json"))
		add("http://cyclonedx.org/schema/spdx.schema.json", filepath.Join(dir, "spdx.schema.json"))
		add("http://cyclonedx.org/schema/jsf-0.82.schema.json", filepath.Join(dir, "jsf-0.82.schemax.json"))
	}
	c.AssertFormat()
	s, err := c.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestListsAreValidByThePublishedSchemas(t *testing.T) {
	data := sample(t)
	for _, format := range []string{builder.SPDX, builder.CycloneDX} {
		t.Run(format, func(t *testing.T) {
			s := schema(t, format)
			text := list(t, data, format)
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(value); err != nil {
				t.Errorf("%v", err)
			}
			// The judge can say no.
			first, last := []byte(`"SPDXID": "SPDXRef-module`), []byte(`"spdxid": "SPDXRef-module`)
			if format == builder.CycloneDX {
				first, last = []byte(`"type": "library"`), []byte(`"type": "librarian"`)
			}
			value, err = jsonschema.UnmarshalJSON(bytes.NewReader(bytes.Replace(text, first, last, 1)))
			if err != nil {
				t.Fatal(err)
			}
			if s.Validate(value) == nil {
				t.Error("a document with a fault is valid: the schema was not used")
			}
		})
	}
}

func TestEveryReferenceLeadsToSomething(t *testing.T) {
	data := sample(t)
	var doc spdxDocument
	if err := json.Unmarshal(list(t, data, builder.SPDX), &doc); err != nil {
		t.Fatal(err)
	}
	known := map[string]int{"SPDXRef-DOCUMENT": 1}
	for _, p := range doc.Packages {
		known[p.SPDXID]++
	}
	for _, r := range doc.Relationships {
		if known[r.SPDXElementID] != 1 || known[r.RelatedSPDXElement] != 1 {
			t.Errorf("%s %s %s: an end that is there %d and %d times", r.SPDXElementID, r.RelationshipType, r.RelatedSPDXElement, known[r.SPDXElementID], known[r.RelatedSPDXElement])
		}
	}
	var bom struct {
		Metadata struct {
			Component struct {
				BOMRef string `json:"bom-ref"`
			}
		}
		Components []struct {
			BOMRef string `json:"bom-ref"`
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(list(t, data, builder.CycloneDX), &bom); err != nil {
		t.Fatal(err)
	}
	known = map[string]int{bom.Metadata.Component.BOMRef: 1}
	for _, c := range bom.Components {
		known[c.BOMRef]++
	}
	if len(known) != len(doc.Packages) {
		t.Errorf("CycloneDX lists %d things, SPDX %d", len(known), len(doc.Packages))
	}
	for _, d := range bom.Dependencies {
		for _, ref := range append(d.DependsOn, d.Ref) {
			if known[ref] != 1 {
				t.Errorf("%s is there %d times", ref, known[ref])
			}
		}
	}
}
