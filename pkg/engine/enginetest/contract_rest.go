package enginetest

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

func contractNetworks(t *testing.T, f fixture) {
	t.Helper()
	picked := f.network(t, "a", netip.Prefix{})
	want(t, picked.Name, f.name("a"), "Name")
	want(t, picked.Cluster, f.cluster, "Cluster")
	want(t, picked.Run, "run-"+f.cluster, "Run")
	if time.Since(picked.Created).Abs() > time.Hour {
		t.Errorf("created %v", picked.Created)
	}
	if !picked.Subnet.IsValid() || !picked.Subnet.Contains(picked.Gateway) || picked.ID == "" {
		t.Fatalf("network %+v", picked)
	}
	spec := engine.NetworkSpec{Name: f.name("a"), Cluster: f.cluster}
	_, err := f.e.CreateNetwork(t.Context(), spec)
	wantCode(t, err, fault.NameTaken, "a second network of the name")
	spec.Name, spec.Subnet = f.name("b"), picked.Subnet
	_, err = f.e.CreateNetwork(t.Context(), spec)
	wantCode(t, err, fault.NetworkTaken, "a second network of the subnet")
	want(t, strings.Contains(err.Error(), picked.Name), true, "that the error names the first one")

	// What is given back can be asked for.
	wantNoError(t, f.e.RemoveNetwork(t.Context(), picked.Name), "RemoveNetwork")
	wantNoError(t, f.e.RemoveNetwork(t.Context(), picked.Name), "RemoveNetwork again")
	again := f.network(t, "b", picked.Subnet)
	want(t, again.Subnet, picked.Subnet, "Subnet")
	contractRenewedNetwork(t, f)
	for sel, n := range map[engine.Selector]int{
		{Cluster: f.cluster}: 1, {Run: "run-" + f.cluster}: 1, {Cluster: f.cluster, Run: "no"}: 0,
	} {
		list, err := f.e.Networks(t.Context(), sel)
		wantNoError(t, err, "Networks")
		want(t, len(list), n, "the number of networks")
	}
}

// contractRenewedNetwork: a node is of the network that it was started in. Another one takes neither its name for it nor its subnet.
func contractRenewedNetwork(t *testing.T, f fixture) {
	t.Helper()
	n := f.network(t, "c", netip.Prefix{})
	spec := f.spec("c")
	spec.Network = n.Name
	name := f.start(t, spec)
	wantNoError(t, f.e.StopNode(t.Context(), name, 10*time.Second), "StopNode")
	wantNoError(t, f.e.RemoveNetwork(t.Context(), n.Name), "RemoveNetwork of a node that is stopped")
	f.network(t, "c", n.Subnet)
	if err := f.e.StartNode(t.Context(), name); err == nil {
		t.Error("a node was started in a network that it was not made for")
	}
	wantNoError(t, f.e.RemoveNode(t.Context(), name), "RemoveNode")
	wantNoError(t, f.e.RemoveNetwork(t.Context(), n.Name), "RemoveNetwork")
}

func contractSubnets(t *testing.T, f fixture) {
	t.Helper()
	a, b := f.network(t, "a", netip.Prefix{}), f.network(t, "b", netip.Prefix{})
	want(t, a.Subnet.Overlaps(b.Subnet), false, "that two subnets overlap")
	wantNoError(t, f.e.RemoveNetwork(t.Context(), a.Name), "RemoveNetwork")
	avoid := netip.PrefixFrom(a.Subnet.Addr(), 16).Masked()
	c, err := f.e.CreateNetwork(t.Context(), engine.NetworkSpec{Name: f.name("c"), Cluster: f.cluster, Avoid: []netip.Prefix{avoid}})
	wantNoError(t, err, "CreateNetwork")
	want(t, c.Subnet.Overlaps(avoid), false, "that a subnet to be avoided is picked")
	want(t, c.Subnet.Overlaps(b.Subnet), false, "that a taken subnet is picked")
	_, err = f.e.CreateNetwork(t.Context(), engine.NetworkSpec{Name: f.name("d"), Cluster: f.cluster, Avoid: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
	wantCode(t, err, fault.NetworkExhausted, "CreateNetwork where all is to be avoided")
}

func contractImages(t *testing.T, f fixture) {
	t.Helper()
	image, err := f.e.Image(t.Context(), f.image)
	wantNoError(t, err, "Image")
	want(t, slices.Contains(image.Names, f.image), true, "that the image has its name")
	byID, err := f.e.Image(t.Context(), image.ID)
	wantNoError(t, err, "Image by ID")
	want(t, byID.ID, image.ID, "ID")
	if image.Architecture == "" || image.Size == 0 || image.Created.IsZero() || len(image.Entrypoint) == 0 {
		t.Errorf("image %+v", image)
	}
	all, err := f.e.ImageList(t.Context())
	wantNoError(t, err, "ImageList")
	want(t, slices.ContainsFunc(all, func(i engine.Image) bool { return i.ID == image.ID && slices.Contains(i.Names, f.image) }), true,
		"that the list has the image")
	_, err = f.e.Image(t.Context(), "example.invalid/"+f.cluster+":none")
	wantCode(t, err, fault.ImageNotFound, "Image")
	_, err = f.e.SaveImages(t.Context(), "example.invalid/"+f.cluster+":none")
	wantCode(t, err, fault.ImageNotFound, "SaveImages")
	_, err = f.e.LoadImage(t.Context(), strings.NewReader("not an archive"))
	wantCode(t, err, fault.ImageLoad, "LoadImage")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	wantCode(t, f.e.PullImage(ctx, "127.0.0.1:1/"+f.cluster+":none", nil), fault.ImagePull, "PullImage")
	if err := f.e.PullImage(ctx, "Not A Name", nil); err == nil {
		t.Error("an image without a name was pulled")
	}
}

// contractSaveLoad: an image goes out of the engine and in again. It goes last: the image is away meanwhile.
func contractSaveLoad(t *testing.T, f fixture) {
	t.Helper()
	before, err := f.e.Image(t.Context(), f.image)
	wantNoError(t, err, "Image")
	r, err := f.e.SaveImages(t.Context(), f.image)
	wantNoError(t, err, "SaveImages")
	var archive bytes.Buffer
	_, err = io.Copy(&archive, r)
	wantNoError(t, err, "reading the archive")
	wantNoError(t, r.Close(), "Close")
	wantNoError(t, f.e.RemoveImage(t.Context(), f.image), "RemoveImage")
	_, err = f.e.Image(t.Context(), f.image)
	wantCode(t, err, fault.ImageNotFound, "Image after RemoveImage")
	loaded, err := f.e.LoadImage(t.Context(), &archive)
	wantNoError(t, err, "LoadImage")
	want(t, slices.Contains(loaded, f.image), true, "that the name is among those loaded")
	after, err := f.e.Image(t.Context(), f.image)
	wantNoError(t, err, "Image after LoadImage")
	want(t, after.ID, before.ID, "ID")
}
