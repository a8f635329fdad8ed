package hostpack

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"offgrid/bundle"
)

const clusterID = "0123456789abcdef0123456789abcdef"

func testPack() *Pack {
	return &Pack{
		Cluster: clusterID, Role: bundle.RoleMaster, Host: "master01", IP: "20.0.0.100",
		Files: []File{
			{Path: "/opt/kubernetes/cfg/kube-apiserver", Mode: 0o644, Data: []byte("KUBE_APISERVER_OPTS=\"\"\n")},
			{Path: "/opt/kubernetes/ssl/ca-key.pem", Mode: 0o600, Owner: "root", Group: "root", Secret: true, Data: []byte("key\x00\xff")},
			{Path: "/opt/kubernetes/ssl/empty", Mode: 0o644},
		},
		Token: &Token{ID: "abc123", Secret: "0123456789abcdef", TTLSeconds: 86400},
	}
}

func TestAPackComesBackAsItWasPacked(t *testing.T) {
	p := testPack()
	data, err := Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if p.Files[2].Data != nil {
		t.Error("Marshal changed the caller's pack")
	}
	got, err := Unmarshal(data)
	if err != nil {
		t.Fatal(err)
	}
	want := testPack()
	want.Normalise()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pack\n got %+v\nwant %+v", got, want)
	}
	if !bytes.HasPrefix(data, []byte(`{"format":1,"cluster":"`)) || !bytes.HasSuffix(data, []byte("}\n")) {
		t.Errorf("not canonical: %.60q", data)
	}
}

func TestAPackWithAFaultIsRefusedWhenPackedAndWhenRead(t *testing.T) {
	tests := []struct {
		name string
		hack func(*Pack)
		want string
	}{
		{"another format", func(p *Pack) { p.Format = 2 }, "format is 2"},
		{"no host", func(p *Pack) { p.Host = "" }, "host is empty"},
		{"no address", func(p *Pack) { p.IP = "20.0.0" }, "IP:"},
		{"a path that leaves", func(p *Pack) { p.Files[0].Path = "/opt/../etc" }, "not absolute and clean"},
		{"a relative path", func(p *Pack) { p.Files[0].Path = "opt" }, "not absolute and clean"},
		{"a path twice", func(p *Pack) { p.Files[1].Path = p.Files[0].Path }, "not sorted, or twice"},
		{"a setuid file", func(p *Pack) { p.Files[0].Mode = 0o4755 }, "mode is 04755"},
		{"a secret for everybody", func(p *Pack) { p.Files[1].Mode = 0o644 }, "lets everybody at it"},
		{"placeholders on a host that is known", func(p *Pack) { p.Files[0].Fill = true }, "has something to fill in"},
		{"a short token", func(p *Pack) { p.Token.Secret = "short" }, "token"},
		{"a token in capitals", func(p *Pack) { p.Token.ID = "ABC123" }, "token"},
		{"a token that is dead", func(p *Pack) { p.Token.TTLSeconds = 0 }, "lives 0 s"},
		{"too many files", func(p *Pack) { p.Files = make([]File, MaxFiles+1) }, "more than the limit"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := testPack()
			test.hack(p)
			if _, err := Marshal(p); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Marshal: %v, want %q in it", err, test.want)
			}
			p.Normalise()
			data, err := bundle.MarshalCanonical(p)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Unmarshal(data); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Unmarshal: %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestNoErrorShowsASecret(t *testing.T) {
	p := testPack()
	p.Files[1].Data = []byte("TOPSECRET")
	p.Token.Secret = "TOPSECRET"
	p.Files[0].Path = "no"
	if _, err := Marshal(p); err == nil || strings.Contains(err.Error(), "TOPSECRET") {
		t.Errorf("error %v", err)
	}
}

// open writes a bundle with the given pack for master01 and opens it.
func open(t *testing.T, pack bundle.PackInput) *bundle.Bundle {
	t.Helper()
	var out bytes.Buffer
	_, err := bundle.Write(t.Context(), &out, bundle.Input{
		Role: bundle.RoleIndex{
			Role: bundle.RoleMaster, Platform: bundle.Platform{OS: "linux", Arch: "amd64", Family: "el7"},
			Cluster: bundle.Cluster{ID: clusterID, Name: "demo", NotBefore: time.Unix(0, 0).UTC()},
			Hosts:   []bundle.Host{{Name: "master01", IP: "20.0.0.100"}, {Name: "master02", IP: "20.0.0.101"}},
		},
		Packs: map[string]bundle.PackInput{"master01": pack},
		Open:  func(bundle.Digest) (io.ReadCloser, error) { return nil, fs.ErrNotExist },
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.OpenReaderAt("master.bundle", bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// load puts the pack into a bundle and takes it out again, closed.
func load(t *testing.T, pack bundle.PackInput) (*Box, error) {
	t.Helper()
	return Load(t.Context(), open(t, pack), "master01")
}

func TestAPlainPackIsReadAsItIsAndAHostWithoutOneIsToldWhoHas(t *testing.T) {
	pack, err := Plain(testPack())
	if err != nil {
		t.Fatal(err)
	}
	x, err := load(t, pack)
	if err != nil || x.Sealed {
		t.Fatalf("sealed: %v, error %v", x.Sealed, err)
	}
	if p, err := x.Open(); err != nil || p.Host != "master01" {
		t.Errorf("pack %+v, error %v", p, err)
	}
	_, err = Load(t.Context(), open(t, pack), "master02")
	if err == nil || !strings.Contains(err.Error(), `none for "master02", only for master01`) {
		t.Errorf("a host without a pack: %v", err)
	}
}

func TestThePackOfAnotherIsRefused(t *testing.T) {
	for name, hack := range map[string]func(*Pack){
		"another host":    func(p *Pack) { p.Host = "master02" },
		"another role":    func(p *Pack) { p.Role = bundle.RoleEtcd },
		"another cluster": func(p *Pack) { p.Cluster = strings.Repeat("f", 32) },
		"another address": func(p *Pack) { p.IP = "20.0.0.101" },
	} {
		t.Run(name, func(t *testing.T) {
			p := testPack()
			hack(p)
			plain, err := Plain(p)
			if err != nil {
				t.Fatal(err)
			}
			x, err := load(t, plain)
			if err == nil {
				_, err = x.Open()
			}
			if err == nil || !strings.Contains(err.Error(), "it is for") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func FuzzUnmarshal(f *testing.F) {
	data, err := Marshal(testPack())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(bytes.Replace(data, []byte(`"token":`), []byte(`"tokem":`), 1))
	f.Add(bytes.Replace(data, []byte(`"data":""`), []byte(`"data":null`), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Unmarshal(data)
		if err != nil {
			return
		}
		again, err := Marshal(p)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("packed again it is %q, error %v; was %q", again, err, data)
		}
	})
}

func Example() {
	data, err := Marshal(&Pack{Cluster: clusterID, Role: "node", Host: "node01", IP: "20.0.0.103"})
	fmt.Printf("%s%v\n", data, err)
	// Output:
	// {"format":1,"cluster":"0123456789abcdef0123456789abcdef","role":"node","host":"node01","ip":"20.0.0.103","files":[]}
	// <nil>
}

func TestThePackInTheSpecificationIsValid(t *testing.T) {
	text, err := os.ReadFile("../FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```json pack\n")
	block, _, _ := strings.Cut(rest, "```")
	var p Pack
	if err := bundle.DecodeStrict([]byte(block), &p, bundle.MaxPackSize); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
}
