package kubeadm

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/fault"
)

// patchAll applies the cluster's patches, then the node's, to the documents, in place. The meaning is kind's: a patch
// is for the document of its kind; lists of arguments are merged by name, and names of certificates added; a patch for
// a document that this node has not is for another node. Unlike kind it refuses a patch for a kind that no node has.
func patchAll(docs []object, c Cluster, n Node) error {
	sets := []struct {
		where    string
		merge    []string
		json6902 []v1alpha4.PatchJSON6902
	}{
		{"", c.Patches, c.JSON6902Patches},
		{"node " + n.Name + ": ", n.Patches, n.JSON6902Patches},
	}
	for _, set := range sets {
		for i, raw := range set.merge {
			if err := applyMerge(docs, raw); err != nil {
				return fault.Wrap(fault.ConfigInvalid, err, "%skubeadmConfigPatches[%d]", set.where, i)
			}
		}
		for i, p := range set.json6902 {
			if err := applyJSON6902(docs, p); err != nil {
				return fault.Wrap(fault.ConfigInvalid, err, "%skubeadmConfigPatchesJSON6902[%d]", set.where, i)
			}
		}
	}
	return nil
}

// applyMerge applies merge patches (RFC 7396), one or more YAML documents.
func applyMerge(docs []object, raw string) error {
	for _, part := range regexp.MustCompile(`(?m)^---.*$`).Split(raw, -1) {
		var patch object
		if err := yaml.Unmarshal([]byte(part), &patch); err != nil {
			return fmt.Errorf("cannot read the patch: %w", err)
		}
		if len(patch) == 0 {
			continue
		}
		kind, _ := patch["kind"].(string)
		apiVersion, _ := patch["apiVersion"].(string)
		applies, err := checkTarget(kind, apiVersion)
		if err != nil {
			return err
		}
		if !applies {
			continue
		}
		for _, key := range []string{"kind", "apiVersion", "metadata"} { // what names the target changes nothing in it
			delete(patch, key)
		}
		doc := find(docs, kind)
		if doc == nil {
			continue
		}
		target, err := plain(doc)
		if err != nil {
			return err
		}
		if err := mergeLists(target, patch); err != nil {
			return err
		}
		if err := change(doc, target, func(raw []byte) ([]byte, error) {
			p, err := json.Marshal(patch)
			if err != nil {
				return nil, err
			}
			return jsonpatch.MergePatch(raw, p)
		}); err != nil {
			return fmt.Errorf("cannot patch %s: %w", kind, err)
		}
	}
	return nil
}

// applyJSON6902 applies a list of operations (RFC 6902), written in JSON or YAML.
func applyJSON6902(docs []object, p v1alpha4.PatchJSON6902) error {
	apiVersion := strings.TrimPrefix(p.Group+"/"+p.Version, "/")
	if p.Group == "" && p.Version == "" {
		apiVersion = ""
	}
	if applies, err := checkTarget(p.Kind, apiVersion); err != nil || !applies {
		return err
	}
	raw, err := yaml.YAMLToJSON([]byte(p.Patch))
	if err != nil {
		return fmt.Errorf("cannot read the patch: %w", err)
	}
	patch, err := jsonpatch.DecodePatch(raw)
	if err != nil {
		return fmt.Errorf("cannot read the patch: %w", err)
	}
	doc := find(docs, p.Kind)
	if doc == nil {
		return nil
	}
	if err := change(doc, doc, patch.Apply); err != nil {
		return fmt.Errorf("cannot patch %s: %w", p.Kind, err)
	}
	return nil
}

// checkTarget refuses a patch whose target no node could have, and reports whether it applies: one for another version of the document
// does not, as with kind; validation warns of it. kubeadm's v1beta3 is let pass, because kind's documents are of that version before
// Kubernetes 1.36; what differs is taken care of by mergeLists.
func checkTarget(kind, apiVersion string) (applies bool, err error) {
	versions := map[string][]string{
		kindInit:      {versionKubeadm, groupKubeadm + "/v1beta3"},
		kindCluster:   {versionKubeadm, groupKubeadm + "/v1beta3"},
		kindJoin:      {versionKubeadm, groupKubeadm + "/v1beta3"},
		kindKubelet:   {versionKubelet},
		kindKubeProxy: {versionKubeProxy},
	}
	want, ok := versions[kind]
	switch {
	case kind == "":
		return false, fault.New(fault.ConfigInvalid, "kind is missing").WithHint("name the kind of document to patch, one of %s", strings.Join(sortedKeys(versions), ", "))
	case !ok:
		return false, fault.New(fault.ConfigInvalid, "kind %q is not one of %s", kind, strings.Join(sortedKeys(versions), ", "))
	}
	return apiVersion == "" || slices.Contains(want, apiVersion), nil
}

