package enginetest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// contractFilesBefore: what is put before the first start is there after it, on the root file system and on a volume.
func contractFilesBefore(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.Volumes = []engine.VolumeMount{{Name: f.name("a-var"), Target: "/data"}}
	spec.Files = []engine.File{
		{Path: "/etc/cove/new/config", Data: []byte("one")},
		{Path: "/data/deep/down/secret", Mode: 0o600, Data: []byte("two")},
	}
	f.create(t, spec)
	files(t, f, spec.Name, map[string]string{"/etc/cove/new/config": "one", "/data/deep/down/secret": "two"})
	wantNoError(t, f.e.PutFiles(t.Context(), spec.Name, []engine.File{
		{Path: "/etc/cove/new/config", Data: []byte("three"), Mode: 0o755},
		{Path: "/kind/empty"},
	}), "PutFiles")
	wantNoError(t, f.e.PutFiles(t.Context(), spec.Name, nil), "PutFiles of nothing")
	wantNoError(t, f.e.StartNode(t.Context(), spec.Name), "StartNode")
	files(t, f, spec.Name, map[string]string{"/etc/cove/new/config": "three", "/data/deep/down/secret": "two", "/kind/empty": ""})
	for file, mode := range map[string]string{
		"/etc/cove/new/config": "755", "/data/deep/down/secret": "600", "/kind/empty": "644", "/etc/cove/new": "755",
	} {
		want(t, strings.TrimSpace(f.output(t, spec.Name, "stat", file)), mode, "the mode of "+file)
	}
	want(t, f.output(t, spec.Name, "cat", "/data/deep/down/secret"), "two", "the file as the node sees it")
}

// files compares files of a node with what they should have.
func files(t *testing.T, f fixture, node string, expect map[string]string) {
	t.Helper()
	for path, content := range expect {
		got, err := f.e.ReadFile(t.Context(), node, path)
		wantNoError(t, err, "ReadFile "+path)
		want(t, string(got), content, path)
	}
}

func contractFilesRunning(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.Volumes = []engine.VolumeMount{{Name: f.name("a-var"), Target: "/data"}}
	name := f.start(t, spec)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	wantNoError(t, f.e.PutFiles(t.Context(), name, []engine.File{
		{Path: "/etc/live", Data: []byte("live")}, {Path: "/data/big", Data: big},
	}), "PutFiles")
	want(t, f.output(t, name, "cat", "/etc/live"), "live", "the file")
	got, err := f.e.ReadFile(t.Context(), name, "/data/big")
	wantNoError(t, err, "ReadFile")
	want(t, bytes.Equal(got, big), true, "that a megabyte comes back")

	f.output(t, name, "write", "/data/made", "inside")
	var archive bytes.Buffer
	wantNoError(t, f.e.CopyOut(t.Context(), name, "/data", &archive), "CopyOut")
	content := map[string]string{}
	for r := tar.NewReader(&archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		wantNoError(t, err, "reading the archive")
		data, err := io.ReadAll(r)
		wantNoError(t, err, "reading the archive")
		content[h.Name] = string(data)
	}
	want(t, content["data/made"], "inside", "data/made in the archive")
	want(t, len(content["data/big"]), len(big), "the size of data/big in the archive")
	wantNoError(t, f.e.StopNode(t.Context(), name, time.Second), "StopNode")
	files(t, f, name, map[string]string{"/etc/live": "live", "/data/made": "inside"})
}

func contractFilesRefused(t *testing.T, f fixture) {
	t.Helper()
	name := f.create(t, f.spec("a")).Name
	_, err := f.e.ReadFile(t.Context(), name, "/etc/no/such/file")
	want(t, errors.Is(err, fs.ErrNotExist), true, "that a missing file is one")
	if _, err = f.e.ReadFile(t.Context(), name, "/etc"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading a directory: %v", err)
	}
	err = f.e.CopyOut(t.Context(), name, "/etc/no/such/file", nopWriter{})
	want(t, errors.Is(err, fs.ErrNotExist), true, "that a missing path is one")
	for _, path := range []string{"relative", "", "/etc/", "/run/hidden", "/tmp/x/y"} {
		if err := f.e.PutFiles(t.Context(), name, []engine.File{{Path: path}}); err == nil {
			t.Errorf("a file was put at %q", path)
		}
	}
}

