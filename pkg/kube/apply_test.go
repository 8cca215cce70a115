package kube

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cove-k8s/cove/pkg/fault"
)

const demo = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: mine, managedFields: [{manager: x}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: mine}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: web, namespace: ignored}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
---
apiVersion: v1
kind: Namespace
metadata: {name: mine}
`

func TestApplyInWaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		var mu sync.Mutex
		bodies := map[string]object{}
		took := map[string]time.Duration{}
		begun := time.Now()
		for _, path := range []string{
			"/api/v1/namespaces/mine", "/api/v1/namespaces/mine/serviceaccounts/web", "/api/v1/namespaces/default/configmaps/web",
			"/apis/rbac.authorization.k8s.io/v1/clusterroles/web", "/apis/apps/v1/namespaces/mine/deployments/web",
		} {
			f.on("PATCH "+path, func(w http.ResponseWriter, r *http.Request) {
				_ = pause(r.Context(), time.Second) // each takes a second
				raw, _ := io.ReadAll(r.Body)
				mu.Lock()
				var body object
				if err := json.Unmarshal(raw, &body); err != nil {
					t.Error(err)
				}
				bodies[path], took[path] = body, time.Since(begun)
				mu.Unlock()
				if got := r.Header.Get("Content-Type"); got != "application/apply-patch+yaml" {
					t.Errorf("%s: content type %s", path, got)
				}
				if q := r.URL.Query(); q.Get("fieldManager") != "cove" || q.Get("force") != "true" {
					t.Errorf("%s: query %s", path, r.URL.RawQuery)
				}
				answer(w, http.StatusOK, body)
			})
		}
		if _, err := c.Apply(t.Context(), mustDecode(t, demo)); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]time.Duration{
			"/api/v1/namespaces/mine":                             time.Second,
			"/api/v1/namespaces/mine/serviceaccounts/web":         2 * time.Second,
			"/api/v1/namespaces/default/configmaps/web":           2 * time.Second,
			"/apis/rbac.authorization.k8s.io/v1/clusterroles/web": 2 * time.Second,
			"/apis/apps/v1/namespaces/mine/deployments/web":       3 * time.Second,
		} {
			if took[path] != want {
				t.Errorf("%s was applied after %s; want %s", path, took[path], want)
			}
		}
		meta, _ := bodies["/apis/apps/v1/namespaces/mine/deployments/web"]["metadata"].(object)
		if _, has := meta["managedFields"]; has {
			t.Error("managedFields are sent, which the server refuses")
		}
	})
}

func TestApplyTriesAgain(t *testing.T) {
	const path = "/api/v1/namespaces/default/configmaps/x"
	for name, first := range map[string]http.HandlerFunc{
		"unavailable":         refuse(503, "ServiceUnavailable", "apiserver not ready", nil),
		"too many":            refuse(429, "TooManyRequests", "slow down", nil),
		"timeout":             refuse(504, "Timeout", "request timed out", nil),
		"webhook":             refuse(500, "InternalError", "failed calling webhook", nil),
		"unknown":             refuse(500, "", "etcdserver: leader changed", nil),
		"conflict":            refuse(409, "Conflict", "the object has been modified", nil),
		"admission":           refuse(403, "Forbidden", "configmaps is forbidden: not yet ready to handle request", nil),
		"service account":     refuse(403, "Forbidden", `error looking up service account default/x: serviceaccount "x" not found`, nil),
		"namespace is late":   refuse(404, "NotFound", `namespaces "default" not found`, object{"kind": "namespaces", "name": "default"}),
		"namespace is ending": refuse(403, "Forbidden", "unable to create new content", object{"causes": []object{{"reason": "NamespaceTerminating"}}}),
		"broken connection": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				f.on("PATCH "+path, times(4, first, echo))
				begun := time.Now()
				if _, err := c.Apply(within(t, time.Minute), mustDecode(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}")); err != nil {
					t.Fatal(err)
				}
				if got := len(f.seen(path)); got != 5 {
					t.Errorf("%d requests", got)
				}
				if took := time.Since(begun); took < 15*applyFirst || took > 15*applyFirst+5*time.Second { // client-go obeys a 429 by itself, by the second
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestApplyRefused(t *testing.T) {
	const path = "/api/v1/namespaces/default/configmaps/x"
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		after  time.Duration
		want   string
	}{
		"invalid":          {refuse(422, "Invalid", `ConfigMap "x" is invalid: data`, nil), 0, `configmap default/x: ConfigMap "x" is invalid: data`},
		"forbidden":        {refuse(403, "Forbidden", "exceeded quota: q", nil), 0, "exceeded quota"},
		"bad request":      {refuse(400, "BadRequest", "strict decoding", nil), 0, "strict decoding"},
		"type":             {refuse(500, "", "failed to create typed patch object (/x): .data.a: expected string", nil), 0, "expected string"},
		"unauthorized":     {refuse(401, "Unauthorized", "Unauthorized", nil), 0, "Unauthorized"},
		"unknown for ever": {refuse(500, "", "something broke", nil), patienceUnknown, "something broke"},
		"no namespace":     {refuse(404, "NotFound", `namespaces "default" not found`, object{"kind": "namespaces", "name": "default"}), patienceMissing, "not found"},
		"no such version":  {http.NotFound, 0, "could not find the requested resource"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				f.on("PATCH "+path, tt.answer)
				begun := time.Now()
				_, err := c.Apply(within(t, time.Hour), mustDecode(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: default}}"))
				if !fault.Is(err, fault.KubernetesRefused) {
					t.Fatalf("got %v", err)
				}
				wantParts(t, err.Error(), "cannot apply configmap default/x: ", tt.want)
				if took := time.Since(begun); took < tt.after || took > tt.after+applyLongest {
					t.Errorf("took %s; want %s", took, tt.after)
				}
			})
		})
	}
}

func TestApplyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		objs := mustDecode(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}")
		f.on("PATCH /api/v1/namespaces/default/configmaps/x", refuse(503, "ServiceUnavailable", "starting", nil))
		_, err := c.Apply(within(t, 10*time.Second), objs)
		if !fault.Is(err, fault.KubernetesRefused) || err.Error() != "cannot apply configmap x in time: starting" {
			t.Errorf("got %v", err)
		}
		f.setDown(true)
		c.Close()
		_, err = c.Apply(within(t, 10*time.Second), objs)
		if !fault.Is(err, fault.APITimeout) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v", err)
		}
		if _, err = c.Apply(interrupted(t), objs); !errors.Is(err, errStop) {
			t.Errorf("got %v", err)
		}
	})
}

// A refused object stops its siblings, which would be tried for ever.
func TestApplyStopsSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		f.on("PATCH /api/v1/namespaces/default/configmaps/busy", refuse(503, "ServiceUnavailable", "starting", nil))
		f.on("PATCH /api/v1/namespaces/default/configmaps/bad", refuse(422, "Invalid", "it is bad", nil))
		_, err := c.Apply(within(t, time.Hour), mustDecode(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: busy}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: bad}}"))
		if !fault.Is(err, fault.KubernetesRefused) || !strings.Contains(err.Error(), "configmap bad: it is bad") {
			t.Errorf("got %v", err)
		}
	})
}

// Other kinds are looked up, as often as they are not there; and a kind that is known but not served yet is waited for.
func TestApplyCustomResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		known := func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, object{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.com/v1", "resources": []object{
				{"name": "things/status", "namespaced": true, "kind": "Thing", "verbs": []string{"get"}},
				{"name": "things", "namespaced": true, "kind": "Thing", "verbs": []string{"get"}},
				{"name": "worlds", "namespaced": false, "kind": "World", "verbs": []string{"get"}},
			}})
		}
		f.on("/apis/example.com/v1", times(3, http.NotFound, known))
		f.on("PATCH /apis/example.com/v1/namespaces/default/things/a", times(2, http.NotFound, echo))
		f.on("PATCH /apis/example.com/v1/namespaces/default/things/b", echo)
		f.on("PATCH /apis/example.com/v1/worlds/c", echo)
		for _, o := range []string{"{kind: Thing, apiVersion: example.com/v1, metadata: {name: a}}", "{kind: Thing, apiVersion: example.com/v1, metadata: {name: b}}", "{kind: World, apiVersion: example.com/v1, metadata: {name: c}}"} {
			if _, err := c.Apply(within(t, time.Minute), mustDecode(t, "%s", o)); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(f.seen("GET /apis/example.com/v1")); got != 5 { // three in vain, one for each kind
			t.Errorf("%d look-ups", got)
		}
		begun := time.Now()
		_, err := c.Apply(within(t, time.Hour), mustDecode(t, "{kind: Other, apiVersion: example.com/v1, metadata: {name: a}}"))
		if !fault.Is(err, fault.KubernetesRefused) || !strings.Contains(err.Error(), "the API server knows no kind Other in example.com/v1") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took < patienceMissing || took > patienceMissing+applyLongest {
			t.Errorf("took %s", took)
		}
	})
}

// Every kind that an API server of Kubernetes 1.36 with all of its stable APIs lists is guessed as it is.
func TestKindsAreKnown(t *testing.T) {
	_, c := newFakeAPI(t)
	list, err := os.Open("testdata/kinds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	lines := 0
	for scanner := bufio.NewScanner(list); scanner.Scan(); lines++ {
		part := strings.Fields(scanner.Text())
		gv, err := schema.ParseGroupVersion(part[0])
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.resourceOf(gv.WithKind(part[1]))
		if err != nil || got.Resource != part[2] || got.namespaced != (part[3] == "true") {
			t.Errorf("%s: %+v, %v", scanner.Text(), got, err)
		}
	}
	if lines < 60 {
		t.Errorf("only %d kinds", lines)
	}
}

func TestPatience(t *testing.T) {
	if got := patience(apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, "x")); got != 0 {
		t.Errorf("an object that is not there: %s", got)
	}
	if got := patience(&apierrors.StatusError{ErrStatus: metav1.Status{Code: 418}}); got != 0 {
		t.Errorf("a status without a reason: %s", got)
	}
}

func TestDecode(t *testing.T) {
	objs, err := Decode([]byte("# a comment\n---\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {n: \"1\"}\n---\n" +
		"{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"b\"}, \"spec\": {\"ports\": [{\"port\": 53}]}}\n---\n" +
		"apiVersion: v1\nkind: ConfigMapList\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: d}}\n---\n# the end\n"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range objs {
		names = append(names, title(o))
	}
	if got := strings.Join(names, ", "); got != "configmap a, service b, configmap c, configmap d" {
		t.Errorf("got %s", got)
	}
	ports, _, _ := unstructured.NestedSlice(objs[1].Object, "spec", "ports")
	if port, ok := ports[0].(object)["port"].(int64); !ok || port != 53 {
		t.Errorf("the port is %T", ports[0].(object)["port"])
	}
	if objs, err := Decode(nil); err != nil || len(objs) != 0 {
		t.Errorf("nothing: %v, %v", objs, err)
	}
	for manifest, want := range map[string]string{
		"a: 1\n---\nb: [": "document 1", "apiVersion: v1\nkind: A\nmetadata: {name: x}\n---\nb: [": "document 2",
		"apiVersion: v1\nmetadata: {name: x}": "Kind", "kind: A\nmetadata: {name: x}": "apiVersion of the A", "apiVersion: v1\nkind: A": "metadata.name of the A",
		"kind: List\napiVersion: v1\nitems: [{kind: A, apiVersion: v1}]": "item 1: metadata.name",
		"just text": "document 1",
	} {
		if _, err := Decode([]byte(manifest)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", manifest, err)
		}
	}
}
