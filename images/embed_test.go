package images

import (
	"bytes"
	"io/fs"
	"os"
	"testing"

	"github.com/cove-k8s/cove/images/internal/sources"
)

func TestArchiveIsFresh(t *testing.T) {
	want, err := sources.Pack(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("sources.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("sources.txtar is older than the sources: run go generate ./images")
	}
}

func TestSources(t *testing.T) {
	tree, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubernetes-1.36/go.mod", "containerd/seed/main.go", "files/containerd.toml"} {
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		disk, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, disk) {
			t.Errorf("%s in the archive is not the file", name)
		}
	}
}
