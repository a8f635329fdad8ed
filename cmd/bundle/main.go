// Command bundle makes the bundles of a site on a machine with internet, and looks into them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { process(0) }

// process is the whole process. A work factor of 0 is the right one; tests have no time for it.
func process(workFactor int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], deps{in: os.Stdin, out: os.Stdout, err: os.Stderr, workFactor: workFactor})
	stop()
	os.Exit(code)
}
