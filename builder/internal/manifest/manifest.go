// Package manifest reads files of Kubernetes objects as far as a build must know them: what they are, and which images
// they run. On the site nothing can be looked up and nothing pulled, so what cannot work is found here.
package manifest

import (
	"fmt"
	"path"
	"strings"

	"offgrid/builder/internal/strictyaml"
)

// Object is one object of a file.
type Object struct {
	Line       int // from 1
	APIVersion string
	Kind       string
	Namespace  string
	Name       string
	Images     []Image
	Provides   []string // API versions that it makes: of a CustomResourceDefinition or an APIService
}

// String names the object as messages do: "DaemonSet kube-system/kube-flannel-ds".
func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// Image is an image that a container of an object runs.
type Image struct {
	Ref        string
	Line       int // of the reference in the file, from 1
	Column     int // from 1, in characters
	PullPolicy string
}

// Read reads the objects of a file. name is for messages.
func Read(name string, data []byte) ([]Object, error) {
	documents, err := strictyaml.Documents(name, data)
	if err != nil {
		return nil, err
	}
	var all []Object
	var found []strictyaml.Problem
	for _, doc := range documents {
		o := Object{Line: doc.Line, APIVersion: doc.String("apiVersion"), Kind: doc.String("kind"),
			Namespace: doc.String("metadata", "namespace"), Name: doc.String("metadata", "name")}
		text := ""
		switch {
		case o.APIVersion == "" || o.Kind == "":
			text = "a Kubernetes object has apiVersion and kind"
		case o.APIVersion == "v1" && o.Kind == "List":
			text = "a List: write its items as documents of their own, separated by ---"
		case o.Name == "":
			text = "the object has no metadata.name"
		}
		if text != "" {
			found = append(found, strictyaml.Problem{Line: doc.Line, Column: doc.Column, Text: text})
			continue
		}
		o.images(doc)
		o.provides(doc)
		all = append(all, o)
	}
	if len(found) > 0 {
		return nil, &strictyaml.Problems{Name: name, Items: found}
	}
	if len(all) == 0 {
		return nil, &strictyaml.Problems{Name: name, Items: []strictyaml.Problem{{Text: "there is no object in the file"}}}
	}
	return all, nil
}

// images finds the containers wherever they are: in a Pod, in a template of pods, in a template of jobs.
func (o *Object) images(n *strictyaml.Node) {
	if n == nil {
		return
	}
	for _, key := range n.Keys {
		list := n.Fields[key]
		if key == "containers" || key == "initContainers" {
			for _, c := range list.Items {
				if image := c.Field("image"); image != nil && image.Scalar {
					o.Images = append(o.Images, Image{Ref: image.Text, Line: image.Line, Column: image.Column, PullPolicy: c.String("imagePullPolicy")})
				}
			}
		}
		o.images(list)
	}
	for _, item := range n.Items {
		o.images(item)
	}
}

// provides notes the API versions that the object itself makes.
func (o *Object) provides(doc *strictyaml.Node) {
	group := doc.String("spec", "group")
	switch o.Kind {
	case "CustomResourceDefinition":
		if v := doc.Field("spec", "versions"); v != nil {
			for _, item := range v.Items {
				o.Provides = append(o.Provides, path.Join(group, item.String("name")))
			}
		}
		if v := doc.String("spec", "version"); v != "" {
			o.Provides = append(o.Provides, path.Join(group, v))
		}
	case "APIService":
		o.Provides = append(o.Provides, path.Join(group, doc.String("spec", "version")))
	}
}

// Rename writes other names for the images of objects that were read from data. What rename gives back unchanged stays.
func Rename(data []byte, objects []Object, rename func(ref string) string) ([]byte, error) {
	lines := strings.SplitAfter(string(data), "\n")
	for _, o := range objects {
		for _, image := range o.Images {
			name := rename(image.Ref)
			if name == image.Ref {
				continue
			}
			if image.Line < 1 || image.Line > len(lines) || strings.Count(lines[image.Line-1], image.Ref) != 1 {
				return nil, fmt.Errorf("line %d: %s: the image %q must stand in one line, once, to get another name", image.Line, o, image.Ref)
			}
			lines[image.Line-1] = strings.Replace(lines[image.Line-1], image.Ref, name, 1)
		}
	}
	return []byte(strings.Join(lines, "")), nil
}
