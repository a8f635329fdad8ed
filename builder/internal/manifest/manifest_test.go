package manifest

import (
	"slices"
	"strings"
	"testing"
)

const website = `# a comment first
apiVersion: apps/v1
kind: Deployment
metadata:
  name: website
  namespace: shop
spec:
  template:
    spec:
      initContainers:
      - {name: wait, image: "docker.io/library/busybox:1.28.4"}
      containers:
      - name: nginx
        image: docker.io/library/nginx:1.21.4
        imagePullPolicy: IfNotPresent
---
---
apiVersion: v1
kind: ConfigMap
metadata: {name: page, namespace: shop}
data:
  image: not-an-image
  page.yaml: |
    containers:
    - image: text:only
`

func read(t *testing.T, text string) []Object {
	t.Helper()
	all, err := Read("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestObjectsAndTheirImagesAreFound(t *testing.T) {
	all := read(t, website)
	if len(all) != 2 || all[0].String() != "Deployment shop/website" || all[0].Line != 2 || all[1].String() != "ConfigMap shop/page" || len(all[1].Images) != 0 {
		t.Fatalf("got %+v", all)
	}
	want := []Image{{"docker.io/library/busybox:1.28.4", 11, 29, ""}, {"docker.io/library/nginx:1.21.4", 14, 16, "IfNotPresent"}}
	if !slices.Equal(all[0].Images, want) {
		t.Errorf("images %+v, want %+v", all[0].Images, want)
	}
}

func TestImagesGetTheNamesOfTheSitesRegistry(t *testing.T) {
	got, err := Rename([]byte(website), read(t, website), func(ref string) string { return strings.Replace(ref, "docker.io", "r.example:5000", 1) })
	want := strings.NewReplacer("docker.io/library/busybox", "r.example:5000/library/busybox", "docker.io/library/nginx", "r.example:5000/library/nginx").Replace(website)
	if err != nil || string(got) != want {
		t.Errorf("got %v\n%s", err, got)
	}
}

func TestWhatIsNoObjectIsNamedWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "f.yaml: there is no object in the file",
		"kind: Pod\n":                  "f.yaml:1:1: a Kubernetes object has apiVersion and kind",
		"apiVersion: v1\nkind: Pod\n":  "f.yaml:1:1: the object has no metadata.name",
		"apiVersion: v1\nkind: List\n": "f.yaml:1:1: a List: write its items as documents of their own, separated by ---",
		"a: b: c\n":                    "f.yaml:1:",
		"a: *b\n":                      "f.yaml:1:4: anchors (&), aliases (*) and merge keys (<<) are not supported: write the value out",
		"a: 1\na: 2\n":                 `f.yaml:2:1: a: key "a" stands here a second time; the first is in line 1`,
	} {
		if _, err := Read("f.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestWhatCannotWorkOnTheSiteIsFound(t *testing.T) {
	aboard := []string{"docker.io/library/busybox:1.28.4", "docker.io/library/nginx:1.21.4"}
	const crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: shops.example.com}\nspec: {group: example.com, versions: [{name: v1}]}\n"
	for _, c := range []struct{ text, want string }{
		{website, ""},
		{strings.Replace(website, "nginx:1.21.4", "nginx:1.22", 1), "f.yaml line 14: Deployment shop/website: the image docker.io/library/nginx:1.22 is not aboard; list it under extras.images, under exactly this name"},
		{strings.Replace(website, "IfNotPresent", "Always", 1), "f.yaml line 14: Deployment shop/website: imagePullPolicy of docker.io/library/nginx:1.21.4 is Always: nothing can be pulled on the site; write IfNotPresent"},
		{strings.Replace(website, "nginx:1.21.4", "nginx:latest", 1), "f.yaml line 14: Deployment shop/website: the image docker.io/library/nginx:latest: the tag latest is pulled at every start; name a version"},
		{strings.Replace(website, "nginx:1.21.4", "nginx@sha256:"+strings.Repeat("0", 64), 1), "f.yaml line 14: Deployment shop/website: the image docker.io/library/nginx@sha256:" + strings.Repeat("0", 64) + " is named by digest: images that were carried have none on a node; name the tag"},
		{strings.Replace(website, "apps/v1", "extensions/v1beta1", 1), "f.yaml line 2: Deployment shop/website: Kubernetes v1.20 has no Deployment in extensions/v1beta1; it has it in apps/v1"},
		{"apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: x, namespace: y}\n", "f.yaml line 1: PodDisruptionBudget y/x: Kubernetes v1.20 has no PodDisruptionBudget in policy/v1; it has it in policy/v1beta1"},
		{"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x, namespace: y}\n", "f.yaml line 1: CronJob y/x: Kubernetes v1.20 has no CronJob in batch/v1; it has it in batch/v1beta1"},
		{"apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: x}\n", "f.yaml line 1: Gateway x: Kubernetes v1.20 has no Gateway in gateway.networking.k8s.io/v1"},
		{"apiVersion: example.com/v1\nkind: Shop\nmetadata: {name: x}\n", "f.yaml line 1: Shop x: nothing in the bundle makes the API example.com/v1: add the manifest of its CustomResourceDefinition to extras"},
		{crd + "---\napiVersion: example.com/v1\nkind: Shop\nmetadata: {name: x}\n", ""},
		{crd + "---\napiVersion: example.com/v2\nkind: Shop\nmetadata: {name: x}\n", "f.yaml line 6: Shop x: nothing in the bundle makes the API example.com/v2: add the manifest of its CustomResourceDefinition to extras"},
		{crd + "---\n" + crd, "f.yaml line 6: CustomResourceDefinition shops.example.com: it is there twice, first in line 1"},
	} {
		got := strings.Join(Check([]File{{"f.yaml", read(t, c.text)}}, aboard), "\n")
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(website))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := Read("f", data)
		if (len(all) == 0) == (err == nil) {
			t.Errorf("%d objects and error %v", len(all), err)
		}
		Check([]File{{"f", all}}, nil)
	})
}
