package docker

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

// actAsSSH, a socket's path, makes this program behave as `ssh HOST docker system dial-stdio`.
const actAsSSH = "COVE_TEST_ACT_AS_SSH"

func TestMain(m *testing.M) {
	if socket := os.Getenv(actAsSSH); socket != "" && strings.HasSuffix(os.Args[0], "ssh") {
		os.Exit(ssh(socket))
	}
	os.Exit(m.Run())
}

func ssh(socket string) int {
	if !strings.Contains(strings.Join(os.Args, " "), "-l me") || !strings.HasSuffix(strings.Join(os.Args, " "), "far docker system dial-stdio") {
		fmt.Fprintln(os.Stderr, "unexpected arguments", os.Args)
		return 1
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "me@far: Permission denied (publickey).")
		return 255
	}
	go func() {
		_, _ = io.Copy(c, os.Stdin)
		_ = c.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, c)
	return 0
}
