//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// kindLayoutImage is the image that this test makes.
const kindLayoutImage = "cove.test/kind-layout:e2e"

// kindRelease is the Debian release of the image: the last one whose systemd boots on cgroup v1, too.
const kindRelease = "bookworm"

// kindPackages are those of kind's own base image that a node without network storage needs.
func kindPackages() string {
	return "systemd,systemd-sysv,conntrack,iptables,nftables,iproute2,ethtool,util-linux,mount,kmod,libseccomp2,e2fsprogs,bash,ca-certificates,jq,procps"
}

// TestCoveRunsKindLayout makes an image that is laid out as kind's are (systemd is PID 1, the images are packed), and
// has cove run a cluster of it.
func TestCoveRunsKindLayout(t *testing.T) {
	e := onThrowAway(t)
	before := contents(t, e)
	begun := time.Now()
	buildKindLayout(t, e)
	t.Logf("the image was there after %.1f s", time.Since(begun).Seconds())
	c := newCove(t, e)
	cl := c.newName("layout")
	begun = time.Now()
	cl.run("create", cl.name, "--image", kindLayoutImage, "--workers", "1")
	t.Logf("cluster %s was usable after %.1f s", cl.name, time.Since(begun).Seconds())
	if s := cl.status(); !s.Usable || len(s.Nodes) != 2 || s.KubernetesVersion != kubernetesVersion {
		t.Errorf("status: %+v", s)
	}
	for _, node := range cl.containers(t.Context()) {
		if init := strings.TrimSpace(cl.run("exec", node, "--name", cl.name, "--", "cat", "/proc/1/comm")); init != "systemd" {
			t.Errorf("PID 1 of %s is %s", node, init)
		}
	}
	agnhostOn(t, e)
	cl.run("image", "load", agnhostImage, "--name", cl.name)
	cl.apply(strings.ReplaceAll(web, "replicas: 2", "replicas: 1"))
	cl.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	testJob(cl)
	cl.run("delete", cl.name)
	wantNothing(cl, before)
}

// buildKindLayout makes kindLayoutImage on the engine, the way `kind build node-image` makes its own: a container of the
// base image, in which containerd imports the images without unpacking them, becomes the image.
func buildKindLayout(t *testing.T, e *testbed.Engine) {
	t.Helper()
	dir := t.TempDir()
	script(t, e, fmt.Sprintf("docker import %s cove.test/kind-rootfs", kindRootfs(t)))
	images := packedImages(t, e, dir)
	files := strings.TrimSpace(script(t, e, "go list -m -f '{{.Dir}}' sigs.k8s.io/kind")) + "/images/base/files"
	script(t, e, fmt.Sprintf(`cp -r --no-preserve=mode %[2]s %[1]s/files && cp testdata/kindlayout/Dockerfile %[1]s/
		node=$(docker create %[3]s) && trap "docker rm -v $node" EXIT
		mkdir %[1]s/bin && docker cp $node:/usr/local/bin/kube - | tar -x -C %[1]s/bin
		for f in containerd containerd-shim-runc-v2 ctr runc; do
			docker cp -L $node:/usr/local/bin/$f %[1]s/bin/ || docker cp -L $node:/usr/local/sbin/$f %[1]s/bin/ || docker cp -L $node:/usr/bin/$f %[1]s/bin/
		done
		docker cp $node:/opt/cni/bin %[1]s/cni && docker cp $node:/kind/manifests %[1]s/manifests && docker cp $node:/kind/version %[1]s/version
		chmod 755 %[1]s/bin/* %[1]s/files/usr/local/bin/* %[1]s/files/kind/bin/*`,
		dir, files, nodeImage()))
	script(t, e, "DOCKER_BUILDKIT=0 docker build -q -t cove.test/kind-base "+dir)
	script(t, e, fmt.Sprintf(`
		node=$(docker run -d --entrypoint sleep --security-opt seccomp=unconfined cove.test/kind-base infinity) && trap "docker rm -fv $node" EXIT
		docker exec -d $node containerd
		docker exec $node bash -c 'until ctr version; do sleep 0.1; done' >/dev/null 2>&1
		docker exec -i $node ctr --namespace=k8s.io images import --label=io.cri-containerd.pinned=pinned --all-platforms --no-unpack --digests - <%s
		docker exec $node bash -c 'pid=$(pgrep -x containerd) && kill $pid && tail --pid=$pid -f /dev/null'
		docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' $node %s`, images, kindLayoutImage))
}

// script runs a shell script beside the engine and returns what it prints.
func script(t *testing.T, p place, text string) string {
	t.Helper()
	cmd := p.Command(t.Context(), "bash", "-euo", "pipefail", "-c", text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s:\n%v\n%s\n%s", text, err, out, stderr.String())
	}
	return string(out)
}

