package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Source is where images to load come from.
type Source struct {
	// Name is for people: "nginx:1.29", "images.tar".
	Name string
	// images are what it holds, where that is known beforehand.
	images []wanted
	open   func(ctx context.Context) (io.ReadCloser, error)
}

// wanted is an image as a node should have it.
type wanted struct {
	name string // as containerd writes it
	// digests are those by which the image may be known: of its configuration, of its manifest or of its index.
	digests []string
	arch    string // "" where it is not known
}

// FromEngine returns the engine's images of these names as a source. An image must have a tag, by which pods name it.
func FromEngine(ctx context.Context, e engine.Images, refs ...string) (Source, error) {
	s := Source{Name: strings.Join(refs, ", ")}
	var names []string
	for _, ref := range refs {
		img, err := e.Image(ctx, ref)
		if err != nil {
			return Source{}, err
		}
		found, err := tags(ref, img)
		if err != nil {
			return Source{}, err
		}
		for _, n := range found {
			full, err := normal(n)
			if err != nil {
				return Source{}, err
			}
			names = append(names, n)
			s.images = append(s.images, wanted{name: full, digests: []string{img.ID}, arch: img.Architecture})
		}
	}
	s.open = func(ctx context.Context) (io.ReadCloser, error) { return e.SaveImages(ctx, names...) }
	return s, nil
}

// tags returns the names to save an image by: the one that it was asked for, or all that it has if that was no tag.
func tags(ref string, img engine.Image) ([]string, error) {
	asked, err := normal(ref)
	if err == nil {
		for _, n := range img.Names {
			if full, err := normal(n); err == nil && full == asked {
				return []string{ref}, nil
			}
		}
	}
	if len(img.Names) == 0 || strings.Contains(ref, "@") {
		return nil, fault.New(fault.ImageLoad, "cannot load %s: pods find a loaded image by its tag, and this names none", ref).
			WithHint("give it a tag with `docker tag %s NAME:TAG`, and load that", ref)
	}
	return img.Names, nil
}

// FromFile returns the images of an archive file as a source: what `docker save` writes, or an OCI layout as a tar file,
// compressed with gzip or not.
func FromFile(path string) (Source, error) {
	f, err := os.Open(path) //nolint:gosec // the user's own file
	if err != nil {
		return Source{}, fault.Wrap(fault.FileUnwritable, err, "cannot read the archive")
	}
	defer f.Close()
	s := Source{Name: path, open: func(context.Context) (io.ReadCloser, error) {
		f, err := os.Open(path) //nolint:gosec // the user's own file
		return f, fault.Wrap(fault.FileUnwritable, err, "cannot read the archive")
	}}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return Source{}, fault.Wrap(fault.FileUnwritable, err, "cannot read the archive")
	}
	if isGzip(head[:n]) { // to look into it would cost as much as to load it
		return s, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Source{}, fault.Wrap(fault.FileUnwritable, err, "cannot read the archive")
	}
	// A tar reader skips the layers of a file without reading them.
	found, err := readArchive(f)
	if err != nil {
		return Source{}, fault.Wrap(fault.ImageLoad, err, "cannot load %s", path)
	}
	s.images = found
	return s, nil
}

// FromReader returns the images of an archive that is read from r, as FromFile reads it from a file.
func FromReader(name string, r io.Reader) Source {
	return Source{Name: name, open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(r), nil }}
}

func isGzip(head []byte) bool { return bytes.HasPrefix(head, []byte{0x1f, 0x8b}) }

// plain returns the archive without its compression: it is taken away once, and not by each node.
func plain(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, chunkSize)
	head, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !isGzip(head) {
		return b, nil
	}
	return gzip.NewReader(b)
}

// maxIndex bounds what is read of an archive's table of contents.
const maxIndex = 16 << 20

// refName and imageName are the annotations by which an OCI layout names its images; the second is containerd's, and has
// the whole name.
const (
	refName   = "org.opencontainers.image.ref.name"
	imageName = "io.containerd.image.name"
)

// readArchive reads an archive to its end and returns the images that it names.
func readArchive(r io.Reader) ([]wanted, error) {
	var docker, oci []wanted
	seen := false
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fault.Wrap(fault.ImageLoad, err, "it is no image archive")
		}
		switch strings.TrimPrefix(h.Name, "./") {
		case "manifest.json":
			seen = true
			docker, err = readDocker(io.LimitReader(archive, maxIndex))
		case "index.json":
			seen = true
			oci, err = readOCI(io.LimitReader(archive, maxIndex))
		}
		if err != nil {
			return nil, err
		}
	}
	if !seen {
		return nil, fault.New(fault.ImageLoad, "it is no image archive: it has neither a manifest.json nor an index.json")
	}
	found := merge(docker, oci)
	if len(found) == 0 {
		return nil, fault.New(fault.ImageLoad, "its images have no names, and pods find a loaded image by its name").
			WithHint("save it by its name: `docker save NAME:TAG`")
	}
	return found, nil
}

// readDocker reads the manifest.json of `docker save`.
func readDocker(r io.Reader) ([]wanted, error) {
	var entries []struct {
		Config   string
		RepoTags []string
	}
	if err := json.NewDecoder(r).Decode(&entries); err != nil {
		return nil, fault.New(fault.ImageLoad, "its manifest.json cannot be read: %v", err)
	}
	var found []wanted
	for _, e := range entries {
		// "blobs/sha256/0123…", of older engines "0123….json", of go-containerregistry (ko, crane, bazel) "sha256:0123…"
		hash := strings.TrimSuffix(e.Config[strings.LastIndexByte(e.Config, '/')+1:], ".json")
		digest := "sha256:" + strings.TrimPrefix(hash, "sha256:")
		for _, tag := range e.RepoTags {
			full, err := normal(tag)
			if err != nil {
				return nil, fault.Wrap(fault.ImageLoad, err, "its manifest.json cannot be used")
			}
			found = append(found, wanted{name: full, digests: []string{digest}})
		}
	}
	return found, nil
}

// readOCI reads the index.json of an OCI layout.
func readOCI(r io.Reader) ([]wanted, error) {
	var index struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	if err := json.NewDecoder(r).Decode(&index); err != nil {
		return nil, fault.New(fault.ImageLoad, "its index.json cannot be read: %v", err)
	}
	var found []wanted
	for _, m := range index.Manifests {
		ref := m.Annotations[imageName]
		if full := m.Annotations[refName]; ref == "" && strings.ContainsAny(full, "/:") {
			ref = full // some tools write the whole name here, where only the tag belongs
		}
		if ref == "" {
			continue
		}
		full, err := normal(ref)
		if err != nil {
			return nil, fault.Wrap(fault.ImageLoad, err, "its index.json cannot be used")
		}
		found = append(found, wanted{name: full, digests: []string{m.Digest}})
	}
	return found, nil
}

// merge joins what both tables say of an image: newer engines write both.
func merge(docker, oci []wanted) []wanted {
	found := docker
	for _, o := range oci {
		known := false
		for i := range found {
			if found[i].name == o.name {
				found[i].digests = append(found[i].digests, o.digests...)
				known = true
			}
		}
		if !known {
			found = append(found, o)
		}
	}
	return found
}
