package profile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Layer is one place that says which addons a cluster has: a profile, the settings, a document, the command line.
type Layer struct {
	// Addons are added to those of the layers below, and refine those of the same name.
	Addons []v1alpha1.Addon
	// Path says where an item of Addons is, for problems: "addons[2]".
	Path func(i int) string
	// Dir is where relative paths of Addons start; without it they are problems.
	Dir string
	// CNI is the addon for the pod network, or NoCNI; it takes the place of what the layers below have for it. Empty: this
	// layer does not say.
	CNI string
	// DropCNI takes out what the layers below have for the pod network, as kind's disableDefaultCNI does; the layer's own
	// Addons may have another.
	DropCNI bool
	// CNIPath says where CNI is, for problems.
	CNIPath string
	// Assignments are KEY=VALUE, by addon, as Set takes them; AssignmentPath says where those of an addon are.
	Assignments    map[string][]string
	AssignmentPath func(addon string) string
	// There are the addons that the cluster has. One that is the same stays what it is: it is not judged, and where it cannot be
	// opened any more, it is taken for what it was.
	There []v1alpha1.Addon
}

// Set is what layers come to.
type Set struct {
	// CNI is the addon that provides the pod network, or NoCNI.
	CNI string
	// Addons are in the order in which they are applied, with the parameters that were given, and paths made absolute.
	Addons []v1alpha1.Addon
	// Opened are the addons themselves, in the same order.
	Opened []*Addon
	// Paths says where each of Addons was named last.
	Paths []string
	// Left lists what a layer took out of those below it, but for pod networks.
	Left []string
}

// entry is an addon of the set that is being put together.
type entry struct {
	v1alpha1.Addon
	opened  *Addon
	missing error // why it could not be opened; there is nothing of it in opened then
	layer   int
	path    string
}

// joiner puts a set together.
type joiner struct {
	c        Catalogue
	problems strict.Problems
	entries  map[string]*entry
	left     map[string]bool
	there    []v1alpha1.Addon
	cni      string
	cniPath  string
}

// Join puts layers over each other, the later one over the earlier, and returns the addons that come of it. Problems are
// unknown addons, parameters that do not fit, two that provide the same, and a required one that is missing.
func (c Catalogue) Join(list ...Layer) (Set, strict.Problems) {
	j := &joiner{c: c, entries: map[string]*entry{}, left: map[string]bool{}}
	for n, layer := range list {
		j.there = append(j.there, layer.There...)
		if layer.CNI != "" || layer.DropCNI {
			j.dropCNI(n, layer.CNI)
		}
		for i, a := range layer.Addons {
			if a.Disabled {
				j.disable(a.Name, layer.Path(i))
				continue
			}
			j.add(n, layer, i)
		}
		if layer.CNI != "" {
			j.chooseCNI(n, layer)
		}
		j.assign(layer)
	}
	return j.result()
}

// dropCNI takes out the pod networks of the layers below, but for the one that is chosen.
func (j *joiner) dropCNI(layer int, chosen string) {
	j.cni = ""
	for name, e := range j.entries {
		if e.layer < layer && e.opened.networks() && name != chosen {
			delete(j.entries, name)
		}
	}
}

// chooseCNI adds the pod network that a layer names.
func (j *joiner) chooseCNI(layer int, l Layer) {
	j.cni, j.cniPath = l.CNI, l.CNIPath
	if l.CNI == NoCNI {
		return
	}
	if j.entries[l.CNI] == nil {
		opened, err := j.c.Addon(l.CNI)
		if err != nil {
			j.problems.Add(fault.CodeOf(err), l.CNIPath, "%s", err)
			return
		}
		j.entries[l.CNI] = &entry{Addon: v1alpha1.Addon{Name: l.CNI}, opened: opened, layer: layer, path: l.CNIPath}
		delete(j.left, l.CNI)
	}
	if !j.entries[l.CNI].opened.networks() {
		j.problems.Invalid(l.CNIPath, "addon %s provides no pod network; name one that does, or %s", l.CNI, NoCNI)
	}
}

// disable takes out an addon of the layers below. That a pod network was left out needs no record: the CNI says it.
func (j *joiner) disable(name, path string) {
	e := j.entries[name]
	if e == nil {
		known := slices.ContainsFunc(j.there, func(a v1alpha1.Addon) bool { return a.Name == name })
		if _, err := j.c.Addon(name); !known && fault.Is(err, fault.AddonUnknown) {
			j.problems.Add(fault.AddonUnknown, path, "%s", err)
		}
		return
	}
	delete(j.entries, name)
	j.left[name] = !e.opened.networks()
	if j.cni == name {
		j.cni = ""
	}
}

