package docker

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/pkg/stdcopy"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

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
			if inspections < 3 {
				reply(w, 200, map[string]any{"ID": "x1", "Running": true, "ExitCode": nil})
				return
			}
			reply(w, 200, map[string]any{"ID": "x1", "Running": false, "ExitCode": 7})
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
