package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/wait"
)

// Loaded says what Load did.
type Loaded struct {
	Images  []string `json:"images" yaml:"images"`                       // by their whole names
	Nodes   []string `json:"nodes" yaml:"nodes"`                         // into which they were loaded
	Skipped []string `json:"skipped,omitempty" yaml:"skipped,omitempty"` // nodes that had all of them
	Bytes   int64    `json:"bytes" yaml:"bytes"`                         // how many each of these nodes was sent
}

// seenWithin bounds the wait for Kubernetes to see an image that containerd has, and seenPoll is how often is looked.
const (
	seenWithin = 10 * time.Second
	seenPoll   = 50 * time.Millisecond
)

// Load loads the images of the source into the nodes, all nodes at once; the source is read once. Nodes that have the
// very images already are left out. When it returns without an error, the kubelet of each node sees them. A node that
// fails does not keep the images from the others; the error names it. Errors are ImageLoad and ClusterNotRunning.
func Load(ctx context.Context, e engine.Engine, nodes []engine.Node, src Source, rep *event.Reporter) (Loaded, error) {
	for _, n := range nodes {
		if n.State != engine.StateRunning {
			return Loaded{}, fault.New(fault.ClusterNotRunning, "cannot load %s into node %s: it is %s", src.Name, n.Name, n.State)
		}
	}
	l := &loader{engine: e, source: src, rep: rep, own: map[string]bool{}}
	for _, n := range nodes {
		l.own[n.Name] = n.Labels[engine.LabelNodeImage] != ""
	}
	info, err := e.Info(ctx)
	if err != nil {
		return Loaded{}, err
	}
	l.platform = info.OS + "/" + info.Architecture
	for _, w := range src.images {
		if w.arch != "" && w.arch != info.Architecture {
			rep.Warn("build or pull it for "+l.platform, "image %s is for %s, and the nodes are %s: they can hardly run it", w.name, w.arch, info.Architecture)
		}
	}
	result := Loaded{}
	need := make([]bool, len(nodes))
	if err := each(nodes, func(i int, n engine.Node) (err error) {
		need[i], err = l.needs(ctx, n.Name)
		return err
	}); err != nil {
		return result, err
	}
	for i, n := range nodes {
		if need[i] {
			result.Nodes = append(result.Nodes, n.Name)
		} else {
			result.Skipped = append(result.Skipped, n.Name)
		}
	}
	images := src.images
	if len(result.Nodes) > 0 {
		if images, err = l.stream(ctx, result.Nodes); err != nil {
			return Loaded{}, err
		}
	}
	result.Bytes = l.sent
	for _, w := range images {
		result.Images = append(result.Images, w.name)
	}
	return result, nil
}

