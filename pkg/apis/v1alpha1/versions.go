package v1alpha1

// KnownVersions lists the versions of Kubernetes that a node image can be built for, newest first.
func KnownVersions() []string { return []string{"v1.36.3", "v1.35.4"} }

// DefaultKubernetesVersion is the newest version known.
func DefaultKubernetesVersion() string { return KnownVersions()[0] }
