package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestProcessFile(t *testing.T) {
	for _, test := range []struct {
		args   []string
		file   string
		member bool
	}{
		{[]string{"--root", "/r", "--log", "/l", "create", "--bundle", "/b", "--pid-file", "/p", "id"}, "/b/config.json", true},
		{[]string{"--root", "/r", "exec", "--process", "/tmp/x", "--detach", "id"}, "/tmp/x", false},
		{[]string{"--root", "/r", "kill", "id", "9"}, "", false},
		{[]string{"create", "--bundle"}, "config.json", true}, // runc complains itself
		{nil, "", false},
	} {
		if file, member := processFile(test.args); file != test.file || member != test.member {
			t.Errorf("%q: %q, %v", test.args, file, member)
		}
	}
}

// TestStrip takes out what is not to be had, and nothing else.
func TestStrip(t *testing.T) {
	const lacks = 24 // CAP_SYS_RESOURCE
	for name, member := range map[string]bool{"bundle": true, "exec": false} {
		t.Run(name, func(t *testing.T) {
			process := `{"args":["x"],"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE","CAP_NEW"],"ambient":[]}}`
			whole := process
			if member {
				whole = `{"ociVersion":"1.0","process":` + process + `}`
			}
			file := filepath.Join(t.TempDir(), "config.json")
			if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := strip(file, member, ^uint64(1<<lacks)); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			type caps struct {
				Args         []string
				Capabilities map[string][]string
			}
			var got struct {
				OCIVersion string `json:"ociVersion"`
				Process    caps
				caps
			}
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			p := got.caps
			if member {
				p = got.Process
				if got.OCIVersion != "1.0" {
					t.Errorf("the rest of the bundle is lost: %s", data)
				}
			}
			if !slices.Equal(p.Args, []string{"x"}) || !slices.Equal(p.Capabilities["bounding"], []string{"CAP_CHOWN", "CAP_NEW"}) {
				t.Errorf("got %s", data)
			}
		})
	}
}