// each calls fn for all nodes at once and joins their errors.
func each(nodes []engine.Node, fn func(i int, n engine.Node) error) error {
	errs := make([]error, len(nodes))
	var group sync.WaitGroup
	for i, n := range nodes {
		group.Go(func() { errs[i] = fn(i, n) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// loader is one call of Load.
type loader struct {
	engine   engine.Engine
	source   Source
	rep      *event.Reporter
	platform string
	own      map[string]bool // nodes of cove's own images
	sent     int64
}

// needs reports whether the node lacks any of the source's images.
func (l *loader) needs(ctx context.Context, node string) (bool, error) {
	if len(l.source.images) == 0 {
		return true, nil
	}
	entries, err := entriesOf(ctx, l.engine, node)
	return len(lacking(entries, l.source.images)) > 0, err
}

// stream sends the archive to the nodes while it is read, and returns the images that are in it.
func (l *loader) stream(ctx context.Context, nodes []string) ([]wanted, error) {
	archive, err := l.source.open(ctx)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	reader, err := plain(archive)
	if err != nil {
		return nil, fault.Wrap(fault.ImageLoad, err, "cannot load %s", l.source.Name)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var images []wanted
	results := make([]error, len(nodes))
	feeds := make([]*feed, 0, len(nodes)+1)
	var group sync.WaitGroup
	start := func(work func(r io.Reader)) {
		f := newFeed()
		feeds = append(feeds, f)
		group.Go(func() {
			defer f.leave()
			work(f)
		})
	}
	for i, n := range nodes {
		start(func(r io.Reader) { results[i] = l.importInto(ctx, n, r) })
	}
	// One more reader finds out what is in the archive.
	start(func(r io.Reader) {
		found, err := readArchive(r)
		images = found
		// Nodes that lack the end of an archive could take it for whole.
		if left := (*leftError)(nil); err != nil && !errors.As(err, &left) {
			cancel(err)
		}
	})
	sent, err := send(ctx, reader, feeds, func(done int64) { l.rep.Count(done, 0, "bytes") })
	l.sent = sent
	if left := (*leftError)(nil); err != nil && !errors.As(err, &left) {
		cancel(err)
	}
	for _, f := range feeds {
		f.end(err)
	}
	group.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return nil, fault.Wrap(fault.ImageLoad, cause, "cannot load %s", l.source.Name)
	}
	for i, n := range nodes {
		if results[i] == nil {
			group.Go(func() { results[i] = l.verify(ctx, n, images) })
		}
	}
	group.Wait()
	return images, errors.Join(results...)
}

// importArgs is the command that reads an archive in the node, for the node's platform alone: an archive of an image for several
// platforms seldom holds the layers of all. What the engine has saved has whole names, and ctr can then take it apart itself, which takes
// half of the processor's time that containerd's transfer service does (its stream goes in small pieces); only cove's own images are certain
// to have a ctr that can be told so.
func (l *loader) importArgs(node string) []string {
	args := []string{"ctr", "--namespace=k8s.io", "images", "import", "--platform=" + l.platform}
	if l.own[node] && len(l.source.images) > 0 {
		args = append(args, "--local")
	}
	return append(args, "-")
}

// importInto has containerd in the node read the archive.
func (l *loader) importInto(ctx context.Context, node string, archive io.Reader) error {
	var output bytes.Buffer
	err := l.engine.Exec(ctx, node, engine.Command{
		Args:   l.importArgs(node),
		Stdin:  archive,
		Stdout: &output, Stderr: &output,
	})
	if exit := (*engine.ExitError)(nil); errors.As(err, &exit) {
		exit.Output = output.String()
		return fault.Wrap(fault.ImageLoad, err, "cannot load %s into node %s: %s", l.source.Name, node, lastLine(exit.Output))
	}
	return fault.Wrap(fault.ImageLoad, err, "cannot load %s into node %s", l.source.Name, node)
}

// lastLine returns the last line of an output that says something.
func lastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// verify waits until Kubernetes on the node sees the images: its part of containerd hears of them a moment later. It
// finds out, too, where containerd took nothing of the archive for the node's platform.
func (l *loader) verify(ctx context.Context, node string, images []wanted) error {
	ctx, cancel := context.WithTimeout(ctx, seenWithin)
	defer cancel()
	err := wait.Until(ctx, seenPoll, nil, wait.Condition{
		Name: "node " + node + " to have the images",
		Check: func(ctx context.Context) (bool, string, error) {
			entries, err := entriesOf(ctx, l.engine, node)
			if err != nil {
				return false, "", err
			}
			missing := lacking(entries, images)
			return len(missing) == 0, fmt.Sprintf("it lacks %s for %s", strings.Join(missing, ", "), l.platform), nil
		},
	})
	return fault.Wrap(fault.ImageLoad, err, "cannot load %s into node %s", l.source.Name, node)
}

// chunkSize is how much is handed on at once, and chunksAhead how many of these a node may lag behind the fastest.
const (
	chunkSize   = 256 << 10
	chunksAhead = 16
)

// send reads r once and hands what it reads to all feeds, as fast as the slowest takes it. A feed whose reader has left
// gets no more; where all nodes have left, the rest is not read. The last feed is the one that only looks.
func send(ctx context.Context, r io.Reader, feeds []*feed, count func(done int64)) (int64, error) {
	var done int64
	for {
		chunk := make([]byte, chunkSize)
		n, err := fill(r, chunk)
		for _, f := range feeds {
			if n > 0 && !f.push(ctx, chunk[:n]) && ctx.Err() != nil {
				return done, context.Cause(ctx)
			}
		}
		done += int64(n)
		count(done)
		switch {
		case errors.Is(err, io.EOF):
			return done, nil
		case err != nil:
			return done, err
		case !slices.ContainsFunc(feeds[:len(feeds)-1], (*feed).here):
			return done, &leftError{}
		}
	}
}

// fill reads until p is full or r ends. Unlike io.ReadFull it keeps r's own error: io.ErrUnexpectedEOF is that of an
// archive that is cut off.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// leftError ends the reading of an archive that no node reads any more.
type leftError struct{}

func (*leftError) Error() string { return "no node reads on" }

// feed is a reader of what send reads. Chunks are shared among feeds and never written to.
type feed struct {
	chunks chan []byte
	gone   chan struct{}
	err    error // set before chunks is closed
	rest   []byte
}

func newFeed() *feed {
	return &feed{chunks: make(chan []byte, chunksAhead), gone: make(chan struct{})}
}

// push hands a chunk on; false where nobody reads any more, or ctx has ended.
func (f *feed) push(ctx context.Context, chunk []byte) bool {
	select {
	case f.chunks <- chunk:
		return true
	case <-f.gone:
		return false
	case <-ctx.Done():
		return false
	}
}

// end says that nothing more comes, and why.
func (f *feed) end(err error) {
	f.err = err
	close(f.chunks)
}

// leave says that nobody reads any more.
func (f *feed) leave() { close(f.gone) }

func (f *feed) here() bool {
	select {
	case <-f.gone:
		return false
	default:
		return true
	}
}

// Read reads on in the chunks.
func (f *feed) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		chunk, ok := <-f.chunks
		if !ok {
			if f.err != nil {
				return 0, f.err
			}
			return 0, io.EOF
		}
		f.rest = chunk
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}
