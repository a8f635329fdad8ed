package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serve is a server with one file "/thing" of ten bytes and the given faults.
func serve(t *testing.T, faults string) (url string, log *bytes.Buffer) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "faults")
	if err := os.WriteFile(name, []byte(faults), 0o644); err != nil {
		t.Fatal(err)
	}
	thing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "01234")
		_, _ = io.WriteString(w, "56789")
	})
	log = new(bytes.Buffer)
	s := httptest.NewServer(accessLog(log, faulty(name, thing)))
	t.Cleanup(s.Close)
	return s.URL + "/thing", log
}

func get(t *testing.T, url string) (status int, body string, failed bool) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		return 0, "", true
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	return r.StatusCode, string(data), err != nil
}

func TestEachFaultSpoilsTheAnswerInItsWay(t *testing.T) {
	for _, c := range []struct {
		faults string
		status int
		body   string
		failed bool
	}{
		{"", 200, "0123456789", false},
		{"flip other", 200, "0123456789", false},
		{"flip thing", 200, "0123446789", false},
		{"flip@2 thing", 200, "0133456789", false},
		{"short thing", 200, "01234", true},
		{"404 thing", 404, "404 page not found\n", false},
		{"503 thing", 503, "busy\n", false},
		{"silent thing", 0, "", true},
	} {
		t.Run(c.faults, func(t *testing.T) {
			url, _ := serve(t, c.faults)
			status, body, failed := get(t, url)
			if status != c.status || body != c.body || failed != c.failed {
				t.Errorf("got %d, %q, failed %v; want %d, %q, failed %v", status, body, failed, c.status, c.body, c.failed)
			}
		})
	}
}

func TestAFaultWithANumberGoesAway(t *testing.T) {
	url, log := serve(t, "503 thing 2\n")
	var got []int
	for range 3 {
		status, _, _ := get(t, url)
		got = append(got, status)
	}
	if got[0] != 503 || got[1] != 503 || got[2] != 200 {
		t.Errorf("got %v, want [503 503 200]", got)
	}
	if n := strings.Count(log.String(), "GET /thing 503"); n != 2 {
		t.Errorf("the log has %d busy answers, want 2:\n%s", n, log)
	}
}
