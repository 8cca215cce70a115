package build

import (
	"github.com/google/go-containerregistry/pkg/v1"
)

// recipe is an image that is built on demand, outside of the node image.
type recipe struct {
	Name    string
	Version string // the upstream's, and the image's tag; "" where the image is for tests only
	Part    part
	Root    layout
}

// layout is what an image has beside the licences and what every image has. Its fields are part of the image's content.
type layout struct {
	Programs map[string]string // path → binary of the part
	Texts    map[string]string // path → file of the part
	Folders  map[string]int64  // path → permission bits
	Shell    bool              // Debian's busybox, from the root file system
	Config   v1.Config
}

// Versions of the addons' upstreams. They are those in the modules' go.mod; a test compares them.
const (
	metricsServerVersion = "v0.9.0"
	metallbVersion       = "v0.15.2"
	traefikVersion       = "v3.6.12"
	kwokVersion          = "v0.8.0"
)

// caFile is where Go's programs, among others, look for the public authorities' certificates first.
const caFile = "etc/ssl/certs/ca-certificates.crt"

// nobody is the user of images that need no rights.
const nobody = "65534:65534"

// recipes lists the images that are built on demand. Programs are where the upstreams' images have them, so that a manifest
// for one of them fits these.
func recipes() []recipe {
	kube := versions()[0]
	metallb := part{Name: "metallb", Title: "metallb " + metallbVersion, Module: "metallb", Binaries: []binary{
		{Name: "controller", Package: "go.universe.tf/metallb/controller"},
		{Name: "speaker", Package: "go.universe.tf/metallb/speaker"},
	}}
	return []recipe{{
		Name: "agnhost", // the server that Kubernetes' own tests use
		Part: part{Name: "agnhost", Title: "agnhost of Kubernetes " + kube.Kubernetes, Module: "agnhost", Binaries: []binary{
			{Name: "agnhost", Package: "k8s.io/kubernetes/test/images/agnhost"},
		}},
		Root: layout{
			Programs: map[string]string{"agnhost": "agnhost"}, Folders: map[string]int64{"uploads": 0o777}, Shell: true,
			Config: v1.Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}},
		},
	}, {
		Name: "metrics-server", Version: metricsServerVersion,
		Part: part{Name: "metrics-server", Title: "metrics-server " + metricsServerVersion, Module: "metrics-server", Binaries: []binary{{
			Name: "metrics-server", Package: ".", // the upstream's packages, put together there
			Set: []string{
				"k8s.io/client-go/pkg/version.gitVersion=" + metricsServerVersion, // its user agent
				"k8s.io/component-base/version.gitVersion=" + metricsServerVersion,
			},
		}}},
		Root: layout{
			Programs: map[string]string{"metrics-server": "metrics-server"},
			Config:   v1.Config{Entrypoint: []string{"/metrics-server"}, User: nobody},
		},
	}, {
		Name: "metallb-controller", Version: metallbVersion, Part: metallb,
		Root: layout{
			Programs: map[string]string{"controller": "controller"},
			Config:   v1.Config{Entrypoint: []string{"/controller"}},
		},
	}, {
		Name: "metallb-speaker", Version: metallbVersion, Part: metallb,
		Root: layout{
			Programs: map[string]string{"speaker": "speaker"},
			Config:   v1.Config{Entrypoint: []string{"/speaker"}}, // root: it opens raw sockets
		},
	}, {
		Name: "traefik", Version: traefikVersion,
		Part: part{Name: "traefik", Title: "traefik " + traefikVersion, Module: "traefik", Binaries: []binary{
			{Name: "traefik", Package: "github.com/traefik/traefik/v3/cmd/traefik", Set: []string{
				"github.com/traefik/traefik/v3/pkg/version.Version=" + bare(traefikVersion),
				"github.com/traefik/traefik/v3/pkg/version.Codename=ramequin",
			}},
			{Name: "roots", Package: "./roots", Prints: "roots.pem"},
		}},
		Root: layout{
			Programs: map[string]string{"usr/local/bin/traefik": "traefik"},
			Texts:    map[string]string{caFile: "roots.pem"},
			Config:   v1.Config{Entrypoint: []string{"/usr/local/bin/traefik"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}},
		},
	}, {
		Name: "kwok", Version: kwokVersion,
		Part: part{Name: "kwok", Title: "kwok " + kwokVersion, Module: "kwok", Binaries: []binary{{
			Name: "kwok", Package: "sigs.k8s.io/kwok/cmd/kwok", Set: []string{"sigs.k8s.io/kwok/pkg/consts.Version=" + bare(kwokVersion)},
		}}},
		Root: layout{
			Programs: map[string]string{"usr/local/bin/kwok": "kwok"},
			Config:   v1.Config{Entrypoint: []string{"/usr/local/bin/kwok"}},
		},
	}}
}
