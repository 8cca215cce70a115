package docker

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

var update = flag.Bool("update", false, "write the goldens")

// TestBodyGolden: what the engine is asked for, for each kind of engine.
func TestBodyGolden(t *testing.T) {
	spec := engine.NodeSpec{
		Name: "dev-control-plane", Cluster: "dev", Role: engine.RoleControlPlane, Run: "r1", Image: "cove/node:v1.36.3",
		Labels: map[string]string{"example.com/x": "y"}, Network: "dev", IP: netip.MustParseAddr("172.18.0.2"),
		Hosts:   map[string]netip.Addr{"b": netip.MustParseAddr("172.18.0.4"), "a": netip.MustParseAddr("172.18.0.3")},
		Volumes: []engine.VolumeMount{{Name: "dev-control-plane-var", Target: "/var"}},
		Mounts: []engine.Mount{
			{Source: "/src", Target: "/dst"},
			{Source: "/a", Target: "/b", ReadOnly: true, Propagation: "rslave", SELinuxRelabel: true},
			{Source: `C:\data`, Target: "/c", ReadOnly: true, Propagation: "rshared"},
		},
		Ports: []engine.Port{
			{HostIP: "127.0.0.1", HostPort: 6443, ContainerPort: 6443}, {ContainerPort: 53, Protocol: "UDP"},
			{HostIP: "::1", HostPort: 6443, ContainerPort: 6443, Protocol: "tcp"},
		},
		Env: map[string]string{"B": "2", "A": "1"}, NanoCPUs: 1_500_000_000, Memory: 2 << 30,
	}
	for name, c := range map[string]struct {
		sys        system.Info
		restricted bool
		noModules  bool
	}{
		"privileged": {sys: system.Info{LoggingDriver: "json-file"}},
		"restricted": {sys: system.Info{LoggingDriver: "journald", SecurityOptions: []string{"name=seccomp,profile=default", "name=selinux"}}, restricted: true, noModules: true},
		"remapped":   {sys: system.Info{LoggingDriver: "none", SecurityOptions: []string{"name=userns"}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{}
			e.restricted.Store(c.restricted)
			e.noModules.Store(c.noModules)
			b, err := e.newBody(spec, &c.sys)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(map[string]any{"config": b.config, "host": b.host, "net": b.net}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			file := filepath.Join("testdata", "body-"+name+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs; got\n%s", file, got)
			}
		})
	}
}

func TestBodyRefuses(t *testing.T) {
	for _, spec := range []engine.NodeSpec{
		{Ports: []engine.Port{{HostPort: 80}}},
		{Ports: []engine.Port{{ContainerPort: 80, Protocol: "icmp"}}},
		{Mounts: []engine.Mount{{Source: "/a:b", Target: "/c", SELinuxRelabel: true}}},
	} {
		spec.Name = "dev-a"
		if _, err := (&Engine{}).newBody(spec, &system.Info{}); !fault.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), "dev-a") {
			t.Errorf("%+v: %v", spec, err)
		}
	}
}

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

// archive answers with an archive of what is asked for: a directory with something in it, except for /etc/cove/a.
func archive(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Query().Get("path"))
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

// execServer runs one command, which turns its input into capitals, warns, and ends with status 7: the engine knows that
// only a moment after the streams have ended.
func execServer(t *testing.T) *engineServer {
	t.Helper()
	inspections := 0
	return &engineServer{version: "1.51", handlers: map[string]http.HandlerFunc{
		"POST /containers/dev-a/exec": answer(201, map[string]any{"Id": "x1"}),
		"POST /exec/x1/start": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
			in, _ := io.ReadAll(rw)
			_, _ = stdcopy.NewStdWriter(conn, stdcopy.Stdout).Write(bytes.ToUpper(in))
			_, _ = stdcopy.NewStdWriter(conn, stdcopy.Stderr).Write([]byte("warned"))
		},
		"GET /exec/x1/json": func(w http.ResponseWriter, _ *http.Request) {
			inspections++
			reply(w, 200, map[string]any{"ID": "x1", "Running": inspections < 3, "ExitCode": 7})
		},
	}}
}

// wantExec runs the command of execServer.
func wantExec(t *testing.T, e *Engine) {
	t.Helper()
	var out, errs bytes.Buffer
	err := e.Exec(t.Context(), "dev-a", engine.Command{Args: []string{"up"}, Stdin: strings.NewReader("hello"), Stdout: &out, Stderr: &errs})
	exit := (*engine.ExitError)(nil)
	if !errors.As(err, &exit) || exit.Code != 7 || out.String() != "HELLO" || errs.String() != "warned" {
		t.Errorf("%v, stdout %q, stderr %q", err, &out, &errs)
	}
}

func TestExecHijack(t *testing.T) {
	e, err := serve(t, execServer(t))
	if err != nil {
		t.Fatal(err)
	}
	wantExec(t, e)
}

// TestSSH: the way over ssh, with this test program in ssh's place.
func TestSSH(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: execServer(t)}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "ssh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv(actAsSSH, socket)
	e, err := connect(t.Context(), endpoint{host: "ssh://me@far"})
	if err != nil {
		t.Fatal(err)
	}
	wantExec(t, e)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	t.Setenv(actAsSSH, socket+"x")
	if _, err := connect(t.Context(), endpoint{host: "ssh://me@far"}); !fault.Is(err, fault.EngineUnreachable) || !strings.Contains(err.Error(), "Permission denied (publickey)") {
		t.Errorf("ssh that fails: %v", err)
	}
}

