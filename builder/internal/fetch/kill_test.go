package fetch_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/store"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// TestMain lets the test program be the one that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "fetch-and-be-killed" {
		s, err := store.Open(os.Args[2])
		if err != nil {
			panic(err)
		}
		c := fetch.New(fetch.Options{Store: s, Report: func(e progress.Event) {
			if e.Kind == progress.Advance {
				os.Stdout.WriteString("advance\n")
			}
		}})
		c.Get(context.Background(), fetch.Request{Item: "x", URL: os.Args[3], SHA256: bundle.DigestOf(content()), Size: 1 << 20})
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAFetchThatWasKilledIsContinued(t *testing.T) {
	body := content()
	up := upstreamtest.New(t)
	addr := up.File("/x", body)
	up.Break("/x", upstreamtest.Fault{Stall: 600_000, Times: 1}) // so that it is killed in the middle
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "fetch-and-be-killed", dir, addr)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the child says %q, %v", line, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Has(bundle.DigestOf(body)) {
		t.Fatal("the half of it is in the store")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := fetch.New(fetch.Options{Store: s})
	if _, err := c.Get(ctx, fetch.Request{Item: "x", URL: addr, SHA256: bundle.DigestOf(body), Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(s.Path(bundle.DigestOf(body)))
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("stored %d bytes, %v", len(got), err)
	}
	asked := up.Requests("/x")
	if len(asked) != 2 || asked[1].Range == "" {
		t.Errorf("asked %q", asked)
	}
}
