package main

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

func eventsPage(root string) (page, error) {
	p := page{name: "events.md", title: "Events"}
	src, err := readEvents(filepath.Join(root, "pkg", "event", "event.go"))
	if err != nil {
		return p, err
	}
	p.para("A run (`create`, `delete`, `image load`, …) is a stream of events. With `-o json` they go to stdout, one JSON object a line; "+
		"the same lines are kept below `$XDG_STATE_HOME/cove/runs` (else `~/.local/state/cove/runs`), for the last 50 runs. "+
		"This is version %d of their shape: later versions of cove only add fields and types, so skip what you do not know. "+
		"A run ends with exactly one `run.finished`.", event.Version)
	p.para("## Fields")
	fieldTable(&p, reflect.TypeFor[event.Event](), src)
	for _, part := range []struct {
		title string
		typ   reflect.Type
	}{{"progress", reflect.TypeFor[event.Progress]()}, {"changes[]", reflect.TypeFor[event.Change]()}, {"plan[]", reflect.TypeFor[event.StepInfo]()}, {"error", reflect.TypeFor[fault.Report]()}} {
		p.para("### `%s`", part.title)
		fieldTable(&p, part.typ, src)
	}
	p.para("## Types")
	all := examples()
	for _, t := range src.types {
		p.para("### %s", t.name)
		if t.comment != "" {
			p.para("%s.", upper(t.comment))
		}
		lines, err := examplesOf(all, event.Type(t.name))
		if err != nil {
			return p, err
		}
		p.printf("```json\n%s```\n\n", lines)
	}
	return p, nil
}

// source is what only the source of package event says.
type source struct {
	types    []typeName
	comments map[string]string // "Event.Seq" → its comment
}

type typeName struct{ name, comment string }

// readEvents reads the types of events and the comments of fields.
func readEvents(path string) (source, error) {
	s := source{comments: map[string]string{}}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return s, fmt.Errorf("cannot read the types of events: %w", err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			s.addType(n)
		case *ast.TypeSpec:
			s.addFields(n)
		}
		return true
	})
	if len(s.types) == 0 {
		return s, fmt.Errorf("%s has no constants of type Type", path)
	}
	return s, nil
}

func (s *source) addType(n *ast.ValueSpec) {
	if id, ok := n.Type.(*ast.Ident); !ok || id.Name != "Type" || len(n.Values) != 1 {
		return
	}
	if lit, ok := n.Values[0].(*ast.BasicLit); ok {
		if name, err := strconv.Unquote(lit.Value); err == nil {
			s.types = append(s.types, typeName{name, strings.TrimSpace(n.Comment.Text())})
		}
	}
}

func (s *source) addFields(n *ast.TypeSpec) {
	t, ok := n.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range t.Fields.List {
		for _, name := range f.Names {
			s.comments[n.Name.Name+"."+name.Name] = strings.TrimSpace(f.Comment.Text())
		}
	}
}

// fieldTable writes the fields of a struct, by their JSON names.
func fieldTable(p *page, t reflect.Type, src source) {
	var rows [][]string
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		always := "yes"
		if strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero") {
			always = ""
		}
		rows = append(rows, []string{code(name), jsonType(f.Type), always, cell(src.comments[t.Name()+"."+f.Name])})
	}
	p.table([]string{"Field", "Type", "Always there", "Meaning"}, rows)
}

// jsonType is how a Go type looks in JSON.
func jsonType(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time (RFC 3339)"
	case t.Kind() == reflect.Pointer:
		return jsonType(t.Elem())
	case t.Kind() == reflect.Slice:
		return "list: " + jsonType(t.Elem())
	case t.Kind() == reflect.Struct:
		return "object"
	case t.Kind() == reflect.String:
		return "string"
	}
	return "number"
}

// examplesOf returns an event of the type for each status that it can have.
func examplesOf(all []event.Event, t event.Type) (string, error) {
	var out bytes.Buffer
	enc := event.NewEncoder(&out)
	enc.SetIndent("", "  ")
	seen := map[event.Status]bool{}
	for _, ev := range all {
		if ev.Type != t || seen[ev.Status] {
			continue
		}
		seen[ev.Status] = true
		if err := enc.Encode(ev); err != nil {
			return "", fmt.Errorf("cannot write an event: %w", err)
		}
	}
	if out.Len() == 0 {
		return "", fmt.Errorf("there is no example of an event of type %s: add one to examples", t)
	}
	return out.String(), nil
}

// recorder keeps events.
type recorder []event.Event

// Emit adds one.
func (r *recorder) Emit(ev event.Event) { *r = append(*r, ev) }

// outputError is an error with a command and what it printed.
type outputError struct{}

// Error says how the command ended.
func (outputError) Error() string { return "the command ended with status 1" }

// CommandOutput returns the command and its output.
func (outputError) CommandOutput() (command, output string) {
	return "kubeadm init --config /kind/kubeadm.conf", "[ERROR Port-10259]: Port 10259 is in use\n"
}

// examples returns the events of two small runs, made by the emitter that all runs have.
func examples() []event.Event {
	rec := &recorder{}
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	clock := func() time.Time { return now }
	pass := func(d time.Duration) { now = now.Add(d) }
	newRun := func() *event.Emitter { return event.NewEmitter("20260102-150405-x7q2mk", "dev", clock, rec) }
	em := newRun()
	em.Diff([]event.Change{
		{Op: "+", Object: "worker dev-worker2", Details: []string{"memory 2Gi"}},
		{Op: "~", Object: "control-plane dev-control-plane", Details: []string{"cpus 2 → 4"}, Effect: "container replaced, about 5 s"},
		{Op: "-", Object: "worker dev-worker", Destroys: "what its pods keep on it is lost"},
	})
	em.Plan([]event.StepInfo{
		{Stage: "network", ID: "network", Title: "Create network cove-dev"},
		{Stage: "nodes", ID: "node/dev-control-plane", Title: "Start dev-control-plane"},
	})
	step := func(id, title string, fn func(*event.Reporter) error) {
		// The events are what is wanted: an error is in them.
		_ = em.Step(context.Background(), id, title, func(_ context.Context, r *event.Reporter) error { return fn(r) })
	}
	step("image", "Get the node image for Kubernetes v1.36.3", func(r *event.Reporter) error {
		pass(time.Second)
		r.Waiting("kindest/node:v1.36.3")
		pass(time.Second)
		r.Count(52428800, 419430400, "bytes")
		r.Log("Pulling from kindest/node")
		r.Warn("give the engine's host more memory, or plan fewer nodes", "memory: 900 MiB free, better 1.1 GiB free")
		return nil
	})
	failure := fault.Wrap(fault.KubeadmInit, outputError{}, "cannot start the control plane on dev-control-plane")
	step("kubeadm/dev-control-plane", "Bootstrap the control plane on dev-control-plane", func(*event.Reporter) error {
		pass(3 * time.Second)
		return failure
	})
	step("image/compile/etcd", "Compile etcd 3.6.10", func(*event.Reporter) error { return event.Skip("it has not changed") })
	_ = em.Undo(context.Background(), "network", "Create network cove-dev", func(context.Context, *event.Reporter) error { return nil })
	good := newRun()
	pass(8 * time.Second)
	good.Finish(nil, `cluster "dev" is usable after 8.0 s; next: kubectl get nodes`)
	em.Finish(failure, "")
	return *rec
}

// upper makes a comment a sentence.
func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
