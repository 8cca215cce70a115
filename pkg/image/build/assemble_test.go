package build

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"gotest.tools/v3/golden"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// fakeParts makes the folders of all parts, with small files for binaries.
func fakeParts(t *testing.T) map[string]string {
	t.Helper()
	parts := map[string]string{}
	for _, p := range nodeParts(versions()[0]) {
		dir := filepath.Join(t.TempDir(), p.Name)
		for _, b := range p.Binaries {
			writeFile(t, dir, b.Name, "program "+b.Name)
		}
		writeFile(t, dir, modulesFile, `[{"Path": "std", "Version": "1.26.8"}, {"Path": "example.org/`+p.Name+`", "Version": "v1.0.0"}]`)
		writeFile(t, dir, licensesDir+"/example.org/"+p.Name+"@v1.0.0/LICENSE", "do what you like\n")
		parts[p.Name] = dir
	}
	return parts
}

// fakeLayout is what layout makes of the fake parts.
func fakeLayout(t *testing.T) (map[string]string, map[string]tree, map[string]*layer) {
	t.Helper()
	parts, rootfs := fakeParts(t), toolsRootfs(t)
	trees, err := layerTrees(parts, rootfs)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]*layer{}
	for name, tr := range trees {
		if sums[name], err = newLayer(tr); err != nil {
			t.Fatal(err)
		}
	}
	trees[partRootfs] = rootfs
	return parts, trees, sums
}

// places numbers the chains of the components: in order, each once.
func places(sums map[string]*layer, list []component) map[string]string {
	ids := map[string]string{}
	for _, c := range list {
		var chain []digest.Digest
		for _, name := range c.layers {
			chain = append(chain, digest.Digest(sums[name].digest.String()))
			if key := identity.ChainID(chain).String(); ids[key] == "" {
				ids[key] = strconv.Itoa(len(ids) + 1)
			}
		}
	}
	return ids
}

func TestSnapshotLayers(t *testing.T) {
	_, _, sums := fakeLayout(t)
	list := components(versions()[0])
	byChain := places(sums, list)
	got, err := snapshotLayers(list, sums, byChain)
	if err != nil {
		t.Fatal(err)
	}
	// pause 1, kube 2 (three images), tools 3, kube on tools 4, etcd 5, coredns 6, flannel on tools 7, local-path 8, busybox 9
	want := map[string]string{
		"1": partPause, "2": partKubernetes, "3": layerTools, "4": partKubernetes, "5": partEtcd, "6": partCoreDNS, "7": partFlannel,
		"8": partLocalPath, "9": layerBusybox,
	}
	if len(got) != len(want) {
		t.Errorf("snapshots: %v", got)
	}
	for id, name := range want {
		if got[id] != name {
			t.Errorf("snapshot %s is %q, want %q", id, got[id], name)
		}
	}
	if _, err := snapshotLayers(list, sums, nil); err == nil || !strings.Contains(err.Error(), "pause") {
		t.Errorf("without snapshots: %v", err)
	}
	for chain := range byChain {
		byChain[chain] = "1"
	}
	if _, err := snapshotLayers(list, sums, byChain); err == nil || !strings.Contains(err.Error(), "have one place") {
		t.Errorf("two layers at one place: %v", err)
	}
}

// nodeImage returns the files of each layer of a node image made of the fake parts.
func nodeImage(t *testing.T) []map[string]archived {
	t.Helper()
	parts, trees, sums := fakeLayout(t)
	v := versions()[0]
	list := components(v)
	s := seed{archive: []byte("state"), images: []byte("{}")}
	var err error
	if s.layers, err = snapshotLayers(list, sums, places(sums, list)); err != nil {
		t.Fatal(err)
	}
	layers, err := testBuilder(t).nodeLayers(v, "hash", parts, trees, s)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]archived
	for _, l := range layers {
		r, err := l.Layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		files, _ := unpack(t, r)
		all = append(all, files)
	}
	return all
}

