package balancer

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// master answers one command on a socket, as haproxy's does.
func master(t *testing.T, answer string) (socket string, asked chan string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	asked = make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		asked <- line
		if answer == "" { // never answers
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		_, _ = io.WriteString(conn, answer)
	}()
	return socket, asked
}

func TestReload(t *testing.T) {
	for answer, want := range map[string]string{
		"Success=1\n\n": "",
		"Success=1\n--\n[NOTICE] a new worker\n\n": "",
		"Success=0\n\n":              "refuses its new configuration",
		"Success=0\n--\nSuccess=1\n": "refuses its new configuration",
		"Unknown command\n":          "refuses its new configuration",
	} {
		socket, asked := master(t, answer)
		err := Reload(t.Context(), socket)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", answer, err)
		}
		if got := <-asked; got != "reload\n" {
			t.Errorf("asked %q", got)
		}
	}
	if err := Reload(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a master: %v", err)
	}
	socket, asked := master(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if err := Reload(ctx, socket); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPorts(t *testing.T) {
	const config = "frontend api\n  bind *:6443\n  bind :::443 v4v6\n\tbind 10.0.0.2:80,10.0.0.2:81 name x\n  # bind *:1\n  bind\n  bind /run/x.sock\n  bindery *:2\n"
	if got := ports(config); !slices.Equal(got, []uint16{6443, 443, 80, 81}) {
		t.Errorf("got %v", got)
	}
}

const tcpHead = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"

func TestListening(t *testing.T) {
	proc := fstest.MapFS{
		"self/net/tcp": {Data: []byte(tcpHead +
			"   0: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0\n" + // 6443
			"   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000 0\n")}, // a connection
		"self/net/tcp6": {Data: []byte(tcpHead + "   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0\n")}, // 443
	}
	if got := listening(proc); !slices.Equal(got, []uint16{6443, 443}) {
		t.Errorf("got %v", got)
	}
}

func TestWaitListening(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("bind *:" + port + "\n")
	if err := WaitListening(t.Context(), config, os.DirFS("/proc")); err != nil {
		t.Error(err)
	}
	write("bind *:" + port + "\nbind *:1\n") // nobody has port 1
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := WaitListening(ctx, config, os.DirFS("/proc")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one of two ports is enough: %v", err)
	}
	write("frontend x\n")
	if err := WaitListening(t.Context(), config, os.DirFS("/proc")); err == nil || !strings.Contains(err.Error(), "binds no port") {
		t.Errorf("without ports: %v", err)
	}
}
