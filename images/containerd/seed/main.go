// Command seed writes the state that containerd has once it has pulled and unpacked a set of images: a node that starts with
// this state has nothing to unpack. It runs while the node image is built, where no file of the images is in its place yet.
//
// It reads a state.Spec as JSON on stdin, and prints an Answer as JSON on stdout.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"cove.dev/images/containerd/internal/state"
)

// Answer says which snapshot has which layers.
type Answer struct {
	Places map[string]string // chain ID → where its files belong, below Spec.Files
}

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	var s state.Spec
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("cannot read the specification: %w", err)
	}
	places, err := state.Write(ctx, s)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(Answer{Places: places})
}
