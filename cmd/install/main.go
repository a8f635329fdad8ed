// Command install makes this host what the cluster file plans it to be, without any network but the site's own.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"offgrid/installer"
	"offgrid/installer/host"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal lets the step at work come to its end; with the handler gone a second one ends the process.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], deps{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		host: host.Local{}, now: time.Now, probe: installer.Dial, executable: os.Executable, trusted: trustedBlock,
	})
	stop()
	os.Exit(code)
}
