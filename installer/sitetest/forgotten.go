package sitetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"offgrid/installer"
)

// Forgotten is a network where the member of etcd at ip does not come up, and the others remember that it did once.
func (s *Site) Forgotten(ip string, probe installer.Prober) installer.Prober {
	return func(ctx context.Context, p installer.Probe) (installer.Answer, error) {
		u, err := url.Parse(p.URL)
		if err != nil {
			return installer.Answer{}, err
		}
		if u.Hostname() == ip && u.Port() == "2379" {
			return installer.Answer{}, errors.New("nothing listens there yet")
		}
		a, err := probe(ctx, p)
		if u.Path != "/v3/cluster/member/list" {
			return a, err
		}
		peer := fmt.Sprintf(`"peerURLs":["https://%s:2380"]`, ip)
		a.Body = []byte(strings.Replace(string(a.Body), peer, peer+fmt.Sprintf(`,"ID":"12345","clientURLs":["https://%s:2379"]`, ip), 1))
		return a, err
	}
}
