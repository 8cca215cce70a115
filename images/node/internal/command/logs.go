package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"cove.dev/images/node/internal/initd"
	"cove.dev/images/node/internal/logfile"
)

func logs(ctx context.Context, args []string, s Streams) error {
	fs := flag.NewFlagSet("logs", flag.ContinueOnError)
	follow := fs.Bool("follow", false, "")
	fs.BoolVar(follow, "f", false, "")
	tail := fs.Int("tail", -1, "")
	names, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.Contains(initd.Logs(), name) {
			return usageError{fmt.Sprintf("there is no log of %q", name)}
		}
	}
	if len(names) == 0 {
		names = initd.Logs()
	}
	return readLogs(ctx, logfile.Dir, names, *tail, *follow, s.Out)
}

// readLogs prints logs. Several are read one after the other, each line with its log's name before it; when followed, they
// are read together and lines come as they are written.
func readLogs(ctx context.Context, dir string, names []string, tail int, follow bool, out io.Writer) error {
	var mu sync.Mutex
	var all sync.WaitGroup
	errs := make(chan error, len(names))
	for _, name := range names {
		prefix := ""
		if len(names) > 1 {
			prefix = name + ": "
		}
		r := &logfile.Reader{Path: logfile.Path(dir, name), Tail: tail, Follow: follow, Emit: func(line []byte) error {
			mu.Lock()
			defer mu.Unlock()
			_, err := fmt.Fprintf(out, "%s%s\n", prefix, line)
			return err
		}}
		if !follow {
			if err := r.Read(ctx); err != nil {
				return err
			}
			continue
		}
		all.Go(func() { errs <- r.Read(ctx) })
	}
	all.Wait()
	for range len(errs) {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// journal answers those journalctl command lines that name one or more units, such as kind's when it collects logs and
// kubeadm's advice to people.
func journal(ctx context.Context, args []string, s Streams) error {
	var names []string
	follow, tail := false, -1
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case strings.HasPrefix(arg, "--unit="):
			names = append(names, strings.TrimSuffix(strings.TrimPrefix(arg, "--unit="), ".service"))
		case arg == "--unit", !strings.HasPrefix(arg, "--") && strings.HasPrefix(arg, "-") && strings.HasSuffix(arg, "u"):
			if i++; i < len(args) {
				names = append(names, strings.TrimSuffix(args[i], ".service"))
			}
		case arg == "-f" || arg == "--follow":
			follow = true
		case arg == "-n" || arg == "--lines":
			if i++; i < len(args) {
				_, _ = fmt.Sscan(args[i], &tail)
			}
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(initd.Logs(), n) })
	if len(names) == 0 {
		names = initd.Logs()
	}
	return readLogs(ctx, logfile.Dir, names, tail, follow, s.Out)
}
