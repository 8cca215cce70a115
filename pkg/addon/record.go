package addon

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
)

// Labels and annotations of an ApplySet
// (https://github.com/kubernetes/enhancements/tree/master/keps/sig-cli/3659-kubectl-apply-prune).
const (
	labelSetID           = "applyset.kubernetes.io/id"
	labelPartOf          = "applyset.kubernetes.io/part-of"
	annotationTooling    = "applyset.kubernetes.io/tooling"
	annotationKinds      = "applyset.kubernetes.io/contains-group-kinds"
	annotationNamespaces = "applyset.kubernetes.io/additional-namespaces"
	tooling              = "cove/v1"
)

// labelAddon is on the parent of each ApplySet of cove's: the addon's name.
const labelAddon = "cove.dev/addon"

// Keys of a parent's data.
const (
	keyRecord   = "record"   // Record as JSON
	keyManifest = "manifest" // the objects as gzipped JSON, without what was generated
)

// State is how far an addon's run has come.
type State string

// The states. Applying and removing are those of a run that goes on, or was cut off.
const (
	StateApplying State = "applying"
	StateApplied  State = "applied"
	StateRemoving State = "removing"
)

// Record is what a cluster keeps of an addon that is on it.
type Record struct {
	Name       string         `json:"name"`
	Version    string         `json:"version,omitempty"`
	Own        bool           `json:"own,omitempty"` // not from the catalogue
	State      State          `json:"state"`
	Applied    time.Time      `json:"applied"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Ready      []kube.Ref     `json:"ready,omitempty"` // conditions beyond the objects' own status
	Generated  []string       `json:"generated,omitempty"`
}

// installed is a record with what belongs to it.
type installed struct {
	Record
	objs       []*unstructured.Unstructured
	kinds      []schema.GroupKind
	namespaces []string // beside the parent's
}

// parentName is the name of the Secret that is the addon's ApplySet's parent.
func parentName(addon string) string { return "cove-addon-" + addon }

// setID is the ApplySet's ID: a function of its parent's name, namespace, kind and group.
func setID(addon string) string {
	sum := sha256.Sum256([]byte(parentName(addon) + "." + systemNamespace + ".Secret."))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// parent makes the Secret. It is one because parameters may be what others must not read.
func (in installed) parent() (*unstructured.Unstructured, error) {
	record, err := json.Marshal(in.Record)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot write the record of addon %s", in.Name)
	}
	manifest, err := pack(in.objs)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot write the record of addon %s", in.Name)
	}
	kinds := make([]string, len(in.kinds))
	for i, k := range in.kinds {
		kinds[i] = k.String()
	}
	annotations := map[string]any{annotationTooling: tooling, annotationKinds: strings.Join(kinds, ",")}
	if len(in.namespaces) > 0 {
		annotations[annotationNamespaces] = strings.Join(in.namespaces, ",")
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "cove.dev/addon",
		"metadata": map[string]any{
			"name": parentName(in.Name), "namespace": systemNamespace,
			"labels":      map[string]any{labelSetID: setID(in.Name), labelAddon: in.Name},
			"annotations": annotations,
		},
		"data": map[string]any{
			keyRecord:   base64.StdEncoding.EncodeToString(record),
			keyManifest: base64.StdEncoding.EncodeToString(manifest),
		},
	}}, nil
}

// span notes the kinds and namespaces of the objects, and those of an earlier set (which may be nil).
func (in *installed) span(earlier *installed) {
	kinds, namespaces := map[schema.GroupKind]bool{}, map[string]bool{}
	for _, o := range in.objs {
		kinds[o.GroupVersionKind().GroupKind()] = true
		if ns := o.GetNamespace(); ns != "" && ns != systemNamespace {
			namespaces[ns] = true
		}
	}
	if earlier != nil {
		for _, k := range earlier.kinds {
			kinds[k] = true
		}
		for _, ns := range earlier.namespaces {
			namespaces[ns] = true
		}
	}
	in.kinds = slices.SortedFunc(maps.Keys(kinds), func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) })
	in.namespaces = slices.Sorted(maps.Keys(namespaces))
}

// read takes a parent apart.
func read(parent *unstructured.Unstructured) (*installed, error) {
	broken := func(err error) (*installed, error) {
		return nil, fault.Wrap(fault.AddonFailed, err, "the record of an addon, secret %s/%s, cannot be read", parent.GetNamespace(), parent.GetName())
	}
	in := &installed{}
	data, _, err := unstructured.NestedStringMap(parent.Object, "data")
	if err != nil {
		return broken(err)
	}
	record, err := base64.StdEncoding.DecodeString(data[keyRecord])
	if err == nil {
		err = json.Unmarshal(record, &in.Record)
	}
	if err != nil {
		return broken(err)
	}
	packed, err := base64.StdEncoding.DecodeString(data[keyManifest])
	if err == nil {
		in.objs, err = unpack(packed)
	}
	if err != nil {
		return broken(err)
	}
	for _, k := range split(parent.GetAnnotations()[annotationKinds]) {
		in.kinds = append(in.kinds, schema.ParseGroupKind(k))
	}
	in.namespaces = split(parent.GetAnnotations()[annotationNamespaces])
	return in, nil
}

func split(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return s == "" })
}

// maxManifest bounds what a record is unpacked to: an API server takes no Secret of more than 1 MiB.
const maxManifest = 64 << 20

func pack(objs []*unstructured.Unstructured) ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	err := errors.Join(json.NewEncoder(zip).Encode(objs), zip.Close())
	return out.Bytes(), err
}

func unpack(data []byte) ([]*unstructured.Unstructured, error) {
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(zip, maxManifest))
	if err != nil {
		return nil, err
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	objs := make([]*unstructured.Unstructured, len(raw))
	for i, r := range raw {
		objs[i] = &unstructured.Unstructured{}
		if err := objs[i].UnmarshalJSON(r); err != nil {
			return nil, fmt.Errorf("object %d: %w", i+1, err)
		}
	}
	return objs, nil
}

// lookup returns the record of an addon; nil where it is not on the cluster.
func (m *Manager) lookup(ctx context.Context, name string) (*installed, error) {
	o, err := m.API.Get(ctx, kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: systemNamespace, Name: parentName(name)})
	if err != nil || o == nil {
		return nil, err
	}
	return read(o)
}

// Installed returns the records of the cluster's addons, ordered by name.
func (m *Manager) Installed(ctx context.Context) ([]Record, error) {
	all, err := m.installed(ctx)
	records := make([]Record, len(all))
	for i, in := range all {
		records[i] = in.Record
	}
	return records, err
}

func (m *Manager) installed(ctx context.Context) ([]*installed, error) {
	parents, err := m.API.List(ctx, []schema.GroupKind{{Kind: "Secret"}}, labelAddon)
	if err != nil {
		return nil, err
	}
	var all []*installed
	for _, p := range parents {
		if p.GetNamespace() != systemNamespace {
			continue
		}
		in, err := read(p)
		if err != nil {
			return nil, err
		}
		all = append(all, in)
	}
	slices.SortFunc(all, func(a, b *installed) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
