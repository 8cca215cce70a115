package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/go-connections/tlsconfig"

	"github.com/cove-k8s/cove/pkg/fault"
)

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// contextStore makes a docker configuration with the contexts "lab" (with TLS files) and "far".
func contextStore(t *testing.T, current string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(path, content string) {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id := func(name string) string { sum := sha256.Sum256([]byte(name)); return hex.EncodeToString(sum[:]) }
	write("config.json", `{"auths": {}, "currentContext": "`+current+`"}`)
	write("contexts/meta/"+id("lab")+"/meta.json", `{"Name":"lab","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://lab:2376","SkipTLSVerify":false}}}`)
	for _, f := range []string{"ca.pem", "cert.pem", "key.pem"} {
		write("contexts/tls/"+id("lab")+"/docker/"+f, "")
	}
	write("contexts/meta/"+id("far")+"/meta.json", `{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://me@far","SkipTLSVerify":false}}}`)
	write("contexts/meta/"+id("broken")+"/meta.json", `{`)
	return dir
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		name         string
		o            Options
		env          map[string]string
		current      string
		host, source string
		tls          bool
		remote       string
	}{
		{name: "nothing is said", host: "unix:///default.sock"},
		{name: "the context default", current: "default", host: "unix:///default.sock"},
		{name: "the current context", current: "lab", host: "tcp://lab:2376", source: `the docker context "lab"`, tls: true, remote: "lab"},
		{name: "DOCKER_CONTEXT before the current one", current: "lab", env: map[string]string{"DOCKER_CONTEXT": "far"}, host: "ssh://me@far", source: `the docker context "far"`, remote: "far"},
		{name: "DOCKER_CONTEXT=default", current: "lab", env: map[string]string{"DOCKER_CONTEXT": "default"}, host: "unix:///default.sock"},
		{name: "DOCKER_HOST before contexts", current: "lab", env: map[string]string{"DOCKER_HOST": "unix:///x.sock", "DOCKER_CONTEXT": "far"}, host: "unix:///x.sock", source: "DOCKER_HOST"},
		{name: "an option before variables", o: Options{Context: "far"}, env: map[string]string{"DOCKER_HOST": "unix:///x.sock"}, host: "ssh://me@far", source: `the docker context "far"`, remote: "far"},
		{name: "a host as an option", o: Options{Host: "unix:///y.sock"}, env: map[string]string{"DOCKER_HOST": "unix:///x.sock"}, host: "unix:///y.sock"},
		{name: "tcp without a port", env: map[string]string{"DOCKER_HOST": "tcp://10.0.0.1"}, host: "tcp://10.0.0.1:2375", source: "DOCKER_HOST", remote: "10.0.0.1"},
		{name: "tcp with TLS", env: map[string]string{"DOCKER_HOST": "tcp://10.0.0.1", "DOCKER_TLS_VERIFY": "1"}, host: "tcp://10.0.0.1:2376", source: "DOCKER_HOST", tls: true, remote: "10.0.0.1"},
		{name: "no scheme", env: map[string]string{"DOCKER_HOST": "10.0.0.1:99"}, host: "tcp://10.0.0.1:99", source: "DOCKER_HOST", remote: "10.0.0.1"},
		{name: "a named pipe", env: map[string]string{"DOCKER_HOST": "npipe:////./pipe/docker_engine"}, host: "npipe:////./pipe/docker_engine", source: "DOCKER_HOST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := contextStore(t, c.current)
			getenv := func(k string) string {
				if k == "DOCKER_CONFIG" {
					return dir
				}
				return c.env[k]
			}
			p, err := resolve(c.o, getenv, "/nowhere", "unix:///default.sock")
			if err != nil {
				t.Fatal(err)
			}
			if p.host != c.host || p.source != c.source || (p.tls != nil) != c.tls || p.remote() != c.remote {
				t.Errorf("got %+v (remote %q)", p, p.remote())
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	dir := contextStore(t, "gone")
	for _, c := range []struct {
		name string
		o    Options
		code fault.Code
		says string
	}{
		{"a current context that is gone", Options{}, fault.EngineUnreachable, `the docker context "gone": there is none`},
		{"a context that cannot be read", Options{Context: "broken"}, fault.ConfigInvalid, `the docker context "broken"`},
		{"both options", Options{Context: "lab", Host: "unix:///x"}, fault.Usage, "both"},
		{"a bare path", Options{Host: "/var/run/docker.sock"}, fault.ConfigInvalid, "/var/run/docker.sock"},
		{"a scheme alone", Options{Host: "unix://"}, fault.ConfigInvalid, "unix://"},
	} {
		_, err := resolve(c.o, func(k string) string { return map[string]string{"DOCKER_CONFIG": dir}[k] }, "", "unix:///default.sock")
		if !fault.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := (endpoint{host: "ssh://host with spaces"}).clientOptions(); !fault.Is(err, fault.ConfigInvalid) {
		t.Errorf("an SSH endpoint that is none: %v", err)
	}
	if _, err := (endpoint{host: "tcp://x:1", tls: &tlsconfig.Options{CAFile: "/none"}}).clientOptions(); !fault.Is(err, fault.ConfigInvalid) {
		t.Errorf("TLS files that are not there: %v", err)
	}
}

func TestParseRoutes(t *testing.T) {
	table := `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010011AC	0003	0	0	0	00000000	0	0	0
eth0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
tun0	0000000A	00000000	0001	0	0	0	000000FF	0	0	0
junk
`
	var got []string
	for _, r := range parseRoutes(table) {
		got = append(got, r.String())
	}
	// The table above is of a little-endian machine, as nearly all are.
	if want := []string{"172.17.0.0/16", "10.0.0.0/8"}; !slices.Equal(got, want) {
		t.Errorf("routes %v, want %v", got, want)
	}
}
