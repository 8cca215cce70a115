package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// createdFile, on the volume of every control plane, says that the cluster is complete, and what it is: a cluster without
// it is left over from a run that was cut off. Every second write goes to otherFile, so that one which a crash or a power cut has
// torn leaves the one before it.
const (
	createdFile = "/var/lib/cove/created.json"
	otherFile   = "/var/lib/cove/created.1.json"
)

// created is the content of createdFile. Runs that change a cluster keep to one order: what is taken away leaves the record
// before it is touched, what is added comes into it when it is done. So a node that the record has is whole, and one that
// it has not is the rest of a run that was cut off. A node that is made anew stays in the document, and is missing until it is whole.
type created struct {
	Run               string    `json:"run"`
	Time              time.Time `json:"time"`
	KubernetesVersion string    `json:"kubernetesVersion"`
	// Upgrading is the version that an upgrade which was begun is on its way to; empty: there is none.
	Upgrading string `json:"upgrading,omitempty"`
	// Revision counts the writes; the highest one is true where control planes disagree.
	Revision int `json:"revision,omitempty"`
	// Document is the cluster as it is wanted.
	Document *v1alpha1.Cluster `json:"document,omitempty"`
	// Missing are the nodes of the document that are not whole: they are being made anew.
	Missing []string `json:"missing,omitempty"`
	// Unsettled is what runs were changing in Kubernetes that did not come to their end.
	Unsettled unsettled `json:"unsettled,omitzero"`
	// Balanced: a load balancer stands before the API, and its address is the endpoint's.
	Balanced bool `json:"balanced,omitempty"`
	// APIPort is the port of the engine's host on which the API is published.
	APIPort uint16 `json:"apiPort,omitempty"`
	// Subnet and Subnet6 are those of the cluster's network, which may be removed while nothing runs in it.
	Subnet  netip.Prefix `json:"subnet,omitzero"`
	Subnet6 netip.Prefix `json:"subnet6,omitzero"`

	file string // that it is in; the next one goes to the other file
}

// has reports whether the node is a whole one of the cluster.
func (c created) has(node string) bool {
	for _, n := range c.nodes() {
		if n.Name == node {
			return true
		}
	}
	return false
}

// endpoint returns the address behind endpointName. The record has a document.
func (c created) endpoint(network engine.Network) netip.Addr {
	return addressesAt(nodeSubnets(*c.Document, network), endpointPlace(c.Balanced))[0]
}

// server returns the API's address for users by the record; empty where it has none.
func (c created) server(info engine.Info) string {
	if c.APIPort == 0 || c.Document == nil {
		return ""
	}
	port := apiPort(c.Document.Cluster.Networking)
	port.HostPort = c.APIPort
	return serverURL(info, engine.Node{Ports: []engine.Port{port}})
}

// nodes returns the whole nodes that the record has, control planes first.
func (c created) nodes() []v1alpha1.Node {
	return slices.DeleteFunc(c.wanted(), func(n v1alpha1.Node) bool { return slices.Contains(c.Missing, n.Name) })
}

// wanted returns the nodes of the record's document, whole or not, control planes first.
func (c created) wanted() []v1alpha1.Node {
	if c.Document == nil {
		return nil
	}
	return nodesOf(*c.Document)
}

// without returns the record as it is without these nodes.
func (c created) without(nodes []v1alpha1.Node) created {
	named := func(name string) bool {
		return slices.ContainsFunc(nodes, func(n v1alpha1.Node) bool { return n.Name == name })
	}
	c.Document = c.Document.DeepCopy()
	c.Document.SetNodes(slices.DeleteFunc(nodesOf(*c.Document), func(n v1alpha1.Node) bool { return named(n.Name) }))
	c.Missing = slices.DeleteFunc(slices.Clone(c.Missing), named)
	return c
}