// add puts the i-th addon of a layer in, or over the one of the same name.
func (j *joiner) add(n int, l Layer, i int) {
	a, path := Absolute(l.Addons[i], l.Dir), l.Path(i)
	e, before := &entry{layer: n, path: path}, j.entries[a.Name]
	switch {
	case before != nil && !IsOwn(a): // it refines what is there
		e.opened, e.missing, a.Path, a.Helm = before.opened, before.missing, before.Path, before.Helm
		a.Parameters = Merge(before.Parameters, a.Parameters)
	default:
		if e.opened, e.missing = j.c.Open(a, ""); e.missing != nil {
			e.opened = unopened(a)
			if l.CNI == a.Name {
				e.opened.Provides = []string{ProvidesCNI}
			}
		}
		if before != nil && before.Path == a.Path && IsOwn(before.Addon) {
			a.Parameters = Merge(before.Parameters, a.Parameters)
		}
	}
	a.Parameters = strict.PlainMap(a.Parameters)
	if e.Addon = a; !Has(j.there, a) {
		if e.missing != nil {
			j.problems.Add(fault.CodeOf(e.missing), path, "%s", e.missing)
			return
		}
		_, problems := e.opened.values(a.Parameters, path+".parameters")
		j.problems = append(j.problems, problems...)
	}
	j.entries[a.Name] = e
	delete(j.left, a.Name)
}

// assign sets parameters by text.
func (j *joiner) assign(l Layer) {
	for _, name := range slices.Sorted(maps.Keys(l.Assignments)) {
		path, e := l.AssignmentPath(name), j.entries[name]
		if e == nil {
			if _, err := j.c.Addon(name); err != nil {
				j.problems.Add(fault.CodeOf(err), path, "%s", err)
			} else {
				j.problems.Add(fault.AddonNotInstalled, path, "the cluster does not have addon %s; add it first", name)
			}
			continue
		}
		if e.missing != nil {
			j.problems.Add(fault.CodeOf(e.missing), path, "%s", e.missing)
			continue
		}
		values, problems := e.opened.set(e.Parameters, l.Assignments[name], path)
		if len(problems) == 0 {
			_, problems = e.opened.values(values, path)
		}
		j.problems = append(j.problems, problems...)
		e.Parameters = strict.PlainMap(values)
	}
}

// result orders what there is.
func (j *joiner) result() (Set, strict.Problems) {
	s, addons := Set{CNI: j.cni}, []*Addon{}
	// What was named last comes last, so that it is the one that problems are about.
	for _, name := range slices.SortedFunc(maps.Keys(j.entries), func(a, b string) int {
		return cmp.Or(cmp.Compare(j.entries[a].layer, j.entries[b].layer), cmp.Compare(a, b))
	}) {
		e := j.entries[name]
		addons = append(addons, e.opened)
		switch {
		case !e.opened.networks():
		case s.CNI == "":
			s.CNI = name
		case s.CNI == NoCNI:
			j.problems.Add(fault.AddonConflict, e.path, "addon %s provides the pod network, but %s is %s; leave one of them out", name, j.cniPath, NoCNI)
		}
	}
	if s.CNI == "" {
		s.CNI = NoCNI
	}
	related := relations(addons, func(name string) string { return j.entries[name].path })
	j.problems = append(j.problems, related...)
	ordered := addons
	if len(related) == 0 {
		var err error
		if ordered, err = Order(addons); err != nil {
			j.problems.Add(fault.CodeOf(err), "addons", "%s", err)
			ordered = addons
		}
	}
	for _, a := range ordered {
		e := j.entries[a.Name]
		s.Addons, s.Opened, s.Paths = append(s.Addons, e.Addon), append(s.Opened, a), append(s.Paths, e.path)
	}
	for _, name := range slices.Sorted(maps.Keys(j.left)) {
		if j.left[name] {
			s.Left = append(s.Left, name)
		}
	}
	return s, j.problems
}

// itemPath is the Path of a Layer whose addons are in a file's list.
func itemPath(source string) func(int) string {
	return func(i int) string { return fmt.Sprintf("%s: addons[%d]", source, i) }
}
