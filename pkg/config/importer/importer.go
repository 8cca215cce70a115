// Package importer turns the configuration of other launchers of local clusters, k3d and minikube, into a cluster document.
// What has no counterpart is said in notes, field by field. It is pure: it never reads a file that the configuration names, and
// it does not judge the document that it makes: config.Resolve does.
package importer

import (
	"fmt"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Import reads a k3d config (k3d.io/v1alpha4 or v1alpha5, kind Simple) or minikube's config.json of a profile, as YAML or JSON.
// name is what errors call it: a file's path, or "stdin". Notes name every field that is set and has no counterpart, or not
// quite, and say why or what to do instead; fields that have their launcher's default, or are about another driver than
// containers, are passed over. getenv returns a variable of the environment: k3d's files may have some ($VAR). Where it is nil, these
// stay as they are. Errors are ConfigInvalid.
func Import(data []byte, name string, getenv func(string) string) (doc v1alpha1.Cluster, notes []string, err error) {
	none := v1alpha1.Cluster{}
	if len(data) > maxSize {
		return none, nil, fault.New(fault.ConfigInvalid, "cannot import %s: it is larger than 1 MiB, so it is no configuration", name)
	}
	r := &reader{doc: v1alpha1.Cluster{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindCluster}, getenv: getenv}
	root, err := strict.Document(r.expand(data), "a configuration", "one makes a cluster", "give a k3d config, or the config.json of a minikube profile")
	if err != nil {
		return none, nil, fault.Wrap(fault.ConfigInvalid, err, "cannot import %s", name)
	}
	values := map[string]any{}
	if err := root.Decode(&values); err != nil {
		return none, nil, fault.New(fault.ConfigInvalid, "cannot import %s: %s", name, strict.Cause(err))
	}
	convert, problem := formatOf(&values, name)
	if problem != "" {
		return none, nil, fault.New(fault.ConfigInvalid, "cannot import %s: %s", name, problem)
	}
	top := section{r: r, values: values}
	convert(top)
	top.rest()
	if len(r.problems) > 0 {
		return none, nil, r.problems.Fault("cannot import %s", name)
	}
	return r.doc, r.notes, nil
}

// expand puts the variables into a file of k3d's, as k3d does before it reads it: one that is not set is empty.
func (r *reader) expand(data []byte) []byte {
	if r.getenv == nil || !regexp.MustCompile(`apiVersion["']?\s*:\s*["']?k3d\.io/`).Match(data) {
		return data
	}
	missing := []string{}
	text := os.Expand(string(data), func(name string) string {
		value := r.getenv(name)
		if value == "" && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return value
	})
	for _, name := range missing {
		r.notes = append(r.notes, fmt.Sprintf("$%s: it is not set, and nothing is in its place, as k3d has it", name))
	}
	return []byte(text)
}

// maxSize is how large a configuration may be, in bytes, as config.MaxDocumentSize.
const maxSize = 1 << 20

// formatOf tells by what is what, or says what is wrong. Of minikube's list of profiles it takes out the only one.
func formatOf(values *map[string]any, file string) (convert func(section), problem string) {
	const understood = "cove reads k3d's config (apiVersion: k3d.io/v1alpha5 or v1alpha4, kind: Simple) and minikube's config.json of a profile " +
		"(~/.minikube/profiles/NAME/config.json)"
	if valid, ok := (*values)["valid"].([]any); ok {
		one := map[string]any{}
		if len(valid) == 1 {
			one, _ = valid[0].(map[string]any)
		}
		config, _ := one["Config"].(map[string]any)
		if config == nil {
			return nil, fmt.Sprintf("it has %d profiles of minikube, and one makes a cluster; give the config.json of the one that is meant", len(valid))
		}
		*values = config
	}
	api, _ := (*values)["apiVersion"].(string)
	what, _ := (*values)["kind"].(string)
	has := func(key string) bool { return (*values)[key] != nil }
	switch {
	case api == v1alpha1.KindAPIVersion || api == v1alpha1.APIVersion:
		return nil, "it needs no import: `cove create -f " + file + "` takes it as it is"
	case slices.Contains([]string{"k3d.io/v1alpha4", "k3d.io/v1alpha5"}, api) && strings.EqualFold(what, "Simple"):
		return convertK3d, ""
	case strings.HasPrefix(api, "k3d.io/"):
		return nil, fmt.Sprintf("it is %s, kind %s, of k3d; `k3d config migrate` makes one of k3d.io/v1alpha5, kind Simple, which cove reads", api, what)
	case has("MachineConfig") && has("KubernetesConfig"):
		return nil, "it is of a minikube before v1.7; " + understood
	case has("KubernetesConfig") && has("Nodes"):
		return convertMinikube, ""
	case has("DriverName") && has("HostOptions"):
		return nil, "it is minikube's configuration of a machine; that of its profile is needed: ~/.minikube/profiles/NAME/config.json"
	}
	return nil, "its format is unknown; " + understood
}

// name gives the cluster its name, or one like it.
func (s section) name(key, name string) {
	if name == "" {
		return
	}
	fixed := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(content.IsDNS1123Label(name)) == 0 {
		fixed = name
	}
	if len(fixed) > v1alpha1.MaxNameLength {
		fixed = strings.Trim(fixed[:v1alpha1.MaxNameLength], "-")
	}
	if fixed != name {
		s.note(key, "%q cannot be the name of a cluster here; it is %q now", name, fixed)
	}
	s.r.doc.Name = fixed
}

// oldestMinor is the first minor version of Kubernetes 1 that cove runs, as pkg/config has it.
const oldestMinor = 31

// version chooses the version of Kubernetes, by the one that the other launcher runs (1.33.4, or with a v).
func (s section) version(key, has string) {
	m := regexp.MustCompile(`^v?(1\.[0-9]+)(\.[0-9]+)?`).FindStringSubmatch(has)
	if m == nil {
		s.note(key, "%s names no version of Kubernetes; cove takes its newest, %s", has, v1alpha1.DefaultKubernetesVersion())
		return
	}
	full := "v" + m[1] + m[2]
	if minor, err := strconv.Atoi(m[1][len("1."):]); err != nil || minor < oldestMinor {
		s.note(key, "Kubernetes %s is too old for cove, which takes %s", m[1], v1alpha1.DefaultKubernetesVersion())
		return
	}
	for _, known := range v1alpha1.KnownVersions() {
		if !strings.HasPrefix(known, "v"+m[1]+".") {
			continue
		}
		s.r.doc.KubernetesVersion = known
		if known != full && m[2] != "" {
			s.note(key, "the release of Kubernetes %s that cove knows is %s, not %s", m[1], known, full)
		}
		return
	}
	s.note(key, "cove knows no node image of Kubernetes %s and takes %s; to stay with it, set image to one that you have, as kindest/node:%s",
		m[1], v1alpha1.DefaultKubernetesVersion(), full)
}

// nodes writes the list of nodes: those that are alike and stand together as one item. No list stands for a plain control
// plane.
func (r *reader) nodes(list []v1alpha1.NodeSpec) {
	out := []v1alpha1.NodeSpec{}
	for _, n := range list {
		if last := len(out) - 1; last >= 0 && n.Name == "" && sameNode(out[last], n) {
			out[last].Count = max(out[last].Count, 1) + 1
			continue
		}
		out = append(out, n)
	}
	if len(out) == 1 && sameNode(out[0], v1alpha1.NodeSpec{Role: kind.ControlPlaneRole}) && out[0].Count == 0 {
		return
	}
	r.doc.NodeSpecs = out
}

// sameNode compares two items but for their count.
func sameNode(a, b v1alpha1.NodeSpec) bool {
	a.Count, b.Count = 0, 0
	return reflect.DeepEqual(a, b)
}

// Bounds of a cluster, as pkg/config has them.
const (
	maxControlPlanes = 9
	maxNodes         = 189
)

// oddNumber returns how many control planes a cluster can have that is to have n, and why if it is another number: the rest of
// them become workers.
func oddNumber(n int) (int, string) {
	switch {
	case n > maxControlPlanes:
		return maxControlPlanes, fmt.Sprintf("a cluster has up to %d control planes; the others are workers now", maxControlPlanes)
	case n > 1 && n%2 == 0:
		return n - 1, fmt.Sprintf("%d control planes bear no more losses than %d; the last one is a worker now", n, n-1)
	}
	return n, ""
}

// onNode is why a loop-back address is of no use to a node.
const onNode = "to a node, that is the node itself; name an address that nodes reach"

// addProxy takes a variable of the environment that is about a proxy, or says why not.
func (r *reader) addProxy(variable, value string) (problem string) {
	p := v1alpha1.Proxy{}
	if r.doc.Proxy != nil {
		p = *r.doc.Proxy
	}
	name := strings.ToUpper(variable)
	switch name {
	case "HTTP_PROXY", "HTTPS_PROXY":
		if !strings.Contains(value, "://") {
			value = "http://" + value
		}
		u, err := url.Parse(value)
		if err != nil {
			return variable + ": it is no URL"
		}
		if isLoopback(u.Hostname()) {
			return variable + ": " + onNode
		}
		if name == "HTTP_PROXY" {
			p.HTTP = value
		} else {
			p.HTTPS = value
		}
	case "NO_PROXY":
		p.NoProxy = nil
		for entry := range strings.SplitSeq(value, ",") {
			if entry = strings.TrimSpace(entry); entry != "" {
				p.NoProxy = append(p.NoProxy, entry)
			}
		}
	default:
		return variable + ": cove's nodes take no environment, but for a proxy"
	}
	r.doc.Proxy = &p
	return ""
}

// addInsecure adds a registry that is asked at these endpoints, whoever its certificate is of; or says why not.
func (r *reader) addInsecure(registry string, endpoints ...string) (problem string) {
	if u, err := url.Parse(endpoints[0]); err == nil && isLoopback(u.Hostname()) {
		return onNode
	}
	r.addMirror(registry, true, endpoints...)
	return ""
}

// addMirror adds endpoints to a registry's mirrors.
func (r *reader) addMirror(registry string, skipVerify bool, endpoints ...string) {
	mirrors := r.doc.Registries.Mirrors
	if mirrors == nil {
		mirrors = map[string]v1alpha1.Mirror{}
		r.doc.Registries.Mirrors = mirrors
	}
	m := mirrors[registry]
	m.Endpoints, m.SkipVerify = append(m.Endpoints, endpoints...), m.SkipVerify || skipVerify
	mirrors[registry] = m
}

// addAddon adds an addon, or refines it.
func (r *reader) addAddon(a v1alpha1.Addon) {
	if i := slices.IndexFunc(r.doc.Addons, func(b v1alpha1.Addon) bool { return a.Name == b.Name }); i >= 0 {
		r.doc.Addons[i] = a
		return
	}
	r.doc.Addons = append(r.doc.Addons, a)
}
