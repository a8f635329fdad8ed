package fetch

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Addresses returns where to ask for raw: what the mirrors make of it, in their order, and raw itself last.
func (c *Client) Addresses(raw string) []string {
	var list []string
	seen := map[string]bool{raw: true}
	for _, m := range c.opts.Mirrors {
		rest, ok := strings.CutPrefix(raw, m.From)
		if !ok || m.From == "" || !cleanCut(m.From, rest) {
			continue
		}
		if to := m.To + rest; !seen[to] {
			seen[to] = true
			list = append(list, to)
		}
	}
	return append(list, raw)
}

// cleanCut keeps a rule for https://a.example from matching https://a.example.org.
func cleanCut(from, rest string) bool {
	return rest == "" || strings.HasSuffix(from, "/") || strings.HasPrefix(rest, "/")
}

// ParseMirror reads FROM=TO, two addresses.
func ParseMirror(rule string) (Mirror, error) {
	from, to, ok := strings.Cut(rule, "=http")
	if !ok {
		return Mirror{}, fmt.Errorf("mirror %q: want FROM=TO, two addresses", rule)
	}
	m := Mirror{From: from, To: "http" + to}
	for _, raw := range []string{m.From, m.To} {
		if _, err := parseAddress(raw); err != nil {
			return Mirror{}, fmt.Errorf("mirror %q: %w", rule, err)
		}
	}
	if strings.HasSuffix(m.From, "/") != strings.HasSuffix(m.To, "/") {
		return Mirror{}, fmt.Errorf("mirror %q: both sides must end in %q, or neither", rule, "/")
	}
	return m, nil
}

func parseAddress(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("address %q: it cannot be read", raw)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("address %q: want https://", raw)
	case u.Host == "":
		return nil, fmt.Errorf("address %q: it names no host", raw)
	case u.User != nil:
		return nil, fmt.Errorf("address %q: no user or password may stand in it", u.Redacted())
	}
	return u, nil
}

// CheckAddress says whether bytes may be asked for at raw: over https, over http from this machine itself, or over http
// when a digest pins them.
func CheckAddress(raw string, pinned bool) error {
	u, err := parseAddress(raw)
	if err != nil {
		return err
	}
	return checkScheme(u, pinned)
}

func checkScheme(u *url.URL, pinned bool) error {
	if u.Scheme == "https" || pinned || Loopback(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("address %q: http protects nothing: use https, or give the sha256 of the bytes", u.Redacted())
}

// Loopback reports whether host is this machine itself.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
