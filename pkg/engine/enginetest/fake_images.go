package enginetest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// image is an image of the engine, or of a registry.
type image struct {
	engine.Image
	Config []byte          `json:"config"` // what its ID is the digest of
	Files  map[string]file `json:"files,omitempty"`
}

// imageConfig is what of an image's configuration is looked at.
type imageConfig struct {
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Created      time.Time `json:"created"`
	Config       struct {
		Entrypoint []string
		Labels     map[string]string
	} `json:"config"`
}

// newImage completes an image: an ID that is a digest, an architecture, a size and a date.
func newImage(img engine.Image) image {
	config := imageConfig{Architecture: cmp.Or(img.Architecture, "amd64"), OS: "linux", Created: img.Created}
	config.Config.Entrypoint, config.Config.Labels = img.Entrypoint, img.Labels
	if config.Created.IsZero() {
		config.Created = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if len(config.Config.Entrypoint) == 0 {
		config.Config.Entrypoint = []string{"/bin/init"}
	}
	data, err := json.Marshal(config)
	if err != nil {
		panic(err) // strings and a time always marshal
	}
	made := fromConfig(data, config, img.Names)
	made.Size = cmp.Or(img.Size, made.Size)
	return made
}

func fromConfig(data []byte, config imageConfig, names []string) image {
	sum := sha256.Sum256(data)
	return image{Config: data, Image: engine.Image{
		ID: "sha256:" + hex.EncodeToString(sum[:]), Names: names, Labels: config.Config.Labels, Entrypoint: config.Config.Entrypoint,
		Architecture: config.Architecture, Size: 1 << 20, Created: config.Created,
	}}
}

// AddImage gives the engine an image. Empty fields get values; files, by path, are in every node that is made of it.
func (f *Fake) AddImage(img engine.Image, files map[string]string) engine.Image {
	f.mu.Lock()
	defer f.mu.Unlock()
	made := newImage(img)
	made.Files = map[string]file{}
	for path, content := range files {
		made.Files[path] = file{Data: []byte(content)}
	}
	f.state.addImage(made)
	return made.Image
}

// AddRegistryImage makes an image that can be pulled by its names.
func (f *Fake) AddRegistryImage(img engine.Image) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range img.Names {
		f.state.Registry[name] = newImage(img)
	}
}

// addImage takes an image in; names that other images have go over to it.
func (s *state) addImage(img image) {
	names := img.Names
	if old, ok := s.Images[img.ID]; ok {
		names = slices.Concat(old.Names, names)
	}
	slices.Sort(names)
	img.Names = slices.Compact(names)
	for id, other := range s.Images {
		if id != img.ID {
			other.Names = slices.DeleteFunc(slices.Clone(other.Names), func(n string) bool { return slices.Contains(img.Names, n) })
			s.Images[id] = other
		}
	}
	s.Images[img.ID] = img
}

// findImage finds an image by a name, with or without ":latest", or by an ID.
func (s *state) findImage(ref string) (image, bool) {
	if img, ok := s.Images[ref]; ok {
		return img, true
	}
	for id, img := range s.Images {
		if slices.Contains(img.Names, ref) || slices.Contains(img.Names, ref+":latest") ||
			len(ref) >= 12 && strings.HasPrefix(id, "sha256:"+strings.TrimPrefix(ref, "sha256:")) {
			return img, true
		}
	}
	return image{}, false
}

