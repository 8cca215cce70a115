package cluster

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"text/template"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/kubeadm"
)

// applyCore applies what kubeadm brings to every cluster, DNS and kube-proxy, as kubeadm writes them. It runs beside
// kubeadm init, which would do these one after the other at its end.
func applyCore(ctx context.Context, rc *Context) error {
	reporter(ctx).Waiting("the manifests")
	objs, err := coreManifests(ctx, rc, rc.first)
	if err != nil {
		return err
	}
	reporter(ctx).Waiting("the API server")
	if err := await(ctx, rc.apiUp); err != nil {
		return err
	}
	reporter(ctx).Waiting("%d objects", len(objs))
	applied, err := rc.kube.Apply(ctx, objs)
	rc.core = kube.Pending(applied)
	return fault.Wrap(fault.AddonFailed, err, "cannot apply kube-proxy and DNS")
}

// coreManifests gathers the objects, in a fixed order.
func coreManifests(ctx context.Context, rc *Context, node string) ([]*unstructured.Unstructured, error) {
	wanted, err := kubeadm.Addons(rc.initConfig)
	if err != nil {
		return nil, err
	}
	rc.kubeadmAddons = wanted
	var dns, proxy []*unstructured.Unstructured
	group, ctx := errgroup.WithContext(ctx)
	if slices.Contains(wanted, "coredns") {
		group.Go(func() (err error) { dns, err = kubeadmAddon(ctx, rc, node, "coredns"); return })
	}
	if slices.Contains(wanted, "kube-proxy") {
		group.Go(func() (err error) { proxy, err = kubeadmAddon(ctx, rc, node, "kube-proxy"); return })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, o := range dns {
		if err := quickDNS(o, rc.Doc); err != nil {
			return nil, fault.Wrap(fault.Internal, err, "cannot adapt CoreDNS")
		}
	}
	objs := slices.Concat(proxy, dns)
	for _, o := range objs {
		directAPI(o, rc.endpoint())
	}
	return objs, nil
}

// wantedAddons returns those of kubeadm's addons that the document of a cluster that is there wants.
func wantedAddons(rc *Context) ([]string, error) {
	n := nodesOf(rc.Doc)[0]
	c := kubeadmCluster(rc, rc.record.KubernetesVersion, nodeImage{})
	conf, err := kubeadm.InitConfig(c, kubeadm.Node{
		Name: n.Name, Role: n.Role, IPs: rc.endpoints(), Patches: n.KubeadmConfigPatches, JSON6902Patches: n.KubeadmConfigPatchesJSON6902,
	})
	if err != nil {
		return nil, err
	}
	return kubeadm.Addons(conf)
}

// kubeadmAddon returns the manifest that kubeadm writes for one of its addons.
func kubeadmAddon(ctx context.Context, rc *Context, node, name string) ([]*unstructured.Unstructured, error) {
	out, err := engine.Output(ctx, rc.Engine, node, "kubeadm", "init", "phase", "addon", name, "--config="+kubeadmConf, "--print-manifest")
	if err != nil {
		return nil, fault.Wrap(fault.KubeadmInit, err, "kubeadm cannot write the manifest of %s", name)
	}
	objs, err := kube.Decode([]byte(out))
	return objs, fault.Wrap(fault.KubeadmInit, err, "kubeadm's manifest of %s cannot be read", name)
}

// imageManifest returns a manifest of the node image. As kind does, it fills in the pod subnet.
func imageManifest(ctx context.Context, e engine.Access, node, image, podSubnet, path string) ([]byte, error) {
	data, err := e.ReadFile(ctx, node, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.ImageBroken, "image %s is no node image: it has no %s", image, path)
	}
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	t, err := template.New(path).Parse(string(data))
	if err == nil {
		err = t.Execute(&out, struct{ PodSubnet string }{podSubnet})
	}
	return out.Bytes(), fault.Wrap(fault.ImageBroken, err, "%s of image %s cannot be read", path, image)
}

// quickDNS adapts kubeadm's CoreDNS to a small cluster: one replica where there is one node to run on, and a probe
// every second, because the first one always comes too early and the next decides when DNS is there.
func quickDNS(o *unstructured.Unstructured, doc v1alpha1.Cluster) error {
	if o.GetKind() != "Deployment" {
		return nil
	}
	if len(nodesOf(doc)) == 1 {
		if err := unstructured.SetNestedField(o.Object, int64(1), "spec", "replicas"); err != nil {
			return err
		}
	}
	return eachContainer(o, func(c map[string]any) error {
		return unstructured.SetNestedField(c, int64(1), "readinessProbe", "periodSeconds")
	})
}

// directAPI makes a workload that is part of the cluster speak to the API server by its own address. By the service's
// address it would have to wait until kube-proxy has written its rules, and then back off.
func directAPI(o *unstructured.Unstructured, api netip.Addr) {
	_ = eachContainer(o, func(c map[string]any) error {
		env, _ := c["env"].([]any)
		c["env"] = append(env,
			map[string]any{"name": "KUBERNETES_SERVICE_HOST", "value": api.String()},
			map[string]any{"name": "KUBERNETES_SERVICE_PORT", "value": strconv.Itoa(apiServerPort)})
		return nil
	})
}

// eachContainer calls fn for the containers of a workload; other objects have none.
func eachContainer(o *unstructured.Unstructured, fn func(map[string]any) error) error {
	path := []string{"spec", "template", "spec", "containers"}
	list, found, err := unstructured.NestedSlice(o.Object, path...)
	if err != nil || !found {
		return err
	}
	for _, item := range list {
		if c, ok := item.(map[string]any); ok {
			if err := fn(c); err != nil {
				return err
			}
		}
	}
	return unstructured.SetNestedSlice(o.Object, list, path...)
}
