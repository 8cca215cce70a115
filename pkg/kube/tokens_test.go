package kube

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cove-k8s/cove/pkg/fault"
)

const aToken = "abcdef.0123456789abcdef"

func newSecrets(f *fakeAPI) *store {
	return newStore("v1", "Secret").serve(f, "/api/v1/namespaces/kube-system/secrets")
}

func TestBootstrapToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		secrets := newSecrets(f)
		for range 2 { // the second time renews it
			if err := c.CreateBootstrapToken(within(t, time.Minute), aToken, 2*time.Hour); err != nil {
				t.Fatal(err)
			}
			got := secrets.find("kube-system", "bootstrap-token-abcdef")
			want := object{
				"token-id": "abcdef", "token-secret": "0123456789abcdef", "expiration": time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339),
				"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
				"auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token", "description": "cove adds nodes with it",
			}
			if !reflect.DeepEqual(got["stringData"], want) || got["type"] != "bootstrap.kubernetes.io/token" {
				t.Errorf("got %v of type %v", got["stringData"], got["type"])
			}
			time.Sleep(time.Minute)
		}
		for range 2 { // the second time it is gone
			if err := c.DeleteBootstrapToken(within(t, time.Minute), aToken); err != nil {
				t.Error(err)
			}
		}
		if o := secrets.find("", "bootstrap-token-abcdef"); o != nil {
			t.Errorf("left: %v", o)
		}
	})
}

func TestBootstrapTokenForm(t *testing.T) {
	for _, bad := range []string{
		"", ".", "abcdef", "abcdef.", "abcdef.0123456789abcde", "abcdef.0123456789abcdeff", "abcde.0123456789abcdef",
		"ABCDEF.0123456789abcdef", "abcdef.0123456789abcdeF", "abcdef-0123456789abcdef", "abcdef.0123456789abcdef\n",
		"x abcdef.0123456789abcdef", "../../.0123456789abcdef",
	} {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFakeAPI(t)
			newSecrets(f)
			for _, err := range []error{c.CreateBootstrapToken(within(t, time.Minute), bad, time.Hour), c.DeleteBootstrapToken(within(t, time.Minute), bad)} {
				if !fault.Is(err, fault.Internal) || strings.Contains(err.Error(), "0123456789") {
					t.Errorf("%q: got %v", bad, err)
				}
			}
			if got := f.seen(""); len(got) > 0 {
				t.Errorf("%q: asked %q", bad, got)
			}
		})
	}
}

func TestBootstrapTokenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		f.on("/api/v1/namespaces/kube-system/secrets", refuse(http.StatusForbidden, "Forbidden", "no", nil))
		f.on("/api/v1/namespaces/kube-system/secrets/", refuse(http.StatusForbidden, "Forbidden", "no", nil))
		err := c.CreateBootstrapToken(within(t, time.Minute), aToken, time.Hour)
		if !fault.Is(err, fault.KubernetesRefused) || err.Error() != "cannot make a bootstrap token: no" {
			t.Errorf("got %v", err)
		}
		err = c.DeleteBootstrapToken(within(t, time.Minute), aToken)
		if !fault.Is(err, fault.KubernetesRefused) || err.Error() != "cannot remove a bootstrap token: no" {
			t.Errorf("got %v", err)
		}
	})
}

func newConfigMaps(f *fakeAPI, data object) *store {
	s := newStore("v1", "ConfigMap").serve(f, "/api/v1/namespaces/mine/configmaps")
	s.put(s.named("settings", object{"data": data}))
	return s
}

func TestPatchConfigMap(t *testing.T) {
	for name, had := range map[string]object{"with data": {"a": "1", "old": "x"}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				maps := newConfigMaps(f, had)
				// Somebody else writes in between, once; what they wrote stays.
				f.on("GET /api/v1/namespaces/mine/configmaps/settings", times(1, func(w http.ResponseWriter, r *http.Request) {
					maps.one(w, r)
					maps.put(maps.named("settings", object{"data": object{"a": "2", "old": "x", "theirs": "y"}}))
				}, maps.one))
				calls := 0
				err := c.PatchConfigMap(within(t, time.Minute), "mine", "settings", func(data map[string]string) error {
					calls++
					data["a"] += "!"
					delete(data, "old")
					return nil
				})
				got := maps.find("mine", "settings")["data"]
				if err != nil || calls != 2 || !reflect.DeepEqual(got, object{"a": "2!", "theirs": "y"}) {
					t.Errorf("got %v, %v after %d calls", got, err, calls)
				}
			})
		})
	}
}

// An error of change's own is no reason to wait: it comes back at once, as it is, and nothing is written.
func TestPatchConfigMapChangeFails(t *testing.T) {
	for _, own := range []error{errStop, fault.New(fault.FileUnwritable, "no room")} {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFakeAPI(t)
			newConfigMaps(f, nil)
			begun, calls := time.Now(), 0
			err := c.PatchConfigMap(within(t, time.Minute), "mine", "settings", func(map[string]string) error { calls++; return own })
			if !errors.Is(err, own) || fault.CodeOf(err) != fault.CodeOf(own) || err.Error() != own.Error() {
				t.Errorf("got %v", err)
			}
			if took := time.Since(begun); took != 0 || calls != 1 || len(f.seen("PUT")) > 0 {
				t.Errorf("took %s, %d calls, wrote %q", took, calls, f.seen("PUT"))
			}
		})
	}
}

func TestPatchConfigMapMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		newConfigMaps(f, nil)
		begun := time.Now()
		err := c.PatchConfigMap(within(t, time.Minute), "mine", "other", func(map[string]string) error { t.Error("called"); return nil })
		if !fault.Is(err, fault.KubernetesRefused) {
			t.Errorf("got %v", err)
		}
		wantParts(t, err.Error(), "cannot change ConfigMap mine/other: ", "not found")
		if took := time.Since(begun); took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

// What change leaves as it is, is not written.
func TestPatchConfigMapUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		newConfigMaps(f, object{"a": "1"})
		same := func(data map[string]string) error { data["a"] = "1"; return nil }
		if err := c.PatchConfigMap(within(t, time.Minute), "mine", "settings", same); err != nil || len(f.seen("PUT")) > 0 {
			t.Errorf("got %v, wrote %q", err, f.seen("PUT"))
		}
	})
}
