package image

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"offgrid/builder/internal/fetch"
)

// registryTransport adds to each request for a registry what the registry wants to see, which it finds out at the first
// request for a repository. Requests that are not for the registry API, such as those to the storage that a registry
// redirects to, pass unchanged and without any token.
type registryTransport struct {
	inner http.RoundTripper
	path  *regexp.Regexp
	mu    sync.Mutex
	ready map[string]http.RoundTripper // by scheme, host and repository
}

func newRegistryTransport(inner http.RoundTripper) *registryTransport {
	return &registryTransport{
		inner: inner,
		path:  regexp.MustCompile(`^/v2/(.+)/(?:manifests|blobs)/[^/]+$`),
		ready: map[string]http.RoundTripper{},
	}
}

// RoundTrip implements http.RoundTripper.
func (t *registryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	m := t.path.FindStringSubmatch(req.URL.Path)
	if m == nil || req.Response != nil { // Response is set on what a redirect asks for
		return t.inner.RoundTrip(req)
	}
	rt, err := t.forRepository(req.Context(), req.URL.Scheme, req.URL.Host, m[1])
	if err != nil {
		return nil, err
	}
	return rt.RoundTrip(req)
}

func (t *registryTransport) forRepository(ctx context.Context, scheme, host, repo string) (http.RoundTripper, error) {
	key := scheme + "://" + host + "/" + repo
	t.mu.Lock()
	rt, ok := t.ready[key]
	t.mu.Unlock()
	if ok {
		return rt, nil
	}
	var opts []name.Option
	if scheme == "http" {
		opts = append(opts, name.Insecure)
	}
	r, err := name.NewRepository(host+"/"+repo, opts...)
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", host+"/"+repo, err)
	}
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, r)
	if err != nil {
		return nil, fmt.Errorf("looking for credentials for %s: %w", host, err)
	}
	rt, err = transport.NewWithContext(ctx, r.Registry, auth, &guard{t.inner, scheme == "http"}, []string{r.Scope(transport.PullScope)})
	if err != nil {
		return nil, fmt.Errorf("asking registry %s for access: %w", host, err)
	}
	t.mu.Lock()
	t.ready[key] = rt
	t.mu.Unlock()
	return rt, nil
}

// guard keeps the library from going back to http by itself, which it does for addresses of private networks.
type guard struct {
	inner http.RoundTripper
	http  bool
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.http && !fetch.Loopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("address %q: http protects nothing: use https", req.URL.Redacted())
	}
	return g.inner.RoundTrip(req)
}
