//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// TestTwoClusters makes two clusters at the same time into the same kubeconfig, and deletes one from beside the other.
func TestTwoClusters(t *testing.T) {
	onMachine(t)
	c := newCove(t, machine{})
	one, two := c.newName("one"), c.newName("two")
	var wg sync.WaitGroup
	results := make([]result, 2)
	for i, cl := range []cluster{one, two} {
		wg.Go(func() { results[i] = cl.call(t.Context(), "", "create", cl.name, "--image", nodeImage()) })
	}
	wg.Wait()
	for _, r := range results {
		if r.status != 0 {
			t.Fatal(r)
		}
	}
	config, err := clientcmd.LoadFromFile(c.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, cl := range []cluster{one, two} {
		if config.Contexts["cove-"+cl.name] == nil {
			t.Errorf("the kubeconfig has no context of %s", cl.name)
		}
		if got := cl.kubectl("get", "nodes", "-o", "name"); got != "node/"+cl.name+"-control-plane" {
			t.Errorf("cluster %s has nodes %q", cl.name, got)
		}
	}
	one.run("delete", one.name)
	if left := one.leavings(); len(left) > 0 {
		t.Errorf("delete left %q", left)
	}
	if s := two.status(); !s.Usable {
		t.Errorf("the other cluster is not usable any more: %+v", s)
	}
	if config, err = clientcmd.LoadFromFile(c.kubeconfig()); err != nil {
		t.Fatal(err)
	}
	if config.Contexts["cove-"+one.name] != nil || config.Contexts["cove-"+two.name] == nil {
		t.Errorf("the kubeconfig now has contexts of %d clusters, and not of the right one", len(config.Contexts))
	}
	// The only cluster there is would be taken without --name; with clusters of others about, the name is needed.
	if got := two.run("kubectl", "--name", two.name, "--", "get", "--raw", "/readyz"); strings.TrimSpace(got) != "ok" {
		t.Errorf("/readyz says %q", got)
	}
}

// TestImageLoad loads an image from each kind of source, and runs pods with it on each node.
func TestImageLoad(t *testing.T) {
	onMachine(t)
	c := newCove(t, machine{})
	cl := c.create("load", "--workers", "1")
	nodes := []string{cl.name + "-control-plane", cl.name + "-worker"}
	t.Run("Engine", func(t *testing.T) {
		cl := cl.in(t)
		cl.run("image", "load", agnhost(t), "--name", cl.name)
		wantImage(cl, nodes, agnhostImage)
		for _, node := range nodes {
			name := "on-" + node
			cl.apply(strings.Replace(pod("Pod", name, `"pause"`, ""), "spec: {", "spec: {nodeName: "+node+", tolerations: [{operator: Exists}], ", 1))
			cl.kubectl("wait", "--for=condition=Ready", "pod/"+name, "--timeout=60s")
		}
		r := cl.call(t.Context(), "", "image", "load", agnhostImage, "--name", cl.name)
		if r.status != 0 || !regexp.MustCompile(`^- Load .*(has|have) it`).MatchString(r.stderr) {
			t.Errorf("want it to skip the nodes, which have the image, got %s", r)
		}
	})
	small := func(t *testing.T, ref string) []byte {
		t.Helper()
		return archive(t, map[string]v1.Image{ref: image(t, v1.Config{}, layerOf(t, tarOf(t, "name", []byte(ref))))})
	}
	t.Run("Archive", func(t *testing.T) {
		const ref = "cove.test/small:archive"
		file := filepath.Join(t.TempDir(), "small.tar")
		if err := os.WriteFile(file, small(t, ref), 0o600); err != nil {
			t.Fatal(err)
		}
		cl := cl.in(t)
		cl.run("image", "load", file, "--name", cl.name)
		wantImage(cl, nodes, ref)
	})
	t.Run("Stdin", func(t *testing.T) {
		const ref = "cove.test/small:stdin"
		cl := cl.in(t)
		if r := cl.call(t.Context(), string(small(t, ref)), "image", "load", "-", "--name", cl.name); r.status != 0 {
			t.Fatal(r)
		}
		wantImage(cl, nodes, ref)
	})
	t.Run("Missing", func(t *testing.T) {
		cl.in(t).fails(3, "IMAGE_NOT_FOUND", "image", "load", "cove.test/no-such:image", "--name", cl.name)
	})
}

// wantImage wants the image on each of the nodes.
func wantImage(cl cluster, nodes []string, ref string) {
	cl.t.Helper()
	for _, node := range nodes {
		have := strings.Fields(cl.run("exec", node, "--name", cl.name, "--", "ctr", "--namespace", "k8s.io", "images", "ls", "-q"))
		if !slices.Contains(have, ref) {
			cl.t.Errorf("node %s has %q, but not %s", node, have, ref)
		}
	}
	if list := cl.run("image", "list", "--name", cl.name); !strings.Contains(list, strings.Split(ref, ":")[0]) {
		cl.t.Errorf("image list lacks %s:\n%s", ref, list)
	}
}
