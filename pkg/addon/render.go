package addon

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/profile"
)

// view is what templates see.
type view struct {
	Name, Version string
	Images        map[string]string
	Params        map[string]any
	Cluster       Facts
	CA            string // base64 of the cluster-local CA's certificate
}

// Render returns the objects that the instance consists of, in a fixed order, each with its namespace. ca is the PEM of
// the cluster-local CA's certificate; it may be empty where the addon generates no certificate. What it returns depends
// on its input alone. Errors are AddonFailed with the file's name, or those of a chart's source.
func (m *Manager) Render(ctx context.Context, i Instance, ca []byte) ([]*unstructured.Unstructured, error) {
	v := view{
		Name: i.Addon.Name, Version: i.Addon.Version, Images: map[string]string{}, Params: i.Parameters, Cluster: m.Facts,
		CA: base64.StdEncoding.EncodeToString(ca),
	}
	for _, img := range i.Addon.Images {
		v.Images[img.Name] = img.Ref
	}
	objs, err := m.content(ctx, i, v)
	if err != nil {
		return nil, fault.Wrap(fault.AddonFailed, err, "cannot render addon %s", i.Name())
	}
	if m.Adapt != nil && !i.Addon.Own && i.Addon.Content.Helm == nil {
		for _, o := range objs {
			m.Adapt(o)
		}
	}
	setNamespaces(objs, i.Addon.Namespace)
	return unique(objs, i.Name())
}

// content dispatches on what the addon is made of.
func (m *Manager) content(ctx context.Context, i Instance, v view) ([]*unstructured.Unstructured, error) {
	switch c := i.Addon.Content; {
	case c.Manifests != "":
		return renderManifests(i.Addon.FS, c.Manifests, v)
	case c.Kustomization != "":
		return renderKustomization(i.Addon, c.Kustomization)
	case c.Helm != nil:
		return renderChart(ctx, i, v)
	case c.NodeImage != "":
		return m.renderNodeImage(ctx, i.Addon, c.NodeImage)
	}
	return nil, errors.New("it has no content")
}

// renderNodeImage reads a manifest that the node image brings.
func (m *Manager) renderNodeImage(ctx context.Context, a *profile.Addon, name string) ([]*unstructured.Unstructured, error) {
	if m.NodeFile == nil {
		return nil, fault.New(fault.AddonUnfit, "addon %s is part of the node image, and these nodes are not cove's", a.Name)
	}
	data, err := m.NodeFile(ctx, name)
	if err != nil {
		return nil, err
	}
	objs, err := kube.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s of the node image: %w", name, err)
	}
	return objs, nil
}

// renderManifests reads a file, or the files of a folder in the order of their names.
func renderManifests(fsys fs.FS, name string, v view) ([]*unstructured.Unstructured, error) {
	files, err := manifestFiles(fsys, name)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no *.yaml, *.yml, *.json or *.tmpl", name)
	}
	var objs []*unstructured.Unstructured
	for _, f := range files {
		data, err := fs.ReadFile(fsys, f)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(f, ".tmpl") {
			if data, err = execute(f, string(data), v); err != nil {
				return nil, err
			}
		}
		found, err := kube.Decode(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		objs = append(objs, found...)
	}
	return objs, nil
}

func manifestFiles(fsys fs.FS, name string) ([]string, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	entries, err := fs.ReadDir(fsys, name)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(strings.TrimSuffix(e.Name(), ".tmpl"))) {
			files = append(files, path.Join(name, e.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}

// execute runs a template with sprig's functions, but for those whose result is another one each time.
func execute(name, text string, v view) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").Funcs(sprig.HermeticTxtFuncMap()).Parse(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// setNamespaces gives the namespace to those objects that belong to one and name none.
func setNamespaces(objs []*unstructured.Unstructured, namespace string) {
	scopes := map[string]string{} // of the kinds that the addon brings itself
	for _, o := range objs {
		if o.GetKind() == "CustomResourceDefinition" {
			group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
			scope, _, _ := unstructured.NestedString(o.Object, "spec", "scope")
			scopes[group+"/"+kind] = scope
		}
	}
	for _, o := range objs {
		gvk := o.GroupVersionKind()
		namespaced, known := kube.Namespaced(gvk)
		if !known {
			namespaced = scopes[gvk.Group+"/"+gvk.Kind] == "Namespaced"
		}
		switch {
		case known && !namespaced:
			o.SetNamespace("")
		case namespaced && o.GetNamespace() == "":
			if namespace == "" {
				namespace = "default"
			}
			o.SetNamespace(namespace)
		}
	}
}

// unique refuses objects that are there twice: the last would win, silently.
func unique(objs []*unstructured.Unstructured, name string) ([]*unstructured.Unstructured, error) {
	seen := map[string]bool{}
	for _, o := range objs {
		key := o.GroupVersionKind().GroupKind().String() + " " + kube.RefOf(o).String()
		if seen[key] {
			return nil, fault.New(fault.AddonFailed, "addon %s has %s twice", name, kube.RefOf(o))
		}
		seen[key] = true
	}
	return objs, nil
}
