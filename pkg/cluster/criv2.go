package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Files of kind's patch containerd's configuration in version 2, where one table has all of the CRI plugin. Version 3, which cove's node
// images have, has it in several, and containerd reads nothing of the old table in a file of version 3: it only logs that it does not know
// it. So what patches say of the old table is moved to where containerd's own migration would put it
// (https://github.com/containerd/containerd/blob/main/docs/PLUGINS.md).
const (
	criTable     = "io.containerd.grpc.v1.cri"
	imagesTable  = "io.containerd.cri.v1.images"
	runtimeTable = "io.containerd.cri.v1.runtime"
)

// isVersion3 reports whether a configuration of containerd has the CRI plugin in several tables.
func isVersion3(doc map[string]any) bool {
	version, _ := doc["version"].(int64)
	return version >= 3
}

// criPlace returns where version 3 has a setting of the old table, as a path below "plugins"; nil where it has none.
func criPlace(path []string) []string {
	in := func(table string, rest ...string) []string { return append([]string{table}, rest...) }
	switch path[0] {
	case "sandbox_image":
		return in(imagesTable, "pinned_images", "sandbox")
	case "registry", "image_decryption", "max_concurrent_downloads", "image_pull_progress_timeout", "image_pull_with_sync_fs",
		"stats_collect_period":
		return in(imagesTable, path...)
	case "disable_tcp_service", "stream_server_address", "stream_server_port", "stream_idle_timeout", "enable_tls_streaming",
		"x509_key_pair_streaming":
		return in(criTable, path...)
	case "systemd_cgroup", "enable_cdi":
		return nil
	case "containerd":
		return containerdPlace(path)
	case "cni":
		if len(path) == 2 && path[1] == "bin_dir" {
			return in(runtimeTable, "cni", "bin_dirs")
		}
	}
	return in(runtimeTable, path...)
}

func containerdPlace(path []string) []string {
	if len(path) < 2 {
		return nil // it is in several places
	}
	switch path[1] {
	case "snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers":
		return append([]string{imagesTable}, path[1:]...)
	case "default_runtime", "untrusted_workload_runtime":
		return nil
	case "runtimes":
		if len(path) == 4 && path[3] == "sandbox_mode" {
			return append([]string{runtimeTable}, path[0], path[1], path[2], "sandboxer")
		}
	}
	return append([]string{runtimeTable}, path...)
}

// toVersion3 moves what a merge patch says of the old table.
func toVersion3(patch map[string]any) error {
	plugins, _ := patch["plugins"].(map[string]any)
	old, is := plugins[criTable].(map[string]any)
	if !is {
		return nil
	}
	delete(plugins, criTable)
	return moveCRI(plugins, nil, old)
}

// moveCRI puts a value of the old table to its place below plugins.
func moveCRI(plugins map[string]any, path []string, value any) error {
	if table, is := value.(map[string]any); is && parted(path) {
		for _, key := range slices.Sorted(maps.Keys(table)) {
			if err := moveCRI(plugins, append(slices.Clone(path), key), table[key]); err != nil {
				return err
			}
		}
		if len(path) > 2 && len(table) == 0 { // a runtime that is what containerd takes it for
			return setPath(plugins, criPlace(path), table)
		}
		return nil
	}
	if path[0] == "enable_cdi" && value == true {
		return nil // always on
	}
	to := criPlace(path)
	if to == nil {
		return fmt.Errorf("plugins.%q.%s: containerd has this setting no more", criTable, strings.Join(path, "."))
	}
	if len(path) == 4 && path[1] == "runtimes" && path[3] == "snapshotter" { // its images are unpacked there, too
		if err := setPath(plugins, []string{imagesTable, "runtime_platforms", path[2], "snapshotter"}, value); err != nil {
			return err
		}
	}
	return setPath(plugins, to, placed3(path, value))
}

// parted reports whether version 3 has the settings of a table of the old one in several places, or some of them by other names.
func parted(path []string) bool {
	switch len(path) {
	case 0:
		return true
	case 1:
		return path[0] == "containerd" || path[0] == "cni"
	case 2, 3:
		return path[0] == "containerd" && path[1] == "runtimes"
	}
	return false
}

// placed3 is a value of the old table as version 3 has it.
func placed3(path []string, value any) any {
	if dir, is := value.(string); is && slices.Equal(path, []string{"cni", "bin_dir"}) {
		return []any{dir}
	}
	return value
}

// setPath sets what is at a path of a document; tables are merged with what is there.
func setPath(doc map[string]any, path []string, value any) error {
	for i, key := range path[:len(path)-1] {
		below, is := doc[key].(map[string]any)
		if _, there := doc[key]; there && !is {
			return fmt.Errorf("plugins.%s is no table", strings.Join(path[:i+1], "."))
		}
		if !is {
			below = map[string]any{}
			doc[key] = below
		}
		doc = below
	}
	mergeTable(doc, map[string]any{path[len(path)-1]: value})
	return nil
}

// operationsToVersion3 gives operations on the old table their new paths.
func operationsToVersion3(raw []byte) ([]byte, error) {
	ops := []map[string]any{}
	if err := json.Unmarshal(raw, &ops); err != nil {
		return nil, err
	}
	for _, op := range ops {
		for _, key := range []string{"path", "from"} {
			pointer, _ := op[key].(string)
			rest, is := strings.CutPrefix(pointer, "/plugins/"+criTable)
			if !is || rest != "" && rest[0] != '/' {
				continue
			}
			path := pointerKeys(rest)
			if len(path) == 0 || len(path) == 1 && parted(path) || criPlace(path) == nil {
				return nil, fmt.Errorf("%s: containerd's configuration of version 3 has no such table or setting; name those in it one by one", pointer)
			}
			op[key] = pointerOf(append([]string{"plugins"}, criPlace(path)...))
			if value, has := op["value"]; has && key == "path" {
				op["value"] = placed3(path, value)
			}
			if op["op"] == "replace" { // what kind's file sets may be containerd's own default here
				op["op"] = "add"
			}
		}
	}
	return json.Marshal(ops)
}

// pointerKeys splits a JSON pointer. https://www.rfc-editor.org/rfc/rfc6901
func pointerKeys(pointer string) []string {
	var keys []string
	for _, key := range strings.Split(pointer, "/")[1:] {
		keys = append(keys, strings.NewReplacer("~1", "/", "~0", "~").Replace(key))
	}
	return keys
}

func pointerOf(keys []string) string {
	var out strings.Builder
	for _, key := range keys {
		out.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
	}
	return out.String()
}
