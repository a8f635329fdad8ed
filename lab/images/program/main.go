// Command program is what the lab's container images run that have no program of upstream's. As "pause" it reaps children and waits
// to be told to end, as a pod's first process has to; under another name it also answers HTTP on port 8080.
package main

import (
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "pause":
	default:
		go serve()
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

func reap() {
	for {
		var status syscall.WaitStatus
		if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}

func serve() {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	server := &http.Server{
		Addr:              ":8080",
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(name + "\n")) // a client that has gone needs no answer
		}),
	}
	_ = server.ListenAndServe() // without the port there is nothing to serve; waiting goes on
}
