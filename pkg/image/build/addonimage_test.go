package build

import (
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

func TestAddonTags(t *testing.T) {
	names := AddonRecipes()
	if want := []string{"metrics-server", "metallb-controller", "metallb-speaker", "traefik", "kwok"}; !slices.Equal(names, want) {
		t.Errorf("recipes %v", names)
	}
	if tag, err := AddonTag("metallb-speaker"); err != nil || tag != "cove.dev/metallb-speaker:"+metallbVersion {
		t.Errorf("%s, %v", tag, err)
	}
	_, tagErr := AddonTag("agnhost") // that one is for tests
	_, contentErr := AddonContent("nothing", "amd64")
	_, imageErr := AddonImage(t.Context(), Options{}, "")
	for _, err := range []error{tagErr, contentErr, imageErr} {
		if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "metrics-server, metallb-controller") || strings.Contains(err.Error(), "for agnhost") {
			t.Errorf("err = %v", err)
		}
	}
}

// The content is the same wherever it is asked for, and another one for another image, architecture or source.
func TestAddonContent(t *testing.T) {
	t.Setenv("PATH", "") // it needs no tool
	seen := map[string]string{}
	note := func(what, sum string) {
		t.Helper()
		if other, ok := seen[sum]; ok || len(sum) != 64 {
			t.Errorf("%s: the content %q, as %q", what, sum, other)
		}
		seen[sum] = what
	}
	b := testBuilder(t)
	for _, name := range AddonRecipes() {
		for _, arch := range []string{"amd64", "arm64"} {
			sum, err := AddonContent(name, arch)
			if err != nil {
				t.Fatal(err)
			}
			note(name+" "+arch, sum)
		}
		r, err := recipeOf(name, isAddon)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := AddonContent(name, "amd64"); err != nil || again != r.content(b.tree, "amd64") {
			t.Errorf("%s: the second time %s, %v", name, again, err)
		}
		with := func(file string) string {
			return r.content(sourceTree{overlay{fstest.MapFS{file: {Data: []byte("changed")}}, b.tree}}, "amd64")
		}
		note(name+" with other sources", with(r.Part.Module+"/go.sum"))
		if with("node/go.mod") != r.content(b.tree, "amd64") {
			t.Errorf("%s changed with the sources of something else", name)
		}
		changes := map[string]func(*recipe){
			"user":    func(r *recipe) { r.Root.Config.User = "1" },
			"version": func(r *recipe) { r.Version = "v0" },
			"file":    func(r *recipe) { r.Root.Texts = map[string]string{"etc/x": "x"} },
			"program": func(r *recipe) { r.Root.Programs = map[string]string{"x": "x"} },
			"flag": func(r *recipe) {
				r.Part.Binaries = slices.Clone(r.Part.Binaries)
				r.Part.Binaries[0].Tags = []string{"x"}
			},
		}
		for _, what := range slices.Sorted(maps.Keys(changes)) {
			other := r
			changes[what](&other)
			note(name+" with another "+what, other.content(b.tree, "amd64"))
		}
	}
}

// addonOptions are options with a fake engine, an empty cache, and the events that are seen.
func addonOptions(t *testing.T, images ...engine.Image) (o Options, e *enginetest.Fake, seen *[]event.Event) {
	t.Helper()
	e, seen = enginetest.NewFake(), &[]event.Event{}
	for _, i := range images {
		e.AddImage(i, nil)
	}
	return Options{Engine: e, Emitter: event.NewEmitter("r", "", time.Now, recorder{seen}), CacheDir: t.TempDir()}, e, seen
}

