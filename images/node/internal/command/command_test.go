package command

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cove.dev/images/node/internal/logfile"
)

func main(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code := Main(t.Context(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &errOut})
	return code, out.String(), errOut.String()
}

func TestMisuse(t *testing.T) {
	for _, args := range [][]string{
		{}, {"/usr/local/bin/cove-node"}, {"cove-node", "frob"}, {"cove-node", "dial", "tcp"}, {"cove-node", "dns"},
		{"cove-node", "dns", "--type", "MX", "x"}, {"cove-node", "dns", "--server", "nowhere:x", "x"}, {"cove-node", "dns", "--frob", "x"},
		{"cove-node", "logs", "etcd"}, {"cove-node", "wait"}, {"cove-node", "wait", "file"}, {"cove-node", "wait", "frob", "x"},
		{"cove-node", "wait", "file", "a", "b"}, {"cove-node", "status", "x"},
	} {
		if code, out, errOut := main(t, args...); code != misuse || out != "" || !strings.Contains(errOut, "usage:") {
			t.Errorf("%q: %d %q %q", args, code, out, errOut)
		}
	}
	if code, out, _ := main(t, "cove-node", "help"); code != success || !strings.Contains(out, "usage:") {
		t.Errorf("help: %d", code)
	}
}

func TestFailure(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{
		{"cove-node", "dial", "unix", none},
		{"cove-node", "wait", "file", none, "--timeout", "20ms"}, // flags may come last
		{"cove-node", "dns", "--server", "127.0.0.1:1", "--timeout", "100ms", "x"},
	} {
		if code, _, errOut := main(t, args...); code != failure || !strings.HasPrefix(errOut, "cove-node: ") || strings.Contains(errOut, "usage") {
			t.Errorf("%q: %d %q", args, code, errOut)
		}
	}
}

func TestWaitSucceeds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := main(t, "cove-node", "wait", "file", path); code != success {
		t.Errorf("%d %q", code, errOut)
	}
}

func TestServerAddress(t *testing.T) {
	for in, want := range map[string]string{
		"10.96.0.10": "10.96.0.10:53", "10.96.0.10:5353": "10.96.0.10:5353", "fd00::a": "[fd00::a]:53", "[fd00::a]": "[fd00::a]:53",
		"[fd00::a]:54": "[fd00::a]:54",
	} {
		if got, err := serverAddress(in); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

func TestLogsOfSeveral(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		w, err := logfile.Open(logfile.Path(dir, name), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, "1\n2\n")
		_ = w.Close()
	}
	var out bytes.Buffer
	if err := readLogs(t.Context(), dir, []string{"a", "b"}, 1, false, &out); err != nil || out.String() != "a: 2\nb: 2\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	out.Reset()
	if err := readLogs(t.Context(), dir, []string{"b"}, -1, false, &out); err != nil || out.String() != "1\n2\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}
