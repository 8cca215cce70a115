package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// object is a JSON object.
type object = map[string]any

// fakeAPI is an API server in memory, over pipes, so that tests run by the clock of testing/synctest.
type fakeAPI struct {
	conns chan net.Conn
	done  chan struct{}

	mu       sync.Mutex
	down     bool // connections are refused
	routes   map[string]http.HandlerFunc
	requests []string // "PATCH /api/v1/namespaces/x?fieldManager=cove", in order
}

// newFakeAPI returns a server and a client of it. Where nothing is said, the server answers 404 as the real one does.
func newFakeAPI(t *testing.T) (*fakeAPI, *Client) {
	t.Helper()
	f := &fakeAPI{conns: make(chan net.Conn), done: make(chan struct{}), routes: map[string]http.HandlerFunc{}}
	srv := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(f) })
	c, err := newClient(&rest.Config{Host: "http://api.test", QPS: -1, Dial: f.dial, WarningHandler: rest.NoWarnings{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		_ = srv.Close()
		wg.Wait()
	})
	return f, c
}

func (f *fakeAPI) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	f.mu.Lock()
	down := f.down
	f.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	here, there := net.Pipe()
	select {
	case f.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *fakeAPI) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *fakeAPI) Close() error {
	select {
	case <-f.done:
	default:
		close(f.done)
	}
	return nil
}

func (f *fakeAPI) Addr() net.Addr { return &net.TCPAddr{} }

func (f *fakeAPI) setDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

// on says what the server does at a path ("/api/v1/nodes"), for a method there ("PATCH /api/v1/nodes/x"), or for all that is right
// below ("/api/v1/nodes/").
func (f *fakeAPI) on(route string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.routes[route] = h
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.String())
	h := f.routes[r.Method+" "+r.URL.Path]
	if h == nil {
		h = f.routes[r.URL.Path]
	}
	if h == nil {
		h = f.routes[path.Dir(r.URL.Path)+"/"]
	}
	f.mu.Unlock()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h(w, r)
}

// seen returns the requests whose text has the part.
func (f *fakeAPI) seen(part string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.requests), func(r string) bool { return !strings.Contains(r, part) })
}

// answer writes a JSON body.
func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// refuse answers with a Status.
func refuse(code int, reason, message string, details object) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answer(w, code, object{"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "details": details})
	}
}

// echo answers an apply with what was applied.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// times answers with h for the first n requests, then with then.
func times(n int, h, then http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now := h
		if n--; n < 0 {
			now = then
		}
		mu.Unlock()
		now(w, r)
	}
}

// store serves a resource: lists and watches with versions.
type store struct {
	apiVersion, kind string

	mu      sync.Mutex
	items   map[string]object
	version int
	log     []logged
	oldest  int           // watches from before this version are refused
	changed chan struct{} // closed at each change
	cut     chan struct{} // closed to end the watches
	lists   int
	selects bool // lists are by namespace, labels and fields
	grace   int  // for how many seconds what is deleted is still there, unless who deletes it says so
	dead    bool // what is deleted with grace stays
}

type logged struct {
	version int
	event   object
}

func newStore(apiVersion, kind string) *store {
	return &store{apiVersion: apiVersion, kind: kind, items: map[string]object{}, version: 1, changed: make(chan struct{}), cut: make(chan struct{})}
}

// named returns an object of the store's kind with the fields of more.
func (s *store) named(name string, more object) object {
	o := object{"apiVersion": s.apiVersion, "kind": s.kind, "metadata": object{"name": name, "namespace": "mine", "generation": 2}}
	for k, v := range more {
		o[k] = v
	}
	return o
}

func (s *store) put(o object) { s.change("MODIFIED", o) }

func (s *store) remove(name string) {
	if o := s.find("", name); o != nil {
		s.change("DELETED", o)
	}
}

func (s *store) change(kind string, o object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	raw, _ := json.Marshal(o)
	o = object{} // a copy: each event has its own version
	_ = json.Unmarshal(raw, &o)
	meta, _ := o["metadata"].(object)
	name := fmt.Sprint(meta["namespace"], "/", meta["name"])
	meta["resourceVersion"] = strconv.Itoa(s.version)
	if kind == "DELETED" {
		delete(s.items, name)
	} else {
		s.items[name] = o
	}
	s.log = append(s.log, logged{s.version, object{"type": kind, "object": o}})
	close(s.changed)
	s.changed = make(chan struct{})
}

// forget ends all watches, and what has happened until now cannot be watched any more.
func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.oldest = s.version
	close(s.cut)
	s.cut = make(chan struct{})
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") != "true" {
		s.list(w, r)
		return
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	s.mu.Lock()
	cut, gone := s.cut, from < s.oldest
	s.mu.Unlock()
	if gone {
		refuse(http.StatusGone, "Expired", "too old resource version", nil)(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		s.mu.Lock()
		news, changed := slices.Clone(s.log), s.changed
		s.mu.Unlock()
		for _, l := range news {
			if l.version > from {
				from = l.version
				_ = json.NewEncoder(w).Encode(l.event)
			}
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *store) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	items := []object{}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for k := range s.items {
			if !yield(k) {
				return
			}
		}
	}) {
		if !s.selects || selected(s.items[name], r) {
			items = append(items, s.items[name])
		}
	}
	answer(w, http.StatusOK, object{
		"apiVersion": s.apiVersion, "kind": s.kind + "List",
		"metadata": object{"resourceVersion": strconv.Itoa(s.version)}, "items": items,
	})
}

// reports gathers what a wait reports, each thing once.
type reports struct {
	mu   sync.Mutex
	said []string
}

func (r *reports) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.said) == 0 || r.said[len(r.said)-1] != s {
		r.said = append(r.said, s)
	}
}

func (r *reports) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.said, "\n")
}

// within returns a context of the test that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

var errStop = errors.New("stop")

// interrupted returns a context that is cancelled with errStop after a second.
func interrupted(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(time.Second, func() { cancel(errStop) })
	t.Cleanup(func() { cancel(nil) })
	return ctx
}

// wantParts checks that the text has all the parts.
func wantParts(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q lacks %q", text, p)
		}
	}
}

// mustDecode reads a manifest that is right.
func mustDecode(t *testing.T, format string, args ...any) []*unstructured.Unstructured {
	t.Helper()
	objs, err := Decode(fmt.Appendf(nil, format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return objs
}
