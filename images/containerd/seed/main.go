// Command seed writes the state that containerd has once it has pulled and unpacked a set of images, with containerd's own
// libraries and without running it: a node that starts with this state has nothing to unpack. It never sees the images'
// files: they are part of the node image, and the state only points at them.
//
// It reads a Spec as JSON on stdin, and prints an Answer as JSON on stdout.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// Spec says what the state is to hold.
type Spec struct {
	Root    string  // the directory to write, as containerd's root: it must be empty
	Files   string  // where the node image has the snapshots' files: Files/ID/fs
	Images  []Image // in the order that gives the snapshots their IDs
	Version int     // of this shape; 1
}

// Image is one image. Layers are known by the config's diff IDs, and have no blobs.
type Image struct {
	Names    []string // full references
	Manifest []byte   // an OCI image manifest
	Config   []byte   // the OCI image configuration that the manifest names
	Pinned   bool     // the kubelet never removes it
}

// Answer says which snapshot has which layers.
type Answer struct {
	Snapshots map[string]string // chain ID → snapshot ID
}

const specVersion = 1

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	var s Spec
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("cannot read the specification: %w", err)
	}
	if s.Version != specVersion {
		return fmt.Errorf("cannot use a specification of version %d: this program knows version %d", s.Version, specVersion)
	}
	snapshots, err := write(ctx, s)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(Answer{Snapshots: snapshots})
}
