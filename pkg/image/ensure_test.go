package image_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image"
)

const version = "v1.36.3"

// said keeps what a step says that people always see.
type said struct{ warnings []string }

func (s *said) Emit(ev event.Event) {
	if ev.Type == event.Warning {
		s.warnings = append(s.warnings, ev.Message)
	}
}

// ensure runs Ensure as a step, and returns what it said.
func ensure(t *testing.T, c image.Chooser, e engine.Engine, name string) (engine.Image, []string, error) {
	t.Helper()
	s := &said{}
	var img engine.Image
	err := event.NewEmitter("run", "", time.Now, s).Step(t.Context(), "image", "Image", func(ctx context.Context, rep *event.Reporter) (err error) {
		img, err = c.Ensure(ctx, e, rep, name, version)
		return err
	})
	return img, s.warnings, err
}

// offline is a registry that does not answer.
func offline(context.Context, string, string) (int64, error) {
	return 0, errors.New("lookup registry: no such host")
}

func online(context.Context, string, string) (int64, error) { return 412_345_678, nil }

// building is a Chooser that builds by adding the image to the fake.
func building(f *enginetest.Fake, size func(context.Context, string, string) (int64, error)) image.Chooser {
	return image.Chooser{Size: size, Build: func(_ context.Context, _ *event.Reporter, v string) (string, error) {
		f.AddImage(engine.Image{Names: []string{"cove-node:" + v}}, nil)
		return "cove-node:" + v, nil
	}}
}

func TestEnsure(t *testing.T) {
	const own, kind = "cove-node:" + version, "kindest/node:" + version
	tests := []struct {
		name     string
		local    []engine.Image
		registry []string
		size     func(context.Context, string, string) (int64, error)
		ask      string
		want     string
		pulls    bool
		says     []string // parts of the only warning; nil: none
	}{
		{name: "own", local: []engine.Image{{Names: []string{own}}, {Names: []string{kind}, Architecture: "amd64", Labels: map[string]string{"x": "y"}}}, size: online, want: own},
		{name: "kind's that is there", local: []engine.Image{{Names: []string{kind}}}, size: online, want: kind, says: []string{"using " + kind, "no " + own}},
		{name: "another architecture's is none", local: []engine.Image{{Names: []string{own}, Architecture: "arm64"}, {Names: []string{kind}}}, size: offline, want: kind, says: []string{"using " + kind}},
		{name: "pulled", registry: []string{kind}, size: online, want: kind, pulls: true, says: []string{"pulling " + kind, "413 MB", "no node image for Kubernetes " + version}},
		{name: "pulled by an engine that alone reaches a registry", registry: []string{kind}, size: offline, want: kind, pulls: true, says: []string{"pulling " + kind, "or more to download"}},
		{name: "built", size: offline, want: own, pulls: true, says: []string{"building " + own + " from source", "no registry gives " + kind, "no node image for Kubernetes " + version}},
		{name: "built where the registry lacks it", size: online, want: own, pulls: true, says: []string{"building " + own}},
		{name: "named and there", local: []engine.Image{{Names: []string{"my/node:1"}}}, size: online, ask: "my/node:1", want: "my/node:1"},
		{name: "named and pulled", registry: []string{"my/node:1"}, size: online, ask: "my/node:1", want: "my/node:1", pulls: true, says: []string{"pulling my/node:1 (413 MB to download)"}},
		{name: "named and pulled, size not known", registry: []string{"my/node:1"}, size: offline, ask: "my/node:1", want: "my/node:1", pulls: true, says: []string{"pulling my/node:1, because"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := enginetest.NewFake()
			for _, img := range tt.local {
				f.AddImage(img, nil)
			}
			for _, name := range tt.registry {
				f.AddRegistryImage(engine.Image{Names: []string{name}})
			}
			img, warnings, err := ensure(t, building(f, tt.size), f, tt.ask)
			if err != nil || len(img.Names) == 0 || img.Names[0] != tt.want {
				t.Fatalf("got %v, %v", img.Names, err)
			}
			if pulls := slices.ContainsFunc(f.Operations(), func(op string) bool { return strings.HasPrefix(op, "PullImage") }); pulls != tt.pulls {
				t.Errorf("operations: %v", f.Operations())
			}
			if tt.says == nil {
				if len(warnings) > 0 {
					t.Errorf("said %q", warnings)
				}
				return
			}
			last := warnings[len(warnings)-1]
			for _, part := range tt.says {
				if !strings.Contains(last, part) {
					t.Errorf("said %q, which lacks %q", warnings, part)
				}
			}
		})
	}
}

func TestEnsureFails(t *testing.T) {
	broken := enginetest.NewFake()
	broken.AddImage(engine.Image{Names: []string{"arm:1"}, Architecture: "arm64"}, nil)
	refuse := image.Chooser{Size: offline, Build: func(context.Context, *event.Reporter, string) (string, error) {
		return "", fault.New(fault.VersionUnknown, "cannot build Kubernetes v9")
	}}
	full := enginetest.NewFake()
	full.FailOn("PullImage kindest/node:"+version, fault.DiskFull, "no space left on device")
	for _, tt := range []struct {
		name  string
		e     *enginetest.Fake
		c     image.Chooser
		ask   string
		code  fault.Code
		parts []string
	}{
		{"unknown name", enginetest.NewFake(), refuse, "no/such:1", fault.ImagePull, []string{"cannot get the node image", "no/such:1"}},
		{"own name that is not there", enginetest.NewFake(), refuse, "cove-node:v1", fault.ImageNotFound, []string{"no registry serves"}},
		{"named for another machine", broken, refuse, "arm:1", fault.ImageBroken, []string{"is for arm64", "amd64"}},
		{"no way", enginetest.NewFake(), refuse, "", fault.VersionUnknown, []string{"no node image for Kubernetes " + version, "cannot build Kubernetes v9", "manifest unknown"}},
		{"no disk", full, refuse, "", fault.DiskFull, []string{"no space left"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := ensure(t, tt.c, tt.e, tt.ask)
			if !fault.Is(err, tt.code) {
				t.Fatalf("got %v", err)
			}
			for _, part := range tt.parts {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
		})
	}
}

// silent is an engine whose registry accepts connections and says nothing.
type silent struct{ *enginetest.Fake }

func (silent) PullImage(ctx context.Context, _ string, _ func(done, total int64)) error {
	<-ctx.Done()
	return ctx.Err()
}

// A registry that does not answer holds nobody up for long.
func TestSilentRegistryCountsAsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := enginetest.NewFake()
		hang := func(ctx context.Context, _, _ string) (int64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		begun := time.Now()
		img, warnings, err := ensure(t, building(f, hang), silent{f}, "")
		if err != nil || img.Names[0] != "cove-node:"+version {
			t.Fatalf("got %v, %v", img.Names, err)
		}
		if took := time.Since(begun); took > 11*time.Second {
			t.Errorf("it took %s", took)
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "no answer") {
			t.Errorf("said %q", warnings)
		}
	})
}

func TestInterruptedPullDoesNotBuild(t *testing.T) {
	f := enginetest.NewFake()
	ctx, cancel := context.WithCancel(t.Context())
	c := image.Chooser{Size: func(context.Context, string, string) (int64, error) { cancel(); return 0, errors.New("x") }}
	if _, err := c.Ensure(ctx, f, nil, "", version); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
