package importer

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config/strict"
)

// reader collects what comes of a configuration.
type reader struct {
	doc      v1alpha1.Cluster
	notes    []string
	problems strict.Problems
	getenv   func(string) string
}

// section is a mapping of the configuration. Fields are taken out of it one by one, so that what is left in the end is what
// nobody knows.
type section struct {
	r      *reader
	path   string
	values map[string]any
}

// at returns the path of a field.
func (s section) at(key string) string {
	if s.path == "" {
		return key
	}
	return s.path + "." + key
}

// note says something of a field.
func (s section) note(key, format string, args ...any) {
	s.r.notes = append(s.r.notes, s.at(key)+": "+fmt.Sprintf(format, args...))
}

// take takes a field out; false where it is not set: left out, empty, zero or false.
func (s section) take(key string) (any, bool) {
	value := s.values[key]
	delete(s.values, key)
	return value, isSet(value)
}

// isSet reports whether a value says anything.
func isSet(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case []any:
		return len(v) > 0
	case map[string]any:
		for _, below := range v {
			if isSet(below) {
				return true
			}
		}
		return false
	}
	return !reflect.ValueOf(value).IsZero()
}

// wrong notes that a field has a value of another type.
func (s section) wrong(key, want string, value any) {
	s.r.problems.Invalid(s.at(key), "want %s, not %s", want, describe(value))
}

func describe(value any) string {
	switch value.(type) {
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	}
	return strconv.Quote(fmt.Sprint(value))
}

// text takes a field that is text; numbers count as what is written.
func (s section) text(key string) string {
	value, ok := s.take(key)
	if !ok {
		return ""
	}
	switch value.(type) {
	case map[string]any, []any:
		s.wrong(key, "text", value)
		return ""
	}
	return fmt.Sprint(value)
}

// number takes a field that is a whole number; fallback stands for one that is not there.
func (s section) number(key string, fallback int) int {
	if s.values[key] == nil {
		return fallback
	}
	value, _ := s.take(key)
	n, ok := value.(int)
	if !ok {
		s.wrong(key, "a whole number", value)
		return fallback
	}
	return n
}

// yes takes a field that is true or false; fallback stands for one that is not there.
func (s section) yes(key string, fallback bool) bool {
	if s.values[key] == nil {
		return fallback
	}
	value, _ := s.take(key)
	yes, ok := value.(bool)
	if !ok {
		s.wrong(key, "true or false", value)
		return fallback
	}
	return yes
}

// section takes a field that is a mapping.
func (s section) section(key string) section {
	value, ok := s.take(key)
	below, isMap := value.(map[string]any)
	if ok && !isMap {
		s.wrong(key, "a mapping", value)
	}
	return section{s.r, s.at(key), below}
}

// list takes a field that is a list.
func (s section) list(key string) []any {
	value, ok := s.take(key)
	list, isList := value.([]any)
	if ok && !isList {
		s.wrong(key, "a list", value)
	}
	return list
}

// sections takes a field that is a list of mappings.
func (s section) sections(key string) []section {
	var out []section
	for i, item := range s.list(key) {
		at := fmt.Sprintf("%s[%d]", key, i)
		below, ok := item.(map[string]any)
		if !ok {
			s.wrong(at, "a mapping", item)
			continue
		}
		out = append(out, section{s.r, s.at(at), below})
	}
	return out
}

// texts takes a field that is a list of text.
func (s section) texts(key string) []string {
	var out []string
	for i, item := range s.list(key) {
		switch item.(type) {
		case map[string]any, []any:
			s.wrong(fmt.Sprintf("%s[%d]", key, i), "text", item)
		default:
			out = append(out, fmt.Sprint(item))
		}
	}
	return out
}

// skip takes fields out that need no counterpart.
func (s section) skip(keys ...string) {
	for _, key := range keys {
		delete(s.values, key)
	}
}

// usual takes a field out where it has a value that its launcher gives it by itself.
func (s section) usual(key string, values ...any) {
	if slices.Contains(values, s.values[key]) {
		delete(s.values, key)
	}
}

// drop takes fields out that have no counterpart, with a note for those that are set.
func (s section) drop(reason string, keys ...string) {
	for _, key := range keys {
		if value, ok := s.take(key); ok {
			s.leave(key, value, reason)
		}
	}
}

// rest drops all fields that are left.
func (s section) rest() {
	s.drop("cove has no counterpart of it", slices.Sorted(maps.Keys(s.values))...)
}

// leave notes a value that is left out; of a mapping, all that is set in it.
func (s section) leave(key string, value any, reason string) {
	below, ok := value.(map[string]any)
	if !ok {
		s.note(key, "%s", reason)
		return
	}
	in := section{s.r, s.at(key), below}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		if isSet(below[name]) {
			in.leave(name, below[name], reason)
		}
	}
}

// assignment splits KEY=VALUE.
func assignment(s string) (key, value string) {
	key, value, _ = strings.Cut(s, "=")
	return strings.TrimSpace(key), strings.TrimSpace(value)
}
