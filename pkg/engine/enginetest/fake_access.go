package enginetest

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// file is a file of a node, a volume or an image.
type file struct {
	Mode int64  `json:"mode,omitempty"` // 0: 0644
	Data []byte `json:"data"`
}

// running fails unless the node runs.
func (f *Fake) running(ctx context.Context, name, doing string) error {
	if err := interrupted(ctx, doing+" "+name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.state.node(name, doing)
	if err == nil && n.Node.State != engine.StateRunning {
		err = fault.New(fault.ClusterNotRunning, "cannot %s %s: the node is %s", doing, name, n.Node.State)
	}
	return err
}

// Exec runs a command by OnExec. When ctx ends, Exec does not wait for it.
func (f *Fake) Exec(ctx context.Context, name string, cmd engine.Command) error {
	if len(cmd.Args) == 0 {
		return fault.New(fault.Internal, "cannot run a command on %s: it is empty", name)
	}
	if err := f.running(ctx, name, "run a command on"); err != nil {
		return err
	}
	operation := "Exec " + name + " " + strings.Join(cmd.Args[:min(2, len(cmd.Args))], " ")
	if err := f.mutate(ctx, operation, func(*state) error { return nil }, nil); err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = orDiscard(cmd.Stdout), orDiscard(cmd.Stderr)
	if cmd.TTY {
		cmd.Stdout = terminal{cmd.Stdout}
		cmd.Stderr = cmd.Stdout
	}
	run := f.OnExec
	if run == nil {
		run = f.DefaultExec
	}
	done := make(chan error, 1)
	go func() { done <- run(name, cmd) }()
	select {
	case err := <-done:
		if exit := (*engine.ExitError)(nil); errors.As(err, &exit) && exit.Node == "" {
			exit.Node, exit.Args = name, cmd.Args
		}
		return err
	case <-ctx.Done():
		return interrupted(ctx, "run "+cmd.Args[0]+" on "+name)
	}
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// terminal ends lines as a terminal does.
type terminal struct{ w io.Writer }

func (t terminal) Write(p []byte) (int, error) {
	if _, err := io.WriteString(t.w, strings.ReplaceAll(string(p), "\n", "\r\n")); err != nil {
		return 0, err
	}
	return len(p), nil
}

// at finds where a path of the node is kept: in its own files or on a volume.
func (n *node) at(s *state, p string) (files map[string]file, key string) {
	p = path.Clean(p)
	files, key = n.Files, p
	longest := 0
	for _, v := range n.Spec.Volumes {
		inside, ok := strings.CutPrefix(p, path.Clean(v.Target)+"/")
		if found := s.Volumes[v.Name]; ok && found != nil && len(v.Target) > longest {
			files, key, longest = found.Files, "/"+inside, len(v.Target)
		}
	}
	return files, key
}

// all returns every file of the node, those of its volumes among them, by path.
func (n *node) all(s *state) map[string]file {
	files := maps.Clone(n.Files)
	for _, v := range n.Spec.Volumes {
		if found := s.Volumes[v.Name]; found != nil {
			for p, content := range found.Files {
				files[path.Join(v.Target, p)] = content
			}
		}
	}
	return files
}

// put writes files.
func (n *node) put(s *state, files []engine.File) {
	for _, content := range files {
		where, key := n.at(s, content.Path)
		where[key] = file{Mode: cmp.Or(content.Mode, 0o644), Data: slices.Clone(content.Data)}
	}
}

// PutFiles writes files into a node in any state.
func (f *Fake) PutFiles(ctx context.Context, name string, files []engine.File) error {
	if len(files) == 0 {
		return nil
	}
	for _, content := range files {
		p := content.Path
		if !path.IsAbs(p) || strings.HasSuffix(p, "/") || strings.HasPrefix(path.Clean(p), "/run/") || strings.HasPrefix(path.Clean(p), "/tmp/") {
			return fault.New(fault.Internal, "cannot put a file into %s: %q is not absolute, a directory, or on a tmpfs", name, p)
		}
	}
	put := func(s *state, files []engine.File) error {
		n, err := s.node(name, "put files into")
		if err == nil {
			n.put(s, files)
		}
		return err
	}
	return f.mutate(ctx, "PutFiles "+name, func(s *state) error { return put(s, files) },
		func(s *state) { _ = put(s, files[:1]) })
}

// ReadFile returns a file's content.
func (f *Fake) ReadFile(ctx context.Context, name, p string) ([]byte, error) {
	if err := interrupted(ctx, "read "+p); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.state.node(name, "read a file of")
	if err != nil {
		return nil, err
	}
	files, key := n.at(&f.state, p)
	if content, ok := files[key]; ok {
		return slices.Clone(content.Data), nil
	}
	for other := range n.all(&f.state) {
		if strings.HasPrefix(other, path.Clean(p)+"/") {
			return nil, fault.New(fault.EngineFailed, "cannot read %s in %s: it is not a regular file", p, name)
		}
	}
	return nil, missing(p, name)
}

func missing(p, node string) error {
	return &fault.Error{Code: fault.EngineFailed, Msg: fmt.Sprintf("cannot read %s in %s", p, node), Err: fs.ErrNotExist}
}

// CopyOut writes a file or a directory as a tar stream.
func (f *Fake) CopyOut(ctx context.Context, name, p string, w io.Writer) error {
	if err := interrupted(ctx, "copy "+p); err != nil {
		return err
	}
	f.mu.Lock()
	n, err := f.state.node(name, "copy a file of")
	if err != nil {
		f.mu.Unlock()
		return err
	}
	files := n.all(&f.state)
	f.mu.Unlock()
	archive := tar.NewWriter(w)
	found := false
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if p = path.Clean(p); file != p && !strings.HasPrefix(file, strings.TrimSuffix(p, "/")+"/") {
			continue
		}
		found = true
		content := files[file]
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: strings.TrimPrefix(strings.TrimPrefix(file, path.Dir(p)), "/"),
			Mode: cmp.Or(content.Mode, 0o644), Size: int64(len(content.Data)),
		}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("cannot copy %s: %w", p, err)
		}
		if _, err := archive.Write(content.Data); err != nil {
			return fmt.Errorf("cannot copy %s: %w", p, err)
		}
	}
	if !found {
		return missing(p, name)
	}
	return archive.Close()
}

