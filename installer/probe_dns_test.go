package installer

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// reply makes the answer of a name server to a query.
func reply(query []byte, rcode byte, records ...byte) []byte {
	r := bytes.Clone(query)
	r[2], r[3] = 0x85, 0x80|rcode
	if len(records) > 0 {
		r[7] = 1
	}
	return append(r, records...)
}

// record is an A record whose name points to the question.
func record(ip string) []byte {
	a := netip.MustParseAddr(ip).As4()
	return append([]byte{0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4}, a[:]...)
}

func TestAnAnswerOfDNSIsRead(t *testing.T) {
	query, err := dnsQuery(0x1234, "kubernetes.default.svc.cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	want := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"
	if string(query) != want {
		t.Errorf("query %q, want %q", query, want)
	}
	for name, c := range map[string]struct {
		reply []byte
		want  []netip.Addr
		rcode int
		fails bool
	}{
		"one address":         {reply: reply(query, 0, record("10.0.0.1")...), want: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
		"no such name":        {reply: reply(query, 3), rcode: 3},
		"another type":        {reply: reply(query, 0, bytes.Replace(record("10.0.0.1"), []byte{0, 1, 0, 1}, []byte{0, 5, 0, 1}, 1)...)},
		"of another question": {reply: append([]byte{9}, reply(query, 0)[1:]...), fails: true},
		"a question":          {reply: query, fails: true},
		"cut off":             {reply: reply(query, 0, record("10.0.0.1")[:14]...), fails: true},
		"nothing":             {fails: true},
	} {
		got, rcode, err := parseDNS(query, c.reply)
		if !reflect.DeepEqual(got, c.want) || rcode != c.rcode || (err != nil) != c.fails {
			t.Errorf("%s: %v %d %v, want %v %d", name, got, rcode, err, c.want, c.rcode)
		}
	}
	for _, bad := range []string{"", ".", "a..b", strings.Repeat("a", 64), strings.Repeat("abc.", 70) + "d"} {
		if _, err := dnsQuery(1, bad); err == nil {
			t.Errorf("%q was made into a question", bad)
		}
	}
}

func TestANameServerIsAskedOverUDP(t *testing.T) {
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, dnsMax)
		n, from, err := server.ReadFrom(b)
		if err == nil {
			server.WriteTo(reply(b[:n], 0, record("10.0.0.1")...), from)
		}
	}()
	query, err := dnsQuery(7, "a.b")
	if err != nil {
		t.Fatal(err)
	}
	got, err := dnsExchange(t.Context(), server.LocalAddr().String(), query, probeTimeout)
	if err != nil {
		t.Fatal(err)
	}
	a, err := dnsAnswer(query, got, "127.0.0.1", "a.b")
	if err != nil || a.Status != statusOK || string(a.Body) != "10.0.0.1\n" {
		t.Errorf("%+v %v", a, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, Probe{URL: "dns://127.0.0.1/a.b"}); err == nil {
		t.Error("a question that was cancelled had an answer")
	}
}

func FuzzParseDNS(f *testing.F) {
	query, err := dnsQuery(1, "a.b")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reply(query, 0, record("10.0.0.1")...))
	f.Fuzz(func(t *testing.T, data []byte) {
		addresses, _, err := parseDNS(query, data)
		if err != nil && addresses != nil {
			t.Errorf("addresses of an answer that is none: %v", addresses)
		}
	})
}
