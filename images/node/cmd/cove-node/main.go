// Command cove-node runs inside every node: it is the node's first process, and the tools that work with it.
package main

import (
	"context"
	"os"

	"cove.dev/images/node/internal/command"
)

func main() {
	os.Exit(command.Main(context.Background(), os.Args, command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
