package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// EnvState is the variable by which a test gives the processes that it starts one fake engine: the path for Open.
const EnvState = "COVE_FAKE_ENGINE"

// Fake is an engine in memory. Its nodes are made, started and removed as Docker's are, keep their files and volumes, and
// take each other's names, ports and subnets; no process runs in them, so what commands do is the test's affair.
// The functions are set before the first use. They may call the fake.
type Fake struct {
	// OnExec runs a command on a node that runs; an *engine.ExitError is its status. Default: DefaultExec.
	OnExec func(node string, cmd engine.Command) error
	// OnDial connects to an address from a node that runs. Default: an echo on 127.0.0.1:7, all else refuses.
	OnDial func(ctx context.Context, node, address string) (net.Conn, error)

	mu      sync.Mutex
	path    string // where the state is kept; "" only in memory
	state   state
	fails   map[int]error
	dead    int // the first operation of those that fail together; 0: none
	deadErr error
	hooks   map[int]func()
	named   map[string]func() // by operation
	changed chan struct{}     // closed and made anew at every change
}

// The fake is what it says.
var _ engine.Engine = (*Fake)(nil)

// state is all that a fake engine knows. It is what is saved.
type state struct {
	Operations []string           `json:"operations"`
	Fail       map[string]failure `json:"fail,omitempty"` // by operation: every time
	Info       engine.Info        `json:"info"`
	Nodes      map[string]*node   `json:"nodes"`
	Volumes    map[string]*volume `json:"volumes"`
	Networks   map[string]network `json:"networks"`
	Images     map[string]image   `json:"images"`   // by ID
	Registry   map[string]image   `json:"registry"` // what can be pulled, by name
	Taken      []engine.Port      `json:"taken"`    // ports of others
	NextPort   uint16             `json:"nextPort"` // where the search for a free port begins
	NextID     int                `json:"nextID"`
}

// failure is an error that a state file asks for.
type failure struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
}

// NewFake returns an engine that has nothing but a default network.
func NewFake() *Fake {
	return &Fake{fails: map[int]error{}, hooks: map[int]func(){}, named: map[string]func(){}, changed: make(chan struct{}), state: newState()}
}

func newState() state {
	return state{
		Info: engine.Info{
			Name: "fake", Version: "28.5.2", APIVersion: "1.51", Endpoint: "fake://", OS: "linux", Architecture: "amd64",
			Kernel: "6.18.0", HostName: "fake", StorageDriver: "overlay2", CgroupVersion: 2, CgroupDriver: "systemd",
			CPUs: 8, MemoryBytes: 16 << 30, RootDir: "/var/lib/docker",
		},
		Nodes: map[string]*node{}, Volumes: map[string]*volume{}, Networks: map[string]network{},
		Images: map[string]image{}, Registry: map[string]image{}, NextPort: 32768,
	}
}

// Open returns the engine whose state is in a JSON file, and keeps the file up to date. A file that is not there is an
// engine that has nothing. The file may say that operations fail: {"fail": {"StartNode dev-worker": {"code":
// "PORT_TAKEN", "message": "cannot start node dev-worker"}}}.
func Open(path string) (*Fake, error) {
	f := NewFake()
	f.path = path
	data, err := os.ReadFile(path) //nolint:gosec // the test names the file
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &f.state)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the fake engine's state: %w", err)
	}
	return f, nil
}

// Save writes the state to a JSON file for Open.
func (f *Fake) Save(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.save(path)
}

func (f *Fake) save(path string) error {
	data, err := json.MarshalIndent(f.state, "", " ")
	if err != nil {
		return fmt.Errorf("cannot write the fake engine's state: %w", err)
	}
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("cannot write the fake engine's state: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("cannot write the fake engine's state: %w", err)
	}
	return nil
}

// Operations returns what was asked of the engine that changes it, in order: "CreateNode dev-worker", "Exec dev-worker
// kubeadm join". What is only looked at is not among them.
func (f *Fake) Operations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.state.Operations)
}

// FailAt lets the nth operation (from 1 on) fail with err, and leaves behind what an engine leaves that dies in the
// middle: CreateNode a container and volumes without the files, StartNode a container that was created, CreateNetwork the
// network, PutFiles the first file; a removal removes nothing.
func (f *Fake) FailAt(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails[n] = err
}

// FailFrom lets the nth operation and all after it fail, until Heal: what a run leaves that is killed there.
func (f *Fake) FailFrom(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead, f.deadErr = n, err
}

// Heal ends what FailFrom, FailAt and FailOn began.
func (f *Fake) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead, f.fails, f.state.Fail = 0, map[int]error{}, nil
}

// FailOn lets every operation of that name fail, in the way of FailAt.
func (f *Fake) FailOn(operation string, code fault.Code, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.Fail == nil {
		f.state.Fail = map[string]failure{}
	}
	f.state.Fail[operation] = failure{code, message}
}

// At calls do when the nth operation (from 1 on) begins, for example to cancel its context: then it fails like FailAt.
func (f *Fake) At(n int, do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hooks[n] = do
}

// On calls do when the first operation of that name from now on begins.
func (f *Fake) On(operation string, do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.named[operation] = do
}

// SetInfo replaces what the engine says of itself.
func (f *Fake) SetInfo(info engine.Info) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.Info = info
}

// Info returns what the engine says of itself.
func (f *Fake) Info(ctx context.Context) (engine.Info, error) {
	if err := interrupted(ctx, "Info"); err != nil {
		return engine.Info{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.Info, nil
}

// mutate carries out an operation: records it, lets it fail if that was asked for, and saves the state. half is what the
// operation leaves when it is made to fail; nil: nothing.
func (f *Fake) mutate(ctx context.Context, operation string, do func(s *state) error, half func(s *state)) error {
	if err := interrupted(ctx, operation); err != nil {
		return err
	}
	f.mu.Lock()
	f.state.Operations = append(f.state.Operations, operation)
	n := len(f.state.Operations)
	hook, injected := f.hooks[n], f.fails[n]
	if do := f.named[operation]; do != nil {
		delete(f.named, operation)
		hook = do
	}
	if f.dead > 0 && n >= f.dead {
		injected = f.deadErr
	}
	if fail, ok := f.state.Fail[operation]; ok && injected == nil {
		injected = fault.New(fail.Code, "%s", fail.Message)
	}
	f.mu.Unlock()
	if hook != nil {
		hook()
	}
	if injected == nil {
		injected = interrupted(ctx, operation)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err := injected
	switch {
	case injected == nil:
		err = do(&f.state)
	case half != nil:
		half(&f.state)
	}
	if kept := f.keep(); err == nil {
		err = kept
	}
	return err
}

// keep saves the state if it is kept in a file, and tells those who wait for a change.
func (f *Fake) keep() error {
	close(f.changed)
	f.changed = make(chan struct{})
	if f.path == "" {
		return nil
	}
	return f.save(f.path)
}

// interrupted returns the error of a context that has ended.
func interrupted(ctx context.Context, operation string) error {
	switch err := ctx.Err(); {
	case errors.Is(err, context.Canceled):
		return fault.Wrap(fault.Interrupted, err, "cannot %s", operation)
	case err != nil:
		return fault.Wrap(fault.EngineFailed, err, "cannot %s", operation)
	}
	return nil
}

// id makes an ID as long as Docker's.
func (s *state) id() string {
	s.NextID++
	return fmt.Sprintf("%064x", s.NextID)
}

// now is when something is made. The fake has no clock of its own: inside a synctest bubble it is the bubble's.
func now() time.Time { return time.Now().UTC() }
