package image

import (
	"bufio"
	"context"
	"slices"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Image is an image that a node has.
type Image struct {
	Name   string `json:"name" yaml:"name"` // without its tag: "docker.io/library/nginx"
	Tag    string `json:"tag" yaml:"tag"`
	ID     string `json:"id" yaml:"id"`         // by which Kubernetes knows it: the digest of its configuration
	Digest string `json:"digest" yaml:"digest"` // of its manifest or index
	Size   string `json:"size" yaml:"size"`     // as it is stored, for people; "-" where it is not known
}

// managed is the label of an image that Kubernetes can see.
const managed = "io.cri-containerd.image=managed"

// entry is a line of containerd's list of images.
type entry struct {
	name, digest, size string
	managed            bool
}

// List returns the images of a node, ordered by name. An image has a line for each of its tags.
func List(ctx context.Context, e engine.Access, node string) ([]Image, error) {
	entries, err := entriesOf(ctx, e, node)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{} // by the digest of what they point to
	for _, en := range entries {
		if strings.HasPrefix(en.name, "sha256:") {
			ids[en.digest] = en.name
		}
	}
	var images []Image
	for _, en := range entries {
		// Beside its tags, containerd has an image under its ID and may have it under its digest.
		if strings.HasPrefix(en.name, "sha256:") || strings.Contains(en.name, "@") {
			continue
		}
		colon := strings.LastIndexByte(en.name, ':')
		if colon < strings.LastIndexByte(en.name, '/') || colon < 0 {
			colon = len(en.name)
		}
		images = append(images, Image{
			Name: en.name[:colon], Tag: strings.TrimPrefix(en.name[colon:], ":"), ID: ids[en.digest], Digest: en.digest, Size: en.size,
		})
	}
	slices.SortFunc(images, func(a, b Image) int { return strings.Compare(a.Name+":"+a.Tag, b.Name+":"+b.Tag) })
	return images, nil
}

// entriesOf asks containerd in the node for Kubernetes' images.
func entriesOf(ctx context.Context, e engine.Access, node string) ([]entry, error) {
	out, err := engine.Output(ctx, e, node, "ctr", "--namespace=k8s.io", "images", "list")
	if err != nil {
		return nil, fault.Wrap(fault.CommandFailed, err, "cannot list the images of node %s", node)
	}
	return parseEntries(out), nil
}

// parseEntries reads containerd's table: REF TYPE DIGEST SIZE PLATFORMS LABELS, where the size is "1.2 MiB".
func parseEntries(table string) []entry {
	var entries []entry
	for lines := bufio.NewScanner(strings.NewReader(table)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || !strings.Contains(fields[2], ":") {
			continue // the heading
		}
		en := entry{name: fields[0], digest: fields[2], size: fields[3] + " " + fields[4]}
		if strings.HasPrefix(en.size, "0.0 ") {
			en.size = "-" // containerd has not all that the image was made of any more
		}
		en.managed = slices.Contains(strings.Split(fields[len(fields)-1], ","), managed)
		entries = append(entries, en)
	}
	return entries
}

// has reports whether Kubernetes on the node has exactly that image under its name.
func has(entries []entry, w wanted) bool {
	target := ""
	for _, en := range entries {
		if en.name == w.name && en.managed {
			target = en.digest
		}
	}
	if target == "" {
		return false
	}
	for _, d := range w.digests {
		if d == target {
			return true
		}
		for _, en := range entries {
			if en.name == d && en.digest == target {
				return true
			}
		}
	}
	return false
}

// lacking returns those of the images that are not in the list.
func lacking(entries []entry, images []wanted) []string {
	var names []string
	for _, w := range images {
		if !has(entries, w) {
			names = append(names, w.name)
		}
	}
	return names
}
