package cis

import (
	"encoding/json"
	"fmt"
	"slices"
)

// A grant is an object of RBAC: a role, or a binding of one.
type grant struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	RoleRef  struct{ Name string }
	Subjects []struct{ Kind, Name string }
	Rules    []struct{ APIGroups, Resources, Verbs, NonResourceURLs []string }
}

// grants judges all objects of two kinds, but for those that every API server makes by itself: they are Kubernetes' own.
func grants(kinds string, judge func(g grant) bool) look {
	return func(h *Host) ([]string, error) {
		out, err := h.Kubectl("get", kinds, "-A", "-o", "json")
		if err != nil {
			return nil, err
		}
		var all struct{ Items []grant }
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			return nil, fmt.Errorf("%s: %w", kinds, err)
		}
		if len(all.Items) == 0 {
			return nil, fmt.Errorf("there are no %s", kinds)
		}
		var faults []string
		for _, g := range all.Items {
			if g.Metadata.Labels["kubernetes.io/bootstrapping"] != "rbac-defaults" && !judge(g) {
				faults = append(faults, fmt.Sprintf("%s %s grants it", g.Kind, g.Metadata.Name))
			}
		}
		return faults, nil
	}
}

// bindings wants no binding that grants a role, "" any, to a subject, "" any.
func bindings(role, kind, subject string) look {
	return grants("clusterrolebindings,rolebindings", func(g grant) bool {
		return role != "" && g.RoleRef.Name != role || !slices.ContainsFunc(g.Subjects, func(s struct{ Kind, Name string }) bool {
			return subject == "" || s.Kind == kind && s.Name == subject
		})
	})
}

// granted wants no role with one of the verbs on the resource; "*" stands for all that are named so.
func granted(resource string, verbs ...string) look {
	return grants("clusterroles,roles", func(g grant) bool {
		for _, r := range g.Rules {
			on := slices.Contains(r.Resources, resource) || slices.Contains(r.Resources, "*")
			if on && (slices.Contains(r.Verbs, "*") || slices.ContainsFunc(verbs, func(v string) bool { return slices.Contains(r.Verbs, v) })) {
				return false
			}
		}
		return true
	})
}

// wildcards wants no role that grants everything of a kind by a star. controllerRoles are those that Kubernetes makes.
func wildcards() look {
	return grants("clusterroles,roles", func(g grant) bool {
		for _, r := range g.Rules {
			for _, names := range [][]string{r.APIGroups, r.Resources, r.Verbs, r.NonResourceURLs} {
				if slices.Contains(names, "*") {
					return false
				}
			}
		}
		return true
	})
}

// verbs wants no role with one of the verbs, whatever it is for.
func verbs(never ...string) look {
	return grants("clusterroles,roles", func(g grant) bool {
		for _, r := range g.Rules {
			if slices.ContainsFunc(r.Verbs, func(v string) bool { return v == "*" || slices.Contains(never, v) }) {
				return false
			}
		}
		return true
	})
}
