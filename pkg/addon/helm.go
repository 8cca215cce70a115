package addon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/registry"
	release "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/profile"
)

// valuesParameter is the parameter of a catalogue's chart that is merged over its values.
const valuesParameter = "values"

// renderChart renders a chart as `helm template` does, with its CRDs and hooks, but for those that are tests. The release
// has the addon's name. Nothing of Helm's is stored in the cluster.
func renderChart(ctx context.Context, i Instance, v view) ([]*unstructured.Unstructured, error) {
	h := i.Addon.Content.Helm
	values, err := chartValues(i, v)
	if err != nil {
		return nil, err
	}
	config := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	install := action.NewInstall(config)
	client, err := registry.NewClient(registry.ClientOptWriter(io.Discard))
	if err != nil {
		return nil, fmt.Errorf("cannot make a client of chart registries: %w", err)
	}
	install.SetRegistryClient(client)
	install.DryRunStrategy, install.Replace = action.DryRunClient, true
	install.ReleaseName, install.Namespace, install.IncludeCRDs = i.Name(), chartNamespace(i.Addon), true
	install.RepoURL, install.Version = h.Repository, h.Version
	if v.Cluster.KubernetesVersion != "" {
		if install.KubeVersion, err = common.ParseKubeVersion(v.Cluster.KubernetesVersion); err != nil {
			return nil, err
		}
	}
	loaded, err := loadChart(i.Addon, install)
	if err != nil {
		return nil, err
	}
	released, err := install.RunWithContext(ctx, loaded, values)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", h.Chart, err)
	}
	rel, ok := released.(*release.Release)
	if !ok {
		return nil, fmt.Errorf("chart %s: a release of an unknown kind, %T", h.Chart, released)
	}
	return releaseObjects(rel, install.Namespace)
}

// chartNamespace is where the chart's objects go.
func chartNamespace(a *profile.Addon) string {
	switch {
	case a.Content.Helm.Namespace != "":
		return a.Content.Helm.Namespace
	case a.Namespace != "":
		return a.Namespace
	}
	return a.Name
}

// releaseObjects takes the release apart. Its namespace is made, too.
func releaseObjects(rel *release.Release, namespace string) ([]*unstructured.Unstructured, error) {
	var text bytes.Buffer
	text.WriteString(rel.Manifest)
	for _, hook := range rel.Hooks {
		if slices.Contains(hook.Events, release.HookTest) || onlyDelete(hook.Events) {
			continue
		}
		fmt.Fprintf(&text, "\n---\n%s", hook.Manifest)
	}
	objs, err := kube.Decode(text.Bytes())
	if err != nil {
		return nil, err
	}
	setNamespaces(objs, namespace)
	has := slices.ContainsFunc(objs, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Namespace" && o.GetName() == namespace })
	if !has && namespace != systemNamespace && namespace != "default" {
		objs = append(objs, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace},
		}})
	}
	return objs, nil
}

// onlyDelete reports whether a hook is for the end of a release.
func onlyDelete(events []release.HookEvent) bool {
	return !slices.ContainsFunc(events, func(e release.HookEvent) bool {
		return e != release.HookPreDelete && e != release.HookPostDelete && e != release.HookPreRollback && e != release.HookPostRollback
	})
}

// loadChart finds the chart: in the addon's own folder, on the disk, or where its repository or registry has it.
func loadChart(a *profile.Addon, install *action.Install) (chart.Charter, error) {
	name := a.Content.Helm.Chart
	if a.Content.Helm.Repository == "" && !registry.IsOCI(name) {
		if !filepath.IsAbs(name) && a.Dir != "" {
			name = filepath.Join(a.Dir, name)
		} else if a.Dir == "" && a.FS != nil {
			return loadPackedChart(a.FS, name)
		}
		return loader.Load(name)
	}
	file, err := install.LocateChart(name, cli.New())
	if err != nil {
		return nil, &fault.Error{
			Code: fault.ImageUnavailable, Msg: "cannot get chart " + name, Err: err,
			Hint: "its repository must be reachable; a chart on the disk needs none: helm: {chart: ./folder}",
		}
	}
	return loader.Load(file)
}

// loadPackedChart loads a chart that is built in: Helm reads charts from the disk.
func loadPackedChart(fsys fs.FS, name string) (chart.Charter, error) {
	sub, err := fs.Sub(fsys, filepath.ToSlash(filepath.Clean(name)))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "cove-chart-")
	if err != nil {
		return nil, fault.Wrap(fault.FileUnwritable, err, "cannot unpack chart %s", name)
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, sub); err != nil {
		return nil, fault.Wrap(fault.FileUnwritable, err, "cannot unpack chart %s", name)
	}
	return loader.Load(dir)
}

// chartValues joins the values: the file's, the addon's own, and the parameters', which win.
func chartValues(i Instance, v view) (map[string]any, error) {
	h, values := i.Addon.Content.Helm, map[string]any{}
	if h.ValuesFile != "" {
		data, err := fs.ReadFile(i.Addon.FS, h.ValuesFile)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(h.ValuesFile, ".tmpl") {
			if data, err = execute(h.ValuesFile, string(data), v); err != nil {
				return nil, err
			}
		}
		if err := yaml.Unmarshal(data, &values); err != nil {
			return nil, fmt.Errorf("%s: %w", h.ValuesFile, err)
		}
	}
	values = profile.Merge(values, h.Values)
	if i.Addon.Own {
		return profile.Merge(values, i.Parameters), nil
	}
	more, given := i.Parameters[valuesParameter]
	m, ok := more.(map[string]any)
	if given && !ok && more != nil {
		return nil, errors.New("parameter values is no object")
	}
	return profile.Merge(values, m), nil
}
