package cli

import (
	"context"
	"os"

	"golang.org/x/term"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// isInteractive reports whether input and output are terminals.
func (f *Factory) isInteractive() bool {
	_, in := terminal(f.IO.In)
	_, out := terminal(f.IO.Out)
	return in && out
}

// rawTerminal is the user's terminal while a command on a node has it: keys go through as they are, Ctrl-C too.
type rawTerminal struct {
	sizes   <-chan engine.Size // nil where no terminal tells its size
	restore func()
}

// openTerminal hands the terminal over until restore is called, or ctx ends for its sizes. What is no terminal (input by
// a pipe, with --tty) is left as it is.
func (f *Factory) openTerminal(ctx context.Context) (rawTerminal, error) {
	t := rawTerminal{restore: func() {}}
	if in, ok := terminal(f.IO.In); ok {
		state, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return t, fault.Wrap(fault.FileUnwritable, err, "cannot set up the terminal")
		}
		t.restore = func() { _ = term.Restore(int(in.Fd()), state) }
	}
	out, ok := terminal(f.IO.Out)
	if !ok {
		return t, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	restore := t.restore
	t.restore = func() {
		cancel()
		restore()
	}
	sizes := make(chan engine.Size, 1)
	t.sizes = sizes
	changes := sizeChanges(ctx)
	go func() {
		for {
			sendSize(ctx, sizes, out)
			select {
			case <-changes:
			case <-ctx.Done():
				return
			}
		}
	}()
	return t, nil
}

func sendSize(ctx context.Context, sizes chan<- engine.Size, out *os.File) {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return
	}
	select {
	case sizes <- engine.Size{Width: uint(width), Height: uint(height)}:
	case <-ctx.Done():
	}
}
