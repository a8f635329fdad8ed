package installer

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serveTLS is a server of the tests' authority that wants a certificate from its clients.
func serveTLS(t *testing.T, ca *pfCA, auth tls.ClientAuthType) *httptest.Server {
	t.Helper()
	cert, key := ca.leaf(t, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	})
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer secret" {
			w.Write([]byte("known"))
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: auth, ClientCAs: pool}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// liveCA is an authority that is valid today.
func liveCA(t *testing.T) *pfCA {
	t.Helper()
	ca := newPFCA(t)
	template := *ca.cert
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &ca.key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	ca.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca
}

func TestAnyStatusIsAnAnswerAndBringsTheServersTime(t *testing.T) {
	ca := liveCA(t)
	s := serveTLS(t, ca, tls.NoClientCert)
	a, err := Dial(t.Context(), Probe{URL: s.URL, CAPEM: ca.pem})
	if err != nil || a.Status != 401 || time.Since(a.Date).Abs() > time.Minute {
		t.Errorf("%+v, %v", a, err)
	}
	a, err = Dial(t.Context(), Probe{URL: s.URL, CAPEM: ca.pem, Token: "secret"})
	if err != nil || a.Status != 200 || string(a.Body) != "known" {
		t.Errorf("with a token: %+v, %v", a, err)
	}
}

func TestAClientCertificateIsShown(t *testing.T) {
	ca := liveCA(t)
	s := serveTLS(t, ca, tls.RequireAndVerifyClientCert)
	if _, err := Dial(t.Context(), Probe{URL: s.URL, CAPEM: ca.pem}); err == nil {
		t.Error("without a certificate there was an answer")
	}
	cert, key := ca.leaf(t, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	})
	if _, err := Dial(t.Context(), Probe{URL: s.URL, CAPEM: ca.pem, CertPEM: cert, KeyPEM: key}); err != nil {
		t.Error(err)
	}
}

func TestNoAnswerIsSaidInPlainWords(t *testing.T) {
	ca := liveCA(t)
	s := serveTLS(t, ca, tls.NoClientCert)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "https://" + closed.Addr().String()
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, c := range []struct {
		probe Probe
		want  string
	}{
		{Probe{URL: nobody, CAPEM: ca.pem}, "nothing listens there yet"},
		{Probe{URL: s.URL, CAPEM: liveCA(t).pem}, "its certificate is of another cluster"},
		{Probe{URL: s.URL, CAPEM: []byte("no certificate")}, "reading the authority: no certificate in it"},
		{Probe{URL: "https://" + silent.Addr().String(), CAPEM: ca.pem, Timeout: 50 * time.Millisecond}, "no answer in time"},
	} {
		_, err := Dial(t.Context(), c.probe)
		if err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("got %v, want it to end with %q", err, c.want)
		}
	}
}

func FuzzKubeconfigsAndPairsNeverPanic(f *testing.F) {
	f.Add([]byte("clusters:\n- cluster:\n    certificate-authority-data: Zm9v\n    server: https://20.0.0.100:6443\nusers:\n- user:\n    token: a.b\n"))
	f.Add([]byte(`{"server": "https://x", "client-key": "/etc/key"}`))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nZm9v\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := parseKubeconfig(data, func(string) []byte { return nil })
		if strings.ContainsAny(c.server, "\n\" ") {
			t.Errorf("server %q", c.server)
		}
		splitPair(data)
	})
}
