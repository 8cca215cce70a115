package main

import (
	"bytes"
	"strings"
	"testing"
)

// The flags are the upstream's, and they are heeded.
func TestCommand(t *testing.T) {
	for _, tc := range []struct {
		args      []string
		out, fail string
	}{
		{args: []string{"--version"}, out: "v0."},
		{args: []string{"--help"}, out: "--kubelet-preferred-address-types"},
		{args: []string{"--metric-resolution=1s"}, fail: "at least 10s"},
		{args: []string{"--kubelet-request-timeout=60s"}, fail: "larger than kubelet-request-timeout"},
		{args: []string{"--no-such-flag"}, fail: "unknown flag"},
	} {
		cmd := command(nil)
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(tc.args)
		err := cmd.Execute()
		if !strings.Contains(out.String(), tc.out) || (err == nil) != (tc.fail == "") || err != nil && !strings.Contains(err.Error(), tc.fail) {
			t.Errorf("%v: %v, %s", tc.args, err, out.String())
		}
	}
}
