package build

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// atOnce is how many parts are compiled at the same time: while one of them links on one core, the other one fills the rest.
const atOnce = 2

// parts builds the parts and the root file system, and returns the folder of each by its name.
func (b *builder) parts(ctx context.Context, list []part) (map[string]string, error) {
	dirs := make([]string, len(list)+1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { // beside the others: it waits for the network and the disk
		dirs[len(list)], err = b.rootfs(ctx)
		return err
	})
	slots := make(chan struct{}, atOnce)
	group.Go(func() error {
		for i, p := range list {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			group.Go(func() (err error) {
				defer func() { <-slots }()
				dirs[i], err = b.compile(ctx, p)
				return err
			})
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	byName := map[string]string{partRootfs: dirs[len(list)]}
	for i, p := range list {
		byName[p.Name] = dirs[i]
	}
	return byName, nil
}

// compile builds a part, or takes it from the cache.
func (b *builder) compile(ctx context.Context, p part) (dir string, err error) {
	return b.compileAs(ctx, "image/compile/"+p.Name, "Compile "+p.Title, p)
}

// compileAs is compile as a step of that ID and title: two images that are built at once may have a part in common.
func (b *builder) compileAs(ctx context.Context, id, title string, p part) (dir string, err error) {
	err = b.Emitter.Step(ctx, id, title, func(ctx context.Context, r *event.Reporter) error {
		cached := false
		dir, cached, err = b.cache.get(ctx, p.Name, b.key(p), b.Fresh, waits(r), func(ctx context.Context, work string) error {
			return b.goBuild(ctx, r, p, work)
		})
		return skipIf(cached, err)
	})
	return dir, err
}

func waits(r *event.Reporter) func() {
	return func() { r.Waiting("another build of the same part") }
}

func skipIf(cached bool, err error) error {
	if err == nil && cached {
		return event.Skip("it has not changed")
	}
	return err
}

// goBuild compiles the part's binaries from work/src to work/out.
func (b *builder) goBuild(ctx context.Context, r *event.Reporter, p part, work string) error {
	src := filepath.Join(work, "src")
	if err := b.tree.unpack(p.Module, src); err != nil {
		return err
	}
	log := b.cache.log(p.Name)
	out := filepath.Join(work, "out")
	count := int64(0)
	for _, bin := range p.Binaries {
		args := bin.args()
		args = append(args[:len(args)-1:len(args)-1], "-o", filepath.Join(out, bin.Name), bin.Package)
		env := b.goEnv(bin.Static)
		if bin.Prints != "" {
			env = append(env, "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH) // the last one counts
		}
		err := run(ctx, log, command{dir: src, env: env, args: append([]string{"go"}, args...)}, func(line string) {
			count++
			r.Waiting("%s", line)
			r.Count(count, 0, "packages")
		})
		if err == nil && bin.Prints != "" {
			err = printTo(ctx, log, filepath.Join(out, bin.Name), filepath.Join(out, bin.Prints))
		}
		if err != nil {
			return fault.Wrap(fault.ImageBuild, err, "cannot compile %s", p.Title)
		}
	}
	r.Waiting("the licences")
	return b.recordModules(ctx, p, src, out, b.goEnv(false))
}

// printTo writes what a program prints to a file.
func printTo(ctx context.Context, log, program, to string) error {
	var text bytes.Buffer
	if err := run(ctx, log, command{dir: filepath.Dir(program), env: os.Environ(), args: []string{program}, out: &text}, func(string) {}); err != nil {
		return err
	}
	return os.WriteFile(to, text.Bytes(), 0o644) //nolint:gosec // public
}

// goEnv is the environment of go. The machine's own settings decide where modules come from; what would change the binary
// is fixed here.
func (b *builder) goEnv(cgo bool) []string {
	enabled := "CGO_ENABLED=0"
	if cgo {
		enabled = "CGO_ENABLED=1"
	}
	return append(os.Environ(), enabled, "GOFLAGS=", "GOWORK=off", "GOOS=linux", "GOARCH="+b.arch)
}

// command is a program of the machine to run.
type command struct {
	dir  string
	env  []string
	args []string
	in   io.Reader
	out  io.Writer // nil: to the log, as stderr is
}

// failed is a command that did not end well.
type failed struct {
	args []string
	log  string
	tail string
	err  error
}

func (f *failed) Error() string {
	return fmt.Sprintf("%s failed: %v (log: %s)", f.args[0], f.err, f.log)
}

func (f *failed) Unwrap() error { return f.err }

// CommandOutput returns the command line and the end of what it printed, for fault.ReportOf.
func (f *failed) CommandOutput() (line, output string) { return strings.Join(f.args, " "), f.tail }

// tailLines is how much of a failed command's output is shown.
const tailLines = 15

// run runs a command. What it prints goes to the log, which is written anew, and line by line to line.
func run(ctx context.Context, log string, c command, line func(string)) error {
	file, err := os.Create(log) //nolint:gosec // a name of this package in the cache
	if err != nil {
		return fault.Wrap(fault.FileUnwritable, err, "cannot write the build's log")
	}
	defer file.Close()
	fmt.Fprintf(file, "+ cd %s && %s\n", c.dir, strings.Join(c.args, " "))
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...) //nolint:gosec // the commands are this package's own
	cmd.Dir, cmd.Env, cmd.Stdin = c.dir, c.env, c.in
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // go and mmdebstrap tidy up after themselves then
	cmd.WaitDelay = 30 * time.Second
	read, write := io.Pipe()
	cmd.Stderr = write
	cmd.Stdout = write
	if c.out != nil {
		cmd.Stdout = c.out
	}
	tail := make(chan []string)
	go func() { tail <- follow(read, file, line) }()
	err = cmd.Run()
	_ = write.Close()
	last := <-tail
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &failed{args: c.args, log: log, tail: strings.Join(last, "\n"), err: err}
	}
	return nil
}

// follow copies lines from r to w, hands each on, and returns the last ones.
func follow(r io.Reader, w io.Writer, line func(string)) []string {
	var last []string
	in := bufio.NewReader(r)
	for {
		text, err := in.ReadString('\n')
		if text = strings.TrimRight(text, "\r\n"); text != "" {
			fmt.Fprintln(w, text)
			line(text)
			if last = append(last, text); len(last) > tailLines {
				last = last[1:]
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				last = append(last, err.Error())
			}
			return last
		}
	}
}
