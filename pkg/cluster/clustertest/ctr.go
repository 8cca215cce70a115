package clustertest

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
)

// imagesFile is where a node's containerd keeps what images it has: names and digests, as JSON.
const imagesFile = "/var/lib/containerd/images.json"

// ctr is containerd's tool, as far as cove uses it.
func (w *World) ctr(node string, cmd engine.Command) error {
	args := strings.Join(cmd.Args[1:], " ")
	switch {
	case args == "--namespace=k8s.io images list":
		images, err := w.nodeImages(node)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.Stdout, "REF TYPE DIGEST SIZE PLATFORMS LABELS")
		for _, name := range slices.Sorted(maps.Keys(images)) {
			fmt.Fprintf(cmd.Stdout, "%s application/vnd.oci.image.manifest.v1+json %s 1.2 MiB linux/amd64 io.cri-containerd.image=managed\n", name, images[name])
		}
		return nil
	case strings.HasPrefix(args, "--namespace=k8s.io images import") && strings.HasSuffix(args, " -"):
		return w.importImages(node, cmd)
	case strings.HasPrefix(args, "--namespace=k8s.io images tag --force "):
		return w.tagImage(node, cmd)
	case args == "version":
		return nil
	case strings.HasPrefix(args, "--namespace k8s.io containers list"), strings.HasPrefix(args, "--namespace k8s.io tasks"):
		return w.etcd(node, cmd)
	}
	fmt.Fprintln(cmd.Stderr, "ctr: unknown command: "+args)
	return &engine.ExitError{Code: 1}
}

func (w *World) nodeImages(node string) (map[string]string, error) {
	images := map[string]string{"registry.k8s.io/pause:3.10.2": "sha256:" + strings.Repeat("a", 64)}
	data, err := w.Engine.ReadFile(context.Background(), node, imagesFile)
	if err != nil {
		return images, nil //nolint:nilerr // nothing was imported yet
	}
	return images, json.Unmarshal(data, &images)
}

// importImages reads an archive as `docker save` writes it.
func (w *World) importImages(node string, cmd engine.Command) error {
	files := map[string][]byte{}
	for archive := tar.NewReader(cmd.Stdin); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			files[h.Name], err = io.ReadAll(archive)
		}
		if err != nil {
			fmt.Fprintln(cmd.Stderr, "ctr: "+err.Error())
			return &engine.ExitError{Code: 1}
		}
	}
	var manifest []struct {
		Config   string
		RepoTags []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		fmt.Fprintln(cmd.Stderr, "ctr: unrecognized image format")
		return &engine.ExitError{Code: 1}
	}
	w.mu.Lock() // several may be imported at once
	defer w.mu.Unlock()
	images, err := w.nodeImages(node)
	if err != nil {
		return err
	}
	for _, m := range manifest {
		id := sha256.Sum256(files[m.Config])
		target := fmt.Sprintf("sha256:%x", sha256.Sum256(id[:]))
		images[fmt.Sprintf("sha256:%x", id)] = target
		for _, tag := range m.RepoTags {
			images[wholeName(tag)] = target
		}
	}
	data, err := json.Marshal(images)
	if err != nil {
		return err
	}
	return w.Engine.DefaultExec(node, engine.Command{Args: []string{"write", imagesFile, string(data)}})
}

// tagImage gives an image that a node has one more name.
func (w *World) tagImage(node string, cmd engine.Command) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	images, err := w.nodeImages(node)
	if err != nil {
		return err
	}
	from, to := cmd.Args[len(cmd.Args)-2], cmd.Args[len(cmd.Args)-1]
	if images[from] == "" {
		fmt.Fprintf(cmd.Stderr, "ctr: image %q: not found\n", from)
		return &engine.ExitError{Code: 1}
	}
	images[to] = images[from]
	data, err := json.Marshal(images)
	if err != nil {
		return err
	}
	return w.Engine.DefaultExec(node, engine.Command{Args: []string{"write", imagesFile, string(data)}})
}

// wholeName writes a name as containerd does: "docker.io/library/app:1" for "app:1".
func wholeName(tag string) string {
	registry, _, hasSlash := strings.Cut(tag, "/")
	switch {
	case !hasSlash:
		return "docker.io/library/" + tag
	case strings.ContainsAny(registry, ".:") || registry == "localhost":
		return tag
	}
	return "docker.io/" + tag
}
