package render

import (
	"os"
	"slices"
	"strings"
	"testing"

	"offgrid/builder/catalogue"
	"offgrid/builder/cluster"
	"offgrid/builder/internal/manifest"
	"offgrid/bundle"
)

// builtIn is the catalogue's add-ons of one pod network, as a build gives them, and the images that nodes then have.
func builtIn(t *testing.T, cni string) (all []Addon, images []string) {
	t.Helper()
	data, err := os.ReadFile("../../../manifests/catalogue.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalogue.Load("catalogue.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range c.Addons {
		if a.Kind == catalogue.AddonCheck || a.Kind == catalogue.AddonCNI && a.Name != cni {
			continue
		}
		addon := Addon{Name: a.Name, Version: a.Version, Template: a.Template, Images: map[string]string{}}
		for _, ref := range a.Images {
			addon.Images[catalogue.ImageName(ref)] = ref
		}
		all, images = append(all, addon), append(images, a.Images...)
	}
	return all, images
}

func TestEveryAddonOfTheCatalogueIsForKubernetes120AndNamesOnlyItsImages(t *testing.T) {
	for _, cni := range []string{cluster.CNIFlannel, cluster.CNICalico} {
		req := request(t, bundle.RoleMaster, func(f *cluster.File) {
			f.Network.CNI, f.Network.UpstreamDNS = cni, []string{"20.0.0.53", "20.0.0.54:5353"}
		})
		var images []string
		req.Addons, images = builtIn(t, cni)
		r, err := Render(req)
		if err != nil {
			t.Fatal(err)
		}
		var files []manifest.File
		used := map[string]bool{}
		for _, a := range r.Addons {
			objects, err := manifest.Read(a.Name, file(t, r, "", a.Path))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, manifest.File{Name: a.Name, Objects: objects})
			for _, o := range objects {
				for _, image := range o.Images {
					used[image.Ref] = true
					if image.PullPolicy != "IfNotPresent" {
						t.Errorf("%s: %s: imagePullPolicy of %s is %q", a.Name, o, image.Ref, image.PullPolicy)
					}
				}
			}
		}
		if faults := manifest.Check(files, images); len(faults) > 0 {
			t.Errorf("%s:\n%s", cni, strings.Join(faults, "\n"))
		}
		for _, ref := range images {
			if !used[ref] {
				t.Errorf("%s: the image %s is carried and never used", cni, ref)
			}
		}
	}
}

func TestDNSAsksOnlyThoseThatTheOperatorNames(t *testing.T) {
	const path = "/opt/kubernetes/cfg/addons/coredns.yaml"
	for _, c := range []struct {
		servers   []string
		want, not string
	}{
		{nil, "file /etc/coredns/root.db .\n", "forward"},
		{[]string{"20.0.0.53", "20.0.0.54:5353"}, "forward . 20.0.0.53 20.0.0.54:5353 {", "root.db"},
	} {
		r, err := Render(request(t, bundle.RoleMaster, func(f *cluster.File) { f.Network.UpstreamDNS = c.servers }))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(file(t, r, "", path)); !strings.Contains(got, c.want) || strings.Contains(got, c.not) || strings.Contains(got, "resolv.conf") {
			t.Errorf("servers %q:\n%s", c.servers, got)
		}
	}
}

func TestABalancerKnowsTheOthersAndASpareMaster(t *testing.T) {
	r, err := Render(request(t, bundle.RoleLB, func(f *cluster.File) {
		f.Hosts = append(f.Hosts, cluster.Host{Name: "lb03", IP: "20.0.0.114", Roles: []string{"lb"}},
			cluster.Host{Name: "master03", IP: "20.0.0.102", Roles: []string{"master"}, Spare: true})
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(file(t, r, "", nginxConf)); !strings.Contains(got, "server 20.0.0.102:6443 max_fails=1 fail_timeout=60s; # master03, planned for later: asked once a minute\n") {
		t.Errorf("nginx:\n%s", got)
	}
	got := string(file(t, r, "lb03", keepalivedConf))
	for _, want := range []string{"priority 80\n", "unicast_src_ip 20.0.0.114\n", "    unicast_peer {\n        20.0.0.112\n        20.0.0.113\n    }\n", "auth_pass 12345678\n", "interface {{INTERFACE}}\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("keepalived lacks %q:\n%s", want, got)
		}
	}
	alone, err := Render(request(t, bundle.RoleLB, func(f *cluster.File) {
		f.Hosts = slices.DeleteFunc(f.Hosts, func(h cluster.Host) bool { return h.Name == "lb02" })
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(file(t, alone, "lb01", keepalivedConf)); strings.Contains(got, "unicast") {
		t.Errorf("a single balancer speaks to nobody:\n%s", got)
	}
}

func TestCalicosDirectoriesGoWithANode(t *testing.T) {
	r, err := Render(request(t, bundle.RoleNode, func(f *cluster.File) { f.Network.CNI = cluster.CNICalico }))
	if err != nil || !slices.ContainsFunc(r.Dirs, func(d bundle.Dir) bool { return d.Path == "/var/lib/calico" && d.Keep == "" }) {
		t.Errorf("directories %+v, %v", r, err)
	}
}

func TestAnImageThatTheCatalogueDoesNotGiveIsNamed(t *testing.T) {
	req := request(t, bundle.RoleMaster, nil)
	req.Addons[0].Images = map[string]string{"flanneld": "quay.io/coreos/flanneld:v9"}
	if _, err := Render(req); err == nil || !strings.Contains(err.Error(), `the catalogue gives the add-on flannel no image named "flannel"`) {
		t.Errorf("got %v", err)
	}
}
