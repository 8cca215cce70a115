package cluster

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// evidenceTimeout bounds the gathering after a failure: the user waits for the error.
const evidenceTimeout = 20 * time.Second

// maxEvidenceFile bounds one file of the evidence; logs are cut there.
const maxEvidenceFile = 32 << 20

// saveEvidence keeps what tells why the run failed, before it is undone. Where no node was made there is none.
func saveEvidence(ctx context.Context, rc *Context, cause error) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, evidenceTimeout)
	defer cancel()
	f, err := find(ctx, rc.Engine, rc.Name())
	if err != nil {
		return "", err
	}
	// A cluster of that name that another run has made is no evidence of this one's failure.
	f.nodes = slices.DeleteFunc(f.nodes, func(n engine.Node) bool { return n.Run != rc.Emitter.Run() })
	if len(f.nodes) == 0 {
		return "", nil
	}
	if fault.ReportOf(cause).Code == fault.Interrupted { // the user knows why
		return "", nil
	}
	dir := filepath.Join(rc.StateDir, "evidence", rc.Emitter.Run())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	problem := errors.Join(gather(ctx, rc.Engine, rc.engineInfo(), f, rc.kube, dir), writeJSON(filepath.Join(dir, "error.json"), fault.ReportOf(cause)))
	return dir, errors.Join(noteProblems(dir, problem), redactTree(dir))
}

// noteProblems names in a file what could not be had; the rest is as good as before.
func noteProblems(dir string, problem error) error {
	if problem == nil {
		return nil
	}
	err := os.WriteFile(filepath.Join(dir, "problems.txt"), []byte(problem.Error()+"\n"), 0o600)
	return fault.Wrap(fault.FileUnwritable, err, "cannot write to %s", dir)
}

// Export writes all that a report of a problem needs into dir, which is made: containers, their logs, the logs of
// kubelet, containerd and pods, what Kubernetes knows, and the logs of the runs that made the cluster. What cannot be had
// is named in problems.txt; that alone is no error.
func Export(ctx context.Context, d Deps, name, dir string) error {
	info, err := d.Engine.Info(ctx)
	if err != nil {
		return err
	}
	f, err := lookup(ctx, d.Engine, name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Wrap(fault.FileUnwritable, err, "cannot make %s", dir)
	}
	var client Kube
	a, problem := access(ctx, d.Engine, info, f)
	if problem == nil {
		client, problem = d.Connect(a.Options())
	}
	problem = errors.Join(problem, gather(ctx, d.Engine, info, f, client, dir), copyRuns(d.StateDir, f, dir))
	return errors.Join(noteProblems(dir, problem), redactTree(dir))
}

// gather writes what there is to know into dir, each part for itself: one that fails does not keep the others away.
func gather(ctx context.Context, e engine.Engine, info engine.Info, f found, client Kube, dir string) error {
	problems := []error{
		writeJSON(filepath.Join(dir, "engine.json"), info),
		writeJSON(filepath.Join(dir, "networks.json"), f.networks),
		writeJSON(filepath.Join(dir, "volumes.json"), f.volumes),
	}
	containers := f.containers()
	results := make([]error, len(containers)+1)
	var group errgroup.Group
	for i, n := range containers {
		group.Go(func() error {
			results[i] = gatherNode(ctx, e, n, filepath.Join(dir, "nodes", n.Name))
			return nil
		})
	}
	group.Go(func() error {
		if client != nil {
			results[len(containers)] = client.Evidence(ctx, filepath.Join(dir, "kubernetes"))
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return errors.Join(append(problems, results...)...)
}

func gatherNode(ctx context.Context, e engine.Engine, n engine.Node, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	problems := []error{writeJSON(filepath.Join(dir, "container.json"), n)}
	problems = append(problems, writeFile(filepath.Join(dir, "container.log"), func(w io.Writer) error {
		return e.Logs(ctx, n.Name, false, 0, w)
	}))
	problems = append(problems, copyTree(ctx, e, n.Name, "/var/log", dir))
	if n.State == engine.StateRunning {
		for _, unit := range []string{"kubelet", "containerd"} {
			problems = append(problems, writeFile(filepath.Join(dir, unit+".journal.log"), func(w io.Writer) error {
				// Images of kind's layout log to the journal; cove's have their logs below /var/log.
				err := e.Exec(ctx, n.Name, engine.Command{Args: []string{"journalctl", "--no-pager", "-u", unit}, Stdout: w})
				if exit := (*engine.ExitError)(nil); errors.As(err, &exit) {
					return nil
				}
				return err
			}))
		}
	}
	return errors.Join(problems...)
}

// copyTree copies a directory of a node into dir. Only regular files and directories are taken, and none leaves dir.
func copyTree(ctx context.Context, e engine.Engine, node, from, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(e.CopyOut(ctx, node, from, w)) }()
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot copy %s of %s: %w", from, node, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "/"))
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return err
		}
		if err := copyFile(root, name, archive); err != nil {
			return err
		}
	}
}

func copyFile(root *os.Root, name string, r io.Reader) error {
	out, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(r, maxEvidenceFile))
	return errors.Join(err, out.Close())
}

func writeFile(name string, fill func(io.Writer) error) error {
	out, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // below the directory that the user chose
	if err != nil {
		return err
	}
	err = errors.Join(fill(out), out.Close())
	if info, serr := os.Stat(name); serr == nil && info.Size() == 0 {
		return errors.Join(err, os.Remove(name)) // an empty log says nothing
	}
	return err
}

func writeJSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(data, '\n'), 0o600)
}

// copyRuns copies the logs of the runs that made the cluster.
func copyRuns(stateDir string, f found, dir string) error {
	from, err := os.OpenRoot(filepath.Join(stateDir, "runs"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer to.Close()
	var problems []error
	for _, run := range f.runs() {
		data, err := from.ReadFile(run + ".ndjson")
		if errors.Is(err, os.ErrNotExist) { // another machine's run
			continue
		}
		if err == nil {
			err = to.WriteFile("run-"+run+".ndjson", data, 0o600)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}