func contractExecStreams(t *testing.T, f fixture) {
	t.Helper()
	name := f.start(t, f.spec("a"))
	var stdout, stderr bytes.Buffer
	wantNoError(t, f.e.Exec(t.Context(), name, engine.Command{Args: []string{"echo", "to", "stdout"}, Stdout: &stdout, Stderr: &stderr}), "echo")
	want(t, stdout.String(), "to stdout\n", "stdout")
	want(t, stderr.String(), "", "stderr")
	stdout.Reset()
	wantNoError(t, f.e.Exec(t.Context(), name, engine.Command{Args: []string{"complain", "x"}, Stdout: &stdout, Stderr: &stderr}), "complain")
	want(t, stdout.String(), "", "stdout")
	want(t, stderr.String(), "x\n", "stderr")
	wantNoError(t, f.e.Exec(t.Context(), name, engine.Command{Args: []string{"echo", "thrown away"}}), "echo")

	input := strings.Repeat("line\n", 200_000)
	stdout.Reset()
	wantNoError(t, f.e.Exec(t.Context(), name, engine.Command{Args: []string{"cat"}, Stdin: strings.NewReader(input), Stdout: &stdout}), "cat")
	want(t, stdout.String() == input, true, "that a megabyte goes through")
}

func contractExecStatus(t *testing.T, f fixture) {
	t.Helper()
	name := f.start(t, f.spec("a"))
	exit := (*engine.ExitError)(nil)
	err := f.e.Exec(t.Context(), name, engine.Command{Args: []string{"status", "3"}})
	if !errors.As(err, &exit) || exit.Code != 3 || exit.Node != name {
		t.Errorf("status 3: %v", err)
	}
	_, err = engine.Output(t.Context(), f.e, name, "cat", "/no/such/file")
	if !errors.As(err, &exit) || exit.Code != 1 || !strings.Contains(exit.Output, "no such file") {
		t.Errorf("cat of nothing: %#v", err)
	}
	err = f.e.Exec(t.Context(), name, engine.Command{Args: []string{"no-such-command"}})
	if !errors.As(err, &exit) || exit.Code != 126 && exit.Code != 127 {
		t.Errorf("no such command: %v", err)
	}
	wantNoError(t, f.e.StopNode(t.Context(), name, 0), "StopNode")
	err = f.e.Exec(t.Context(), name, engine.Command{Args: []string{"echo"}})
	wantCode(t, err, fault.ClusterNotRunning, "Exec on a stopped node")
}

func contractExecEnvironment(t *testing.T, f fixture) {
	t.Helper()
	name := f.start(t, f.spec("a"))
	var out bytes.Buffer
	wantNoError(t, f.e.Exec(t.Context(), name, engine.Command{Args: []string{"env"}, Env: map[string]string{"A": "1", "B": "x=y"}, Stdout: &out}), "env")
	for _, line := range []string{"A=1\n", "B=x=y\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in\n%s", line, &out)
		}
	}
	out.Reset()
	wantNoError(t, f.e.Exec(t.Context(), name, engine.Command{Args: []string{"pwd"}, Dir: "/etc", Stdout: &out}), "pwd")
	want(t, out.String(), "/etc\n", "the directory")
}

func contractExecTTY(t *testing.T, f fixture) {
	t.Helper()
	name := f.start(t, f.spec("a"))
	sizes := make(chan engine.Size, 1)
	sizes <- engine.Size{Width: 100, Height: 30}
	var out bytes.Buffer
	wantNoError(t, f.e.Exec(t.Context(), name, engine.Command{Args: []string{"complain", "both"}, TTY: true, Stdout: &out, Resize: sizes}), "complain")
	want(t, out.String(), "both\r\n", "what comes on the terminal")
}