func find(docs []object, kind string) object {
	for _, d := range docs {
		if d["kind"] == kind {
			return d
		}
	}
	return nil
}

// change replaces doc's content by what fn makes of from.
func change(doc, from object, fn func([]byte) ([]byte, error)) error {
	raw, err := json.Marshal(from)
	if err != nil {
		return err
	}
	if raw, err = fn(raw); err != nil {
		return err
	}
	var out object
	if err := yaml.Unmarshal(raw, &out); err != nil {
		return err
	}
	clear(doc)
	for k, v := range out {
		doc[k] = v
	}
	return nil
}

// plain returns a copy of a document that consists of nothing but objects, lists and scalars.
func plain(doc object) (object, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var out object
	return out, yaml.Unmarshal(raw, &out)
}

// mergeDiff returns the merge patch that turns a into b.
func mergeDiff(a, b object) (object, error) {
	var raw [2][]byte
	for i, doc := range []object{a, b} {
		var err error
		if raw[i], err = json.Marshal(doc); err != nil {
			return nil, err
		}
	}
	patch, err := jsonpatch.CreateMergePatch(raw[0], raw[1])
	if err != nil {
		return nil, err
	}
	var out object
	return out, yaml.Unmarshal(patch, &out)
}

// mergeLists moves those lists out of the patch into the target that a merge patch would replace as a whole, which is
// never meant: arguments are merged by name (with value null one is removed), names of certificates and phases to skip
// are added.
func mergeLists(target, patch object) error {
	for key, value := range patch {
		switch key {
		case "extraArgs", "kubeletExtraArgs":
			if value == nil {
				continue // removes them all
			}
			args, err := argList(value)
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			have, err := argList(target[key])
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			target[key] = mergeArgs(have, args)
			delete(patch, key)
		case "certSANs", "skipPhases":
			add, ok := value.([]any)
			if !ok {
				continue // removes them all, or is refused by kubeadm
			}
			have, _ := target[key].([]any)
			for _, name := range add {
				if !slices.Contains(have, name) {
					have = append(have, name)
				}
			}
			target[key] = have
			delete(patch, key)
		default:
			if err := mergeListsBelow(target, key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergeListsBelow goes on in the object at key, if it is one.
func mergeListsBelow(target object, key string, value any) error {
	below, ok := value.(object)
	if !ok {
		return nil
	}
	into, ok := target[key].(object)
	if !ok {
		into = object{}
		target[key] = into
	}
	if err := mergeLists(into, below); err != nil {
		return fmt.Errorf("%s.%w", key, err)
	}
	return nil
}

// mergeArgs returns have with args set, replaced or, where their value is null, removed.
func mergeArgs(have, args []object) []any {
	for _, a := range args {
		i := slices.IndexFunc(have, func(h object) bool { return h["name"] == a["name"] })
		switch {
		case a["value"] == nil && i >= 0:
			have = slices.Delete(have, i, i+1)
		case a["value"] == nil: // not there anyway
		case i >= 0:
			have[i] = a
		default:
			have = append(have, a)
		}
	}
	out := make([]any, len(have))
	for i, h := range have {
		out[i] = h
	}
	return out
}

// argList reads arguments as v1beta4 has them, a list, or as v1beta3 had them, an object.
func argList(value any) ([]object, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case object:
		var out []object
		for _, name := range sortedKeys(v) {
			out = append(out, object{"name": name, "value": v[name]})
		}
		return out, nil
	case []any:
		var out []object
		for _, item := range v {
			a, ok := item.(object)
			if name, isString := a["name"].(string); !ok || !isString || name == "" {
				return nil, fault.New(fault.ConfigInvalid, "an argument has no name").WithHint("write it as {name: NAME, value: VALUE}")
			}
			out = append(out, a)
		}
		return out, nil
	}
	return nil, fault.New(fault.ConfigInvalid, "is not a list of arguments").WithHint("write it as [{name: NAME, value: VALUE}]")
}