// An image that came from elsewhere is found on a machine without Go.
func TestAddonImageIsThereAlready(t *testing.T) {
	t.Setenv("PATH", "")
	content, err := AddonContent("kwok", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	o, e, seen := addonOptions(t, engine.Image{Names: []string{"cove.dev/kwok:" + kwokVersion}, Labels: map[string]string{LabelContent: content}})
	o.Compressed = true
	r, err := AddonImage(t.Context(), o, "kwok")
	if err != nil || !r.Skipped || r.Content != content || r.Tag != "cove.dev/kwok:"+kwokVersion || r.Size == 0 || r.Compressed == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if last := (*seen)[len(*seen)-1]; len(*seen) != 2 || last.Step != "image/load/kwok" || last.Status != event.Skipped {
		t.Errorf("events %+v", *seen)
	}
	for name, change := range map[string]func(*Options){
		"another architecture": func(o *Options) { o.Arch = "arm64" },
		"another name":         func(o *Options) { o.Tag = "example.org/kwok:1" },
		"fresh":                func(o *Options) { o.Fresh = true },
	} {
		other := o
		change(&other)
		_, err := AddonImage(t.Context(), other, "kwok")
		report := fault.ReportOf(err)
		if report.Code != fault.ImageBuildTools || !strings.Contains(report.Message, "lacks go") || !strings.Contains(report.Hint, "docker load") {
			t.Errorf("%s: %+v", name, report)
		}
	}
	if ops := strings.Join(e.Operations(), " "); strings.Contains(ops, "LoadImage") {
		t.Errorf("the engine did %s", ops)
	}
}

// cachedPart puts a recipe's part into the cache of the options, as if it were compiled.
func cachedPart(t *testing.T, o Options, name string) {
	t.Helper()
	r, err := recipeOf(name, isAddon)
	if err != nil {
		t.Fatal(err)
	}
	b, err := openBuilder(t.Context(), o, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	_, cached, err := b.cache.get(t.Context(), r.Part.Name, b.key(r.Part), false, func() {}, put("unused"))
	if err != nil || cached {
		t.Fatalf("cached %t, %v", cached, err)
	}
	dir := filepath.Join(o.CacheDir, "build", "parts", r.Part.Name+"-"+b.key(r.Part)[:16])
	for _, bin := range r.Part.Binaries {
		writeFile(t, dir, bin.Name, "program "+bin.Name)
	}
}

// Both images of a part are loaded, each under its own steps; the image that had the name before goes.
func TestAddonImageLoads(t *testing.T) {
	controller := "cove.dev/metallb-controller:" + metallbVersion
	o, e, seen := addonOptions(t, engine.Image{Names: []string{controller}, Labels: map[string]string{LabelContent: "old"}})
	old, err := e.Image(t.Context(), controller)
	if err != nil {
		t.Fatal(err)
	}
	cachedPart(t, o, "metallb-controller")
	for _, name := range []string{"metallb-controller", "metallb-speaker"} {
		*seen = nil
		r, err := AddonImage(t.Context(), o, name)
		if err != nil || r.Skipped || r.Size == 0 {
			t.Fatalf("%s: %+v, %v", name, r, err)
		}
		image, err := e.Image(t.Context(), r.Tag)
		if err != nil || image.Labels[LabelContent] != r.Content || image.Entrypoint[0] != "/"+strings.TrimPrefix(name, "metallb-") {
			t.Errorf("%s: %+v, %v", name, image, err)
		}
		var steps []string
		for _, x := range *seen {
			if x.Type == event.StepFinished {
				steps = append(steps, x.Step+" "+string(x.Status))
			}
		}
		if want := []string{"image/build/" + name + " skipped", "image/load/" + name + " succeeded"}; !slices.Equal(steps, want) {
			t.Errorf("%s: steps %v", name, steps)
		}
		if again, err := AddonImage(t.Context(), o, name); err != nil || !again.Skipped || again.Content != r.Content {
			t.Errorf("%s the second time: %+v, %v", name, again, err)
		}
	}
	if _, err := e.Image(t.Context(), old.ID); !fault.Is(err, fault.ImageNotFound) {
		t.Errorf("the old image is still there: %v", err)
	}
}

func TestAddonImageHandsOnTheEnginesError(t *testing.T) {
	o, e, _ := addonOptions(t)
	cachedPart(t, o, "kwok")
	e.FailOn("LoadImage", fault.DiskFull, "full")
	if _, err := AddonImage(t.Context(), o, "kwok"); !fault.Is(err, fault.DiskFull) {
		t.Errorf("err = %v (operations %v)", err, e.Operations())
	}
}

func TestCheckGo(t *testing.T) {
	if err := checkGo("darwin", fakeLookup{"go": true}); err != nil {
		t.Errorf("with Go alone: %v", err)
	}
	for want, err := range map[string]error{
		"on windows": checkGo("windows", fakeLookup{"go": true}),
		"lacks go":   checkGo("linux", fakeLookup{"mmdebstrap": true}),
	} {
		if !fault.Is(err, fault.ImageBuildTools) || !strings.Contains(err.Error(), want) || fault.ReportOf(err).Hint == "" {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// What prints a file is compiled for this machine, whatever the image's architecture is, and run when the part is built.
func TestCompilePrints(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a small program: seconds")
	}
	t.Setenv("GOPROXY", "off") // it needs no module
	b := testBuilder(t)
	if b.arch = "arm64"; runtime.GOARCH == "arm64" {
		b.arch = "amd64"
	}
	source := func(text string) sourceTree {
		return sourceTree{fstest.MapFS{"m/go.mod": {Data: []byte("module m\n\ngo 1.26\n")}, "m/main.go": {Data: []byte("package main\n\n" + text)}}}
	}
	p := part{Name: "p", Title: "p 1", Module: "m", Binaries: []binary{{Name: "m", Package: ".", Prints: "m.txt"}}}
	b.tree = source("import \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n")
	dir, err := b.compileAs(t.Context(), "image/build/x", "Build x", p)
	if err != nil {
		t.Fatal(err)
	}
	got := tree{}
	if err := got.file("m.txt", filepath.Join(dir, "m.txt")); err != nil {
		t.Fatal(err)
	}
	if files, _ := written(t, got); files["m.txt"].data != "hello\n" {
		t.Errorf("it printed %q", files["m.txt"].data)
	}
	b.tree = source("func main() { panic(\"no\") }\n")
	_, err = b.compileAs(t.Context(), "image/build/x", "Build x", p)
	if report := fault.ReportOf(err); report.Code != fault.ImageBuild || !strings.Contains(report.Output, "panic: no") {
		t.Errorf("%+v", report)
	}
}