// Each program is stored once in the node image: its other places are hard links, in the same layer.
func TestNodeLayersStoreEverythingOnce(t *testing.T) {
	stored := map[string]string{} // content of a program → where
	for i, files := range nodeImage(t) {
		for name, f := range files {
			if f.Typeflag == tar.TypeLink && files[f.Linkname].Typeflag != tar.TypeReg {
				t.Errorf("layer %d: %s is a link to %s, which is not a file of that layer", i, name, f.Linkname)
			}
			if program := strings.HasPrefix(f.data, "program ") || strings.HasSuffix(name, "/nft"); !program || f.Typeflag != tar.TypeReg {
				continue
			}
			if other := stored[f.data]; other != "" {
				t.Errorf("%s is stored as %s, too", name, other)
			}
			stored[f.data] = name
		}
	}
	if len(stored) < 15 {
		t.Errorf("programs: %v", stored)
	}
}

func TestNodeLayersHaveEverything(t *testing.T) {
	layers := nodeImage(t)
	if len(layers) != 4 {
		t.Fatalf("%d layers", len(layers))
	}
	all := map[string]archived{}
	for _, files := range layers {
		maps.Copy(all, files)
	}
	for _, name := range []string{
		"usr/local/bin/kube", "prebaked/snapshots/2/fs/usr/local/bin/kube", "prebaked/snapshots/4/fs/usr/local/bin/kube",
		"usr/sbin/nft", "prebaked/snapshots/3/fs/usr/sbin/nft", "usr/bin/busybox", "prebaked/snapshots/9/fs/usr/bin/busybox",
		"prebaked/snapshots/1/fs/pause", "prebaked/snapshots/5/fs/usr/local/bin/etcd", "prebaked/snapshots/6/fs/coredns",
		"prebaked/snapshots/7/fs/usr/local/bin/flannel", "prebaked/snapshots/8/fs/usr/bin/local-path-provisioner",
		"usr/local/bin/containerd", "usr/local/bin/containerd-shim-runc-v2", "usr/local/sbin/runc", "opt/cni/bin/ptp", "opt/cni/bin/host-local",
		"opt/cni/bin/portmap", "opt/cni/bin/loopback", "usr/local/bin/cove-node", "usr/share/cove/seed.tar", "usr/share/cove/images.json", "kind/version",
		"kind/cove-image.json",
		"kind/manifests/default-cni.yaml", "kind/manifests/default-storage.yaml", "etc/containerd/config.toml", "usr/share/cove/sbom.spdx.json",
		"usr/share/cove/licenses/example.org/etcd@v1.0.0/LICENSE",
	} {
		if f, ok := all[name]; !ok || f.Typeflag != tar.TypeReg && f.Typeflag != tar.TypeLink {
			t.Errorf("%s is not there (%+v)", name, f.Header)
		}
	}
	for name, target := range map[string]string{
		"usr/local/bin/kubelet": "kube", "usr/local/bin/kubeadm": "kube", "usr/local/bin/kubectl": "kube", "usr/local/bin/ctr": "containerd",
		"usr/local/bin/containerd-graft": "containerd",
		"usr/local/bin/entrypoint":       "cove-node", "usr/local/bin/systemctl": "cove-node", "usr/local/bin/journalctl": "cove-node",
		"prebaked/snapshots/4/fs/usr/local/bin/kube-proxy": "kube", "prebaked/snapshots/5/fs/usr/local/bin/etcdctl": "etcd",
	} {
		expect(t, all, name, tar.TypeSymlink, target)
	}
}

// A change to the node's init or its files leaves the layers below as they are.
func TestTopLayerIsSmall(t *testing.T) {
	layers := nodeImage(t)
	for _, name := range []string{"usr/local/bin/cove-node", "usr/share/cove/seed.tar", "kind/version", "usr/share/cove/sbom.spdx.json"} {
		for i, files := range layers {
			if _, ok := files[name]; ok != (i == len(layers)-1) {
				t.Errorf("layer %d has %s: %t", i, name, ok)
			}
		}
	}
}