// readCreated returns the newest record that the cluster's control planes have; fs.ErrNotExist where none has one, and
// RecordUnreadable where there are some and none is whole.
func readCreated(ctx context.Context, e engine.Engine, f found) (created, error) {
	var newest created
	var torn []string
	copies, err := recordFiles(ctx, e, f)
	if err != nil {
		return newest, err
	}
	for _, r := range copies {
		c := created{file: r.file}
		if err := json.Unmarshal(r.data, &c); err != nil {
			torn = append(torn, r.node) // in the middle of a write: the one before it is in another file
			continue
		}
		if newest.file == "" || c.Revision > newest.Revision {
			newest = c
		}
	}
	switch {
	case newest.file == "" && len(torn) > 0:
		return newest, unreadableRecord(f.name, torn)
	case newest.file == "":
		return newest, fs.ErrNotExist
	case newest.Document == nil:
		doc, err := f.document()
		newest.Document = &doc
		return newest, err
	}
	return newest, nil
}

// recordFile is a file that a record was written to.
type recordFile struct {
	node, file string
	data       []byte
}

// recordFiles reads the files of all control planes at once, and returns those that are there, ordered.
func recordFiles(ctx context.Context, e engine.Access, f found) ([]recordFile, error) {
	var files []recordFile
	for _, n := range f.nodes {
		if n.Role == engine.RoleControlPlane {
			files = append(files, recordFile{node: n.Name, file: createdFile}, recordFile{node: n.Name, file: otherFile})
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range files {
		group.Go(func() (err error) {
			files[i].data, err = e.ReadFile(ctx, files[i].node, files[i].file)
			if errors.Is(err, fs.ErrNotExist) || fault.Is(err, fault.NodeNotFound) {
				files[i].file = ""
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(files, func(r recordFile) bool { return r.file == "" }), err
}

// unreadableRecord is no proof that the cluster was never complete: nothing of it is removed for that.
func unreadableRecord(name string, controlPlanes []string) error {
	return fault.New(fault.RecordUnreadable, "the record of cluster %q is cut short on %s", name, strings.Join(slices.Compact(controlPlanes), ", ")).
		WithHint("what is on its volumes is left alone; `cove delete %s` removes it all", name)
}

// isComplete reports whether a run has made the cluster to its end.
func isComplete(ctx context.Context, e engine.Engine, f found) (bool, error) {
	_, err := readCreated(ctx, e, f)
	if errors.Is(err, fs.ErrNotExist) || fault.Is(err, fault.NodeNotFound) {
		return false, nil
	}
	return err == nil, err
}

// write puts the next revision of the record onto the control planes named.
func (c *created) write(ctx context.Context, e engine.Engine, controlPlanes []string) error {
	c.Revision++
	if c.file == createdFile {
		c.file = otherFile
	} else {
		c.file = createdFile
	}
	data, err := json.Marshal(c)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot write %s", c.file)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, cp := range controlPlanes {
		group.Go(func() error {
			return e.PutFiles(ctx, cp, []engine.File{{Path: c.file, Mode: 0o600, Data: data}})
		})
	}
	return fault.Wrap(fault.EngineFailed, group.Wait(), "cannot record the cluster")
}

// recordCreated writes the first record: the cluster is complete with it.
func recordCreated(ctx context.Context, rc *Context) error {
	version, err := kubernetesVersion(ctx, rc, rc.first)
	if err != nil {
		return err
	}
	gateway, err := rc.Engine.Node(ctx, rc.gateway())
	if err != nil {
		return err
	}
	record := created{
		Run: rc.Emitter.Run(), Time: rc.Now().UTC(), KubernetesVersion: version, Document: rc.Doc.DeepCopy(), Balanced: rc.balanced,
		APIPort: publishedAPI(gateway).Port(), Subnet: rc.network.Subnet, Subnet6: rc.network.Subnet6,
	}
	if err := record.write(ctx, rc.Engine, controlPlanes(rc.Doc.Nodes())); err != nil {
		return err
	}
	rc.record = record // now that it is true: what is on record is not undone
	return nil
}
