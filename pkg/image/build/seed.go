package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Where the node image keeps the files of the component images, and the state that points at them. PID 1 of the node
// unpacks the state into /var when its volume is new; from the list of images, containerd-graft adds to the state on a volume
// that is in use.
const (
	prebaked       = "prebaked/snapshots"
	seedArchive    = "usr/share/cove/seed.tar"
	seedImages     = "usr/share/cove/images.json"
	containerdRoot = "var/lib/containerd"
)

// seedSpec and seedAnswer are what the program seed reads and prints. The node's list of images is a seedSpec without Root.
type seedSpec struct {
	Root    string `json:",omitempty"`
	Files   string
	Images  []seedImage
	Version int
}

type seedAnswer struct {
	Places map[string]string // chain ID → where the snapshot's files belong, below Files
}

// seed is containerd's state with the component images.
type seed struct {
	archive []byte
	images  []byte            // the list of images
	layers  map[string]string // place of a snapshot's files → name of the tree that they are
}

// seed writes containerd's state for the components.
func (b *builder) seed(ctx context.Context, list []component, layers map[string]*layer, program string) (s seed, err error) {
	err = b.Emitter.Step(ctx, "image/seed", "Write containerd's state", func(ctx context.Context, _ *event.Reporter) error {
		s, err = b.writeSeed(ctx, list, layers, program)
		return err
	})
	return s, err
}

func (b *builder) writeSeed(ctx context.Context, list []component, layers map[string]*layer, program string) (seed, error) {
	work, err := os.MkdirTemp(filepath.Join(b.cache.dir, "work"), "seed-")
	if err != nil {
		return seed{}, fault.Wrap(fault.FileUnwritable, err, "cannot work in the build cache")
	}
	defer os.RemoveAll(work)
	spec := seedSpec{Root: work, Files: "/" + prebaked, Version: 1}
	for _, c := range list {
		image, err := c.image(layers, b.arch)
		if err != nil {
			return seed{}, fault.Wrap(fault.ImageBuild, err, "cannot make image %s", c.names[0])
		}
		spec.Images = append(spec.Images, image)
	}
	in, err := json.Marshal(spec)
	if err != nil {
		return seed{}, fault.Wrap(fault.Internal, err, "cannot describe the images")
	}
	spec.Root = ""
	images, err := json.Marshal(spec)
	if err != nil {
		return seed{}, fault.Wrap(fault.Internal, err, "cannot describe the images")
	}
	var out bytes.Buffer
	err = run(ctx, b.cache.log("seed"), command{args: []string{program}, in: bytes.NewReader(in), out: &out}, func(string) {})
	if err != nil {
		return seed{}, fault.Wrap(fault.ImageBuild, err, "cannot write containerd's state")
	}
	var answer seedAnswer
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return seed{}, fault.Wrap(fault.ImageBuild, err, "cannot read what seed says")
	}
	s := seed{images: append(images, '\n')}
	if s.layers, err = snapshotLayers(list, layers, answer.Places); err != nil {
		return seed{}, fault.Wrap(fault.Internal, err, "cannot match snapshots and layers")
	}
	t, err := readTree(work, containerdRoot)
	if err != nil {
		return seed{}, fault.Wrap(fault.FileUnwritable, err, "cannot read containerd's state")
	}
	var archive bytes.Buffer
	if err := t.write(&archive); err != nil {
		return seed{}, fault.Wrap(fault.FileUnwritable, err, "cannot pack containerd's state")
	}
	s.archive = archive.Bytes()
	return s, nil
}

// snapshotLayers says which tree the files at each place are.
func snapshotLayers(list []component, layers map[string]*layer, places map[string]string) (map[string]string, error) {
	byPlace := map[string]string{}
	for _, c := range list {
		var chain []digest.Digest
		for _, name := range c.layers {
			chain = append(chain, digest.Digest(layers[name].digest.String()))
			key := identity.ChainID(chain).String()
			place, ok := places[key]
			if !ok {
				return nil, fmt.Errorf("image %s has no snapshot %s", c.names[0], key)
			}
			if other, taken := byPlace[place]; taken && other != name {
				return nil, fmt.Errorf("layers %s and %s have one place, %s", other, name, place)
			}
			byPlace[place] = name
		}
	}
	return byPlace, nil
}

// readTree returns the files of a folder on disk as a tree below the folder to. They are small: they are read at once.
func readTree(dir, to string) (tree, error) {
	t := tree{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		inside := filepath.Join(to, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			t.dir(inside, int64(info.Mode().Perm()))
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			t.symlink(inside, target)
		case d.Type().IsRegular():
			data, err := os.ReadFile(name) //nolint:gosec // the build's own folder
			if err != nil {
				return err
			}
			t.bytes(inside, data)
			n := t[inside]
			n.mode = int64(info.Mode().Perm())
			t[inside] = n
		default:
			return errors.New("cannot pack " + name)
		}
		return nil
	})
	return t, err
}
