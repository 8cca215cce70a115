package docker

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types"
)

// withoutCancel is the test's context for its clean-up, when it has ended.
func withoutCancel(t *testing.T) context.Context {
	t.Helper()
	return context.WithoutCancel(t.Context())
}

// engineServer answers as an engine: what handlers has for "METHOD /path", without the API version.
type engineServer struct {
	version  string // of the API
	osType   string
	handlers map[string]http.HandlerFunc

	mu    sync.Mutex
	asked []string
}

// serve starts the server and connects to it.
func serve(t *testing.T, s *engineServer) (*Engine, error) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return connect(t.Context(), endpoint{host: "tcp://" + server.Listener.Addr().String()})
}

// engineWith is an engine of API 1.51 with handlers.
func engineWith(t *testing.T, handlers map[string]http.HandlerFunc) *Engine {
	t.Helper()
	e, err := serve(t, &engineServer{version: "1.51", handlers: handlers})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *engineServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := regexp.MustCompile(`^/v1\.\d+`).ReplaceAllString(r.URL.Path, "")
	key := r.Method + " " + path
	s.mu.Lock()
	s.asked = append(s.asked, key)
	s.mu.Unlock()
	if path == "/_ping" {
		w.Header().Set("Api-Version", s.version)
		w.Header().Set("Ostype", s.osType)
		return
	}
	if h, ok := s.handlers[key]; ok {
		h(w, r)
		return
	}
	if key == "GET /info" {
		reply(w, http.StatusOK, map[string]any{"OSType": "linux", "LoggingDriver": "json-file", "Architecture": "x86_64"})
		return
	}
	refuse(http.StatusNotFound, "page not found: "+key)(w, r)
}

// refuse answers with an error as engines do.
func refuse(status int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		reply(w, status, types.ErrorResponse{Message: message})
	}
}

// answer answers with a value.
func answer(status int, value any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { reply(w, status, value) }
}

// stream answers with lines of JSON, as pulls and loads do.
func stream(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(strings.Join(lines, "\r\n")))
	}
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// aNode is how an engine tells of a node's container that was created.
func aNode(host map[string]any) map[string]any {
	return map[string]any{
		"Id": "1234", "Name": "/dev-a", "Created": "2026-01-02T03:04:05.6Z",
		"State":           map[string]any{"Status": "created", "Error": "", "ExitCode": 0},
		"Config":          map[string]any{"Image": "node:1", "Hostname": "dev-a", "Labels": map[string]string{"cove.dev/cluster": "dev", "cove.dev/role": "worker", "cove.dev/run": "r1"}},
		"HostConfig":      host,
		"NetworkSettings": map[string]any{"Networks": map[string]any{"dev": map[string]any{"IPAMConfig": map[string]any{"IPv4Address": "172.18.0.2"}}}},
	}
}