func contractExecCancel(t *testing.T, f fixture) {
	t.Helper()
	name := f.start(t, f.spec("a"))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	err := f.e.Exec(ctx, name, engine.Command{Args: []string{"sleep", "30s"}})
	want(t, errors.Is(err, context.DeadlineExceeded), true, "that the error is the context's")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func contractLogs(t *testing.T, f fixture) {
	t.Helper()
	name := f.start(t, f.spec("a"))
	var first, followed syncBuffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.e.Logs(ctx, name, true, 0, &followed) }()
	for followed.String() == "" && ctx.Err() == nil {
		<-time.After(5 * time.Millisecond)
	}
	wantNoError(t, f.e.Logs(ctx, name, false, 0, &first), "Logs")
	if s := first.String(); s == "" || strings.Contains(s, "\r") || !strings.HasSuffix(s, "\n") {
		t.Errorf("the log is %q", s)
	}
	wantNoError(t, f.e.StopNode(ctx, name, 10*time.Second), "StopNode")
	wantNoError(t, <-done, "following to the end")
	var tail syncBuffer
	wantNoError(t, f.e.Logs(ctx, name, false, 1, &tail), "the last line")
	want(t, strings.Count(tail.String(), "\n"), 1, "the number of lines")

	wantNoError(t, f.e.StartNode(ctx, name), "StartNode")
	ctx2, cancel2 := context.WithCancel(ctx)
	go func() { done <- f.e.Logs(ctx2, name, true, 1, nopWriter{}) }()
	cancel2()
	wantNoError(t, <-done, "following until the context ends")
}

// syncBuffer is a buffer that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// dialEcho connects to what the node's PID 1 serves on port 7. It may not listen at once.
func dialEcho(t *testing.T, f fixture, node string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		c, err := f.e.Dial(ctx, node, "tcp", "127.0.0.1:7")
		wantNoError(t, err, "Dial")
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = c.Write([]byte("?"))
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		if err == nil {
			_ = c.SetDeadline(time.Time{})
			return c
		}
		_ = c.Close()
		if ctx.Err() != nil || !strings.Contains(err.Error(), "refused") {
			t.Fatalf("connecting to the node: %v", err)
		}
	}
}

func contractDial(t *testing.T, f fixture) {
	t.Helper()
	node := f.start(t, f.spec("a"))
	c := dialEcho(t, f, node)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		_, _ = c.Write(big)
		if half, ok := c.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	got, err := io.ReadAll(c)
	wantNoError(t, err, "reading to the end")
	want(t, bytes.Equal(got, big), true, "that a megabyte comes back")
	wantNoError(t, c.Close(), "Close")
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("reading what is closed: %v", err)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("what is closed was written")
	}
	if _, err := f.e.Dial(t.Context(), node, "udp", "127.0.0.1:7"); err == nil {
		t.Error("udp was dialled")
	}
}

// contractDialDeadline: HTTP clients end idle reads by a deadline in the past, and go on with the connection.
func contractDialDeadline(t *testing.T, f fixture) {
	t.Helper()
	c := dialEcho(t, f, f.start(t, f.spec("a")))
	defer c.Close()
	one := make([]byte, 1)
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := c.Read(one)
	want(t, errors.Is(err, os.ErrDeadlineExceeded), true, "that the deadline ends a read")
	timeout := net.Error(nil)
	want(t, errors.As(err, &timeout) && timeout.Timeout(), true, "that it is a timeout")
	_ = c.SetReadDeadline(time.Time{})
	_, err = c.Write([]byte("x"))
	wantNoError(t, err, "Write")
	_, err = c.Read(one)
	wantNoError(t, err, "Read after the deadline was lifted")

	blocked := make(chan error, 1)
	go func() { _, err := c.Read(make([]byte, 1)); blocked <- err }()
	_ = c.SetReadDeadline(time.Unix(1, 0))
	want(t, errors.Is(<-blocked, os.ErrDeadlineExceeded), true, "that a deadline ends a read that waits")
	_ = c.SetReadDeadline(time.Time{})
	go func() { _, err := c.Read(make([]byte, 1)); blocked <- err }()
	wantNoError(t, c.Close(), "Close")
	if err := <-blocked; err == nil {
		t.Error("Close did not end a read that waits")
	}
}

func contractDialRefused(t *testing.T, f fixture) {
	t.Helper()
	node := f.start(t, f.spec("a"))
	c, err := f.e.Dial(t.Context(), node, "tcp", "127.0.0.1:9")
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("an address that refuses: %v", err)
	}
	wantNoError(t, f.e.StopNode(t.Context(), node, 0), "StopNode")
	_, err = f.e.Dial(t.Context(), node, "tcp", "127.0.0.1:7")
	wantCode(t, err, fault.ClusterNotRunning, "Dial on a stopped node")
	want(t, slices.Contains(names(t, f, engine.Selector{Cluster: f.cluster}), node), true, "that the node is there")
}
