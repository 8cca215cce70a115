package build

import (
	"maps"
	"slices"
	"testing"
	"testing/fstest"
)

// A part is built anew when anything changes that has a part in it, and only then.
func TestKey(t *testing.T) {
	source := func(text string) sourceTree {
		return sourceTree{fstest.MapFS{
			"m/go.mod": {Data: []byte("module m\n")}, "m/main.go": {Data: []byte(text)}, "other/go.mod": {Data: []byte("module other\n")},
		}}
	}
	base := builder{arch: "amd64", golang: goTool{"go1.26.0"}, tree: source("package main\n")}
	p := part{Name: "p", Title: "P", Module: "m", Binaries: []binary{{Name: "x", Package: ".", Set: []string{"main.v=1"}, Tags: []string{"a"}}}}
	with := func(change func(*builder, *part)) string {
		b, q := base, p
		q.Binaries = slices.Clone(p.Binaries)
		change(&b, &q)
		return b.key(q)
	}
	want := base.key(p)
	same := with(func(b *builder, q *part) {
		b.tree = source("package main\n")
		b.tree.FS.(fstest.MapFS)["other/main.go"] = &fstest.MapFile{Data: []byte("package other\n")}
		q.Title = "Q"
	})
	if same != want {
		t.Error("the key changed with what is no part of it")
	}
	keys := map[string]string{"": want}
	for name, change := range map[string]func(*builder, *part){
		"source":  func(b *builder, _ *part) { b.tree = source("package main // changed\n") },
		"arch":    func(b *builder, _ *part) { b.arch = "arm64" },
		"go":      func(b *builder, _ *part) { b.golang = goTool{"go1.26.1"} },
		"version": func(_ *builder, q *part) { q.Binaries[0].Set = []string{"main.v=2"} },
		"tags":    func(_ *builder, q *part) { q.Binaries[0].Tags = nil },
		"cgo":     func(_ *builder, q *part) { q.Binaries[0].Static = true },
		"package": func(_ *builder, q *part) { q.Binaries[0].Package = "./x" },
		"binary":  func(_ *builder, q *part) { q.Binaries = append(q.Binaries, binary{Name: "y", Package: "./y"}) },
		"name":    func(_ *builder, q *part) { q.Name = "q" },
	} {
		key := with(change)
		for other, k := range keys {
			if k == key {
				t.Errorf("the key with another %s is that with another %q", name, other)
			}
		}
		keys[name] = key
	}
}

func TestContentChangesWithEveryPart(t *testing.T) {
	b := testBuilder(t)
	seen := map[string]string{}
	note := func(what, sum string) {
		t.Helper()
		if other, ok := seen[sum]; ok {
			t.Errorf("%s: the same content as %s", what, other)
		}
		seen[sum] = what
	}
	for _, v := range versions() {
		note(v.Kubernetes, b.content(v))
	}
	files := fstest.MapFS{}
	for _, name := range []string{"files/containerd.toml", "node/go.mod", "containerd/seed/main.go"} {
		data, err := b.tree.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		_ = data.Close()
		changed := maps.Clone(files)
		changed[name] = &fstest.MapFile{Data: []byte("changed")}
		other := *b
		other.tree = sourceTree{overlay{changed, b.tree}}
		note(name, other.content(versions()[0]))
	}
}
