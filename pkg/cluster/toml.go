package cluster

import (
	"fmt"

	"github.com/pelletier/go-toml/v2"
)

// mergeTOML merges patches into a TOML document, tables key by key, everything else replaced: as kind does it with
// containerdConfigPatches.
func mergeTOML(base []byte, patches []string) ([]byte, error) {
	doc := map[string]any{}
	if err := toml.Unmarshal(base, &doc); err != nil {
		return nil, fmt.Errorf("the image's own file: %w", err)
	}
	for i, p := range patches {
		patch := map[string]any{}
		if err := toml.Unmarshal([]byte(p), &patch); err != nil {
			return nil, fmt.Errorf("patch %d: %w", i, err)
		}
		mergeTable(doc, patch)
	}
	return toml.Marshal(doc)
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
