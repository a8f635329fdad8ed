package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// masterLooks are the checks of a control plane, asked of this master's own API server.
func (s *Session) masterLooks(r RoleJob) []look {
	c, _ := fileCredential(&r.Input, adminKubeconfig)
	api := apiAsker{s: s, c: c, server: ownAPI(r.Input.Index, r.Plan.Host)}
	looks := []look{
		{"API server of this host", healthWait, func(ctx context.Context) (string, bool) {
			a, why := api.get(ctx, "/readyz")
			return orText(why, "ready"), why == "" && a.Status == statusOK
		}},
		{"version of the API server", healthWait, func(ctx context.Context) (string, bool) {
			var v struct {
				GitVersion string `json:"gitVersion"`
			}
			why := api.decode(ctx, "/version", &v)
			return orText(why, v.GitVersion), why == "" && v.GitVersion == r.Input.Index.Cluster.Policy.KubeVersion
		}},
		{"leaders of scheduler and controller-manager", healthWait, func(ctx context.Context) (string, bool) {
			for _, name := range []string{"kube-scheduler", "kube-controller-manager"} {
				if why := leaseFault(ctx, s.Probe, c, api.server, name, s.Now()); why != "" {
					return name + ": " + why, false
				}
			}
			return "both leases are held and fresh", true
		}},
		{"service account tokens", healthWait, api.tokenRoundTrip},
		{"who may do what", healthWait, api.bindings},
	}
	if settings, ok := packFile(&r.Input, "/opt/kubernetes/cfg/kube-scheduler"); ok && strings.Contains(string(settings), "--port=10251") {
		looks = append(looks, look{"component statuses (kubectl get cs)", healthWait, api.componentStatuses})
	}
	return looks
}

func orText(why, text string) string {
	if why != "" {
		return why
	}
	return text
}

// apiAsker asks one API server.
type apiAsker struct {
	s      *Session
	c      credential
	server string
}

func (a apiAsker) get(ctx context.Context, path string) (Answer, string) {
	got, err := a.s.Probe(ctx, a.c.probe(a.server+path))
	if err != nil {
		return got, err.Error()
	}
	if got.Status != statusOK {
		return got, fmt.Sprintf("it answers %d: %s", got.Status, firstLine(got.Body))
	}
	return got, ""
}

func (a apiAsker) decode(ctx context.Context, path string, v any) string {
	got, why := a.get(ctx, path)
	if why == "" && json.Unmarshal(got.Body, v) != nil {
		why = "its answer to " + path + " is not understood"
	}
	return why
}

// componentStatuses is kubectl get cs: every line Healthy. A member of etcd that is not there is another host's affair, as long
// as most of them are: hosts are installed in any order.
func (a apiAsker) componentStatuses(ctx context.Context) (string, bool) {
	var list struct {
		Items []struct {
			Metadata   struct{ Name string }                    `json:"metadata"`
			Conditions []struct{ Type, Status, Message string } `json:"conditions"`
		} `json:"items"`
	}
	if why := a.decode(ctx, "/api/v1/componentstatuses", &list); why != "" {
		return why, false
	}
	var healthy, missing []string
	members := 0
	for _, item := range list.Items {
		name, fault := item.Metadata.Name, ""
		for _, c := range item.Conditions {
			if c.Type == "Healthy" && c.Status != "True" {
				fault = name + ": " + c.Message
			}
		}
		member := strings.HasPrefix(name, "etcd-")
		switch {
		case fault == "":
			healthy = append(healthy, name)
			if member {
				members++
			}
		case member:
			missing = append(missing, fault)
		default:
			return fault, false
		}
	}
	slices.Sort(healthy)
	text := strings.Join(healthy, ", ") + " are Healthy"
	if len(missing) > 0 {
		slices.Sort(missing)
		text += "; not there: " + strings.Join(missing, "; ")
	}
	return text, members > len(missing)
}

// tokenRoundTrip asks this API server for a service account's token and shows it the token. When signer and verifier have
// different keys, pods get 401 and nothing else shows it.
func (a apiAsker) tokenRoundTrip(ctx context.Context) (string, bool) {
	question := a.c.probe(a.server + "/api/v1/namespaces/kube-system/serviceaccounts/default/token")
	question.Method = methodPost
	question.Body = `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600}}`
	got, err := a.s.Probe(ctx, question)
	if err != nil {
		return err.Error(), false
	}
	var request struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	if got.Status != statusCreated || json.Unmarshal(got.Body, &request) != nil || request.Status.Token == "" {
		return fmt.Sprintf("asked for a token, it answers %d: %s", got.Status, firstLine(got.Body)), false
	}
	back, err := a.s.Probe(ctx, Probe{URL: a.server + "/apis", CAPEM: a.c.ca, Token: request.Status.Token})
	if err != nil {
		return err.Error(), false
	}
	if back.Status != statusOK {
		return fmt.Sprintf("shown its own token, it answers %d: signer and verifier have different keys", back.Status), false
	}
	return "one was made, shown and accepted", true
}

// bindings insists that nobody without a name may do more than see the version, and that nodes may renew their certificates.
func (a apiAsker) bindings(ctx context.Context) (string, bool) {
	var list struct {
		Items []struct {
			Metadata struct{ Name string }         `json:"metadata"`
			RoleRef  struct{ Name string }         `json:"roleRef"`
			Subjects []struct{ Kind, Name string } `json:"subjects"`
		} `json:"items"`
	}
	if why := a.decode(ctx, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &list); why != "" {
		return why, false
	}
	renew := false
	for _, b := range list.Items {
		for _, s := range b.Subjects {
			anybody := s.Name == "system:anonymous" || s.Name == "system:unauthenticated"
			if anybody && b.RoleRef.Name != "system:public-info-viewer" {
				return fmt.Sprintf("the binding %s lets %s, which is anybody, act as %s", b.Metadata.Name, s.Name, b.RoleRef.Name), false
			}
			renew = renew || s.Kind == "Group" && s.Name == "system:nodes" &&
				b.RoleRef.Name == "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"
		}
	}
	if !renew {
		return "no binding lets the group system:nodes renew its certificates", false
	}
	return "nobody anonymous, and nodes renew their own certificates", true
}
