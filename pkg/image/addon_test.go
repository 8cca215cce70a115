package image_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image"
)

// recipes knows one recipe, "web", whose content is "now".
type recipes struct {
	f     *enginetest.Fake
	fail  error
	built []string
}

func (*recipes) Tag(recipe string) (string, error)      { return "cove.dev/" + recipe + ":v1", nil }
func (*recipes) Content(string, string) (string, error) { return "now", nil }
func (r *recipes) Build(_ context.Context, recipe string) error {
	if r.fail != nil {
		return r.fail
	}
	r.built = append(r.built, recipe)
	r.f.AddImage(ownBuild("now"), nil)
	return nil
}

func ownBuild(content string) engine.Image {
	return engine.Image{Names: []string{"cove.dev/web:v1"}, Architecture: "amd64", Labels: map[string]string{"cove.dev/content": content}}
}

const upstream = "example.com/web:v1"

// ensureAddon runs EnsureAddon as a step, and returns what it said.
func ensureAddon(t *testing.T, c image.Chooser, e engine.Engine, recipe string) (image.AddonImage, []string, error) {
	t.Helper()
	s := &said{}
	var img image.AddonImage
	err := event.NewEmitter("run", "", time.Now, s).Step(t.Context(), "images/web", "Images", func(ctx context.Context, rep *event.Reporter) (err error) {
		img, err = c.EnsureAddon(ctx, e, rep, upstream, recipe)
		return err
	})
	return img, s.warnings, err
}

func TestEnsureAddon(t *testing.T) {
	there := engine.Image{Names: []string{upstream}, Architecture: "amd64"}
	for name, tt := range map[string]struct {
		local    []engine.Image
		registry []string
		size     func(context.Context, string, string) (int64, error)
		recipe   string
		from     string // "": the nodes pull it
		builds   bool
		says     string
	}{
		"cove's own build":             {local: []engine.Image{ownBuild("now"), there}, size: online, recipe: "web", from: "cove.dev/web:v1"},
		"an old build of cove's":       {local: []engine.Image{ownBuild("then"), there}, size: online, recipe: "web", from: upstream},
		"the engine has it":            {local: []engine.Image{there}, size: online, from: upstream},
		"another architecture's":       {local: []engine.Image{{Names: []string{upstream}, Architecture: "arm64"}}, size: online},
		"the nodes pull it":            {size: online, recipe: "web"},
		"the engine alone can pull it": {registry: []string{upstream}, size: offline, recipe: "web", from: upstream, says: "pulling " + upstream},
		"built":                        {size: offline, recipe: "web", from: "cove.dev/web:v1", builds: true, says: "building " + upstream + " from source"},
	} {
		t.Run(name, func(t *testing.T) {
			f := enginetest.NewFake()
			for _, img := range tt.local {
				f.AddImage(img, nil)
			}
			for _, ref := range tt.registry {
				f.AddRegistryImage(engine.Image{Names: []string{ref}, Architecture: "amd64"})
			}
			r := &recipes{f: f}
			got, said, err := ensureAddon(t, image.Chooser{Size: tt.size, Recipes: r}, f, tt.recipe)
			if err != nil || got.Ref != upstream || got.From != tt.from || (len(r.built) > 0) != tt.builds {
				t.Errorf("%+v, built %v, %v", got, r.built, err)
			}
			if tt.says == "" && len(said) > 0 || tt.says != "" && !strings.Contains(strings.Join(said, "\n"), tt.says) {
				t.Errorf("said %q", said)
			}
		})
	}
}

func TestEnsureAddonFails(t *testing.T) {
	f := enginetest.NewFake()
	if _, _, err := ensureAddon(t, image.Chooser{Size: offline, Recipes: &recipes{f: f}}, f, ""); !fault.Is(err, fault.ImageUnavailable) || !strings.Contains(err.Error(), upstream) {
		t.Errorf("no recipe: %v", err)
	}
	broken := &recipes{f: f, fail: errors.New("no compiler")}
	if _, _, err := ensureAddon(t, image.Chooser{Size: offline, Recipes: broken}, f, "web"); !fault.Is(err, fault.ImageUnavailable) || !strings.Contains(err.Error(), "no compiler") {
		t.Errorf("no compiler: %v", err)
	}
}

func TestLoadAddon(t *testing.T) {
	w, list := nodes(t, "dev-control-plane", "dev-worker")
	w.Engine.AddImage(ownBuild("now"), nil)
	images := []image.AddonImage{{Ref: upstream, From: "cove.dev/web:v1"}, {Ref: "example.com/pulled:v1"}}
	load := func() error {
		return event.NewEmitter("run", "", time.Now).Step(t.Context(), "load", "Load", func(ctx context.Context, rep *event.Reporter) error {
			return image.LoadAddon(ctx, w.Engine, list, images, rep)
		})
	}
	for range 2 { // the second time they are there
		if err := load(); err != nil {
			t.Fatal(err)
		}
		for _, n := range list {
			if got := names(t, w, n.Name); !slices.Contains(got, upstream) || slices.Contains(got, "example.com/pulled:v1") {
				t.Errorf("%s has %v", n.Name, got)
			}
		}
	}
}
