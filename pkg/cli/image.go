package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image"
)

func newImageCmd(f *Factory) *cobra.Command {
	cmd := &cobra.Command{Use: "image", Aliases: []string{"images"}, Short: "Load images into the nodes, and list those there are", GroupID: groupUse}
	cmd.AddCommand(newImageLoadCmd(f, nil), newImageListCmd(f, nil))
	return cmd
}

// imageLoadOptions are what the command line says to `cove image load`, and to kind's `load`.
type imageLoadOptions struct {
	name     string
	nodes    []string // empty: all
	images   []string // of the engine
	archives []string // files, or "-"
	output   string
}

func newImageLoadCmd(f *Factory, run func(context.Context, *imageLoadOptions) error) *cobra.Command {
	o := &imageLoadOptions{}
	cmd := imageLoadCmd(f, o, run, func(args []string) {
		for _, a := range args {
			switch {
			case a == "-" || isFile(a):
				o.archives = append(o.archives, a)
			default:
				o.images = append(o.images, a)
			}
		}
	})
	cmd.Use = "load IMAGE|ARCHIVE|-..."
	cmd.Short = "Load images into the nodes: from the engine, an archive or stdin"
	cmd.Long = `Load images into all nodes at once: from the engine by their names, from an archive that
"docker save" or an OCI tool wrote (gzip or not), or with - from standard input. Nodes that
have the image already are left out. Pods find it by its name; with the tag "latest" they need
imagePullPolicy: IfNotPresent or Never.`
	cmd.Example = `  cove image load app:dev
  cove image load app.tar --name dev
  docker save app:dev | cove image load -`
	cmd.ValidArgsFunction = f.completeImages
	return cmd
}

// newKindLoadCmd is kind's load docker-image and load image-archive.
func newKindLoadCmd(f *Factory) *cobra.Command {
	cmd := &cobra.Command{Use: "load", Short: "Load images, as kind has it", Hidden: true}
	images := &imageLoadOptions{}
	docker := imageLoadCmd(f, images, nil, func(args []string) { images.images = args })
	docker.Use, docker.Short, docker.ValidArgsFunction = "docker-image IMAGE...", "Load images of the engine into the nodes", f.completeImages
	archives := &imageLoadOptions{}
	archive := imageLoadCmd(f, archives, nil, func(args []string) { archives.archives = args })
	archive.Use, archive.Short = "image-archive ARCHIVE...", "Load archives of images into the nodes"
	cmd.AddCommand(docker, archive)
	return cmd
}

// imageLoadCmd is what these commands have in common; sort tells files from images.
func imageLoadCmd(f *Factory, o *imageLoadOptions, run func(context.Context, *imageLoadOptions) error, sort func(args []string)) *cobra.Command {
	if run == nil {
		run = func(ctx context.Context, o *imageLoadOptions) error { return runImageLoad(ctx, f, o) }
	}
	cmd := &cobra.Command{}
	f.nameVar(cmd, &o.name)
	cmd.Flags().StringSliceVar(&o.nodes, "nodes", nil, "`NODES` to load into, comma-separated (default: all)")
	outputVar(cmd, &o.output, formatText, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(cmd, "", "nothing to load is named")
		}
		if slices.Index(args, "-") != lastIndex(args, "-") {
			return usage(cmd, "", "standard input can be read once")
		}
		sort(args)
		return run(cmd.Context(), o)
	}
	return cmd
}

