package sitetest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/hosttest"
)

// What the test pods of a check meet.
const (
	checkSpace   = "offgrid-check-"
	checkService = "10.0.0.77"
	checkToken   = "pod.token"
)

// Fault makes something of the cluster's pods go wrong: "image", "logs", "exec", "pods", "names", "service", "nodeport",
// "token 20.0.0.101" or "removal".
func (s *Site) Fault(what string) { s.faults[what] = true }

// Mend takes a Fault back.
func (s *Site) Mend(what string) { delete(s.faults, what) }

// Spaces are the namespaces of checks that are there.
func (s *Site) Spaces() []string {
	var all []string
	for name := range s.objects {
		if strings.HasPrefix(name, checkSpace) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// trial is what kubectl does for a check; ok is false when it is asked for something else.
func (s *Site) trial(stdin string, argv []string) (out string, err error, ok bool) {
	after := func(word string) string {
		if at := slices.Index(argv, word); at >= 0 && at+1 < len(argv) {
			return argv[at+1]
		}
		return ""
	}
	fails := func(what, text string) (string, error, bool) {
		if s.faults[what] {
			return "", hosttest.Exit(argv, 1, "", text), true
		}
		return "", nil, true
	}
	switch {
	case after("delete") == "namespace":
		if s.faults["removal"] && s.objects[after("namespace")] != "" {
			return "", hosttest.Exit(argv, 1, "", "error: timed out waiting for the condition"), true
		}
		delete(s.objects, after("namespace"))
		return "", nil, true
	case slices.Contains(argv, "create"):
		out, err := s.createSpace(stdin, argv)
		return out, err, true
	case after("logs") != "":
		if out, err, _ := fails("logs", "Error from server: Get \"https://20.0.0.103:10250/\": Forbidden"); err != nil {
			return out, err, true
		}
		return "this is " + strings.TrimPrefix(after("logs"), "check-") + "\n", nil, true
	case after("exec") != "":
		if out, err, _ := fails("exec", "error: unable to upgrade connection: Forbidden"); err != nil {
			return out, err, true
		}
		out, err := s.inside(strings.TrimPrefix(after("exec"), "check-"), argv[slices.Index(argv, "--")+1:])
		return out, err, true
	}
	return "", nil, false
}

// createSpace is kubectl create: it insists on the namespace being new.
func (s *Site) createSpace(stdin string, argv []string) (string, error) {
	var list struct {
		Items []struct {
			Kind     string
			Metadata struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(stdin), &list); err != nil || len(list.Items) == 0 || list.Items[0].Kind != "Namespace" {
		return "", hosttest.Exit(argv, 1, "", "error: error parsing STDIN")
	}
	name := list.Items[0].Metadata.Name
	if s.objects[name] != "" {
		return "", hosttest.Exit(argv, 1, "", "Error from server (AlreadyExists): namespaces \""+name+"\" already exists")
	}
	s.objects[name] = stdin
	return "", nil
}

// inside is a command in the test pod of a node.
func (s *Site) inside(node string, argv []string) (string, error) {
	last := argv[len(argv)-1]
	switch argv[0] {
	case "cat":
		if last == "/www/node" {
			return node + "\n", nil
		}
		return checkToken, nil
	case "nslookup":
		if s.faults["names"] {
			return "Server:    10.0.0.2\n", hosttest.Exit(argv, 1, "Server:    10.0.0.2\n", "nslookup: can't resolve '"+last+"'")
		}
		address := checkService
		if strings.HasPrefix(last, "kubernetes.default.svc.") {
			address = "10.0.0.1"
		}
		return "Server:    10.0.0.2\nAddress 1: 10.0.0.2\n\nName:      " + last + "\nAddress 1: " + address + "\n", nil
	}
	u, err := url.Parse(last)
	if err != nil {
		return "", err
	}
	to, isPod := strings.CutPrefix(u.Hostname(), "10.244.0.")
	if isPod && s.faults["pods"] || u.Hostname() == checkService && s.faults["service"] {
		return "", hosttest.Exit(argv, 1, "", "wget: download timed out")
	}
	if isPod {
		return "20.0.0." + to + "\n", nil
	}
	return node + "\n", nil
}

// spaceObjects answers what a check asks the API server for.
func (s *Site) spaceObjects(path string) (int, string) {
	space, rest, _ := strings.Cut(strings.TrimPrefix(path, "/api/v1/namespaces/"), "/")
	switch {
	case s.objects[space] == "":
		return 404, "{}"
	case rest == "services/check":
		return 200, `{"spec":{"clusterIP":"` + checkService + `","ports":[{"nodePort":31000}]}}`
	}
	var pods []string
	for _, h := range s.Table {
		if h.NodeName == "" || !s.ready(h.IP) {
			continue
		}
		status := `"conditions":[{"type":"Ready","status":"True"}]`
		if s.faults["image"] {
			status = `"containerStatuses":[{"image":"busybox:1.28.4","state":{"waiting":{"reason":"ImagePullBackOff","message":"no route to host"}}}]`
		}
		pods = append(pods, fmt.Sprintf(`{"metadata":{"name":"check-%s"},"spec":{"nodeName":"%s"},"status":{"podIP":"10.244.0.%s",%s}}`,
			h.NodeName, h.NodeName, strings.TrimPrefix(h.IP, "20.0.0."), status))
	}
	return 200, `{"items":[` + strings.Join(pods, ",") + `]}`
}

// marks are the ConfigMaps that record what was applied.
func (s *Site) marks() string {
	var all []string
	for name := range s.objects {
		if addon, ok := strings.CutPrefix(name, "offgrid-"); ok && !strings.HasPrefix(name, checkSpace) {
			all = append(all, fmt.Sprintf(`{"metadata":{"name":"%s","labels":{"offgrid/addon":"%s"}}}`, name, addon))
		}
	}
	slices.Sort(all)
	return `{"items":[` + strings.Join(all, ",") + `]}`
}

// inCluster is what answers at the cluster's own addresses and at the nodes' ports; status 0 when nobody does.
func (s *Site) inCluster(u *url.URL) (int, string) {
	served := slices.ContainsFunc(s.Table, func(h bundle.Host) bool { return s.ready(h.IP) })
	switch {
	case !served:
		return 0, ""
	case u.Scheme == "dns" && !s.faults["names"]:
		return 200, "10.0.0.1\n"
	case u.Host == "10.0.0.1:443":
		return 401, ""
	case u.Port() == "31000" && !s.faults["nodeport"]:
		return 200, u.Hostname() + "\n"
	}
	return 0, ""
}
