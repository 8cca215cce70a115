package state

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	digest "github.com/opencontainers/go-digest"
)

// envVictim has the Spec with which TestMain's process is to graft until it is killed.
const envVictim = "COVE_TEST_GRAFT"

func TestMain(m *testing.M) {
	text := os.Getenv(envVictim)
	if text == "" {
		os.Exit(m.Run())
	}
	var s Spec
	err := json.Unmarshal([]byte(text), &s)
	if err == nil {
		_, err = Graft(context.Background(), s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A kill at any moment leaves a state that the next try makes whole.
func TestGraftSurvivesAKill(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n := upgraded(t)
	spec, err := json.Marshal(n.spec)
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	for pause := time.Duration(0); !ended; pause += 3 * time.Millisecond {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), envVictim+"="+string(spec))
		var out bytes.Buffer
		cmd.Stderr = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(pause, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if err != nil && cmd.ProcessState.ExitCode() >= 0 {
			t.Fatalf("after a kill: %v: %s", err, out.String())
		}
		ended = err == nil
	}
	n.check(t)
}

// What a kill can leave between two steps.
func TestGraftAfterHalfAStep(t *testing.T) {
	for name, half := range map[string]func(context.Context, *state) error{
		"prepared": func(ctx context.Context, st *state) error {
			_, err := st.db.Snapshotter(snapshotter).Prepare(ctx, "seed-"+chain("kube 2"), "")
			return err
		},
		"committed, not linked": func(ctx context.Context, st *state) error {
			return commit(ctx, st.db.Snapshotter(snapshotter), chain("kube 2"), "")
		},
		"not linked any more": func(ctx context.Context, st *state) error {
			ids, err := st.ids(ctx)
			if err != nil {
				return err
			}
			return os.Remove(filepath.Join(st.root, snapshotterDir, "snapshots", ids[chain("base")][0]))
		},
		"a blob that is written by half": func(ctx context.Context, st *state) error {
			d := digest.FromString("rest")
			w, err := st.db.ContentStore().Writer(ctx, content.WithRef(d.String()))
			if err != nil {
				return err
			}
			if _, err := w.Write([]byte("re")); err != nil {
				return err
			}
			return w.Close()
		},
	} {
		n := upgraded(t)
		st, ctx := n.open(t)
		if err := half(ctx, st); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n.close(t, st)
		n.graft(t)
		n.check(t)
		if t.Failed() {
			t.Fatalf("after %q", name)
		}
	}
}
