package docker

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

func TestAbsent(t *testing.T) {
	for _, c := range []struct {
		status string
		last   int
		want   []string
	}{
		{"Name:\tdockerd\nCapEff:\t000001ffffffffff\n", 40, nil},
		{"Name:\tdockerd\nCapEff:\t000001fffeffffff\nCapBnd:\t0\n", 40, []string{"SYS_RESOURCE"}},
		{"CapEff:\t000001ffbffefffe\n", 40, []string{"CHOWN", "SYS_MODULE", "AUDIT_CONTROL"}},
		{"CapEff:\t0000003fffffffff\n", 37, nil},
		{"CapEff:\t000001ffffffffff\n", 41, nil}, // a capability that has no name here
		{"CapEff:\tjunk\n", 40, nil},
		{"", 40, nil},
	} {
		if got := absent(c.status, c.last); !slices.Equal(got, c.want) {
			t.Errorf("%q up to %d lacks %v, want %v", c.status, c.last, got, c.want)
		}
	}
}

// TestMissingCapabilities asks about this very process, which listens, under a made-up /proc.
func TestMissingCapabilities(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	proc := t.TempDir()
	write := func(path, content string) {
		file := filepath.Join(proc, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pid := strconv.Itoa(os.Getpid())
	write("sys/kernel/cap_last_cap", "40\n")
	write(pid+"/status", "CapEff:\t000001fffeffffff\n")
	write(pid+"/comm", "systemd\n")
	if got := missingCapabilities(socket, proc); got != nil {
		t.Errorf("what is not dockerd lacks %v", got)
	}
	write(pid+"/comm", "dockerd\n")
	if got := missingCapabilities(socket, proc); !slices.Equal(got, []string{"SYS_RESOURCE"}) {
		t.Errorf("dockerd lacks %v", got)
	}
	if got := missingCapabilities("", proc); got != nil {
		t.Errorf("a remote engine lacks %v", got)
	}
	if got := missingCapabilities(socket+"x", proc); got != nil {
		t.Errorf("an engine that does not answer lacks %v", got)
	}
}
