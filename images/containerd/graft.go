package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"cove.dev/images/containerd/internal/state"
	"github.com/containerd/log"
)

// Where a node has what Graft needs.
const (
	nodeImages     = "/usr/share/cove/images.json"
	containerdRoot = "/var/lib/containerd"
)

// graft gives the state on the node's volume the images of this node image: state.Graft has the details. It takes no arguments,
// and says in a few lines what it did.
func graft(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 1 {
		return errors.New("it takes no arguments")
	}
	if err := log.SetLevel("error"); err != nil { // containerd itself tells what it thinks of the disk
		return err
	}
	text, err := os.ReadFile(nodeImages)
	if err != nil {
		return fmt.Errorf("cannot read the node image's images: %w", err)
	}
	var spec state.Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return fmt.Errorf("cannot read %s: %w", nodeImages, err)
	}
	spec.Root = containerdRoot
	done, err := state.Graft(ctx, spec)
	if err != nil {
		return err
	}
	report(out, "has", done.Images)
	report(out, "drops, because their files are gone:", done.Dropped)
	return nil
}

func report(out io.Writer, what string, names []string) {
	if len(names) > 0 {
		_, _ = fmt.Fprintf(out, "containerd %s %s\n", what, strings.Join(names, ", "))
	}
}
