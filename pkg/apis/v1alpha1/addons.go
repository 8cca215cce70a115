package v1alpha1

// Addon is one entry of a document's or a profile's list of addons: one of the catalogue by its name, or the user's own by
// path or as a Helm chart.
type Addon struct {
	// Name is the addon's in the catalogue; for one of your own, the name that it gets.
	Name string `yaml:"name" json:"name"`
	// Disabled leaves out an addon that the profile has.
	Disabled bool `yaml:"disabled,omitempty" json:"disabled,omitempty"`
	// Path is a manifest, or a folder: one with addon.yaml, with kustomization.yaml, with Chart.yaml, or of manifests. A
	// relative one starts where the document is, or on the command line where the command runs.
	Path string `yaml:"path,omitempty" json:"path,omitempty"`
	// Helm is a Helm chart.
	Helm *HelmChart `yaml:"helm,omitempty" json:"helm,omitempty"`
	// Parameters refine the addon; "cove addon show NAME" lists them.
	Parameters map[string]any `yaml:"parameters,omitempty" json:"parameters,omitempty"`
}

// HelmChart says which chart an addon is, and its values.
type HelmChart struct {
	// Chart is a folder or an archive, the name of a chart in the repository, or oci://REGISTRY/PATH.
	Chart string `yaml:"chart" json:"chart"`
	// Repository is the URL of the chart's repository.
	Repository string `yaml:"repository,omitempty" json:"repository,omitempty"`
	// Version is the chart's. Defaults to the newest one.
	Version string `yaml:"version,omitempty" json:"version,omitempty"`
	// Namespace is where the chart's objects go. Defaults to the addon's name.
	Namespace string `yaml:"namespace,omitempty" json:"namespace,omitempty"`
	// Values are the chart's own.
	Values map[string]any `yaml:"values,omitempty" json:"values,omitempty"`
}

// DeepCopy returns a copy that shares nothing with a.
func (a Addon) DeepCopy() Addon {
	a.Parameters = copyValues(a.Parameters)
	if a.Helm != nil {
		chart := *a.Helm
		chart.Values = copyValues(chart.Values)
		a.Helm = &chart
	}
	return a
}

// copyValues copies what YAML or JSON is decoded to; nil stays nil.
func copyValues(values map[string]any) map[string]any {
	if values == nil {
		return nil
	}
	out := make(map[string]any, len(values))
	for key, value := range values {
		out[key] = copyValue(value)
	}
	return out
}

func copyValue(value any) any {
	switch v := value.(type) {
	case map[string]any:
		return copyValues(v)
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = copyValue(one)
		}
		return out
	}
	return value
}
