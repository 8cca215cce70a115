package image

import (
	"reflect"
	"strings"
	"testing"
)

func TestNormal(t *testing.T) {
	for ref, want := range map[string]string{
		"nginx": "docker.io/library/nginx:latest", "nginx:1.29": "docker.io/library/nginx:1.29", "team/app": "docker.io/team/app:latest",
		"docker.io/nginx:1": "docker.io/library/nginx:1", "index.docker.io/library/nginx:1": "docker.io/library/nginx:1",
		"localhost:5000/app:x": "localhost:5000/app:x", "registry.k8s.io/pause:3.10": "registry.k8s.io/pause:3.10",
	} {
		if got, err := normal(ref); err != nil || got != want {
			t.Errorf("%s: got %s, %v", ref, got, err)
		}
	}
	if _, err := normal("no spaces"); err == nil {
		t.Error("accepted")
	}
}

func TestIsOwn(t *testing.T) {
	for ref, want := range map[string]bool{
		"cove-node": true, "cove-node:v1": true, "cove-node@sha256:ab": true, "docker.io/library/cove-node:v1": true,
		"my/cove-node:v1": false, "kindest/node:v1": false, "localhost:5000/cove-node": false,
	} {
		if isOwn(ref) != want {
			t.Errorf("%s: %v", ref, !want)
		}
	}
}

const table = `REF                                      TYPE                                                 DIGEST                SIZE     PLATFORMS   LABELS
docker.io/library/app:1                  application/vnd.docker.distribution.manifest.v2+json sha256:target         1.2 MiB  linux/amd64 a=b,io.cri-containerd.image=managed
docker.io/library/app@sha256:target      application/vnd.docker.distribution.manifest.v2+json sha256:target         1.2 MiB  linux/amd64 -
docker.io/library/new:1                  application/vnd.docker.distribution.manifest.v2+json sha256:other          3.0 KiB  linux/amd64 -
localhost:5000/x                         application/vnd.docker.distribution.manifest.v2+json sha256:third          0.0 B    -           io.cri-containerd.image=managed
sha256:id                                application/vnd.docker.distribution.manifest.v2+json sha256:target         1.2 MiB  linux/amd64 io.cri-containerd.image=managed
`

func TestHas(t *testing.T) {
	entries := parseEntries(table)
	if len(entries) != 5 || entries[0].size != "1.2 MiB" || entries[3].size != "-" {
		t.Fatalf("got %+v", entries)
	}
	for _, tt := range []struct {
		name, digest string
		want         bool
	}{
		{"docker.io/library/app:1", "sha256:id", true},
		{"docker.io/library/app:1", "sha256:target", true},
		{"docker.io/library/app:1", "sha256:else", false},
		{"docker.io/library/new:1", "sha256:other", false}, // Kubernetes has not seen it
		{"docker.io/library/app:2", "sha256:id", false},
	} {
		if has(entries, wanted{name: tt.name, digests: []string{"sha256:none", tt.digest}}) != tt.want {
			t.Errorf("%+v", tt)
		}
	}
}

func TestReadOCI(t *testing.T) {
	got, err := readOCI(strings.NewReader(`{"manifests":[
		{"digest":"sha256:1","annotations":{"io.containerd.image.name":"docker.io/library/a:1","org.opencontainers.image.ref.name":"1"}},
		{"digest":"sha256:2","annotations":{"org.opencontainers.image.ref.name":"quay.io/b/c:2"}},
		{"digest":"sha256:3","annotations":{"org.opencontainers.image.ref.name":"latest"}},
		{"digest":"sha256:4"}]}`))
	want := []wanted{{name: "docker.io/library/a:1", digests: []string{"sha256:1"}}, {name: "quay.io/b/c:2", digests: []string{"sha256:2"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	both := merge([]wanted{{name: "docker.io/library/a:1", digests: []string{"sha256:config"}}}, got)
	if len(both) != 2 || len(both[0].digests) != 2 {
		t.Errorf("got %v", both)
	}
}
