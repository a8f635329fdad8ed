package catalogue

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"offgrid/manifests"
)

// ImageName is the last part of an image's reference without its tag: "flannel" of "quay.io/coreos/flannel:v0.15.1".
func ImageName(ref string) string {
	name, _, _ := strings.Cut(path.Base(ref), ":")
	return name
}

func (l *linter) addons() {
	names, kinds := map[string]bool{}, map[string]bool{}
	form := regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	for i, a := range l.c.Addons {
		place := at("addons", i)
		l.once(names, below(place, "name"), a.Name)
		if a.Name != "" && (!form.MatchString(a.Name) || a.Name == "cluster-jobs") {
			l.Wrong(below(place, "name"), "%q: want lower-case letters, digits and \"-\", and not cluster-jobs", a.Name)
		}
		l.need(below(place, "version"), a.Version)
		switch {
		case !slices.Contains([]string{AddonCNI, AddonDNS, AddonCheck}, a.Kind):
			l.Wrong(below(place, "kind"), "%q: want %q, %q or %q", a.Kind, AddonCNI, AddonDNS, AddonCheck)
		case a.Kind != AddonCNI && kinds[a.Kind]:
			l.Wrong(below(place, "kind"), "there is an add-on of the kind %q already", a.Kind)
		}
		kinds[a.Kind] = true
		l.addonImages(place, a)
		l.addonTemplate(place, a)
	}
}

func (l *linter) addonImages(place []any, a Addon) {
	seen := map[string]bool{}
	if a.Kind == AddonCheck && len(a.Images) != 1 {
		l.Wrong(below(place, "images"), "want one image: that of the pods which the health check makes")
	}
	for j, ref := range a.Images {
		if !slices.ContainsFunc(l.c.Images, func(m Image) bool { return m.Ref == ref }) {
			l.Wrong(below(place, "images", j), "there is no image %q", ref)
		}
		if seen[ImageName(ref)] {
			l.Wrong(below(place, "images", j), "the template knows images by their last name, and %q is there twice", ImageName(ref))
		}
		seen[ImageName(ref)] = true
	}
}

func (l *linter) addonTemplate(place []any, a Addon) {
	if a.Kind == AddonCheck {
		if a.Template != "" {
			l.Wrong(below(place, "template"), "the check makes its pods itself: an add-on of this kind has no template")
		}
		return
	}
	if !l.need(below(place, "template"), a.Template) {
		return
	}
	files, err := manifests.Templates()
	if err == nil {
		_, err = fs.Stat(files, path.Join("addons", a.Template+".tmpl"))
	}
	if err != nil {
		l.Wrong(below(place, "template"), "there is no template %q below templates/addons", a.Template)
	}
}
