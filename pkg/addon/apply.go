package addon

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/pki"
	"github.com/cove-k8s/cove/pkg/profile"
)

// Set is an addon's objects, ready to be applied.
type Set struct {
	instance  Instance
	objs      []*unstructured.Unstructured // rendered
	generated []*unstructured.Unstructured
}

// Name returns the addon's name.
func (s *Set) Name() string { return s.instance.Name() }

// Prepare renders the instance and finds or makes what it wants generated; of the cluster it only needs the API.
func (m *Manager) Prepare(ctx context.Context, i Instance) (*Set, error) {
	var ca *pki.CA
	var caPEM []byte
	if slices.ContainsFunc(i.Addon.Generate, func(g profile.Generate) bool { return g.Type == profile.GenerateCertificate }) {
		var err error
		if ca, err = m.ensureCA(ctx); err != nil {
			return nil, err
		}
		caPEM = ca.CertPEM()
	}
	s := &Set{instance: i}
	var err error
	if s.objs, err = m.Render(ctx, i, caPEM); err != nil {
		return nil, err
	}
	s.generated, err = m.generate(ctx, i, ca)
	return s, err
}

// Apply puts the set onto the cluster: first the ApplySet's parent, which knows of old and new kinds, then the objects;
// what an earlier version had and this one has not is removed at the end. It may be called again and again; one that was
// cut off is mended by the next. It returns what Wait has to wait for. Errors are AddonFailed, with the object's name
// where the API server refuses one, or APITimeout.
func (m *Manager) Apply(ctx context.Context, s *Set, rep *event.Reporter) ([]kube.Ref, error) {
	old, err := m.lookup(ctx, s.Name())
	if err != nil {
		return nil, err
	}
	in := m.record(s)
	in.span(old)
	if err := m.writeParent(ctx, in, StateApplying); err != nil {
		return nil, err
	}
	objs := labelled(slices.Concat(s.objs, s.generated), s.Name())
	rep.Waiting("%d objects", len(objs))
	applied, err := m.API.Apply(ctx, objs)
	if err != nil {
		return nil, fault.Wrap(fault.AddonFailed, err, "cannot apply addon %s", s.Name())
	}
	if old != nil {
		if err := m.prune(ctx, in, applied, rep); err != nil {
			return nil, err
		}
	}
	in.span(nil)
	if err := m.writeParent(ctx, in, StateApplied); err != nil {
		return nil, err
	}
	return append(kube.Pending(applied), in.Ready...), nil
}

// record says what the set is.
func (m *Manager) record(s *Set) *installed {
	a := s.instance.Addon
	in := &installed{objs: s.objs, Record: Record{
		Name: a.Name, Version: a.Version, Own: a.Own, Applied: m.Now().UTC(), Parameters: s.instance.Parameters,
	}}
	for _, c := range a.Ready {
		in.Ready = append(in.Ready, kube.Ref{APIVersion: c.APIVersion, Kind: c.Kind, Namespace: c.Namespace, Name: c.Name, Condition: c.Condition})
	}
	for _, o := range s.generated {
		in.Generated = append(in.Generated, o.GetNamespace()+"/"+o.GetName())
		bare := o.DeepCopy() // its name is enough: the values stay where they are used
		unstructured.RemoveNestedField(bare.Object, "data")
		in.objs = append(slices.Clone(in.objs), bare)
	}
	return in
}

// writeParent applies the parent with a state. It is written before anything that it speaks of, as the KEP asks, so that
// nothing is ever without an owner.
func (m *Manager) writeParent(ctx context.Context, in *installed, state State) error {
	in.State = state
	o, err := in.parent()
	if err != nil {
		return err
	}
	_, err = m.API.Apply(ctx, []*unstructured.Unstructured{o})
	return fault.Wrap(fault.AddonFailed, err, "cannot record addon %s", in.Name)
}

// labelled returns copies of the objects that say which set they are part of.
func labelled(objs []*unstructured.Unstructured, addon string) []*unstructured.Unstructured {
	out := make([]*unstructured.Unstructured, len(objs))
	for i, o := range objs {
		out[i] = o.DeepCopy()
		labels := out[i].GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[labelPartOf] = setID(addon)
		out[i].SetLabels(labels)
	}
	return out
}

// prune removes those members of the set that were not applied now.
func (m *Manager) prune(ctx context.Context, in *installed, applied []*unstructured.Unstructured, rep *event.Reporter) error {
	members, err := m.members(ctx, in)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, o := range applied {
		keep[key(o)] = true
	}
	stale := slices.DeleteFunc(members, func(o *unstructured.Unstructured) bool { return keep[key(o)] })
	return m.deleteInOrder(ctx, stale, rep)
}

// members returns all that carries the set's label.
func (m *Manager) members(ctx context.Context, in *installed) ([]*unstructured.Unstructured, error) {
	return m.API.List(ctx, in.kinds, labelPartOf+"="+setID(in.Name))
}

// key tells objects apart whatever version of their kind they are in.
func key(o *unstructured.Unstructured) string {
	return o.GroupVersionKind().GroupKind().String() + " " + o.GetNamespace() + "/" + o.GetName()
}

// Wait waits until what Apply returned is ready. The error is AddonFailed, and says what the pods say.
func (m *Manager) Wait(ctx context.Context, name string, refs []kube.Ref, rep *event.Reporter) error {
	err := m.API.WaitReady(ctx, refs, func(s string) { rep.Waiting("%s", s) })
	return fault.Wrap(fault.AddonFailed, err, "addon %s did not become ready", name)
}
