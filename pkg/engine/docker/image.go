package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Image returns the image that ref, a name or an ID, stands for.
func (e *Engine) Image(ctx context.Context, ref string) (engine.Image, error) {
	found, err := e.api.ImageInspect(ctx, ref)
	if isNotFound(err) {
		return engine.Image{}, fault.New(fault.ImageNotFound, "cannot find image %s: the engine has none of that name", ref)
	}
	if err != nil {
		return engine.Image{}, e.fail(fault.EngineFailed, err, "cannot look at image %s", ref)
	}
	out := engine.Image{ID: found.ID, Names: imageNames(found.RepoTags), Architecture: found.Architecture, Size: found.Size}
	if created, err := time.Parse(time.RFC3339Nano, found.Created); err == nil {
		out.Created = created
	}
	if found.Config != nil {
		out.Labels, out.Entrypoint = found.Config.Labels, found.Config.Entrypoint
	}
	return out, nil
}

// ImageList lists the engine's images, the newest first.
func (e *Engine) ImageList(ctx context.Context) ([]engine.Image, error) {
	found, err := e.api.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return nil, e.fail(fault.EngineFailed, err, "cannot list images")
	}
	images := make([]engine.Image, 0, len(found))
	for _, i := range found {
		images = append(images, engine.Image{
			ID: i.ID, Names: imageNames(i.RepoTags), Labels: i.Labels, Size: i.Size, Created: time.Unix(i.Created, 0).UTC(),
		})
	}
	slices.SortStableFunc(images, func(a, b engine.Image) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return images, nil
}

// imageNames leaves out what engines call an image that has no name.
func imageNames(tags []string) []string {
	var names []string
	for _, t := range tags {
		if !strings.Contains(t, "<none>") {
			names = append(names, t)
		}
	}
	return names
}

// PullImage pulls an image with the credentials of the docker configuration.
func (e *Engine) PullImage(ctx context.Context, ref string, report func(done, total int64)) error {
	auth, err := e.credentials(ctx, ref)
	if err != nil {
		return e.fail(fault.ImagePull, err, "cannot pull %s", ref)
	}
	body, err := e.api.ImagePull(ctx, ref, image.PullOptions{RegistryAuth: auth})
	if err != nil {
		return e.fail(fault.ImagePull, err, "cannot pull %s", ref)
	}
	defer body.Close()
	layers := progress{}
	err = readMessages(body, func(m message) {
		if layers.add(m) && report != nil {
			report(layers.sum())
		}
	})
	return e.fail(fault.ImagePull, err, "cannot pull %s", ref)
}

// credentials returns what the docker configuration has for the image's registry, as the engine's API wants it.
func (e *Engine) credentials(ctx context.Context, ref string) (string, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return "", fault.Wrap(fault.ConfigInvalid, err, "cannot pull %q: it is not an image name", ref)
	}
	found, err := authn.Resolve(ctx, e.keychain, parsed.Context())
	if err != nil {
		return "", err
	}
	config, err := authn.Authorization(ctx, found)
	if err != nil || *config == (authn.AuthConfig{}) {
		return "", err
	}
	return registry.EncodeAuthConfig(registry.AuthConfig{
		Username: config.Username, Password: config.Password, Auth: config.Auth,
		IdentityToken: config.IdentityToken, RegistryToken: config.RegistryToken, ServerAddress: parsed.Context().RegistryStr(),
	})
}

// LoadImage loads an archive and returns the names that the engine says it loaded, an ID where an image has none.
func (e *Engine) LoadImage(ctx context.Context, archive io.Reader) ([]string, error) {
	resp, err := e.api.ImageLoad(ctx, archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return nil, e.fail(fault.ImageLoad, err, "cannot load the archive into the engine")
	}
	defer resp.Body.Close()
	var names []string
	err = readMessages(resp.Body, func(m message) {
		for line := range strings.Lines(m.Stream) {
			for _, prefix := range []string{"Loaded image: ", "Loaded image ID: "} {
				if n, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
					names = append(names, n)
				}
			}
		}
	})
	if err != nil {
		return nil, e.fail(fault.ImageLoad, err, "cannot load the archive into the engine")
	}
	if len(names) == 0 {
		return nil, fault.New(fault.ImageLoad, "cannot load the archive into the engine: it has no image")
	}
	return names, nil
}

// SaveImages returns an archive of the images. An engine that keeps images in containerd may have only its own platform
// of an image of several, and can save only that.
func (e *Engine) SaveImages(ctx context.Context, refs ...string) (io.ReadCloser, error) {
	sys, err := e.about(ctx)
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		if _, err := e.Image(ctx, ref); err != nil {
			return nil, err // some engines begin an archive before they look
		}
	}
	var opts []client.ImageSaveOption
	if containerdStore(sys) && !versions.LessThan(e.api.ClientVersion(), "1.48") {
		opts = append(opts, client.ImageSaveWithPlatforms(ocispec.Platform{OS: sys.OSType, Architecture: goArch(sys.Architecture)}))
	}
	body, err := e.api.ImageSave(ctx, refs, opts...)
	if isNotFound(err) && len(opts) > 0 {
		body, err = e.api.ImageSave(ctx, refs) // an image of another platform
	}
	return body, e.fail(fault.EngineFailed, err, "cannot save %s", strings.Join(refs, ", "))
}

// goArch turns the kernel's name of an architecture into Go's.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

// RemoveImage removes an image's name, and the image with its last one.
func (e *Engine) RemoveImage(ctx context.Context, ref string) error {
	_, err := e.api.ImageRemove(ctx, ref, image.RemoveOptions{PruneChildren: true})
	if isNotFound(err) {
		return nil
	}
	return e.fail(fault.EngineFailed, err, "cannot remove image %s", ref)
}

// message is a line of the engine's progress streams.
type message struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Stream string `json:"stream"`
	Detail struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error   string `json:"error"`
	Failure *struct {
		Message string `json:"message"`
	} `json:"errorDetail"`
}

// readMessages reads a progress stream to its end. An error that the stream tells is returned.
func readMessages(r io.Reader, handle func(message)) error {
	for decoder := json.NewDecoder(r); ; {
		var m message
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if m.Failure != nil && m.Failure.Message != "" {
			return errors.New(m.Failure.Message)
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
		handle(m)
	}
}

// progress has the bytes of each layer that is pulled: done and total.
type progress map[string][2]int64

// add takes a message in, and tells whether it changed the sum.
func (p progress) add(m message) bool {
	had, known := p[m.ID]
	switch {
	case m.ID == "":
		return false
	case m.Status == "Downloading" && m.Detail.Total > 0:
		p[m.ID] = [2]int64{m.Detail.Current, m.Detail.Total}
	case known && (m.Status == "Download complete" || m.Status == "Pull complete"):
		p[m.ID] = [2]int64{had[1], had[1]}
	}
	return p[m.ID] != had
}

func (p progress) sum() (done, total int64) {
	for _, layer := range p {
		done += layer[0]
		total += layer[1]
	}
	return done, total
}