// Logs writes what PID 1 printed; with follow also what it prints until it ends.
func (f *Fake) Logs(ctx context.Context, name string, follow bool, tail int, w io.Writer) error {
	var written int
	for first := true; ; first = false {
		f.mu.Lock()
		n, err := f.state.node(name, "read the log of")
		if err != nil {
			f.mu.Unlock()
			if !first {
				return nil // removed while it was followed
			}
			return err
		}
		text, running, changed := n.Log, n.Node.State == engine.StateRunning, f.changed
		f.mu.Unlock()
		if first && tail > 0 {
			lines := strings.SplitAfter(text, "\n")
			lines = lines[:len(lines)-1]
			written = len(strings.Join(lines[:max(0, len(lines)-tail)], ""))
		}
		if _, err := io.WriteString(w, text[written:]); err != nil {
			return fmt.Errorf("cannot write the log of %s: %w", name, err)
		}
		written = len(text)
		if !follow || !running {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// Print adds a line to what a node's PID 1 printed.
func (f *Fake) Print(name, line string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.state.node(name, "print on")
	if err != nil {
		return err
	}
	n.Log += strings.TrimSuffix(line, "\n") + "\n"
	return f.keep()
}

// Dial connects by OnDial.
func (f *Fake) Dial(ctx context.Context, name, network, address string) (net.Conn, error) {
	if network != "tcp" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
	}
	if err := f.running(ctx, name, "connect from"); err != nil {
		return nil, err
	}
	if f.OnDial != nil {
		return f.OnDial(ctx, name, address)
	}
	if address != "127.0.0.1:7" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return echo(ctx)
}

// echo is a real connection that sends back what it gets.
func echo(ctx context.Context) (net.Conn, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the echo: %w", err)
	}
	go func() {
		defer listener.Close()
		if c, err := listener.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("cannot connect to the echo: %w", err)
	}
	return c, nil
}
