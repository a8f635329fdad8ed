package sitetest

import (
	"testing"

	"offgrid/bundle"
)

// Join puts a host on the network that the cluster file does not list.
func (s *Site) Join(t testing.TB, ip, name string) {
	t.Helper()
	h := s.host(t, bundle.Host{IP: ip})
	h.Put(t, "/etc/hostname", name+"\n")
	h.Put(t, "/proc/sys/kernel/hostname", name+"\n")
	s.Hosts[ip] = h
}
