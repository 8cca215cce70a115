package addon

import (
	"io/fs"
	"path"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/profile"
)

// renderKustomization builds a kustomization: on the disk where the addon is the user's own, so that it may refer to
// folders beside it, else in memory. Plugins stay off.
func renderKustomization(a *profile.Addon, dir string) ([]*unstructured.Unstructured, error) {
	disk, root := filesys.MakeFsOnDisk(), filepath.Join(a.Dir, filepath.FromSlash(dir))
	if a.Dir == "" {
		var err error
		if disk, err = inMemory(a.FS); err != nil {
			return nil, err
		}
		root = path.Join("/addon", dir)
	}
	options := krusty.MakeDefaultOptions()
	if a.Own {
		options.LoadRestrictions = types.LoadRestrictionsNone // as `kubectl -k` users of ../base files ask for
	}
	built, err := krusty.MakeKustomizer(options).Run(disk, root)
	if err != nil {
		return nil, err
	}
	data, err := built.AsYaml()
	if err != nil {
		return nil, err
	}
	return kube.Decode(data)
}

// inMemory copies a folder to where kustomize reads it.
func inMemory(fsys fs.FS) (filesys.FileSystem, error) {
	out := filesys.MakeFsInMemory()
	return out, fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		return out.WriteFile(path.Join("/addon", name), data)
	})
}
