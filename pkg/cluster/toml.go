package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/pelletier/go-toml/v2"
	"sigs.k8s.io/yaml"
)

// patchTOML applies merge patches, and then lists of operations (RFC 6902), to a TOML document, as kind does it with containerdConfigPatches
// and containerdConfigPatchesJSON6902. Of merge patches, tables are merged key by key, and everything else is replaced. In a document of
// version 3 they may be of version 2; one for another version than the document's is left out where there is one for the document's.
func patchTOML(base []byte, merges, operations []string) ([]byte, error) {
	doc := map[string]any{}
	if err := toml.Unmarshal(base, &doc); err != nil {
		return nil, fmt.Errorf("the image's own file: %w", err)
	}
	patches, err := mergePatches(doc, merges)
	if err != nil {
		return nil, err
	}
	for _, patch := range patches {
		mergeTable(doc, patch)
	}
	for i, p := range operations {
		if doc, err = operate(doc, p); err != nil {
			return nil, fmt.Errorf("containerdConfigPatchesJSON6902[%d]: %w", i, err)
		}
	}
	return toml.Marshal(doc)
}

// mergePatches reads those of the patches that are for the document, in its version.
func mergePatches(doc map[string]any, merges []string) ([]map[string]any, error) {
	var patches []map[string]any
	paired := false
	for i, p := range merges {
		patch := map[string]any{}
		if err := toml.Unmarshal([]byte(p), &patch); err != nil {
			return nil, fmt.Errorf("containerdConfigPatches[%d]: %w", i, err)
		}
		paired = paired || patch["version"] != nil && patch["version"] == doc["version"]
		patches = append(patches, patch)
	}
	var out []map[string]any
	for i, patch := range patches {
		of := patch["version"]
		if of != nil && doc["version"] != nil && of != doc["version"] {
			if paired || of != int64(2) || !isVersion3(doc) {
				continue
			}
			delete(patch, "version")
		}
		if isVersion3(doc) {
			if err := toVersion3(patch); err != nil {
				return nil, fmt.Errorf("containerdConfigPatches[%d]: %w", i, err)
			}
		}
		out = append(out, patch)
	}
	return out, nil
}

func mergeTable(into, from map[string]any) {
	for key, value := range from {
		have, isTable := into[key].(map[string]any)
		want, wantTable := value.(map[string]any)
		if isTable && wantTable {
			mergeTable(have, want)
			continue
		}
		into[key] = value
	}
}

// operate applies a list of operations, written in JSON or YAML.
func operate(doc map[string]any, operations string) (map[string]any, error) {
	ops, err := yaml.YAMLToJSON([]byte(operations))
	if err != nil {
		return nil, err
	}
	if isVersion3(doc) {
		if ops, err = operationsToVersion3(ops); err != nil {
			return nil, err
		}
	}
	patch, err := jsonpatch.DecodePatch(ops)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	if raw, err = patch.Apply(raw); err != nil {
		return nil, err
	}
	out := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // TOML tells whole numbers from others
	if err := decoder.Decode(&out); err != nil {
		return nil, err
	}
	whole(out)
	return out, nil
}

// whole turns JSON's numbers into those of TOML, and returns v.
func whole(v any) any {
	switch t := v.(type) {
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n
		}
		f, _ := t.Float64() // a JSON number is one
		return f
	case map[string]any:
		for k, e := range t {
			t[k] = whole(e)
		}
	case []any:
		for i, e := range t {
			t[i] = whole(e)
		}
	}
	return v
}
