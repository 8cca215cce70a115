package docker

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// aPausable is an engine with one node, which can be paused and resumed. Its first answer to a change is refused with the
// message, if there is one; then it has happened all the same where another did it.
type aPausable struct {
	state   string
	refusal string
	another bool // somebody else does it at the same time
	changes []string
}

func (p *aPausable) engine(t *testing.T) *Engine {
	t.Helper()
	to := func(verb, state string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			p.changes = append(p.changes, verb)
			if p.refusal == "" || p.another {
				p.state = state
			}
			if p.refusal != "" {
				refuse(http.StatusInternalServerError, p.refusal)(w, nil)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}
	return engineWith(t, map[string]http.HandlerFunc{
		"GET /containers/dev-a/json": func(w http.ResponseWriter, _ *http.Request) {
			c := aNode(nil)
			c["State"] = map[string]any{"Status": p.state, "Paused": p.state == "paused", "Running": p.state == "running" || p.state == "paused"}
			reply(w, http.StatusOK, c)
		},
		"POST /containers/1234/pause":   to("pause", "paused"),
		"POST /containers/1234/unpause": to("unpause", "running"),
		"POST /containers/dev-a/stop":   to("stop", "exited"),
	})
}

func TestPauseAndResume(t *testing.T) {
	pause, resume := (*Engine).PauseNode, (*Engine).ResumeNode
	stop := func(e *Engine, ctx context.Context, name string) error { return e.StopNode(ctx, name, time.Second) }
	for name, c := range map[string]struct {
		do      func(*Engine, context.Context, string) error
		engine  aPausable
		changes []string
		code    fault.Code
	}{
		"pause":                     {pause, aPausable{state: "running"}, []string{"pause"}, ""},
		"pause what is paused":      {pause, aPausable{state: "paused"}, nil, ""},
		"pause what is stopped":     {pause, aPausable{state: "exited", refusal: "Container 1234 is not running"}, []string{"pause"}, fault.ClusterNotRunning},
		"two pause at once":         {pause, aPausable{state: "running", refusal: "Container 1234 is already paused", another: true}, []string{"pause"}, ""},
		"the engine cannot":         {pause, aPausable{state: "running", refusal: "freezer cgroup is not there"}, []string{"pause"}, fault.EngineFailed},
		"resume":                    {resume, aPausable{state: "paused"}, []string{"unpause"}, ""},
		"resume what runs":          {resume, aPausable{state: "running"}, nil, ""},
		"resume what is stopped":    {resume, aPausable{state: "exited"}, nil, ""},
		"two resume at once":        {resume, aPausable{state: "paused", refusal: "Container 1234 is not paused", another: true}, []string{"unpause"}, ""},
		"stop":                      {stop, aPausable{state: "running"}, []string{"stop"}, ""},
		"stop what is paused":       {stop, aPausable{state: "paused"}, []string{"unpause", "stop"}, ""},
		"stop what does not resume": {stop, aPausable{state: "paused", refusal: "no"}, []string{"unpause"}, fault.EngineFailed},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.do(c.engine.engine(t), t.Context(), "dev-a")
			if (err != nil || c.code != "") && !fault.Is(err, c.code) {
				t.Errorf("got %v; want %q", err, c.code)
			}
			if !slices.Equal(c.engine.changes, c.changes) {
				t.Errorf("asked to %q; want %q", c.engine.changes, c.changes)
			}
		})
	}
}

// TestKeepDown: the restart policy is changed where it is another one, and nothing but it.
func TestKeepDown(t *testing.T) {
	for _, c := range []struct {
		have string
		down bool
		want string
	}{
		{"always", true, "no"}, {"no", true, ""}, {"", true, ""}, {"unless-stopped", true, "no"},
		{"always", false, ""}, {"no", false, "always"}, {"", false, "always"},
	} {
		got := ""
		e := engineWith(t, map[string]http.HandlerFunc{
			"GET /containers/dev-a/json": answer(http.StatusOK, aNode(map[string]any{"RestartPolicy": map[string]any{"Name": c.have}, "Memory": 1 << 30, "NanoCpus": 5})),
			"POST /containers/1234/update": func(w http.ResponseWriter, r *http.Request) {
				var body map[string]any
				_ = json.NewDecoder(r.Body).Decode(&body)
				policy, _ := body["RestartPolicy"].(map[string]any)
				got, _ = policy["Name"].(string)
				if body["Memory"] != 0.0 || body["NanoCpus"] != 0.0 {
					t.Errorf("limits are to change: %v", body)
				}
				reply(w, http.StatusOK, map[string]any{})
			},
		})
		if err := e.KeepDown(t.Context(), "dev-a", c.down); err != nil || got != c.want {
			t.Errorf("%q, down %v: changed to %q, %v; want %q", c.have, c.down, got, err, c.want)
		}
	}
	e := engineWith(t, map[string]http.HandlerFunc{
		"GET /containers/dev-a/json":   answer(http.StatusOK, aNode(nil)),
		"POST /containers/1234/update": refuse(http.StatusConflict, "Container is marked for removal and cannot be \"update\""),
	})
	if err := e.KeepDown(t.Context(), "dev-a", true); !fault.Is(err, fault.EngineFailed) || !strings.Contains(err.Error(), "cannot change the restart policy of node dev-a") {
		t.Errorf("got %v", err)
	}
}