func lastIndex(words []string, word string) int {
	for i := len(words) - 1; i >= 0; i-- {
		if words[i] == word {
			return i
		}
	}
	return -1
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

func runImageLoad(ctx context.Context, f *Factory, o *imageLoadOptions) error {
	e, name, err := f.target(ctx, o.name)
	if err != nil {
		return err
	}
	nodes, err := chosenNodes(ctx, e, name, o.nodes)
	if err != nil {
		return err
	}
	sources, err := loadSources(ctx, f, e, o)
	if err != nil {
		return err
	}
	return f.run(ctx, name, o.output, func(ctx context.Context, em *event.Emitter) (string, error) {
		var loaded []string
		for _, src := range sources {
			err := em.Step(ctx, "image/load/"+src.Name, "Load "+src.Name, func(ctx context.Context, rep *event.Reporter) error {
				got, err := image.Load(ctx, e, nodes, src, rep)
				loaded = append(loaded, got.Images...)
				if err == nil && len(got.Nodes) == 0 {
					return event.Skip("%s", allHave(got.Skipped))
				}
				return err
			})
			if err != nil {
				return "", err
			}
		}
		have := "have"
		if len(nodes) == 1 {
			have = "has"
		}
		return fmt.Sprintf("%s %s %s", count(len(nodes), "node"), have, strings.Join(loaded, ", ")), nil
	})
}

// allHave says why nothing was loaded.
func allHave(nodes []string) string {
	if len(nodes) == 1 {
		return nodes[0] + " has it"
	}
	return fmt.Sprintf("all %d nodes have it", len(nodes))
}

// chosenNodes returns the nodes of that name, or all.
func chosenNodes(ctx context.Context, e engine.Engine, name string, chosen []string) ([]engine.Node, error) {
	if len(chosen) == 0 {
		return cluster.Nodes(ctx, e, name)
	}
	var nodes []engine.Node
	for _, c := range chosen {
		n, err := cluster.NodeOf(ctx, e, name, c)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// loadSources opens what is to be loaded, so that a wrong name is found before anything is done.
func loadSources(ctx context.Context, f *Factory, e engine.Engine, o *imageLoadOptions) ([]image.Source, error) {
	var sources []image.Source
	if len(o.images) > 0 {
		src, err := image.FromEngine(ctx, e, o.images...)
		if fault.Is(err, fault.ImageNotFound) {
			return nil, fault.Wrap(fault.ImageNotFound, err, "nothing to load: there is no such file, and the engine has no such image")
		}
		if err != nil {
			return nil, err
		}
		sources = append(sources, src)
	}
	for _, a := range o.archives {
		if a == "-" {
			sources = append(sources, image.FromReader("stdin", f.IO.In))
			continue
		}
		src, err := image.FromFile(a)
		if err != nil {
			return nil, err
		}
		sources = append(sources, src)
	}
	return sources, nil
}

// imageListOptions are what the command line says to `cove image list`.
type imageListOptions struct{ name, node, output string }

func newImageListCmd(f *Factory, run func(context.Context, *imageListOptions) error) *cobra.Command {
	o := &imageListOptions{}
	if run == nil {
		run = func(ctx context.Context, o *imageListOptions) error { return runImageList(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:               "list",
		Aliases:           []string{"ls"},
		Short:             "List the images of the nodes",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f.nameVar(cmd, &o.name)
	cmd.Flags().StringVar(&o.node, "node", "", "only the images of this node")
	f.completeFlag(cmd, "node", f.completeNode)
	outputVar(cmd, &o.output, formatText, formatWide, formatJSON, formatYAML)
	return cmd
}

// nodeImages are the images of a node, as programs are told.
type nodeImages struct {
	Node   string        `json:"node"`
	Images []image.Image `json:"images"`
}

func runImageList(ctx context.Context, f *Factory, o *imageListOptions) error {
	e, name, err := f.target(ctx, o.name)
	if err != nil {
		return err
	}
	var chosen []string
	if o.node != "" {
		chosen = []string{o.node}
	}
	nodes, err := chosenNodes(ctx, e, name, chosen)
	if err != nil {
		return err
	}
	lists := make([]nodeImages, len(nodes))
	errs := make([]error, len(nodes))
	var group sync.WaitGroup
	for i, n := range nodes {
		group.Go(func() {
			lists[i].Node = n.Name
			if n.State != engine.StateRunning {
				errs[i] = fault.New(fault.ClusterNotRunning, "cannot list the images of node %s: it is %s", n.Name, n.State)
				return
			}
			lists[i].Images, errs[i] = image.List(ctx, e, n.Name)
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if o.output == formatJSON || o.output == formatYAML {
		return writeObject(f.IO.Out, o.output, lists)
	}
	return writeImages(f, lists, o.output == formatWide)
}

// writeImages writes a line for each image, with the nodes that have it.
func writeImages(f *Factory, lists []nodeImages, wide bool) error {
	type row struct {
		image.Image
		nodes []string
	}
	var rows []*row
	for _, l := range lists {
		for _, img := range l.Images {
			i := slices.IndexFunc(rows, func(r *row) bool { return r.Name == img.Name && r.Tag == img.Tag && r.Digest == img.Digest })
			if i < 0 {
				i = len(rows)
				rows = append(rows, &row{Image: img})
			}
			rows[i].nodes = append(rows[i].nodes, l.Node)
		}
	}
	slices.SortStableFunc(rows, func(a, b *row) int { return strings.Compare(a.Name+":"+a.Tag, b.Name+":"+b.Tag) })
	heading := []string{"IMAGE", "TAG", "ID", "SIZE", "NODES"}
	if wide {
		heading = append(heading, "DIGEST")
	}
	cells := make([][]string, len(rows))
	for i, r := range rows {
		on := strings.Join(r.nodes, ", ")
		if len(r.nodes) == len(lists) {
			on = "all"
		}
		cells[i] = []string{r.Name, orNone(r.Tag), orNone(shortID(r.ID)), r.Size, on}
		if wide {
			cells[i] = append(cells[i], r.Digest)
		}
	}
	return writeTable(f.IO.Out, heading, cells)
}

// shortID writes an ID as docker does.
func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), 12)]
}

// completeImages completes the names of the engine's images, and files.
func (f *Factory) completeImages(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	e, err := f.engine(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	images, err := e.ImageList(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []cobra.Completion
	for _, img := range images {
		for _, n := range img.Names {
			if !slices.Contains(args, n) {
				names = append(names, n)
			}
		}
	}
	return names, cobra.ShellCompDirectiveDefault
}
