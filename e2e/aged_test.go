//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"

	"github.com/cove-k8s/cove/pkg/pki"
)

const kubeletCurrent = "/var/lib/kubelet/pki/kubelet-client-current.pem"

// dated are the files of a control plane with certificates that end after a year, by the CA that signs them.
func dated() map[string][]string {
	const k = "/etc/kubernetes/"
	return map[string][]string{
		"ca": {
			k + "pki/apiserver.crt", k + "pki/apiserver-kubelet-client.crt", k + "admin.conf", k + "super-admin.conf",
			k + "controller-manager.conf", k + "scheduler.conf", kubeletCurrent,
		},
		"front-proxy-ca": {k + "pki/front-proxy-client.crt"},
		"etcd/ca": {
			k + "pki/apiserver-etcd-client.crt", k + "pki/etcd/server.crt", k + "pki/etcd/peer.crt", k + "pki/etcd/healthcheck-client.crt",
		},
	}
}

// eachDated calls do for every such file of the cluster's nodes.
func (cl cluster) eachDated(do func(node, ca, path string)) {
	for _, n := range cl.status().Nodes {
		for ca, paths := range dated() {
			for _, path := range paths {
				if path == kubeletCurrent || n.Role == "control-plane" {
					do(n.Name, ca, path)
				}
			}
		}
	}
}

// age makes a stopped cluster 13 months older: all its certificates, and the user's, ended a month ago.
func (cl cluster) age() {
	cl.t.Helper()
	then := time.Now().AddDate(0, -13, 0)
	cas := map[string]*pki.CA{}
	for ca := range dated() {
		base := cl.name + "-control-plane"
		path := "/etc/kubernetes/pki/" + ca
		loaded, err := pki.LoadCA(then, cl.fetchFile(base, path+".crt"), cl.fetchFile(base, path+".key"))
		if err != nil {
			cl.t.Fatal(err)
		}
		cas[ca] = loaded
	}
	cl.eachDated(func(node, ca, path string) {
		file := filepath.Join(cl.t.TempDir(), "aged")
		if err := os.WriteFile(file, aged(cl.t, cas[ca], path, cl.fetchFile(node, path)), 0o600); err != nil {
			cl.t.Fatal(err)
		}
		docker(cl.t, cl.at, "cp", file, node+":"+path)
	})
	data, err := os.ReadFile(cl.kubeconfig())
	if err == nil {
		err = os.WriteFile(cl.kubeconfig(), aged(cl.t, cas["ca"], "kubeconfig.conf", data), 0o600)
	}
	if err != nil {
		cl.t.Fatal(err)
	}
	cl.goodFor(-20*24*time.Hour, false) // or the test would show nothing
}

// endingSoon lets a control plane's certificates end in 20 days while it runs: start says so and leaves them, restart renews them.
func endingSoon(cl cluster) {
	cl.t.Helper()
	const conf, pkiDir = "/etc/kubernetes/admin.conf", "/etc/kubernetes/pki/"
	node := cl.name + "-control-plane"
	ca, err := pki.LoadCA(time.Now().AddDate(-1, 0, 20), cl.fetchFile(node, pkiDir+"ca.crt"), cl.fetchFile(node, pkiDir+"ca.key"))
	if err != nil {
		cl.t.Fatal(err)
	}
	file := filepath.Join(cl.t.TempDir(), "ending")
	if err := os.WriteFile(file, aged(cl.t, ca, conf, cl.fetchFile(node, conf)), 0o600); err != nil {
		cl.t.Fatal(err)
	}
	docker(cl.t, cl.at, "cp", file, node+":"+conf)
	said := "end within 30 days: " + node
	if r := cl.call(cl.t.Context(), "", "start", cl.name); r.status != 0 || !strings.Contains(r.stderr, said) || !strings.Contains(r.stderr, "cove restart "+cl.name) {
		cl.t.Errorf("it is not said that certificates end: %s", r)
	}
	cl.run("restart", cl.name)
	cl.goodFor(30*24*time.Hour, true)
	if r := cl.call(cl.t.Context(), "", "start", cl.name); r.status != 0 || strings.Contains(r.stderr, said) {
		cl.t.Errorf("it is still said that certificates end: %s", r)
	}
}

// aged returns the file with older certificates in it.
func aged(t *testing.T, ca *pki.CA, path string, data []byte) []byte {
	t.Helper()
	const always = 100 * 365 * 24 * time.Hour
	renew := func(old []byte) []byte {
		older, err := ca.Renew(old, always)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return older
	}
	if !strings.HasSuffix(path, ".conf") {
		_, key, found := bytes.Cut(data, []byte("-----BEGIN EC PRIVATE KEY"))
		if !found {
			return renew(data)
		}
		return append(append(renew(data), "-----BEGIN EC PRIVATE KEY"...), key...)
	}
	conf, err := clientcmd.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range conf.AuthInfos {
		user.ClientCertificateData = renew(user.ClientCertificateData)
	}
	if data, err = clientcmd.Write(*conf); err != nil {
		t.Fatal(err)
	}
	return data
}

// goodFor wants all certificates of all nodes to end after that time from now; with after false, before it.
func (cl cluster) goodFor(d time.Duration, after bool) {
	cl.t.Helper()
	cl.eachDated(func(node, _, path string) {
		data := cl.fetchFile(node, path)
		if strings.HasSuffix(path, ".conf") {
			conf, err := clientcmd.Load(data)
			if err != nil {
				cl.t.Fatal(err)
			}
			data = conf.AuthInfos[conf.Contexts[conf.CurrentContext].AuthInfo].ClientCertificateData
		}
		certs, err := cert.ParseCertsPEM(data)
		if err != nil {
			cl.t.Fatalf("%s of %s: %v", path, node, err)
		}
		if certs[0].NotAfter.After(time.Now().Add(d)) != after {
			cl.t.Errorf("%s of %s ends at %s", path, node, certs[0].NotAfter)
		}
	})
}

// fetchFile returns a file of a node, whether or not it runs.
func (cl cluster) fetchFile(node, path string) []byte {
	cl.t.Helper()
	file := filepath.Join(cl.t.TempDir(), "fetched")
	docker(cl.t, cl.at, "cp", "-L", node+":"+path, file)
	data, err := os.ReadFile(file)
	if err != nil {
		cl.t.Fatal(err)
	}
	return data
}
