package strict

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// Suggest returns "; did you mean X?" for a field that is unknown among known, or "".
func Suggest(name string, known map[string]reflect.Type) string {
	if near := Nearest(name, slices.Sorted(maps.Keys(known))); near != "" {
		return "; did you mean " + near + "?"
	}
	// Most documents that are written by hand start from one of kind's.
	if known["cluster"] == reflect.TypeFor[kind.Cluster]() {
		if _, ok := fieldsOf(known["cluster"])[name]; ok {
			return "; it belongs under cluster: as cluster." + name
		}
	}
	return ""
}

// Nearest returns the candidate that differs the least from name, if it is close enough to be what was meant; the first
// one of several.
func Nearest(name string, candidates []string) string {
	const longest = 64 // bytes; what is longer is no slip of the finger
	if len(name) > longest {
		return ""
	}
	best, limit := "", len(name)/3+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d <= limit && d < len(c) {
			best, limit = c, d-1
		}
	}
	return best
}

// distance is how many letters must be put in, taken out, replaced or swapped with their neighbour to turn a into b
// (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			if a[i] == b[j] {
				row[j+1] = last[j]
				continue
			}
			row[j+1] = 1 + min(last[j], last[j+1], row[j])
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], 1+before[j-1])
			}
		}
	}
	return row[len(b)]
}
