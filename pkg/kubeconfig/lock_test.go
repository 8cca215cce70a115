//go:build unix

package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/cove-k8s/cove/pkg/fault"
)

// helperEnv makes the test binary a cove that does what it says: "merge NAME", "remove NAME" or "hold".
const helperEnv = "COVE_TEST_KUBECONFIG_HELPER"

func TestMain(m *testing.M) {
	if what := os.Getenv(helperEnv); what != "" {
		if err := helper(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func helper(what string) error {
	verb, name, _ := strings.Cut(what, " ")
	var err error
	switch verb {
	case "merge":
		_, err = Merge(context.Background(), "", entry(name), true)
	case "remove":
		_, err = Remove(context.Background(), "", name)
	case "hold": // takes the locks and waits to be killed
		err = locked(context.Background(), []string{Path("")}, func() error {
			fmt.Println("held")
			_, err := os.Stdin.Read(make([]byte, 1))
			return err
		})
	}
	return err
}

// cove starts the test binary as a cove.
func cove(t *testing.T, what string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), helperEnv+"="+what)
	return cmd
}

const crowd = 20

func TestParallelGoroutines(t *testing.T) {
	path := filepath.Join(sandbox(t), "config")
	put(t, path, foreign("work", "work"))
	all := func(fn func(name string) error) {
		var wg sync.WaitGroup
		for i := range crowd {
			wg.Go(func() {
				if err := fn(fmt.Sprintf("cove-%02d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	all(func(name string) error { _, err := Merge(t.Context(), path, entry(name), true); return err })
	config, err := clientcmd.LoadFromFile(path)
	if err != nil || len(config.Contexts) != crowd+1 || len(config.Clusters) != crowd+1 || len(config.AuthInfos) != crowd+1 {
		t.Fatalf("%d contexts, %d clusters, %d users, %v", len(config.Contexts), len(config.Clusters), len(config.AuthInfos), err)
	}
	all(func(name string) error { _, err := Remove(t.Context(), path, name); return err })
	has(t, path, "work", "work")
}

func TestParallelProcesses(t *testing.T) {
	path := filepath.Join(sandbox(t), "config")
	put(t, path, foreign("work", "work"))
	t.Setenv("KUBECONFIG", path)
	all := func(verb string) {
		var wg sync.WaitGroup
		for i := range crowd {
			cmd := cove(t, fmt.Sprintf("%s cove-%02d", verb, i))
			wg.Go(func() {
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		wg.Wait()
	}
	all("merge")
	config, err := clientcmd.LoadFromFile(path)
	if err != nil || len(config.Contexts) != crowd+1 {
		t.Fatalf("%d contexts, %v", len(config.Contexts), err)
	}
	all("remove")
	has(t, path, "work", "work")
	if left, _ := filepath.Glob(path + "?*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A lock that a killed cove left is taken over at once.
func TestKilledHolder(t *testing.T) {
	path := filepath.Join(sandbox(t), "config")
	put(t, path, foreign("work", "work"))
	t.Setenv("KUBECONFIG", path)
	cmd := cove(t, "hold")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("enough"))
	defer cancel()
	if _, err := Merge(short, "", entry("cove-a"), true); !fault.Is(err, fault.KubeconfigUnusable) || !strings.Contains(err.Error(), "enough") {
		t.Errorf("merged beside the holder: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := os.Stat(path + ".lock"); err != nil {
		t.Fatalf("the killed one has left no lock: %v", err)
	}
	begun := time.Now()
	merge(t, "", "cove-a", true)
	if took := time.Since(begun); took > staleWatch {
		t.Errorf("took %s", took)
	}
	has(t, path, "cove-a", "cove-a", "work")
}

// kubectl's lock is an empty file. It is waited for; if it stays it is an error, unless it is old.
func TestForeignLock(t *testing.T) {
	for name, tt := range map[string]struct {
		age, held time.Duration
		fails     bool
		takes     time.Duration // at least, by the clock of the test
	}{
		"short":       {age: 0, held: 3 * time.Second, takes: 3 * time.Second},
		"forever":     {age: 0, held: time.Hour, fails: true, takes: lockTimeout},
		"left over":   {age: 2 * time.Minute, held: time.Hour, takes: staleWatch},
		"clock ahead": {age: -time.Hour, held: time.Hour, fails: true, takes: lockTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(sandbox(t), "config")
			put(t, path, foreign("work", "work"))
			put(t, path+".lock", "")
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				if err := os.Chtimes(path+".lock", begun, begun.Add(-tt.age)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					if pause(ctx, tt.held) == nil {
						_ = os.Remove(path + ".lock")
					}
				}()
				_, err := Merge(ctx, path, entry("cove-dev"), true)
				if (err != nil) != tt.fails || err != nil && !fault.Is(err, fault.KubeconfigUnusable) {
					t.Errorf("got %v", err)
				}
				if err != nil && !strings.Contains(err.Error(), path+".lock") {
					t.Errorf("the lock is not named: %v", err)
				}
				if took := time.Since(begun); took < tt.takes || took > tt.takes+time.Second {
					t.Errorf("took %s; want %s", took, tt.takes)
				}
			})
			if _, err := os.Stat(path + ".lock"); (err == nil) != tt.fails {
				t.Errorf("the lock: %v", err)
			}
		})
	}
}

// Without a cache directory there is no guard; the locks still hold.
func TestNoCacheDirectory(t *testing.T) {
	path := filepath.Join(sandbox(t), "config")
	put(t, path, foreign("work", "work"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(path, "below-a-file"))
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() {
			if _, err := Merge(t.Context(), path, entry(fmt.Sprintf("cove-%02d", i)), true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	config, err := clientcmd.LoadFromFile(path)
	if err != nil || len(config.Contexts) != crowd+1 {
		t.Fatalf("%d contexts, %v", len(config.Contexts), err)
	}
}

// A directory that cannot be written to: reading and removing what is not there work, writing is an error with the
// file's name. And a file that only is read does not hinder the writing of another.
func TestReadOnlyDirectory(t *testing.T) {
	dir := sandbox(t)
	locked, free := filepath.Join(dir, "locked", "config"), filepath.Join(dir, "free", "config")
	put(t, locked, foreign("work", "work"))
	put(t, free, foreign("mine", "mine"))
	as := nobody(t, dir, filepath.Dir(free))
	if err := os.Chmod(filepath.Dir(locked), 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Dir(locked), 0o755) })
	if err := os.Chmod(locked, 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(kubeconfig, what string) (string, error) {
		cmd := cove(t, what)
		cmd.Env = append(cmd.Env, "KUBECONFIG="+kubeconfig)
		cmd.SysProcAttr = as
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(locked, "merge cove-dev"); err == nil || !strings.Contains(out, locked+": ") || !strings.Contains(out, "permission denied") {
		t.Errorf("merge: %v: %s", err, out)
	}
	if out, err := run(locked, "remove cove-dev"); err != nil {
		t.Errorf("remove: %v: %s", err, out)
	}
	if out, err := run(free+string(filepath.ListSeparator)+locked, "merge cove-dev"); err != nil {
		t.Errorf("merge into the first of two files: %v: %s", err, out)
	}
	has(t, free, "cove-dev", "cove-dev", "mine")
	has(t, locked, "work", "work")
}

// nobody returns how to run a program that file modes hold for: root's are for an unprivileged user, who gets the
// directory own, with all in it, and a way to it.
func nobody(t *testing.T, dir, own string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	const id = 65534
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, start := range []string{dir, self} {
		for p := start; p != os.TempDir() && p != filepath.Dir(p); p = filepath.Dir(p) {
			if err := os.Chmod(p, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range []string{own, filepath.Join(own, "config")} {
		if err := os.Chown(p, id, id); err != nil {
			t.Fatal(err)
		}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
}

// Root, as under sudo, leaves the user's file to the user.
func TestKeepsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := sandbox(t)
	const id = 65534
	if err := os.Chown(dir, id, id); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, ".kube", "config")
	for range 2 { // a new file, then one that exists
		merge(t, path, "cove-dev", true)
		for _, p := range []string{path, filepath.Dir(path)} {
			info, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != id || s.Gid != id {
				t.Errorf("%s belongs to %d", p, s.Uid)
			}
		}
	}
}
