package cluster_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
)

// tokens are what was done to bootstrap tokens.
type tokens struct {
	mu            sync.Mutex
	made, removed []string
}

// tokenAPI notes what is done to tokens.
type tokenAPI struct {
	cluster.Kube
	noted *tokens
}

func (a tokenAPI) CreateBootstrapToken(ctx context.Context, token string, ttl time.Duration) error {
	a.noted.mu.Lock()
	a.noted.made = append(a.noted.made, token)
	a.noted.mu.Unlock()
	return a.Kube.CreateBootstrapToken(ctx, token, ttl)
}

func (a tokenAPI) DeleteBootstrapToken(ctx context.Context, token string) error {
	a.noted.mu.Lock()
	a.noted.removed = append(a.noted.removed, token)
	a.noted.mu.Unlock()
	return a.Kube.DeleteBootstrapToken(ctx, token)
}

// watchTokens notes from now on what is done to tokens.
func (s *setup) watchTokens() *tokens {
	noted := &tokens{}
	s.deps.Connect = func(o kube.Options) (cluster.Kube, error) {
		k, err := s.Connect(o)
		return tokenAPI{k, noted}, err
	}
	return noted
}

// A cluster that is complete has no token that was made for it.
func TestCreateRemovesItsToken(t *testing.T) {
	for _, level := range []cluster.WaitLevel{cluster.WaitNone, cluster.WaitUsable} {
		s := newSetup(t)
		noted := s.watchTokens()
		if err := s.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{Wait: level}); err != nil {
			t.Fatal(err)
		}
		conf, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", "/kind/kubeadm.conf")
		if err != nil || len(noted.removed) != 1 || !strings.Contains(string(conf), "- token: "+noted.removed[0]+"\n") {
			t.Errorf("%s: removed %v of\n%s, %v", level, noted.removed, conf, err)
		}
	}
}

// A token that stays fails nothing: it is told, and ends by itself.
func TestTokenThatStays(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 0)
	warned := func() (n int) {
		for _, e := range s.log.events {
			if e.Type == event.Warning && strings.Contains(e.Message, "the token that nodes joined by is still there") {
				n++
			}
		}
		return n
	}
	s.Fail["DeleteBootstrapToken"] = errors.New("injected")
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil || warned() != 1 {
		t.Errorf("create: %v, %d warnings", err, warned())
	}
	doc = resized(t, doc, 1, 2)
	if _, err := s.apply(t.Context(), doc); err != nil || warned() != 2 {
		t.Errorf("apply: %v, %d warnings", err, warned())
	}
	s.follows(t, doc)
	if n := warned(); n != 2 { // nothing joined, nothing to remove
		t.Errorf("%d warnings", n)
	}
}

// What joins a living cluster has a token of the run's own, which goes with the last join, good or bad.
func TestJoinsRemoveTheirToken(t *testing.T) {
	for name, fail := range map[string]func(*setup){
		"good": func(*setup) {},
		"node": func(s *setup) { s.Engine.FailOn("CreateNode dev-worker2", fault.EngineFailed, "injected") },
		"join": func(s *setup) {
			s.OnExec = func(_ string, cmd engine.Command) (bool, error) {
				return strings.HasPrefix(strings.Join(cmd.Args, " "), "kubeadm join"), &engine.ExitError{Code: 1}
			}
		},
		"ready": func(s *setup) { s.Fail["WaitNodesReady"] = fault.New(fault.NotReady, "injected") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			doc := document(t, "dev", 1)
			if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			noted := s.watchTokens()
			fail(s)
			if _, err := s.apply(t.Context(), resized(t, doc, 1, 3)); (err == nil) != (name == "good") {
				t.Errorf("got %v", err)
			}
			if len(noted.made) != 1 || len(noted.removed) != 1 || noted.made[0] != noted.removed[0] {
				t.Errorf("made %v, removed %v", noted.made, noted.removed)
			}
		})
	}
}
