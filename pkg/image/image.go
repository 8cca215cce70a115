// Package image gets images to where they are needed: a node image onto the engine, a user's images into the nodes. It
// never chooses silently: what it pulls or builds, and why, it says before it begins.
package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Repository is where cove's own node images are: only on engines that they were built on or loaded into.
const Repository = "cove-node"

// kindRepository has kind's node images, which registries serve.
const kindRepository = "kindest/node"

// NodeImages returns the names of a Kubernetes version's node images, the preferred first.
func NodeImages(version string) []string {
	return []string{Repository + ":" + version, kindRepository + ":" + version}
}

// normal returns a reference as containerd and the kubelet write it: "docker.io/library/nginx:latest" for "nginx".
func normal(ref string) (string, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return "", fault.New(fault.Usage, "%q is not the name of an image", ref)
	}
	full := parsed.Name()
	if rest, ok := strings.CutPrefix(full, name.DefaultRegistry+"/"); ok {
		full = "docker.io/" + rest
	}
	return full, nil
}

// registrySize asks the image's registry, with the credentials of the docker configuration, how many bytes a pull of the
// image for linux and the architecture takes.
func registrySize(ctx context.Context, ref, arch string) (int64, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return 0, fmt.Errorf("%q is not the name of an image: %w", ref, err)
	}
	img, err := remote.Image(parsed, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}))
	if err != nil {
		return 0, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return 0, err
	}
	size := manifest.Config.Size
	for _, layer := range manifest.Layers {
		size += layer.Size
	}
	return size, nil
}

// megabytes writes a size for people.
func megabytes(n int64) string { return fmt.Sprintf("%d MB", (n+999_999)/1_000_000) }

// isOwn reports whether a name is of cove's own repository, which no registry serves.
func isOwn(ref string) bool {
	repository, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository = repository[:i]
	}
	return slices.Contains([]string{Repository, "library/" + Repository, "docker.io/library/" + Repository}, repository)
}
