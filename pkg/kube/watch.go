package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	watchtools "k8s.io/client-go/tools/watch"
)

// relistPause is how long a list that failed or a watch that broke is left alone.
const relistPause = 100 * time.Millisecond

// keyFunc says what follow calls an object.
type keyFunc func(*unstructured.Unstructured) string

func byName(o *unstructured.Unstructured) string { return o.GetName() }

// byNamespace is for objects of all namespaces.
func byNamespace(o *unstructured.Unstructured) string { return o.GetNamespace() + "/" + o.GetName() }

// follow shows see the objects that there are, by name, and again each time one of them changes, until it returns true or
// an error. Connections that break and servers that go away are borne until ctx ends; then the error is the context's
// cause, behind whatever kept it from seeing anything last.
func follow(ctx context.Context, r dynamic.ResourceInterface, opts metav1.ListOptions, see func(map[string]*unstructured.Unstructured) (bool, error)) error {
	return followBy(ctx, r, opts, byName, see)
}

// followBy is follow with other keys than names.
func followBy(ctx context.Context, r dynamic.ResourceInterface, opts metav1.ListOptions, key keyFunc, see func(map[string]*unstructured.Unstructured) (bool, error)) error {
	var last error // why nothing could be listed the last time
	for {
		list, err := r.List(ctx, opts)
		switch {
		case err == nil:
			last = nil
			objs := make(map[string]*unstructured.Unstructured, len(list.Items))
			for i := range list.Items {
				objs[key(&list.Items[i])] = &list.Items[i]
			}
			done, err := see(objs)
			if !done && err == nil {
				done, err = followFrom(ctx, r, opts, list.GetResourceVersion(), objs, key, see)
			}
			if done || err != nil {
				return err
			}
		case ctx.Err() != nil: // the error says no more than that
		case patience(err) < patienceLong:
			return err
		default:
			last = err
		}
		if pause(ctx, relistPause) != nil {
			return &endedError{last, context.Cause(ctx)}
		}
	}
}

// followFrom watches from a version on. It returns false without an error when the objects have to be listed again.
func followFrom(ctx context.Context, r dynamic.ResourceInterface, opts metav1.ListOptions, version string,
	objs map[string]*unstructured.Unstructured, key keyFunc, see func(map[string]*unstructured.Unstructured) (bool, error),
) (bool, error) {
	opts.ResourceVersion = version
	watcher, err := r.Watch(ctx, opts)
	if err != nil {
		return false, nil //nolint:nilerr // listing again says what is wrong
	}
	var stop error // see's own
	_, err = watchtools.UntilWithoutRetry(ctx, watcher, func(e watch.Event) (bool, error) {
		o, ok := e.Object.(*unstructured.Unstructured)
		switch {
		case e.Type == watch.Error || !ok:
			return false, apierrors.FromObject(e.Object)
		case e.Type == watch.Deleted:
			delete(objs, key(o))
		default:
			objs[key(o)] = o
		}
		done, err := see(objs)
		stop = err
		return done, err
	})
	return err == nil, stop
}

// as converts an object into its typed form.
func as[T any](o *unstructured.Unstructured) (*T, error) {
	var out T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &out); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", title(o), err)
	}
	return &out, nil
}

// unreachable says why nothing could be seen last, if that is what kept follow from its end; "" if not.
func unreachable(err error) string {
	if e := (*endedError)(nil); errors.As(err, &e) && e.last != nil {
		return "; the API server: " + brief(e.last)
	}
	return ""
}

// pending is what a wait still waits for: what each thing lacks, in brief and in full.
type pending struct {
	report func(string) // may be nil

	mu    sync.Mutex
	lacks map[string][2]string
}

func newPending(report func(string), lack string, names ...string) *pending {
	p := &pending{report: report, lacks: map[string][2]string{}}
	for _, n := range names {
		p.lacks[n] = [2]string{lack, lack}
	}
	return p
}

// set notes what name lacks ("": nothing), and reports what is waited for now.
func (p *pending) set(name, brief, full string) (left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if brief == "" {
		delete(p.lacks, name)
	} else {
		p.lacks[name] = [2]string{brief, full}
	}
	return p.tell()
}

// replace notes all that is lacking now, in brief and in full, and reports it.
func (p *pending) replace(lacks map[string][2]string) (left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lacks = lacks
	return p.tell()
}

// tell reports what is waited for: the first thing, and how many more. p.mu is held.
func (p *pending) tell() (left int) {
	if p.report != nil && len(p.lacks) > 0 {
		first := p.names()[0]
		text := first + " (" + p.lacks[first][0] + ")"
		if more := len(p.lacks) - 1; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		p.report(text)
	}
	return len(p.lacks)
}

func (p *pending) names() []string { return slices.Sorted(maps.Keys(p.lacks)) }

// String says in full what is lacking.
func (p *pending) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	parts := make([]string, 0, len(p.lacks))
	for _, n := range p.names() {
		parts = append(parts, n+": "+p.lacks[n][1])
	}
	return strings.Join(parts, "; ")
}
