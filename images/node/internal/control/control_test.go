package control

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cove.dev/images/node/internal/unit"
)

func serve(t *testing.T, path string, handle Handler) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l, err := Listen(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); Serve(ctx, l, handle) }()
	t.Cleanup(func() { cancel(); <-done })
}

func TestAsk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "s")
	serve(t, path, func(_ context.Context, req Request) Response {
		if req.Verb != Status {
			return Response{Error: "cannot " + req.Verb + " " + req.Unit}
		}
		return Response{Units: []UnitStatus{{Status: unit.Status{Name: "kubelet", State: unit.Running, PID: 7}, Enabled: true}}}
	})
	resp, err := Ask(t.Context(), path, Request{Verb: Status})
	if err != nil || len(resp.Units) != 1 || resp.Units[0].PID != 7 || !resp.Units[0].Enabled {
		t.Errorf("got %+v, %v", resp, err)
	}
	if _, err := Ask(t.Context(), path, Request{Verb: Start, Unit: "x"}); err == nil || err.Error() != "cannot start x" {
		t.Errorf("got %v", err)
	}
}

func TestAskBeforeInitListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	done := make(chan error, 1)
	go func() {
		_, err := Ask(t.Context(), path, Request{Verb: Status})
		done <- err
	}()
	time.Sleep(30 * time.Millisecond)
	serve(t, path, func(context.Context, Request) Response { return Response{} })
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNoInit(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Ask(ctx, filepath.Join(t.TempDir(), "s"), Request{}); err == nil || !strings.Contains(err.Error(), "cannot reach") {
		t.Errorf("got %v", err)
	}
}

func TestSocketOfAnEarlierInitIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	serve(t, path, func(context.Context, Request) Response { return Response{} })
	if _, err := Ask(t.Context(), path, Request{}); err != nil {
		t.Error(err)
	}
}

func TestGarbageHurtsNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, func(context.Context, Request) Response { return Response{} })
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	_ = conn.Close()
	if _, err := Ask(t.Context(), path, Request{}); err != nil {
		t.Error(err)
	}
}
