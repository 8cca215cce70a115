package docker

import (
	"archive/tar"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// TestRestrictedFallback: an engine that cannot give --privileged tells so at the start. The node is made anew with the
// same address and files, and the engine is remembered.
func TestRestrictedFallback(t *testing.T) {
	for _, message := range []string{
		"OCI runtime create failed: container_linux.go:380: starting container process caused: apply caps: operation not permitted: unknown",
		"failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: unable to apply caps: operation not permitted: unknown",
	} {
		var created map[string]any
		var put []string
		current := aNode(map[string]any{"Privileged": true, "NetworkMode": "dev", "Mounts": []any{map[string]any{"Type": "volume", "Source": "v", "Target": "/var"}}})
		server := &engineServer{version: "1.51"}
		server.handlers = map[string]http.HandlerFunc{
			"GET /containers/dev-a/json":   func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, current) },
			"POST /containers/1234/start":  refuse(400, message),
			"POST /containers/5678/start":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
			"GET /containers/1234/changes": answer(200, []any{change(0, "/etc"), change(1, "/etc/cove"), change(1, "/etc/cove/a"), change(0, "/var"), change(1, "/run/x"), change(2, "/etc/gone"), change(1, "/etc/hosts"), change(1, "/srv/new"), change(0, "/opt")}),
			"GET /containers/1234/archive": archive,
			"DELETE /containers/1234":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
			"PUT /containers/5678/archive": func(_ http.ResponseWriter, r *http.Request) { put = tarNames(t, r.Body) },
			"POST /containers/create": func(w http.ResponseWriter, r *http.Request) {
				_ = json.NewDecoder(r.Body).Decode(&created)
				current = aNode(map[string]any{"Privileged": false})
				current["Id"] = "5678"
				reply(w, 201, map[string]any{"Id": "5678"})
			},
		}
		e, err := serve(t, server)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.StartNode(t.Context(), "dev-a"); err != nil {
			t.Fatal(err)
		}
		host, _ := created["HostConfig"].(map[string]any)
		if host["Privileged"] != false || !slices.Equal(list(host["CapDrop"]), []any{"CAP_SYS_RESOURCE"}) || !slices.Equal(list(host["CapAdd"]), []any{"ALL"}) {
			t.Errorf("the second container is asked for with %v", host)
		}
		if text, _ := json.Marshal(created); !strings.Contains(string(text), `"IPv4Address":"172.18.0.2"`) || !strings.Contains(string(text), `"Source":"v"`) {
			t.Errorf("the second container is %s", text)
		}
		if !slices.Equal(put, []string{"etc/cove/a", "srv/new/"}) {
			t.Errorf("files %q were put into it", put)
		}
		if !e.restricted.Load() {
			t.Error("the engine is not remembered as restricted")
		}
	}
}

func list(v any) []any { l, _ := v.([]any); return l }

func change(kind int, path string) map[string]any { return map[string]any{"Kind": kind, "Path": path} }

// archive answers with an archive of what is asked for: a directory with something in it, except for /etc/cove/a; what is
// called gone is.
func archive(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Query().Get("path"))
	if name == "gone" {
		refuse(404, "Could not find the file /etc/gone in container 1234")(w, r)
		return
	}
	w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString([]byte(`{"name":"`+name+`"}`)))
	a := tar.NewWriter(w)
	if name != "a" {
		_ = a.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
		name += "/inside"
	}
	_ = a.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: 7})
	_, _ = a.Write([]byte("content"))
	_ = a.Close()
}

func tarNames(t *testing.T, r io.Reader) []string {
	t.Helper()
	var names []string
	for a := tar.NewReader(r); ; {
		h, err := a.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Error(err)
			return names
		}
		names = append(names, h.Name)
	}
}