func TestComponentImage(t *testing.T) {
	_, _, sums := fakeLayout(t)
	for _, c := range components(versions()[0]) {
		s, err := c.image(sums, "arm64")
		if err != nil {
			t.Fatal(err)
		}
		if pinned := strings.Contains(c.names[0], "pause"); s.Pinned != pinned {
			t.Errorf("%s: pinned %t", c.names, s.Pinned)
		}
		checkImage(t, s, c.layers, sums)
	}
}

// checkImage compares an image's manifest and configuration with its layers.
func checkImage(t *testing.T, s seedImage, layers []string, sums map[string]*layer) {
	t.Helper()
	var m v1.Manifest
	var config v1.ConfigFile
	if err := errors.Join(json.Unmarshal(s.Manifest, &m), json.Unmarshal(s.Config, &config)); err != nil {
		t.Fatal(err)
	}
	if m.MediaType != types.OCIManifestSchema1 || m.Config.MediaType != types.OCIConfigJSON || m.Config.Digest.String() != digest.FromBytes(s.Config).String() {
		t.Errorf("%s: manifest %s", s.Names, s.Manifest)
	}
	if config.Architecture != "arm64" || config.OS != "linux" || len(config.RootFS.DiffIDs) != len(layers) || len(m.Layers) != len(layers) {
		t.Fatalf("%s: config %s", s.Names, s.Config)
	}
	for i, name := range layers {
		if m.Layers[i].Digest != sums[name].digest || config.RootFS.DiffIDs[i] != sums[name].digest || m.Layers[i].MediaType != types.OCIUncompressedLayer {
			t.Errorf("%s: layer %d is %+v", s.Names, i, m.Layers[i])
		}
	}
}

// fakeEngine takes archives.
type fakeEngine struct {
	engine.Engine
	images  map[string]engine.Image
	loaded  []byte
	err     error
	removed []string
}

func (f *fakeEngine) Image(_ context.Context, ref string) (engine.Image, error) {
	if i, ok := f.images[ref]; ok {
		return i, nil
	}
	return engine.Image{}, fault.New(fault.ImageNotFound, "no image %s", ref)
}

func (f *fakeEngine) LoadImage(_ context.Context, archive io.Reader) ([]string, error) {
	if f.err != nil {
		return nil, f.err
	}
	var err error
	f.loaded, err = io.ReadAll(archive)
	f.images["n:1"] = engine.Image{ID: "new", Size: 7, Names: []string{"n:1"}}
	return []string{"n:1"}, err
}

func (f *fakeEngine) RemoveImage(_ context.Context, ref string) error {
	f.removed = append(f.removed, ref)
	return nil
}

