package docker

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/cove-k8s/cove/pkg/fault"
)

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
