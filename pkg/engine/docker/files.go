package docker

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/docker/docker/api/types/container"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// maxRead is the size up to which ReadFile reads a file, in bytes.
const maxRead = 64 << 20

// PutFiles writes files as root's, and the directories that they need, in one upload. It also works before the node's
// first start, on its volumes too. What is on a tmpfs (/run and /tmp of every node) cannot be reached from outside and is
// refused.
func (e *Engine) PutFiles(ctx context.Context, node string, files []engine.File) error {
	if len(files) == 0 {
		return nil
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		if err := checkPath(f.Path); err != nil {
			return fault.Wrap(fault.Internal, err, "cannot put a file into %s", node)
		}
		// Directories get no entries of their own: an entry would change the mode of those that are there.
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: strings.TrimPrefix(path.Clean(f.Path), "/"),
			Mode: cmp.Or(f.Mode, 0o644), Size: int64(len(f.Data)),
		}
		if err := w.WriteHeader(header); err != nil {
			return fmt.Errorf("cannot pack %s: %w", f.Path, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return fmt.Errorf("cannot pack %s: %w", f.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("cannot pack files for %s: %w", node, err)
	}
	err := e.api.CopyToContainer(ctx, node, "/", &buf, container.CopyToContainerOptions{})
	return e.nodeFail(err, node, "cannot put files into %s", node)
}

// checkPath refuses what would end up elsewhere than the caller thinks.
func checkPath(p string) error {
	if !path.IsAbs(p) || strings.HasSuffix(p, "/") {
		return fault.New(fault.Internal, "the path %q is not that of a file from the root on", p)
	}
	for _, tmpfs := range []string{"/run/", "/tmp/"} {
		if strings.HasPrefix(path.Clean(p), tmpfs) {
			return fault.New(fault.Internal, "%s is on a tmpfs of the node, which is not reached from outside", p)
		}
	}
	return nil
}

// ReadFile returns the content of a file, also of a node that does not run.
func (e *Engine) ReadFile(ctx context.Context, node, file string) ([]byte, error) {
	// A link is followed by the engine when it is named with what it points to, so ask what it is first.
	for range 8 {
		body, stat, err := e.api.CopyFromContainer(ctx, node, file)
		if err != nil {
			return nil, e.pathFail(err, node, file)
		}
		if stat.Mode&fs.ModeSymlink != 0 && stat.LinkTarget != "" && stat.LinkTarget != file {
			_ = body.Close()
			file = stat.LinkTarget // the engine tells it from the root on
			continue
		}
		defer body.Close()
		return e.readEntry(body, node, file)
	}
	return nil, fault.New(fault.EngineFailed, "cannot read %s in %s: too many links", file, node)
}

// readEntry reads the one file of an archive.
func (e *Engine) readEntry(body io.Reader, node, file string) ([]byte, error) {
	r := tar.NewReader(body)
	header, err := r.Next()
	if err != nil {
		return nil, e.fail(fault.EngineFailed, err, "cannot read %s in %s", file, node)
	}
	if header.Typeflag != tar.TypeReg {
		return nil, fault.New(fault.EngineFailed, "cannot read %s in %s: it is not a regular file", file, node)
	}
	if header.Size > maxRead {
		return nil, fault.New(fault.EngineFailed, "cannot read %s in %s: it has %d bytes, more than %d", file, node, header.Size, maxRead)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxRead))
	return data, e.fail(fault.EngineFailed, err, "cannot read %s in %s", file, node)
}

// CopyOut writes the file or directory at p to w as a tar stream.
func (e *Engine) CopyOut(ctx context.Context, node, p string, w io.Writer) error {
	body, _, err := e.api.CopyFromContainer(ctx, node, p)
	if err != nil {
		return e.pathFail(err, node, p)
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return e.fail(fault.EngineFailed, err, "cannot copy %s out of %s", p, node)
}

// pathFail tells a path that is not there from a node that is not there.
func (e *Engine) pathFail(err error, node, p string) error {
	if isNotFound(err) && !strings.Contains(strings.ToLower(err.Error()), "no such container") {
		return &fault.Error{Code: fault.EngineFailed, Msg: fmt.Sprintf("cannot read %s in %s", p, node), Err: fs.ErrNotExist}
	}
	return e.nodeFail(err, node, "cannot read %s in %s", p, node)
}

// nodeFail is fail for what is done to a node: what is not found is the node.
func (e *Engine) nodeFail(err error, node, format string, args ...any) error {
	if err != nil && isNotFound(err) && strings.Contains(err.Error(), "o such container") {
		return &fault.Error{
			Code: fault.NodeNotFound, Msg: fmt.Sprintf(format, args...),
			Err: errors.New("there is no node " + node),
		}
	}
	return e.fail(fault.EngineFailed, err, format, args...)
}