func TestPullProgress(t *testing.T) {
	e := engineWith(t, map[string]http.HandlerFunc{
		"POST /images/create": func(w http.ResponseWriter, r *http.Request) {
			if got := r.URL.Query(); got.Get("fromImage") != "example.com/node" || got.Get("tag") != "1" {
				t.Errorf("asked for %v", got)
			}
			auth, _ := base64.URLEncoding.DecodeString(r.Header.Get("X-Registry-Auth"))
			if !strings.Contains(string(auth), `"username":"me"`) || !strings.Contains(string(auth), `"password":"secret"`) {
				t.Errorf("the credentials are %q", auth)
			}
			stream(`{"status":"Pulling from node","id":"1"}`,
				`{"status":"Downloading","progressDetail":{"current":10,"total":100},"id":"a"}`,
				`{"status":"Downloading","progressDetail":{"current":5,"total":50},"id":"b"}`,
				`{"status":"Download complete","progressDetail":{},"id":"a"}`,
				`{"status":"Extracting","progressDetail":{"current":1,"total":100},"id":"a"}`,
				`{"status":"Already exists","progressDetail":{},"id":"c"}`,
				`{"status":"Pull complete","progressDetail":{},"id":"b"}`,
				`{"status":"Status: Downloaded newer image"}`)(w, r)
		},
	})
	e.keychain = keychain{}
	var said [][2]int64
	if err := e.PullImage(t.Context(), "example.com/node:1", func(done, total int64) { said = append(said, [2]int64{done, total}) }); err != nil {
		t.Fatal(err)
	}
	if want := [][2]int64{{10, 100}, {15, 150}, {105, 150}, {150, 150}}; !slices.Equal(said, want) {
		t.Errorf("told %v, want %v", said, want)
	}
}

type keychain struct{}

func (keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "me", Password: "secret"}, nil
}

// TestStreamsThatFail: a pull or a load fails in the middle, behind an answer that began well.
func TestStreamsThatFail(t *testing.T) {
	e := engineWith(t, map[string]http.HandlerFunc{
		"POST /images/create": stream(`{"status":"Pulling"}`, `{"errorDetail":{"message":"write /x: no space left on device"},"error":"write /x: no space left on device"}`),
		"POST /images/load":   stream(`{"stream":"Loaded image: a:1\n"}`, `{"error":"unexpected EOF"}`),
	})
	if err := e.PullImage(t.Context(), "example.com/node:1", nil); !fault.Is(err, fault.DiskFull) {
		t.Errorf("pull: %v", err)
	}
	if _, err := e.LoadImage(t.Context(), strings.NewReader("")); !fault.Is(err, fault.ImageLoad) || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("load: %v", err)
	}
	e = engineWith(t, map[string]http.HandlerFunc{
		"POST /images/load": stream(`{"stream":"Loaded image: a:1\n"}`, `{"stream":"Loaded image ID: sha256:f00\n"}`),
	})
	if got, err := e.LoadImage(t.Context(), strings.NewReader("")); err != nil || !slices.Equal(got, []string{"a:1", "sha256:f00"}) {
		t.Errorf("load: %q, %v", got, err)
	}
}

// TestSaveFromContainerdStore: there an image of several platforms may have only the engine's.
func TestSaveFromContainerdStore(t *testing.T) {
	var asked []url.Values
	e := engineWith(t, map[string]http.HandlerFunc{
		"GET /info":               answer(200, map[string]any{"OSType": "linux", "Architecture": "aarch64", "DriverStatus": [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}}),
		"GET /images/node:1/json": answer(200, map[string]any{"Id": "sha256:f00"}),
		"GET /images/get": func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.Query())
			if r.URL.Query().Has("platform") {
				refuse(404, "image with reference node:1 was found but does not provide the specified platform")(w, r)
				return
			}
			_, _ = w.Write([]byte("archive"))
		},
	})
	r, err := e.SaveImages(t.Context(), "node:1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); err != nil || string(data) != "archive" {
		t.Errorf("archive %q, %v", data, err)
	}
	if len(asked) != 2 || asked[0].Get("platform") != `{"architecture":"arm64","os":"linux"}` || asked[0].Get("names") != "node:1" {
		t.Errorf("asked for %v", asked)
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

func TestUnixLines(t *testing.T) {
	for _, chunks := range [][]string{{"a\r\nb\r\n"}, {"a\r", "\nb\r\n"}, {"a", "\r", "\n", "b\r\n"}, {"a\r\n", "b\r", "\n"}} {
		var out bytes.Buffer
		u := &unixLines{w: &out}
		for _, c := range chunks {
			if n, err := u.Write([]byte(c)); n != len(c) || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
		}
		if out.String() != "a\nb\n" {
			t.Errorf("%q becomes %q", chunks, &out)
		}
	}
	var out bytes.Buffer
	u := &unixLines{w: &out}
	_, _ = u.Write([]byte("10%\r"))
	_, _ = u.Write([]byte("20%\r\n"))
	if out.String() != "10%\r20%\n" {
		t.Errorf("a lone CR: %q", &out)
	}
}