func testImage(t *testing.T) v1.Image {
	t.Helper()
	tr := tree{}
	tr.bytes("etc/x", bytes.Repeat([]byte("text"), 1000))
	l, err := newLayer(tr)
	if err != nil {
		t.Fatal(err)
	}
	img, err := testBuilder(t).nodeConfig(versions()[0], []mutate.Addendum{addendum(l, "x")}, "hash")
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestReplaceLoadsAnArchive(t *testing.T) {
	for name, c := range map[string]struct {
		old     *engine.Image
		removed string
	}{
		"first":       {nil, ""},
		"superseded":  {&engine.Image{ID: "old", Names: []string{"n:1"}}, "old"},
		"other names": {&engine.Image{ID: "old", Names: []string{"n:1", "keep:1"}}, ""},
		"same":        {&engine.Image{ID: "new", Names: []string{"n:1"}}, ""},
	} {
		b, e := testBuilder(t), &fakeEngine{images: map[string]engine.Image{}}
		b.Engine = e
		if c.old != nil {
			e.images["n:1"] = *c.old
		}
		size, err := b.replace(t.Context(), nil, "n:1", testImage(t))
		if err != nil || size != 7 || strings.Join(e.removed, " ") != c.removed {
			t.Errorf("%s: size %d, removed %v, %v", name, size, e.removed, err)
		}
		files, _ := unpack(t, bytes.NewReader(e.loaded))
		var manifest []struct {
			Config   string
			RepoTags []string
			Layers   []string
		}
		if err := json.Unmarshal([]byte(files["manifest.json"].data), &manifest); err != nil || len(manifest) != 1 {
			t.Fatalf("%s: %v %v", name, manifest, err)
		}
		m := manifest[0]
		var config v1.ConfigFile
		if err := json.Unmarshal([]byte(files[m.Config].data), &config); err != nil {
			t.Fatal(err)
		}
		inner, _ := unpack(t, strings.NewReader(files[m.Layers[0]].data))
		if !strings.HasSuffix(m.RepoTags[0], "n:1") || inner["etc/x"].Size != 4000 {
			t.Errorf("%s: %+v %v", name, m, inner)
		}
		if config.Config.Labels[LabelContent] != "hash" || config.Config.Entrypoint[0] != "/usr/local/bin/entrypoint" {
			t.Errorf("%s: %+v", name, config.Config)
		}
		var facts Facts
		if err := json.Unmarshal([]byte(config.Config.Labels[engine.LabelNodeImage]), &facts); err != nil || facts != versions()[0].facts("amd64") {
			t.Errorf("%s: facts %+v, %v", name, facts, err)
		}
	}
}

func TestReplaceHandsOnTheEnginesError(t *testing.T) {
	b := testBuilder(t)
	b.Engine = &fakeEngine{err: fault.New(fault.DiskFull, "full")}
	if _, err := b.replace(t.Context(), nil, "n:1", testImage(t)); !fault.Is(err, fault.DiskFull) {
		t.Errorf("err = %v", err)
	}
}

func TestUpToDate(t *testing.T) {
	var seen []event.Event
	b := testBuilder(t)
	b.Emitter = event.NewEmitter("r", "", time.Now, recorder{&seen})
	b.Engine = &fakeEngine{images: map[string]engine.Image{"n:1": {Size: 5, Labels: map[string]string{LabelContent: "hash"}}}}
	r := Result{Tag: "n:1", Content: "hash"}
	if !upToDate(t.Context(), b.Options, "image/load", &r) || !r.Skipped || r.Size != 5 {
		t.Errorf("the same content: %+v", r)
	}
	if last := seen[len(seen)-1]; last.Status != event.Skipped {
		t.Errorf("it ended with %+v", last)
	}
	for name, r := range map[string]Result{"other content": {Tag: "n:1", Content: "other"}, "no image": {Tag: "n:2", Content: "hash"}} {
		if upToDate(t.Context(), b.Options, "image/load", &r) || r.Skipped {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

type recorder struct{ events *[]event.Event }

func (r recorder) Emit(e event.Event) { *r.events = append(*r.events, e) }

func TestCompressedSize(t *testing.T) {
	if n, err := compressedSize(testImage(t)); err != nil || n < 50 || n > 1000 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestSBOM(t *testing.T) {
	debian, err := parseStatus(strings.NewReader("Package: bash\nStatus: install ok installed\nMaintainer: Jane <jane@example.org>\n" +
		"Architecture: amd64\nVersion: 2:5.2~rc+1\nDescription: a shell\n with a Version: of its own\n\nPackage: libc6\nVersion: 2.41\nArchitecture: amd64\nMaintainer: Joe <joe@example.org>\n"))
	if err != nil {
		t.Fatal(err)
	}
	modules, err := partModules(map[string]string{
		"a": filepath.Dir(writeFile(t, t.TempDir(), modulesFile, `[{"Path":"std","Version":"1.26.8"},{"Path":"example.org/b","Version":"v1.2.3+incompatible"}]`)),
		"b": filepath.Dir(writeFile(t, t.TempDir(), modulesFile, `[{"Path":"example.org/a","Version":"v1.0.0"},{"Path":"std","Version":"1.26.8"}]`)),
		"c": t.TempDir(), // the root file system has no modules
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := sbom(versions()[0], "hash", debian, modules)
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, string(data), "sbom.spdx.json")
}

func TestLicenceFile(t *testing.T) {
	for name, want := range map[string]bool{"LICENSE": true, "LICENSE.md": true, "Licence.txt": true, "COPYING": true, "NOTICE": true, "PATENTS": true, "README.md": false, "license.go": false, "main.go": false} {
		if got := licenceFile(name); got != want {
			t.Errorf("licenceFile(%q) = %t", name, got)
		}
	}
}
