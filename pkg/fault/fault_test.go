package fault_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/cove-k8s/cove/pkg/fault"
)

// constants returns the values of all constants of type Code in the package's source.
func constants(t *testing.T) map[fault.Code]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "catalogue.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[fault.Code]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Code" {
			return true
		}
		for i, name := range spec.Names {
			value, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if other, taken := codes[fault.Code(value)]; taken {
				t.Errorf("%s and %s have the same code %s", name.Name, other, value)
			}
			codes[fault.Code(value)] = name.Name
		}
		return true
	})
	if len(codes) < 20 {
		t.Fatalf("found %d constants only: has the source moved?", len(codes))
	}
	return codes
}

func TestCatalogueHasEveryCode(t *testing.T) {
	missing := constants(t)
	seen := map[fault.Code]bool{}
	for _, k := range fault.Catalogue() {
		if seen[k.Code] {
			t.Errorf("%s has two rows", k.Code)
		}
		seen[k.Code] = true
		if missing[k.Code] == "" {
			t.Errorf("%s has a row but no constant", k.Code)
		}
		delete(missing, k.Code)
	}
	for code, name := range missing {
		t.Errorf("%s (%s) has no row", code, name)
	}
}

func TestCatalogueRows(t *testing.T) {
	exits := map[int]bool{
		fault.ExitBug: true, fault.ExitUsage: true, fault.ExitExists: true, fault.ExitHost: true,
		fault.ExitKubernetes: true, fault.ExitDifference: true, fault.ExitInterrupted: true,
	}
	for _, k := range fault.Catalogue() {
		if !exits[k.Exit] {
			t.Errorf("%s: exit status %d is none of the documented ones", k.Code, k.Exit)
		}
		if strings.ToUpper(string(k.Code)) != string(k.Code) || strings.ContainsAny(string(k.Code), " -") {
			t.Errorf("%s is not in UPPER_SNAKE_CASE", k.Code)
		}
		for what, text := range map[string]string{"meaning": k.Meaning, "hint": k.Hint} {
			first := []rune(text + " ")[0]
			switch {
			case strings.TrimSpace(text) == "":
				t.Errorf("%s: no %s", k.Code, what)
			case strings.HasSuffix(text, "."):
				t.Errorf("%s: the %s ends with a full stop", k.Code, what)
			case unicode.IsUpper(first):
				t.Errorf("%s: the %s begins with a capital", k.Code, what)
			}
		}
		if got := fault.KindOf(k.Code); got != k {
			t.Errorf("KindOf(%s) = %+v", k.Code, got)
		}
	}
	if got := fault.KindOf("NO_SUCH"); got.Exit != fault.ExitBug || got.Code != "NO_SUCH" {
		t.Errorf("an unknown code is %+v, want a bug", got)
	}
}

