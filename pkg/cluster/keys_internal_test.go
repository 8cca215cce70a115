package cluster

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/fault"
)

// counted counts the calls that read from nodes; each is a round trip to the engine.
type counted struct {
	engine.Access
	calls int
	cut   int // where the archive is cut off, 0: nowhere
}

func (c *counted) ReadFile(ctx context.Context, node, path string) ([]byte, error) {
	c.calls++
	return c.Access.ReadFile(ctx, node, path)
}

func (c *counted) CopyOut(ctx context.Context, node, path string, w io.Writer) error {
	c.calls++
	if c.cut == 0 {
		return c.Access.CopyOut(ctx, node, path, w)
	}
	var all strings.Builder
	if err := c.Access.CopyOut(ctx, node, path, &all); err != nil {
		return err
	}
	_, err := io.WriteString(w, all.String()[:c.cut])
	return errors.Join(err, io.ErrUnexpectedEOF)
}

// keyed is an engine with a node that has these files below the directory of keys, each with its own name as content.
func keyed(t *testing.T, names ...string) *counted {
	t.Helper()
	fake := enginetest.NewFake()
	fake.AddImage(engine.Image{Names: []string{"i"}}, nil)
	files := []engine.File{{Path: "/etc/kubernetes/admin.conf", Data: []byte("admin")}}
	for _, n := range names {
		files = append(files, engine.File{Path: pkiDir + n, Data: []byte(n)})
	}
	if _, err := fake.CreateNode(t.Context(), engine.NodeSpec{Name: "cp", Cluster: "dev", Image: "i", Files: files}); err != nil {
		t.Fatal(err)
	}
	return &counted{Access: fake}
}

func TestReadSharedKeys(t *testing.T) {
	e := keyed(t, append(sharedKeyFiles(), "apiserver.key", "etcd/server.key", "ca.crt.old")...)
	files, err := readSharedKeys(t.Context(), e, "cp")
	if err != nil || e.calls != 1 || len(files) != len(sharedKeyFiles()) {
		t.Fatalf("%d calls, %v, %v", e.calls, files, err)
	}
	for i, name := range sharedKeyFiles() {
		mode := int64(0o644)
		if strings.HasSuffix(name, ".key") {
			mode = 0o600
		}
		if f := files[i]; f.Path != pkiDir+name || string(f.Data) != name || f.Mode != mode {
			t.Errorf("%s: got %s, %o, %q", name, f.Path, f.Mode, f.Data)
		}
	}
}

func TestReadSharedKeysIncomplete(t *testing.T) {
	_, err := readSharedKeys(t.Context(), keyed(t, sharedKeyFiles()[:7]...), "cp")
	if !fault.Is(err, fault.ClusterIncomplete) || !strings.HasSuffix(err.Error(), "has no "+pkiDir+"sa.key") {
		t.Errorf("got %v", err)
	}
	if _, err = readSharedKeys(t.Context(), keyed(t), "cp"); !fault.Is(err, fault.ClusterIncomplete) {
		t.Errorf("got %v", err)
	}
	if _, err = readSharedKeys(t.Context(), keyed(t), "nosuch"); !fault.Is(err, fault.NodeNotFound) {
		t.Errorf("got %v", err)
	}
	e := keyed(t, sharedKeyFiles()...)
	e.cut = 700
	if _, err = readSharedKeys(t.Context(), e, "cp"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v", err)
	}
}

// linked has a key that is a link: an archive of its directory has it without its content.
type linked struct {
	*counted
	name string
}

func (l linked) ReadFile(_ context.Context, _, path string) ([]byte, error) {
	if path == pkiDir+l.name {
		return []byte("behind the link"), nil
	}
	return nil, fs.ErrNotExist
}

func TestReadSharedKeysFollowsLinks(t *testing.T) {
	files, err := readSharedKeys(t.Context(), linked{keyed(t, sharedKeyFiles()[1:]...), "ca.crt"}, "cp")
	if err != nil || string(files[0].Data) != "behind the link" {
		t.Errorf("got %v, %v", files, err)
	}
}
