package cluster

import (
	"fmt"
	"slices"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// Op says what is done to a part of a cluster.
type Op string

// The operations, as a difference shows them.
const (
	Add    Op = "+"
	Modify Op = "~"
	Remove Op = "-"
)

// Change is one difference between a cluster and what it is to be.
type Change struct {
	Op      Op       `json:"op" yaml:"op"`
	Object  string   `json:"object" yaml:"object"` // "worker dev-worker2", "addon traefik", "load balancer"
	Details []string `json:"details,omitempty" yaml:"details,omitempty"`
	// Effect is what it means for what runs there.
	Effect string `json:"effect,omitempty" yaml:"effect,omitempty"`
	// Destroys says which data goes for good; empty: none.
	Destroys string `json:"destroys,omitempty" yaml:"destroys,omitempty"`
}

// String writes the change as a line: "~ control-plane dev-control-plane: cpus 2 → 4 (container replaced, about 5 s)".
func (c Change) String() string {
	line := string(c.Op) + " " + c.Object
	if len(c.Details) > 0 {
		line += ": " + strings.Join(c.Details, ", ")
	}
	var notes []string
	for _, n := range []string{c.Effect, c.Destroys} {
		if n != "" {
			notes = append(notes, n)
		}
	}
	if len(notes) > 0 {
		line += " (" + strings.Join(notes, "; ") + ")"
	}
	return line
}

// containerChanges says what of a node's container differs; none means that it can stay.
func containerChanges(was, want v1alpha1.Node) []string {
	var out []string
	note := func(what, was, want string) {
		if was != want {
			out = append(out, fmt.Sprintf("%s %s → %s", what, orDefault(was), orDefault(want)))
		}
	}
	note("image", was.Image, want.Image)
	note("cpus", cores(was.NanoCPUs), cores(want.NanoCPUs))
	note("memory", size(was.Memory), size(want.Memory))
	out = append(out, listChanges("port", was.ExtraPortMappings, want.ExtraPortMappings, portText)...)
	return append(out, listChanges("mount", was.ExtraMounts, want.ExtraMounts, mountText)...)
}

func orDefault(s string) string {
	if s == "" {
		return "default"
	}
	return s
}

func cores(nano int64) string {
	if nano == 0 {
		return "unlimited"
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", float64(nano)/1e9), "0"), ".")
}

func size(bytes int64) string {
	const mi = 1 << 20
	switch {
	case bytes == 0:
		return "unlimited"
	case bytes%(mi<<10) == 0:
		return fmt.Sprintf("%dGi", bytes/(mi<<10))
	case bytes%mi == 0:
		return fmt.Sprintf("%dMi", bytes/mi)
	}
	return fmt.Sprintf("%d", bytes)
}

// listChanges lists what is in one list alone.
func listChanges[T any](what string, was, want []T, text func(T) string) []string {
	had, has := texts(was, text), texts(want, text)
	var out []string
	for _, s := range had {
		if !slices.Contains(has, s) {
			out = append(out, "- "+what+" "+s)
		}
	}
	for _, s := range has {
		if !slices.Contains(had, s) {
			out = append(out, "+ "+what+" "+s)
		}
	}
	return out
}

func texts[T any](list []T, text func(T) string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = text(v)
	}
	return out
}

func portText(p kind.PortMapping) string {
	host := "any"
	if p.HostPort > 0 {
		host = fmt.Sprint(p.HostPort)
	}
	if p.ListenAddress != "" { // without one it is published on IPv6 too, 0.0.0.0 is IPv4 alone
		host = p.ListenAddress + ":" + host
	}
	text := fmt.Sprintf("%s→%d", host, p.ContainerPort)
	if protocol := strings.ToLower(string(p.Protocol)); protocol != "tcp" && protocol != "" {
		text += "/" + protocol
	}
	return text
}

func mountText(m kind.Mount) string {
	text := m.HostPath + "→" + m.ContainerPath
	if m.Readonly {
		text += " read-only"
	}
	if m.SelinuxRelabel {
		text += " relabelled"
	}
	if m.Propagation != "" && m.Propagation != kind.MountPropagationNone {
		text += " " + string(m.Propagation)
	}
	return text
}

// labelChanges says what of a node's labels and taints differs, and how to bring it about: a label without a value goes.
func labelChanges(was, want v1alpha1.Node) (lines []string, labels map[string]*string, add, remove []v1alpha1.Taint) {
	labels = map[string]*string{}
	for _, key := range sortedUnion(was.Labels, want.Labels) {
		old, had := was.Labels[key]
		value, has := want.Labels[key]
		switch {
		case had && !has:
			lines, labels[key] = append(lines, "- label "+key), nil
		case !had || old != value:
			lines, labels[key] = append(lines, "+ label "+key+"="+value), &value
		}
	}
	for _, t := range was.Taints {
		if !slices.Contains(want.Taints, t) {
			lines, remove = append(lines, "- taint "+taintText(t)), append(remove, t)
		}
	}
	for _, t := range want.Taints {
		if !slices.Contains(was.Taints, t) {
			lines, add = append(lines, "+ taint "+taintText(t)), append(add, t)
		}
	}
	return lines, labels, add, remove
}

func taintText(t v1alpha1.Taint) string {
	text := t.Key
	if t.Value != "" {
		text += "=" + t.Value
	}
	return text + ":" + t.Effect
}

func sortedUnion(a, b map[string]string) []string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
