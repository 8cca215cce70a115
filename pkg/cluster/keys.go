package cluster

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/pki"
)

const pkiDir = "/etc/kubernetes/pki/"

// maxKey bounds what is read of a key or a certificate.
const maxKey = 1 << 20

// sharedKeyFiles are the keys that all control planes have in common
// (https://kubernetes.io/docs/setup/best-practices/certificates/).
func sharedKeyFiles() []string {
	return []string{"ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "etcd/ca.crt", "etcd/ca.key", "sa.pub", "sa.key"}
}

// newSharedKeys makes the keys that control planes boot with: the cluster's CA, so that a node and cove trust the same key from the
// first second, and, where several control planes start together, all that they must agree on. kubeadm makes the rest.
func newSharedKeys(ca *pki.CA, now time.Time, several bool) ([]engine.File, error) {
	files := []engine.File{
		{Path: pkiDir + "ca.crt", Mode: 0o644, Data: ca.CertPEM()},
		{Path: pkiDir + "ca.key", Mode: 0o600, Data: ca.KeyPEM()},
	}
	if !several {
		return files, nil
	}
	for name, cn := range map[string]string{"front-proxy-ca": "front-proxy-ca", "etcd/ca": "etcd-ca"} {
		other, err := pki.NewCA(cn, now)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "cannot make the CA %s", cn)
		}
		files = append(files,
			engine.File{Path: pkiDir + name + ".crt", Mode: 0o644, Data: other.CertPEM()},
			engine.File{Path: pkiDir + name + ".key", Mode: 0o600, Data: other.KeyPEM()})
	}
	private, public, err := pki.NewKeyPair()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot make the key of service accounts")
	}
	return append(files,
		engine.File{Path: pkiDir + "sa.key", Mode: 0o600, Data: private},
		engine.File{Path: pkiDir + "sa.pub", Mode: 0o644, Data: public}), nil
}

// readSharedKeys reads them from a control plane, which need not run.
func readSharedKeys(ctx context.Context, e engine.Access, node string) ([]engine.File, error) {
	found, err := readPKI(ctx, e, node)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.ClusterIncomplete, "control plane %s has no %s", node, pkiDir)
	}
	if err != nil {
		return nil, err
	}
	var files []engine.File
	for _, name := range sharedKeyFiles() {
		data, ok := found[name]
		if !ok { // the engine follows links, which an archive does not
			data, err = e.ReadFile(ctx, node, pkiDir+name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.ClusterIncomplete, "control plane %s has no %s", node, pkiDir+name)
		}
		if err != nil {
			return nil, err
		}
		mode := int64(0o600)
		if name == "sa.pub" || path.Ext(name) == ".crt" {
			mode = 0o644
		}
		files = append(files, engine.File{Path: pkiDir + name, Mode: mode, Data: data})
	}
	return files, nil
}

// readPKI reads those of the shared keys that are plain files, by their names. It takes the directory as a whole: each call of the
// engine costs more than all the files in it.
func readPKI(ctx context.Context, e engine.Access, node string) (map[string][]byte, error) {
	dir, names := path.Clean(pkiDir), sharedKeyFiles()
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(e.CopyOut(ctx, node, dir, w)) }()
	found := map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the keys of control plane %s: %w", node, err)
		}
		name := strings.TrimPrefix(h.Name, path.Base(dir)+"/")
		if h.Typeflag != tar.TypeReg || !slices.Contains(names, name) {
			continue
		}
		if found[name], err = io.ReadAll(io.LimitReader(archive, maxKey)); err != nil {
			return nil, fmt.Errorf("cannot read %s of control plane %s: %w", pkiDir+name, node, err)
		}
	}
}

// loadKeys reads the cluster's CA and the keys that control planes share.
func loadKeys(ctx context.Context, rc *Context, node string) error {
	files, err := readSharedKeys(ctx, rc.Engine, node)
	if err != nil {
		return err
	}
	byPath := map[string][]byte{}
	for _, f := range files {
		byPath[f.Path] = f.Data
	}
	rc.sharedKeys = files
	rc.ca, err = pki.LoadCA(rc.Now(), byPath[pkiDir+"ca.crt"], byPath[pkiDir+"ca.key"])
	return fault.Wrap(fault.Internal, err, "cannot use the cluster's CA")
}