// TestNoSwapFallback: an engine that takes its host for one that accounts swap learns at the start that it does not. The
// container is made anew without the limit, and without privileges that it did not have.
func TestNoSwapFallback(t *testing.T) {
	const message = "OCI runtime create failed: container_linux.go:380: starting container process caused: process_linux.go:545: container init caused: " +
		"process_linux.go:508: setting cgroup config for procHooks process caused: open /sys/fs/cgroup/docker/1234/memory.swap.max: no such file or directory: unknown"
	for name, privileged := range map[string]bool{"a node": true, "a load balancer": false} {
		t.Run(name, func(t *testing.T) {
			var created map[string]any
			current := aNode(map[string]any{"Privileged": privileged, "Memory": 64 << 20, "MemorySwap": 64 << 20})
			e := engineWith(t, map[string]http.HandlerFunc{
				"GET /info":                    answer(http.StatusOK, map[string]any{"OSType": "linux", "SwapLimit": true}),
				"GET /containers/dev-a/json":   func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, current) },
				"POST /containers/1234/start":  refuse(http.StatusInternalServerError, message),
				"POST /containers/5678/start":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
				"GET /containers/1234/changes": answer(http.StatusOK, []any{}),
				"PUT /containers/5678/archive": func(http.ResponseWriter, *http.Request) {},
				"DELETE /containers/1234":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
				"POST /containers/create": func(w http.ResponseWriter, r *http.Request) {
					created = nil
					_ = json.NewDecoder(r.Body).Decode(&created)
					current = aNode(map[string]any{})
					current["Id"] = "5678"
					reply(w, http.StatusCreated, map[string]any{"Id": "5678"})
				},
			})
			if err := e.StartNode(t.Context(), "dev-a"); err != nil {
				t.Fatal(err)
			}
			host, _ := created["HostConfig"].(map[string]any)
			if host["MemorySwap"] != -1.0 || host["Memory"] != float64(64<<20) || host["Privileged"] != privileged || host["CapAdd"] != nil {
				t.Errorf("the second container is asked for with %v", host)
			}
			if _, err := e.CreateNode(t.Context(), engine.NodeSpec{Name: "dev-a", Cluster: "dev", Image: "node:1", Memory: 1 << 30}); err != nil {
				t.Fatal(err)
			}
			if host, _ = created["HostConfig"].(map[string]any); host["MemorySwap"] != -1.0 {
				t.Errorf("the next one is asked for with %v", host)
			}
		})
	}
}

// TestVolumeLabels: a volume has the labels that are asked for, and cove's own whatever is asked for.
func TestVolumeLabels(t *testing.T) {
	var labels map[string]string
	e := engineWith(t, map[string]http.HandlerFunc{
		"GET /containers/dev-a/json": answer(http.StatusOK, aNode(nil)),
		"POST /containers/create":    answer(http.StatusCreated, map[string]any{"Id": "1234"}),
		"POST /volumes/create": func(w http.ResponseWriter, r *http.Request) {
			var body struct{ Labels map[string]string }
			_ = json.NewDecoder(r.Body).Decode(&body)
			labels = body.Labels
			reply(w, http.StatusCreated, map[string]any{"Name": "v"})
		},
	})
	spec := engine.NodeSpec{
		Name: "dev-a", Cluster: "dev", Run: "r1", Image: "node:1", Volumes: []engine.VolumeMount{{Name: "v", Target: "/var"}},
		VolumeLabels: map[string]string{"cove.dev/place": "2/3", engine.LabelCluster: "another"},
	}
	if _, err := e.CreateNode(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"cove.dev/place": "2/3", engine.LabelCluster: "dev", engine.LabelRun: "r1", engine.LabelNode: "dev-a"}
	if !maps.Equal(labels, want) || spec.VolumeLabels[engine.LabelCluster] != "another" {
		t.Errorf("got %v; want %v; the spec's are %v", labels, want, spec.VolumeLabels)
	}
}
