// Command mirror serves what the upstreams of the catalogue would, on loopback: files laid out by host, with ranges, and an OCI
// registry with the images under their upstream names.
//
//	mirror -listen 127.0.0.1:PORT -upstream DIR -log FILE -faults FILE
//
// DIR is what lab/upstream makes. FILE of -faults may be written at any time: it says what goes wrong from then on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mirror:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "address, on loopback")
	upstream := flag.String("upstream", "", "directory made by lab/upstream")
	log := flag.String("log", "", "file that requests are appended to")
	faults := flag.String("faults", "", "file that says what goes wrong")
	flag.Parse()

	images, err := loadRegistry(*upstream)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(*log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()

	files := http.FileServer(http.Dir(filepath.Join(*upstream, "www")))
	mux := http.NewServeMux()
	mux.Handle("/v2/", images)
	mux.Handle("/", files)
	server := &http.Server{
		Handler:           accessLog(out, faulty(*faults, mux)),
		ReadHeaderTimeout: 10 * time.Second,
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return fmt.Errorf("listening on %q: not a loopback address", *listen)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Println("listening on", l.Addr())
	go func() {
		<-ctx.Done()
		_ = server.Close() // the process ends with it
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
