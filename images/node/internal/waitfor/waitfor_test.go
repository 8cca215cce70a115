package waitfor

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func soon(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	if err := File(soon(t, 50*time.Millisecond), path); err == nil {
		t.Error("it is not there")
	}
	go func() {
		_ = os.Mkdir(filepath.Dir(path), 0o755)
		_ = os.WriteFile(path, []byte("x"), 0o600)
	}()
	if err := File(soon(t, 10*time.Second), path); err != nil {
		t.Error(err)
	}
}

func TestDial(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := Dial(soon(t, 50*time.Millisecond), "unix", path); err == nil {
		t.Error("it is not there")
	}
	done := make(chan error, 1)
	ctx := soon(t, 10*time.Second)
	go func() { done <- Dial(ctx, "unix", path) }()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := Dial(soon(t, 50*time.Millisecond), "tcp", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

func TestGet(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	if err := Get(soon(t, 10*time.Second), s.URL+"/readyz"); err != nil || asked.Load() != 3 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
	asked.Store(-1 << 30)
	if err := Get(soon(t, 200*time.Millisecond), s.URL); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
}
