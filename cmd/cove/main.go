// Command cove launches local Kubernetes clusters.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/cove-k8s/cove/pkg/cli"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // a reader that went away is an error of the write; the run is still rolled back
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Main(ctx, cli.NewFactory(), os.Args[1:]))
}