// Image returns an image.
func (f *Fake) Image(ctx context.Context, ref string) (engine.Image, error) {
	if err := interrupted(ctx, "find image "+ref); err != nil {
		return engine.Image{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	img, ok := f.state.findImage(ref)
	if !ok {
		return engine.Image{}, fault.New(fault.ImageNotFound, "cannot find image %s: the engine has none of that name", ref)
	}
	return img.Image, nil
}

// ImageList lists the images.
func (f *Fake) ImageList(ctx context.Context) ([]engine.Image, error) {
	if err := interrupted(ctx, "list images"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []engine.Image{}
	for _, img := range f.state.Images {
		img.Entrypoint, img.Architecture = nil, "" // what a list does not tell
		list = append(list, img.Image)
	}
	slices.SortFunc(list, func(a, b engine.Image) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

// PullImage pulls what AddRegistryImage made.
func (f *Fake) PullImage(ctx context.Context, ref string, report func(done, total int64)) error {
	var size int64
	err := f.mutate(ctx, "PullImage "+ref, func(s *state) error {
		img, ok := s.Registry[ref]
		if !ok {
			return fault.New(fault.ImagePull, "cannot pull %s: manifest unknown", ref)
		}
		size = img.Size
		img.Names = []string{ref}
		s.addImage(img)
		return nil
	}, nil)
	if err == nil && report != nil {
		report(size/2, size)
		report(size, size)
	}
	return err
}

// LoadImage loads an archive.
func (f *Fake) LoadImage(ctx context.Context, archive io.Reader) ([]string, error) {
	var names []string
	err := f.mutate(ctx, "LoadImage", func(s *state) error {
		images, err := readArchive(archive)
		if err != nil {
			return fault.Wrap(fault.ImageLoad, err, "cannot load the archive into the engine")
		}
		for _, img := range images {
			s.addImage(img)
			names = append(names, img.Names...)
			if len(img.Names) == 0 {
				names = append(names, img.ID)
			}
		}
		return nil
	}, nil)
	return names, err
}

// manifestEntry is an image in a `docker save` archive's manifest.json.
type manifestEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// readArchive reads an archive as `docker save` makes it.
func readArchive(archive io.Reader) ([]image, error) {
	files := map[string][]byte{}
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
	var manifest []manifestEntry
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	var images []image
	for _, m := range manifest {
		var config imageConfig
		if err := json.Unmarshal(files[m.Config], &config); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Config, err)
		}
		images = append(images, fromConfig(files[m.Config], config, m.RepoTags))
	}
	return images, nil
}

// SaveImages makes an archive of images, without layers.
func (f *Fake) SaveImages(ctx context.Context, refs ...string) (io.ReadCloser, error) {
	if err := interrupted(ctx, "save images"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(name string, data []byte) error {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	}
	var manifest []manifestEntry
	for _, ref := range refs {
		img, ok := f.state.findImage(ref)
		if !ok {
			return nil, fault.New(fault.ImageNotFound, "cannot find image %s: the engine has none of that name", ref)
		}
		config := strings.TrimPrefix(img.ID, "sha256:") + ".json"
		entry := manifestEntry{Config: config}
		if slices.Contains(img.Names, ref) {
			entry.RepoTags = []string{ref}
		}
		manifest = append(manifest, entry)
		if err := add(config, img.Config); err != nil {
			return nil, fmt.Errorf("cannot save %s: %w", ref, err)
		}
	}
	data, err := json.Marshal(manifest)
	if err == nil {
		err = add("manifest.json", data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot save images: %w", err)
	}
	return io.NopCloser(&buf), nil
}

// RemoveImage removes a name of an image, and the image with its last one.
func (f *Fake) RemoveImage(ctx context.Context, ref string) error {
	return f.mutate(ctx, "RemoveImage "+ref, func(s *state) error {
		img, ok := s.findImage(ref)
		if !ok {
			return nil
		}
		for _, n := range s.Nodes {
			if used, _ := s.findImage(n.Spec.Image); used.ID == img.ID && len(img.Names) <= 1 {
				return fault.New(fault.EngineFailed, "cannot remove image %s: node %s uses it", ref, n.Node.Name)
			}
		}
		if !slices.Contains(img.Names, ref) || len(img.Names) == 1 {
			delete(s.Images, img.ID)
			return nil
		}
		img.Names = slices.DeleteFunc(slices.Clone(img.Names), func(n string) bool { return n == ref })
		s.Images[img.ID] = img
		return nil
	}, nil)
}
