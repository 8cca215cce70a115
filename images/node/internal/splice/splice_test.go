package splice

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listen serves one connection.
func listen(t *testing.T, network, address string, serve func(net.Conn)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		serve(conn)
	}()
	return l.Addr().String()
}

func TestHalfClose(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		// It answers only when it has read to the end of the question.
		to := listen(t, network, address, func(conn net.Conn) {
			all, _ := io.ReadAll(conn)
			_, _ = conn.Write(append([]byte("answer to "), all...))
		})
		var out bytes.Buffer
		question := strings.Repeat("question ", 100_000)
		if err := Dial(t.Context(), network, to, strings.NewReader(question), &out); err != nil {
			t.Fatal(network, err)
		}
		if out.String() != "answer to "+question {
			t.Errorf("%s: got %d bytes", network, out.Len())
		}
	}
}

func TestOtherSideEnds(t *testing.T) {
	to := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { _, _ = conn.Write([]byte("bye")) })
	in, keepOpen := io.Pipe() // standard input never ends
	defer keepOpen.Close()
	var out bytes.Buffer
	if err := Dial(t.Context(), "tcp", to, in, &out); err != nil || out.String() != "bye" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestNobodyThere(t *testing.T) {
	if err := Dial(t.Context(), "unix", filepath.Join(t.TempDir(), "s"), strings.NewReader(""), io.Discard); err == nil {
		t.Error("no error")
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	to := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		cancel()
		_, _ = io.ReadAll(conn)
	})
	in, keepOpen := io.Pipe()
	defer keepOpen.Close()
	done := make(chan error, 1)
	go func() { done <- Dial(ctx, "tcp", to, in, io.Discard) }()
	select {
	case err := <-done:
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}
