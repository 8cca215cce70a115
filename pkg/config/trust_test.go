package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
)

func TestProxyOfTheEnvironment(t *testing.T) {
	own := &v1alpha1.Proxy{HTTP: "http://own:1"}
	const left = ": left out for the nodes: "
	tests := []struct {
		name     string
		document *v1alpha1.Proxy
		environ  map[string]string
		want     *v1alpha1.Proxy
		warnings []string
	}{
		{"none", nil, nil, nil, nil},
		{"all of it", nil, map[string]string{"HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "https://b:2", "NO_PROXY": "x, .y,,10.0.0.0/8"},
			&v1alpha1.Proxy{HTTP: "http://a:1", HTTPS: "https://b:2", NoProxy: []string{"x", ".y", "10.0.0.0/8"}}, nil},
		{"in lower case", nil, map[string]string{"https_proxy": "b:2", "no_proxy": "x"}, &v1alpha1.Proxy{HTTPS: "http://b:2", NoProxy: []string{"x"}}, nil},
		{"upper case wins", nil, map[string]string{"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2"}, &v1alpha1.Proxy{HTTP: "http://a:1"}, nil},
		{"exceptions alone", nil, map[string]string{"NO_PROXY": "x"}, nil, nil},
		{"the document wins as a whole", own, map[string]string{"HTTPS_PROXY": "http://b:2"}, own, nil},
		{"the document wants none", &v1alpha1.Proxy{}, map[string]string{"HTTPS_PROXY": "http://b:2"}, &v1alpha1.Proxy{}, nil},
		{"on the host itself", nil, map[string]string{"HTTP_PROXY": "http://a:1", "https_proxy": "http://me:word@127.0.0.1:2"}, &v1alpha1.Proxy{HTTP: "http://a:1"},
			[]string{"https_proxy" + left + "http://me:xxxxx@127.0.0.1:2: to a node, that is the node itself; name an address that nodes reach, such as that of the engine's host"}},
		{"on the host itself alone", nil, map[string]string{"HTTP_PROXY": "localhost:1", "NO_PROXY": "x"}, nil,
			[]string{"HTTP_PROXY" + left + "http://localhost:1: to a node, that is the node itself; name an address that nodes reach, such as that of the engine's host"}},
		{"no proxy at all", nil, map[string]string{"HTTP_PROXY": "http://a b"}, nil, []string{"HTTP_PROXY" + left + "it is no URL; write it as http://proxy.example:3128"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var warnings []string
			in := config.Input{
				Document: &v1alpha1.Cluster{Proxy: tt.document}, Environ: func(name string) string { return tt.environ[name] },
				Warn: func(p config.Problem) { warnings = append(warnings, p.String()) },
			}
			got, err := config.Resolve(in)
			if err != nil || !reflect.DeepEqual(got.Proxy, tt.want) || !reflect.DeepEqual(warnings, tt.warnings) {
				t.Errorf("got  %+v, %q, %v\nwant %+v, %q", got.Proxy, warnings, err, tt.want, tt.warnings)
			}
			if in.Warn = nil; err == nil {
				if _, err := config.Resolve(in); err != nil {
					t.Errorf("without anybody to warn: %v", err)
				}
			}
		})
	}
}

// What was in files is in the document afterwards, which is complete without them.
func TestCertificatesOfFiles(t *testing.T) {
	dir := t.TempDir()
	ca, err := os.ReadFile("testdata/certs/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	server, err := os.ReadFile("testdata/certs/server.pem")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"ca.pem": "Subject: example\n" + string(ca), "both.pem": string(server) + "\n" + string(ca)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	doc := &v1alpha1.Cluster{
		CertificateAuthorities: []v1alpha1.CertificateAuthority{
			{Name: "a", Path: "ca.pem"}, {Name: "b", Path: filepath.Join(dir, "both.pem")}, {Name: "c", PEM: string(ca)},
		},
		Registries: v1alpha1.Registries{Mirrors: map[string]v1alpha1.Mirror{
			"docker.io": {Endpoints: []string{"https://h"}, CertificateAuthority: "both.pem"},
		}},
	}
	got, err := config.Resolve(config.Input{Document: doc, DocumentDir: dir, Dir: "/nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	want := []v1alpha1.CertificateAuthority{{Name: "a", PEM: string(ca)}, {Name: "b", PEM: string(server) + string(ca)}, {Name: "c", PEM: string(ca)}}
	if !reflect.DeepEqual(got.CertificateAuthorities, want) {
		t.Errorf("got %+v", got.CertificateAuthorities)
	}
	if m := got.Registries.Mirrors["docker.io"]; m.CertificateAuthority != string(server)+string(ca) {
		t.Errorf("got %+v", m)
	}
	if doc.CertificateAuthorities[0].PEM != "" || doc.Registries.Mirrors["docker.io"].CertificateAuthority != "both.pem" {
		t.Error("it changed the document that was given")
	}
	again, err := config.Resolve(config.Input{Document: &got})
	if err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("resolved again: %+v, %v", again, err)
	}
	roundTrip(t, got)
}

func TestCertificatesOfFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		"text.pem": "hello", "key.pem": "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", "large.pem": strings.Repeat("x", 1<<20+1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, tt := range []struct{ path, dir, want string }{
		{"none.pem", dir, "cannot read it: open " + at("none.pem") + ": no such file or directory"},
		{"text.pem", dir, at("text.pem") + ": it has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----"},
		{"key.pem", dir, at("key.pem") + ": it has a private key, which no node needs; give the certificate alone"},
		{"large.pem", dir, "cannot read it: " + at("large.pem") + " is larger than 1 MiB, so it has no certificates"},
		{"text.pem", "", `"text.pem" is not absolute`},
	} {
		for path, doc := range map[string]*v1alpha1.Cluster{
			"certificateAuthorities[0].path": {CertificateAuthorities: []v1alpha1.CertificateAuthority{{Name: "a", Path: tt.path}}},
			`registries.mirrors["docker.io"].certificateAuthority`: {Registries: v1alpha1.Registries{Mirrors: map[string]v1alpha1.Mirror{
				"docker.io": {Endpoints: []string{"https://h"}, CertificateAuthority: tt.path},
			}}},
		} {
			_, err := config.Resolve(config.Input{Document: doc, DocumentDir: tt.dir})
			if want := "cannot use the cluster document: " + path + ": " + tt.want; !fault.Is(err, fault.ConfigInvalid) || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		}
	}
}

// Subnets must be those of the family, and have room for every node.
func TestFamilies(t *testing.T) {
	const v6Pods, v6Services, v4Pods, v4Services = "fd00:10:244::/56", "fd00:10:96::/112", "10.244.0.0/16", "10.96.0.0/16"
	many := strings.Repeat("w", 16)
	tests := []struct {
		family         kind.ClusterIPFamily
		pods, services string
		workers        string
		ok             bool
	}{
		{"ipv6", "", "", "", true}, {"dual", "", "", "", true}, {"ipv4", "", "", "", true},
		{"ipv6", v6Pods, v6Services, "", true}, {"ipv6", v4Pods, v6Services, "", false}, {"ipv6", v6Pods, v4Services, "", false},
		{"ipv4", v6Pods, v4Services, "", false}, {"ipv4", v4Pods, v6Services, "", false},
		{"ipv6", "fd00:10:96::/48", v6Services, "", false}, {"ipv6", "fd01::/48", v6Services, "", true}, {"ipv6", "fd01::/47", v6Services, "", false},
		{"ipv6", "fd01::/64", v6Services, "", true}, {"ipv6", "fd01::/65", v6Services, "", false},
		{"ipv6", "fd01::/60", v6Services, many[:15], true}, {"ipv6", "fd01::/60", v6Services, many, false},
		{"ipv6", v6Pods, "fd01::/108", "", true}, {"ipv6", v6Pods, "fd01::/107", "", false},
		{"ipv6", v6Pods, "fd01::/124", "", true}, {"ipv6", v6Pods, "fd01::/125", "", false},
		{"ipv6", "fe80::/56", v6Services, "", false}, {"ipv6", "ff00::/56", v6Services, "", false}, {"ipv6", v6Pods, "::/112", "", false},
		{"ipv6", v6Pods, "::ffff:10.0.0.0/112", "", false},
		{"dual", v4Pods + "," + v6Pods, v4Services + "," + v6Services, "", true},
		{"dual", v6Pods + "," + v4Pods, v4Services + "," + v6Services, "", false},
		{"dual", v4Pods + "," + v6Pods, v6Services + "," + v4Services, "", false},
		{"dual", v4Pods + ", " + v6Pods, v4Services + "," + v6Services, "", false},
		{"dual", v4Pods, v4Services + "," + v6Services, "", false}, {"dual", v4Pods + "," + v6Pods, v4Services, "", false},
		{"dual", v4Pods + "," + v6Pods, v4Services + "," + v6Services + "," + v6Services, "", false},
		{"dual", v4Pods + ",fd01::/60", v4Services + "," + v6Services, many, false},
		{"dual", "10.0.0.0/20," + v6Pods, v4Services + "," + v6Services, many, false},
		{"dual", v4Pods + ",fd00::/48", v4Services + ",fd00::/112", "", false},
	}
	for _, tt := range tests {
		doc := v1alpha1.Cluster{Cluster: kind.Cluster{
			Nodes: nodes("c" + tt.workers), Networking: kind.Networking{IPFamily: tt.family, PodSubnet: tt.pods, ServiceSubnet: tt.services},
		}}
		err := config.Validate(doc)
		if (err == nil) != tt.ok {
			t.Errorf("%s, pods %s, services %s, %d workers: got %v, want it accepted: %t", tt.family, tt.pods, tt.services, len(tt.workers), err, tt.ok)
		}
	}
}

func TestFamilyDefaults(t *testing.T) {
	for family, want := range map[kind.ClusterIPFamily][3]string{
		"ipv4": {"127.0.0.1", "10.244.0.0/16", "10.96.0.0/16"},
		"ipv6": {"::1", "fd00:10:244::/56", "fd00:10:96::/112"},
		"dual": {"127.0.0.1", "10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/16,fd00:10:96::/112"},
	} {
		doc := v1alpha1.Cluster{Cluster: kind.Cluster{Networking: kind.Networking{IPFamily: family}}}
		config.Default(&doc)
		if n := doc.Cluster.Networking; [3]string{n.APIServerAddress, n.PodSubnet, n.ServiceSubnet} != want {
			t.Errorf("%s: got %+v", family, n)
		}
	}
}