// TestNoModules: a host without /lib/modules is found out once.
func TestNoModules(t *testing.T) {
	var asked []string
	e := engineWith(t, map[string]http.HandlerFunc{
		"GET /containers/dev-a/json": answer(200, aNode(nil)),
		"POST /containers/create": func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			asked = append(asked, string(body))
			if strings.Contains(string(body), modulesPath) {
				refuse(400, "invalid mount config for type \"bind\": bind source path does not exist: /lib/modules")(w, r)
				return
			}
			reply(w, 201, map[string]any{"Id": "1234"})
		},
	})
	for range 2 {
		if _, err := e.CreateNode(t.Context(), engine.NodeSpec{Name: "dev-a", Cluster: "dev", Image: "node:1"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) != 3 {
		t.Errorf("the engine was asked %d times, want 3: once in vain", len(asked))
	}
}

// TestNoModulesAtOnce: nodes that are made together are all told that there are none, and are all made.
func TestNoModulesAtOnce(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	e := engineWith(t, map[string]http.HandlerFunc{
		"GET /containers/dev-a/json": answer(200, aNode(nil)),
		"POST /containers/create": func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.Contains(string(body), modulesPath) {
				both.Done()
				both.Wait()
				refuse(400, "invalid mount config for type \"bind\": bind source path does not exist: /lib/modules")(w, r)
				return
			}
			reply(w, 201, map[string]any{"Id": "1234"})
		},
	})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if _, err := e.CreateNode(t.Context(), engine.NodeSpec{Name: "dev-a", Cluster: "dev", Image: "node:1"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// TestNetworkIsWaitedFor: an interrupt while the engine makes a network does not end before the engine has made it, so that
// who rolls back finds it.
func TestNetworkIsWaitedFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	made := false
	e := engineWith(t, map[string]http.HandlerFunc{
		"GET /networks": answer(200, []any{}),
		"POST /networks/create": func(w http.ResponseWriter, r *http.Request) {
			cancel()
			select {
			case <-r.Context().Done(): // the client has hung up
			case <-time.After(100 * time.Millisecond):
				made = true
			}
			reply(w, 201, map[string]any{"Id": "1234"})
		},
	})
	_, err := e.CreateNetwork(ctx, engine.NetworkSpec{Name: "cove-dev", Cluster: "dev", Run: "r"})
	if err == nil || !made {
		t.Errorf("made: %v, error: %v", made, err)
	}
}

// TestNetworkRace: a picked subnet that somebody else took meanwhile is not tried again, and the MTU is the default one's.
func TestNetworkRace(t *testing.T) {
	var asked []string
	e := engineWith(t, map[string]http.HandlerFunc{
		"GET /networks": answer(200, []any{map[string]any{"Name": "bridge", "Options": map[string]string{mtuOption: "1400"}, "IPAM": map[string]any{"Config": []any{map[string]string{"Subnet": "172.18.0.0/24"}}}}}),
		"POST /networks/create": func(w http.ResponseWriter, r *http.Request) {
			var body struct {
				IPAM struct {
					Config []struct{ Subnet, Gateway string }
				}
				Options map[string]string
			}
			_ = json.NewDecoder(r.Body).Decode(&body)
			asked = append(asked, body.IPAM.Config[0].Subnet)
			if body.Options[mtuOption] != "1400" || !strings.HasSuffix(body.IPAM.Config[0].Gateway, ".1") {
				t.Errorf("asked for %+v", body)
			}
			if len(asked) < 3 {
				refuse(403, "Pool overlaps with other one on this address space")(w, r)
				return
			}
			reply(w, 201, map[string]string{"Id": "n1"})
		},
		"GET /networks/dev": answer(200, map[string]any{"Name": "dev", "Id": "n1", "IPAM": map[string]any{"Config": []any{map[string]string{"Subnet": "172.18.3.0/24", "Gateway": "172.18.3.1"}}}}),
	})
	n, err := e.CreateNetwork(t.Context(), engine.NetworkSpec{Name: "dev", Cluster: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"172.18.1.0/24", "172.18.2.0/24", "172.18.3.0/24"}; !slices.Equal(asked, want) {
		t.Errorf("tried %v, want %v", asked, want)
	}
	if n.Subnet != mustPrefix("172.18.3.0/24") || n.Gateway.String() != "172.18.3.1" {
		t.Errorf("network %+v", n)
	}
}

// TestNetworkOfOthers: a container that others have connected to a network does not keep it, and stays; a node does.
func TestNetworkOfOthers(t *testing.T) {
	for label, want := range map[string]bool{"": true, "dev": false} {
		connected := true
		e := engineWith(t, map[string]http.HandlerFunc{
			"GET /networks":    answer(200, []any{map[string]any{"Name": "cove-dev", "Id": "n1", "Labels": map[string]string{engine.LabelCluster: "dev"}}}),
			"GET /networks/n1": answer(200, map[string]any{"Name": "cove-dev", "Id": "n1", "Containers": map[string]any{"c1": map[string]string{"Name": "registry"}}}),
			"GET /containers/c1/json": answer(200, map[string]any{
				"Id": "c1", "Name": "/registry", "Config": map[string]any{"Labels": map[string]string{engine.LabelCluster: label}},
			}),
			"POST /networks/n1/disconnect": func(w http.ResponseWriter, _ *http.Request) {
				connected = false
				reply(w, 200, nil)
			},
			"DELETE /networks/n1": func(w http.ResponseWriter, r *http.Request) {
				if connected {
					refuse(403, "error while removing network: network cove-dev has active endpoints")(w, r)
					return
				}
				w.WriteHeader(http.StatusNoContent)
			},
		})
		if err := e.RemoveNetwork(t.Context(), "cove-dev"); (err == nil) != want || connected == want {
			t.Errorf("a container with cluster %q: connected: %v, %v", label, connected, err)
		}
	}
}

func TestToNode(t *testing.T) {
	c := aNode(map[string]any{
		"PortBindings": map[string]any{"6443/tcp": []any{map[string]any{"HostIp": "127.0.0.1", "HostPort": ""}}},
		"Mounts":       []any{map[string]any{"Type": "bind", "Source": "/lib/modules", "Target": "/lib/modules"}, map[string]any{"Type": "volume", "Source": "dev-a-var", "Target": "/var"}},
	})
	want := engine.Node{
		ID: "1234", Name: "dev-a", Cluster: "dev", Role: "worker", Run: "r1", State: engine.StateCreated, Image: "node:1",
		Ports:    []engine.Port{{HostIP: "127.0.0.1", ContainerPort: 6443, Protocol: "tcp"}},
		Volumes:  []engine.VolumeMount{{Name: "dev-a-var", Target: "/var"}},
		Labels:   map[string]string{"cove.dev/cluster": "dev", "cove.dev/role": "worker", "cove.dev/run": "r1"},
		Created:  time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC),
		Networks: []engine.Attachment{{Network: "dev"}}, KeptDown: true,
	}
	look := func() engine.Node {
		e := engineWith(t, map[string]http.HandlerFunc{"GET /containers/dev-a/json": answer(200, c)})
		n, err := e.Node(t.Context(), "dev-a")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if got := look(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c["State"] = map[string]any{"Status": "restarting", "ExitCode": 137, "OOMKilled": true}
	c["RestartCount"] = 4
	c["State"].(map[string]any)["StartedAt"] = "2026-01-02T03:04:06.123456789Z"
	c["State"].(map[string]any)["FinishedAt"] = "0001-01-01T00:00:00Z"
	c["HostConfig"].(map[string]any)["NanoCpus"], c["HostConfig"].(map[string]any)["Memory"] = 1_500_000_000, 2<<30
	c["HostConfig"].(map[string]any)["NetworkMode"], c["HostConfig"].(map[string]any)["RestartPolicy"] = "dev", map[string]any{"Name": "always"}
	c["HostConfig"].(map[string]any)["Binds"] = []string{"/src:/dst:ro"}
	c["NetworkSettings"] = map[string]any{
		"Networks": map[string]any{"dev": map[string]any{"IPAddress": "172.18.0.2"}, "another": map[string]any{"IPAddress": "172.19.0.2"}},
		"Ports":    map[string]any{"6443/tcp": []any{map[string]any{"HostIp": "127.0.0.1", "HostPort": "32768"}}, "9/tcp": nil},
	}
	want.State, want.ExitCode, want.Error, want.Restarts = engine.StateRestarting, 137, "killed for want of memory", 4
	want.StartedAt = time.Date(2026, 1, 2, 3, 4, 6, 123_456_789, time.UTC)
	want.NanoCPUs, want.Memory, want.Mounts = 1_500_000_000, 2<<30, []engine.Mount{{Source: "/src", Target: "/dst", ReadOnly: true}}
	want.IP, want.Ports[0].HostPort = netip.MustParseAddr("172.18.0.2"), 32768
	want.Networks = []engine.Attachment{{Network: "another", IP: netip.MustParseAddr("172.19.0.2")}, {Network: "dev", IP: want.IP}}
	want.KeptDown = false
	if got := look(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	c["Name"] = "/dev-another" // found by the beginning of its ID
	e := engineWith(t, map[string]http.HandlerFunc{"GET /containers/dev-a/json": answer(200, c)})
	if _, err := e.Node(t.Context(), "dev-a"); !fault.Is(err, fault.NodeNotFound) {
		t.Errorf("another's container: %v", err)
	}
}

// TestContainerIsWaitedFor: an interrupt while the engine makes a container does not end before the engine has made it, and it
// is removed again.
func TestContainerIsWaitedFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	made, removed := false, false
	e := engineWith(t, map[string]http.HandlerFunc{
		"POST /containers/create": func(w http.ResponseWriter, r *http.Request) {
			cancel()
			select {
			case <-r.Context().Done(): // the client has hung up
			case <-time.After(100 * time.Millisecond):
				made = true
			}
			reply(w, 201, map[string]any{"Id": "1234"})
		},
		"DELETE /containers/1234": func(w http.ResponseWriter, _ *http.Request) {
			removed = true
			w.WriteHeader(http.StatusNoContent)
		},
	})
	_, err := e.CreateNode(ctx, engine.NodeSpec{Name: "dev-worker", Cluster: "dev", Run: "r", Image: "x"})
	if err == nil || !made || !removed {
		t.Errorf("made: %v, removed: %v, error: %v", made, removed, err)
	}
}