func TestErrorMessage(t *testing.T) {
	cause := errors.New("no route")
	tests := []struct {
		err  error
		want string
	}{
		{fault.New(fault.ImagePull, "cannot pull %s", "x:1"), "cannot pull x:1"},
		{fault.Wrap(fault.ImagePull, cause, "cannot pull %s", "x:1"), "cannot pull x:1: no route"},
		{&fault.Error{Code: fault.ImagePull, Err: cause}, "no route"},
		{fault.New(fault.ImagePull, "a").WithHint("do %s", "b"), "a"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestWrap(t *testing.T) {
	if err := fault.Wrap(fault.DiskFull, nil, "x"); err != nil {
		t.Errorf("Wrap of nil is %v", err)
	}
	inner := fault.New(fault.PortTaken, "port 80 is in use").WithHint("use 8080")
	err := fault.Wrap(fault.NodeStart, fmt.Errorf("layer: %w", inner), "cannot start node a")
	if !fault.Is(err, fault.PortTaken) || fault.Is(err, fault.NodeStart) {
		t.Errorf("the code is %s, want the inner one", fault.CodeOf(err))
	}
	if r := fault.ReportOf(err); r.Hint != "use 8080" || r.Message != "cannot start node a: layer: port 80 is in use" {
		t.Errorf("report %+v", r)
	}
	if !errors.Is(err, inner) {
		t.Error("the inner error is not wrapped")
	}
	if fault.New(fault.PortTaken, "x").Hint != "" || fault.CodeOf(nil) != "" || fault.Is(nil, "") {
		t.Error("an error without hint or code has one")
	}
}

func TestWithHintCopies(t *testing.T) {
	e := fault.New(fault.PortTaken, "x")
	if e.WithHint("h").Hint != "h" || e.Hint != "" {
		t.Error("WithHint changed its receiver")
	}
}

// command is an error with a command and its output.
type command struct{ error }

func (command) CommandOutput() (string, string) { return "kubeadm init", "line\n" }

func TestReportOf(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fault.New(fault.KubeadmInit, "cause"))
	join := fault.New(fault.KubeadmJoin, "cannot join")
	tests := []struct {
		name string
		err  error
		code fault.Code
		exit int
	}{
		{"a plain error is a bug", errors.New("oops"), fault.Internal, 1},
		{"a code", fault.New(fault.ClusterExists, "x"), fault.ClusterExists, 3},
		{"a wrapped code", fmt.Errorf("a: %w", fault.New(fault.NotReady, "x")), fault.NotReady, 5},
		{"a code that the catalogue lacks", fault.New("NEW", "x"), "NEW", 1},
		{"joined: the first code", errors.Join(errors.New("x"), join, fault.New(fault.DiskFull, "y")), fault.KubeadmJoin, 5},
		{"joined: no code", errors.Join(errors.New("x"), errors.New("y")), fault.Internal, 1},
		{"cancelled", context.Canceled, fault.Interrupted, 130},
		{"cancelled, wrapped", fmt.Errorf("a: %w", ctx.Err()), fault.Interrupted, 130},
		{"cancelled, with a code", fault.Wrap(fault.KubeadmInit, ctx.Err(), "x"), fault.Interrupted, 130},
		{"cancelled, joined with what roll-back could not do", errors.Join(ctx.Err(), fault.New(fault.EngineFailed, "x")), fault.Interrupted, 130},
		{"the cause of a cancel has its own code", context.Cause(ctx), fault.KubeadmInit, 5},
		{"a wrong command line stays one", fault.Wrap(fault.Usage, context.Canceled, "x"), fault.Usage, 2},
		{"a deadline that nobody gave a code is a bug", context.DeadlineExceeded, fault.Internal, 1},
		{"a deadline with a code", fault.Wrap(fault.APITimeout, context.DeadlineExceeded, "x"), fault.APITimeout, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := fault.ReportOf(tt.err)
			want := fault.Report{Code: tt.code, Exit: tt.exit, Message: tt.err.Error(), Hint: fault.KindOf(tt.code).Hint}
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestReportOfNil(t *testing.T) {
	if got := fault.ReportOf(nil); got != (fault.Report{}) {
		t.Errorf("got %+v", got)
	}
}

func TestReportOfCommand(t *testing.T) {
	err := fault.Wrap(fault.KubeadmInit, fmt.Errorf("x: %w", command{errors.New("status 1")}), "cannot start")
	got := fault.ReportOf(err)
	if got.Command != "kubeadm init" || got.Output != "line\n" || got.Message != "cannot start: x: status 1" {
		t.Errorf("got %+v", got)
	}
}

// TestInterruptHasNoStaleHint: the hint of a failure that an interrupt caused would mislead.
func TestInterruptHasNoStaleHint(t *testing.T) {
	err := fault.Wrap(fault.NodeStart, &fault.Error{Code: fault.PortTaken, Hint: "free the port", Err: context.Canceled}, "x")
	if got := fault.ReportOf(err).Hint; got != fault.KindOf(fault.Interrupted).Hint {
		t.Errorf("hint %q", got)
	}
}
