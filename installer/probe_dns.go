package installer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"
)

// dnsScheme begins the URL of a question for the address of a name: dns://10.0.0.2/kubernetes.default.svc.cluster.local.
// The answer's status is that of HTTP, OK or not found, and its body has an address per line.
const dnsScheme = "dns://"

const (
	dnsTries  = 2 // UDP may be lost
	dnsMax    = 4096
	dnsHeader = 12
	dnsTypeA  = 1
	dnsIN     = 1
	dnsNoName = 3 // rcode
)

// dialDNS asks a name server over UDP.
func dialDNS(ctx context.Context, p Probe) (Answer, error) {
	server, name, _ := strings.Cut(strings.TrimPrefix(p.URL, dnsScheme), "/")
	timeout := p.Timeout
	if timeout == 0 {
		timeout = probeTimeout
	}
	query, err := dnsQuery(uint16(rand.Uint32()), name) // #nosec G404: the answer is believed no more than the network is
	if err != nil {
		return Answer{}, fmt.Errorf("asking %s for %q: %w", server, name, err)
	}
	for range dnsTries {
		var reply []byte
		if reply, err = dnsExchange(ctx, net.JoinHostPort(server, "53"), query, timeout/dnsTries); err == nil {
			return dnsAnswer(query, reply, server, name)
		}
	}
	return Answer{}, fmt.Errorf("asking %s for %q: %s", server, name, plainDialError(err))
}

// dnsExchange sends a query and waits for one packet.
func dnsExchange(ctx context.Context, address string, query []byte, timeout time.Duration) ([]byte, error) {
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "udp4", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	reply := make([]byte, dnsMax)
	n, err := conn.Read(reply)
	return reply[:n], err
}

// dnsAnswer turns a reply into an Answer.
func dnsAnswer(query, reply []byte, server, name string) (Answer, error) {
	addresses, rcode, err := parseDNS(query, reply)
	if err != nil {
		return Answer{}, fmt.Errorf("asking %s for %q: %w", server, name, err)
	}
	switch {
	case rcode == dnsNoName || rcode == 0 && len(addresses) == 0:
		return Answer{Status: statusNotFound}, nil
	case rcode != 0:
		return Answer{}, fmt.Errorf("asking %s for %q: it answers with the error code %d of DNS", server, name, rcode)
	}
	var body strings.Builder
	for _, a := range addresses {
		body.WriteString(a.String() + "\n")
	}
	return Answer{Status: statusOK, Body: []byte(body.String())}, nil
}

// dnsQuery is a question for the IPv4 addresses of a name, RFC 1035 4.1.
func dnsQuery(id uint16, name string) ([]byte, error) {
	q := binary.BigEndian.AppendUint16(nil, id)
	q = append(q, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0) // recursion desired, one question
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 {
			return nil, errors.New("it is no name")
		}
		q = append(append(q, byte(len(label))), label...)
	}
	if len(q) > dnsHeader+254 {
		return nil, errors.New("it is no name")
	}
	return append(q, 0, 0, dnsTypeA, 0, dnsIN), nil
}

var errNotDNS = errors.New("what it sends is no answer of DNS to this question")

// parseDNS reads the reply to a query of dnsQuery: its IPv4 addresses and its error code.
func parseDNS(query, reply []byte) (addresses []netip.Addr, rcode int, err error) {
	if len(reply) < len(query) || string(reply[:2]) != string(query[:2]) || reply[2]&0x80 == 0 ||
		!strings.EqualFold(string(reply[dnsHeader:len(query)]), string(query[dnsHeader:])) {
		return nil, 0, errNotDNS
	}
	rest := reply[len(query):]
	for range binary.BigEndian.Uint16(reply[6:]) {
		if rest = afterName(rest); len(rest) < 10 {
			return nil, 0, errNotDNS
		}
		kind, size := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[8:]))
		if rest = rest[10:]; len(rest) < size {
			return nil, 0, errNotDNS
		}
		if a, ok := netip.AddrFromSlice(rest[:size]); ok && kind == dnsTypeA && a.Is4() {
			addresses = append(addresses, a)
		}
		rest = rest[size:]
	}
	return addresses, int(reply[3] & 0x0f), nil
}

// afterName skips a name, which may end in a pointer to another one; nil when it is cut off.
func afterName(b []byte) []byte {
	for len(b) > 0 {
		n := int(b[0])
		switch {
		case n == 0:
			return b[1:]
		case n&0xc0 == 0xc0:
			return b[min(2, len(b)):]
		case len(b) < n+1:
			return nil
		}
		b = b[n+1:]
	}
	return nil
}
