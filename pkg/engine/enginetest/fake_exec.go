package enginetest

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
)

// DefaultExec has the commands that Contract names. An OnExec can fall back to it.
func (f *Fake) DefaultExec(name string, cmd engine.Command) error {
	args := cmd.Args[1:]
	switch cmd.Args[0] {
	case "echo":
		_, _ = fmt.Fprintln(cmd.Stdout, strings.Join(args, " "))
	case "complain":
		_, _ = fmt.Fprintln(cmd.Stderr, strings.Join(args, " "))
	case "cat":
		return f.cat(name, cmd)
	case "env":
		f.env(name, cmd)
	case "pwd":
		_, _ = fmt.Fprintln(cmd.Stdout, cmd.Dir)
	case "stat":
		return f.stat(name, cmd)
	case "status":
		code, err := strconv.Atoi(args[0])
		if err != nil {
			code = 2
		}
		return &engine.ExitError{Code: code}
	case "sleep":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return &engine.ExitError{Code: 1}
		}
		<-time.After(d)
	case "write":
		return f.write(name, engine.File{Path: args[0], Data: []byte(args[1]), Mode: 0o600})
	case "rm":
		return f.rm(name, args[0])
	default:
		_, _ = fmt.Fprintf(cmd.Stderr, "exec: %q: executable file not found in $PATH\n", cmd.Args[0])
		return &engine.ExitError{Code: 127}
	}
	return nil
}

// write writes a file from inside a node.
func (f *Fake) write(name string, content engine.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.state.Nodes[name]; n != nil {
		n.put(&f.state, []engine.File{content})
	}
	return f.keep()
}

// rm removes a file from inside a node.
func (f *Fake) rm(name, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.state.Nodes[name]; n != nil {
		files, key := n.at(&f.state, path)
		delete(files, key)
	}
	return f.keep()
}

// cat copies standard input or files.
func (f *Fake) cat(name string, cmd engine.Command) error {
	if len(cmd.Args) == 1 && cmd.Stdin != nil {
		if _, err := io.Copy(cmd.Stdout, cmd.Stdin); err != nil {
			return &engine.ExitError{Code: 1}
		}
	}
	for _, p := range cmd.Args[1:] {
		content, ok := f.file(name, p)
		if !ok {
			_, _ = fmt.Fprintf(cmd.Stderr, "open %s: no such file or directory\n", p)
			return &engine.ExitError{Code: 1}
		}
		_, _ = cmd.Stdout.Write(content.Data)
	}
	return nil
}

// file returns a file of a node.
func (f *Fake) file(name, p string) (file, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.state.Nodes[name]
	if n == nil {
		return file{}, false
	}
	files, key := n.at(&f.state, p)
	content, ok := files[key]
	return content, ok
}

// env prints the node's variables and the command's.
func (f *Fake) env(name string, cmd engine.Command) {
	f.mu.Lock()
	env := map[string]string{"PATH": "/bin"}
	if n := f.state.Nodes[name]; n != nil {
		maps.Copy(env, n.Spec.Env)
	}
	f.mu.Unlock()
	maps.Copy(env, cmd.Env)
	for _, k := range slices.Sorted(maps.Keys(env)) {
		_, _ = fmt.Fprintf(cmd.Stdout, "%s=%s\n", k, env[k])
	}
}

// stat prints a file's mode in octal; of a directory that files are in, that of a new one.
func (f *Fake) stat(name string, cmd engine.Command) error {
	if content, ok := f.file(name, cmd.Args[1]); ok {
		mode := content.Mode
		if mode == 0 {
			mode = 0o644
		}
		_, _ = fmt.Fprintf(cmd.Stdout, "%o\n", mode)
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.state.Nodes[name]; n != nil {
		for p := range n.all(&f.state) {
			if strings.HasPrefix(p, cmd.Args[1]+"/") {
				_, _ = fmt.Fprintln(cmd.Stdout, "755")
				return nil
			}
		}
	}
	return &engine.ExitError{Code: 1}
}
