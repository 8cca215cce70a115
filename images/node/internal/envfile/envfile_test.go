package envfile

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want map[string]string
	}{
		"kubeadm": {
			`KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/containerd/containerd.sock --node-ip=10.0.0.2"` + "\n",
			map[string]string{"KUBELET_KUBEADM_ARGS": "--container-runtime-endpoint=unix:///run/containerd/containerd.sock --node-ip=10.0.0.2"},
		},
		"bare":              {"A=b c  \nB=\nC", map[string]string{"A": "b c", "B": ""}},
		"no end of line":    {"A=b", map[string]string{"A": "b"}},
		"comments":          {"# A=1\n; B=2\n  # C=3\nD=4 # not one\n", map[string]string{"D": "4 # not one"}},
		"comment goes on":   {"# x \\\nA=1\nB=2\n", map[string]string{"B": "2"}},
		"single":            {`A='a "b" \n $c'`, map[string]string{"A": `a "b" \n $c`}},
		"double":            {`A="a\"b\\c\$d\n"`, map[string]string{"A": `a"b\c$d\n`}},
		"joined":            {`A='x'"y" z`, map[string]string{"A": "xyz"}},
		"quote inside":      {`A=--x="y z"`, map[string]string{"A": `--x="y z"`}},
		"line goes on":      {"A=a \\\n  b\nB=\"c\\\nd\"\n", map[string]string{"A": "a   b", "B": "cd"}},
		"quoted lines":      {"A='a\nb'\nB=c\n", map[string]string{"A": "a\nb", "B": "c"}},
		"blanks":            {"  A = b \n", map[string]string{"A": "b"}},
		"quoted blanks":     {"A=\"b  \"  \n", map[string]string{"A": "b  "}},
		"escaped":           {`A=\'b\ ` + "\n", map[string]string{"A": "'b "}},
		"later wins":        {"A=1\nA=2\n", map[string]string{"A": "2"}},
		"carriage return":   {"A=1\r\nB=2\r\n", map[string]string{"A": "1", "B": "2"}},
		"value with equals": {"A=b=c\n", map[string]string{"A": "b=c"}},
	} {
		if got := Parse(c.text); !maps.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                 nil,
		"  ":                               nil,
		"--a=1 --b=2":                      {"--a=1", "--b=2"},
		"  --a\t--b\n--c ":                 {"--a", "--b", "--c"},
		`--labels="a=b c" -x`:              {"--labels=a=b c", "-x"},
		`'one two' three`:                  {"one two", "three"},
		`"" x`:                             {"", "x"},
		`a\ b c\\d "e\"f"`:                 {"a b", `c\d`, `e"f`},
		`'a\b'`:                            {`a\b`},
		`--node-labels=a=b,c=d --v=2 'un `: {"--node-labels=a=b,c=d", "--v=2", "un "},
	} {
		if got := Words(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	if vars, err := Load(path); err != nil || len(vars) != 0 {
		t.Errorf("a missing file: %v, %v", vars, err)
	}
	if err := os.WriteFile(path, []byte("A=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if vars, err := Load(path); err != nil || vars["A"] != "1" {
		t.Errorf("got %v, %v", vars, err)
	}
	if _, err := Load(filepath.Dir(path)); err == nil {
		t.Error("a directory has no variables")
	}
}
