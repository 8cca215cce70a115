// Command containerd is containerd and ctr in one binary that picks the program by the name it is called by (argv[0]).
// It has the plugins of upstream's own main. The third program, containerd-graft, is for a node's init: before containerd starts
// on the volume of a node that ran another node image, it makes the images of this one known there.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins" // the plugins of upstream's main
	"github.com/containerd/containerd/v2/cmd/containerd/command"
	ctr "github.com/containerd/containerd/v2/cmd/ctr/app"
)

func main() {
	name, run := "containerd", command.App().Run
	switch filepath.Base(os.Args[0]) {
	case "ctr":
		name, run = "ctr", ctr.New().Run
	case "containerd-graft":
		name, run = "containerd-graft", func(ctx context.Context, args []string) error { return graft(ctx, args, os.Stdout) }
	}
	if err := run(context.Background(), os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