// kindRootfs makes the root file system with Debian's tools, once per machine, and returns the archive's path.
func kindRootfs(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(kindRelease + kindPackages()))
	path := filepath.Join(cache, "cove", "e2e", "kind-rootfs-"+hex.EncodeToString(sum[:6])+".tar")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		need(t, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"--variant=minbase", "--format=tar", "--dpkgopt=force-unsafe-io", "--include=" + kindPackages(), kindRelease, path + ".part"}
	if mirror := debianMirror(); mirror != "" {
		args = append(args, mirror)
	}
	if out, err := exec.CommandContext(t.Context(), "mmdebstrap", args...).CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	if err := os.Rename(path+".part", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// debianMirror returns where a Debian machine takes its packages from; "" leaves the choice to mmdebstrap.
func debianMirror() string {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil || !strings.Contains("\n"+string(release), "\nID=debian\n") {
		return ""
	}
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(COMPONENT) $(REPO_URI)", "Created-By: Packages", "Origin: Debian").Output()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if uri, ok := strings.CutPrefix(strings.TrimSpace(line), "main "); ok && !strings.Contains(uri, "security") {
			return uri
		}
	}
	return ""
}

// packedImages writes the images of cove's node image to an archive, under the names that kubeadm and kind's containerd
// look for, and returns its path. A node of cove's has them unpacked; so they are mounted in one, and packed again.
func packedImages(t *testing.T, e *testbed.Engine, dir string) string {
	t.Helper()
	node := docker(t, e, "run", "-d", "--privileged", "--cgroupns=private", "--tmpfs", "/run", "--tmpfs", "/tmp", "-v", "/var", nodeImage())
	defer docker(t, e, "rm", "-fv", node)
	ctr := func(ctx context.Context, args ...string) ([]byte, error) {
		return e.Command(ctx, "docker", append([]string{"exec", node, "ctr", "--namespace", "k8s.io"}, args...)...).Output()
	}
	var list []byte
	eventually(t, time.Minute, "the node's containerd", func(ctx context.Context) (err error) {
		list, err = ctr(ctx, "images", "ls")
		return err
	})
	images := map[string]v1.Image{}
	layers := map[string]v1.Layer{} // by digest of their content: several images have the same
	for i, line := range slices.Collect(strings.Lines(string(list))) {
		fields := strings.Fields(line)
		if fields[0] == "REF" || strings.HasPrefix(fields[0], "sha256:") {
			continue
		}
		config := imageConfig(t, ctr, fields[2])
		// Each at a place of its own: containerd forgets a mount's name only some time after it is unmounted.
		tree := script(t, e, fmt.Sprintf(`docker exec %[1]s bash -c 'mkdir -p /tmp/%[2]d && ctr -n k8s.io images mount %[3]s /tmp/%[2]d >/dev/null &&
			tar -C /tmp/%[2]d --sort=name -c . && ctr -n k8s.io images unmount --rm /tmp/%[2]d >/dev/null'`, node, i, fields[0]))
		sum := sha256.Sum256([]byte(tree))
		layer := layers[string(sum[:])]
		if layer == nil {
			layer = layerOf(t, []byte(tree))
			layers[string(sum[:])] = layer
		}
		images[kindName(t, e, fields[0])] = image(t, config, layer)
	}
	path := filepath.Join(dir, "images.tar")
	if err := os.WriteFile(path, archive(t, images), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// imageConfig reads the configuration of the image with the manifest.
func imageConfig(t *testing.T, ctr func(context.Context, ...string) ([]byte, error), manifest string) v1.Config {
	t.Helper()
	read := func(digest string, into any) {
		data, err := ctr(t.Context(), "content", "get", digest)
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil {
			t.Fatalf("cannot read %s: %v", digest, err)
		}
	}
	var m v1.Manifest
	read(manifest, &m)
	var file v1.ConfigFile
	read(m.Config.Digest.String(), &file)
	return file.Config
}

// kindName returns the name under which an image of kind's layout has what cove's node image calls ref.
func kindName(t *testing.T, e *testbed.Engine, ref string) string {
	t.Helper()
	repository, _, _ := strings.Cut(ref, ":")
	if repository == "registry.k8s.io/pause" {
		return repository + ":3.10" // kind's containerd names it in its configuration
	}
	wanted := docker(t, e, "run", "--rm", "--entrypoint", "kubeadm", nodeImage(), "config", "images", "list", "--kubernetes-version", kubernetesVersion)
	for _, name := range strings.Fields(wanted) {
		if strings.HasPrefix(name, repository+":") {
			return name
		}
	}
	return ref
}
