package installer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Probe is one question to a server of the cluster.
type Probe struct {
	Method  string // "" means GET
	URL     string
	CAPEM   []byte // who may have signed the server's certificate; nil with https: the certificate is not looked at
	CertPEM []byte // client certificate; nil: none
	KeyPEM  []byte
	Token   string // bearer token; "" none
	Body    string // JSON
	Type    string // of the body; "" means application/json
	Timeout time.Duration
}

// Answer is what a server said.
type Answer struct {
	Status int
	Date   time.Time // by the server's clock, whole seconds; zero when it did not say
	Body   []byte    // at most probeLimit bytes
}

// Of HTTP, for those who ask and read answers.
const (
	methodPost         = http.MethodPost
	methodPatch        = http.MethodPatch
	statusOK           = http.StatusOK
	statusCreated      = http.StatusCreated
	statusNotFound     = http.StatusNotFound
	statusUnauthorized = http.StatusUnauthorized
	statusBusy         = http.StatusTooManyRequests
)

// Prober asks a server. An error means that there was no answer; any status is an answer.
type Prober func(ctx context.Context, p Probe) (Answer, error)

const (
	probeLimit   = 1 << 20
	probeTimeout = 5 * time.Second
)

// Dial is the Prober of a real run, and the only thing in the installer that opens a connection: HTTP, or a question to a
// name server. A proxy from the
// environment is not used: everything it talks to is on the site.
func Dial(ctx context.Context, p Probe) (Answer, error) {
	if strings.HasPrefix(p.URL, dnsScheme) {
		return dialDNS(ctx, p)
	}
	config, err := probeTLS(p)
	if err != nil {
		return Answer{}, fmt.Errorf("asking %s: %w", p.URL, err)
	}
	timeout := p.Timeout
	if timeout == 0 {
		timeout = probeTimeout
	}
	transport := &http.Transport{
		TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		DialContext: (&net.Dialer{Timeout: timeout}).DialContext,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	method := p.Method
	if method == "" {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, p.URL, strings.NewReader(p.Body))
	if err != nil {
		return Answer{}, fmt.Errorf("asking %s: %w", p.URL, err)
	}
	request.Header.Set("Accept", "application/json")
	switch {
	case p.Type != "":
		request.Header.Set("Content-Type", p.Type)
	case p.Body != "":
		request.Header.Set("Content-Type", "application/json")
	}
	if p.Token != "" {
		request.Header.Set("Authorization", "Bearer "+p.Token)
	}
	response, err := client.Do(request)
	if err != nil {
		return Answer{}, dialError(p.URL, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, probeLimit))
	if err != nil {
		return Answer{}, fmt.Errorf("asking %s: %w", p.URL, err)
	}
	answer := Answer{Status: response.StatusCode, Body: body}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		answer.Date = date
	}
	return answer, nil
}

func probeTLS(p Probe) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.CAPEM == nil {
		config.InsecureSkipVerify = true // the caller asks whether it is up, and believes nothing else
	} else {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(p.CAPEM) {
			return nil, errors.New("reading the authority: no certificate in it")
		}
	}
	if p.CertPEM != nil {
		pair, err := tls.X509KeyPair(p.CertPEM, p.KeyPEM)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// errNobodyListens is a host that is there and refuses the connection.
var errNobodyListens = errors.New("nothing listens there yet")

// dialError is why there was no answer.
func dialError(url string, err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("asking %s: %w", url, errNobodyListens)
	}
	return fmt.Errorf("asking %s: %s", url, plainDialError(err))
}

// otherCluster is what is said of a certificate that no trusted authority signed.
const otherCluster = "its certificate is of another cluster"

// plainDialError says why there was no answer in words that an operator can act on.
func plainDialError(err error) string {
	var timeout net.Error
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the host cannot be reached"
	case errors.As(err, &unknown):
		return otherCluster
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate is not valid at this host's time: " + invalid.Detail
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err.Error()
	}
	return err.Error()
}
