package config_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
)

var update = flag.Bool("update", false, "write the goldens instead of comparing with them")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func documents(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents in %s: %v", dir, err)
	}
	return files
}

func parseFile(t *testing.T, path string) (v1alpha1.Cluster, error) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return config.Parse(bytes.NewReader(data), filepath.Base(path))
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(v1alpha1.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("cluster.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("cluster.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Documents that are valid, kind's own examples among them: what becomes of them, what is warned of, that they are read
// back the same, that defaults are final, and that the schema agrees.
func TestValidDocuments(t *testing.T) {
	s := schema(t)
	for _, file := range documents(t, "valid") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			parsed, err := parseFile(t, file)
			if err != nil {
				t.Fatal(err)
			}
			resolved, err := config.Resolve(config.Input{Document: &parsed, Dir: "/home/me", Catalogue: catalogue()})
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range []v1alpha1.Cluster{parsed, resolved} {
				roundTrip(t, doc)
			}
			again, err := config.Resolve(config.Input{Document: &resolved, Catalogue: catalogue()})
			if err != nil || !reflect.DeepEqual(again, resolved) {
				t.Errorf("resolved again:\n%+v, %v\nwant\n%+v", again, err, resolved)
			}
			twice := resolved.DeepCopy()
			if config.Default(twice); !reflect.DeepEqual(*twice, resolved) {
				t.Errorf("defaults changed what they had made:\n%+v\n%+v", resolved, *twice)
			}
			out, err := config.Marshal(resolved)
			if err != nil {
				t.Fatal(err)
			}
			agrees(t, s, out)
			text := string(out)
			for _, w := range config.Warnings(parsed) {
				text += "# warning: " + w.String() + "\n"
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", text)
		})
	}
}

func roundTrip(t *testing.T, doc v1alpha1.Cluster) {
	t.Helper()
	out, err := config.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	back, err := config.Parse(bytes.NewReader(out), "what was written")
	if err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	doc.FromKind = false
	if !reflect.DeepEqual(back, doc) {
		t.Errorf("got  %+v\nwant %+v\nfrom:\n%s", back, doc, out)
	}
}

func agrees(t *testing.T, s *jsonschema.Schema, doc []byte) {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("the schema refuses a valid document: %v", err)
	}
}

func TestInvalidDocuments(t *testing.T) {
	for _, file := range documents(t, "invalid") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			doc, err := parseFile(t, file)
			if err == nil {
				_, err = config.Resolve(config.Input{Document: &doc, Catalogue: catalogue()})
				if v := config.Validate(doc); v == nil || v.Error() != err.Error() {
					t.Errorf("Validate says %v, Resolve %v", v, err)
				}
			}
			if err == nil {
				t.Fatal("it was accepted")
			}
			r := fault.ReportOf(err)
			if r.Exit != fault.ExitUsage {
				t.Errorf("exit status %d, want %d", r.Exit, fault.ExitUsage)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", r.Message+"\n["+string(r.Code)+"]\nhint: "+r.Hint+"\n")
		})
	}
}

// What the schema is for: editors see the mistakes that it can express.
func TestSchemaRefuses(t *testing.T) {
	s := schema(t)
	const head = "apiVersion: cove.dev/v1alpha1\nkind: Cluster\n"
	for _, text := range []string{
		"kind: Cluster", "apiVersion: cove.dev/v1\nkind: Cluster", head + "networking: {}", head + "name: A",
		head + "nodes: [{role: etcd}]", head + "nodes: [{count: 0}]", head + "nodes: [{cpus: []}]", head + "nodes: [{taints: [{key: a}]}]",
		head + "cluster: {nodes: [{role: etcd}]}", head + "cluster: {networking: {ipFamily: both}}",
		head + "proxy: {ftp: x}", head + "certificateAuthorities: [{pem: x}]", head + "registries: {mirrors: {docker.io: {}}}",
		head + "cluster: {containerdConfigPatchesJSON6902: [{}]}", head + "cluster: {nodes: [{extraPortMappings: [{containerPort: 0}]}]}",
	} {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if s.Validate(v) == nil {
			t.Errorf("the schema accepts:\n%s", text)
		}
	}
}

func TestParseRefusesWhatIsTooLarge(t *testing.T) {
	doc := "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n#"
	fits := doc + strings.Repeat("x", config.MaxDocumentSize-len(doc))
	if _, err := config.Parse(strings.NewReader(fits), "f"); err != nil {
		t.Errorf("the largest document: %v", err)
	}
	if _, err := config.Parse(strings.NewReader(fits+"x"), "f"); !fault.Is(err, fault.ConfigInvalid) {
		t.Errorf("one more byte: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestParseOfWhatCannotBeRead(t *testing.T) {
	_, err := config.Parse(failing{}, "stdin")
	if !fault.Is(err, fault.FileUnwritable) || err.Error() != "cannot read stdin: broken pipe" {
		t.Errorf("got %v", err)
	}
}

// All problems can be had one by one.
func TestProblemsAreInTheError(t *testing.T) {
	doc := v1alpha1.Cluster{Name: "A", KubernetesVersion: "x"}
	problems := config.Problems{}
	if err := config.Validate(doc); !errors.As(err, &problems) || len(problems) != 2 || problems[0].Path != "name" {
		t.Errorf("got %#v", problems)
	}
}

// An alias of an alias of an alias … must not keep the parser busy.
func TestParseOfAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: kind.x-k8s.io/v1alpha4\nkind: Cluster\nnodes:\n- &n {extraMounts: [&m {hostPath: /a}")
	b.WriteString(strings.Repeat(", *m", 20000) + "]}\n" + strings.Repeat("- *n\n", 20000))
	if _, err := config.Parse(strings.NewReader(b.String()), "bomb"); !fault.Is(err, fault.ConfigInvalid) {
		t.Errorf("got %v", err)
	}
}

// hasFiles reports whether a document names files of certificates.
func hasFiles(doc v1alpha1.Cluster) bool {
	for _, m := range doc.Registries.Mirrors {
		if m.CertificateAuthority != "" && !strings.Contains(m.CertificateAuthority, "-----BEGIN") {
			return true
		}
	}
	return slices.ContainsFunc(doc.CertificateAuthorities, func(ca v1alpha1.CertificateAuthority) bool { return ca.Path != "" })
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/valid/*.yaml", "testdata/invalid/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := config.Parse(bytes.NewReader(data), "fuzz")
		if err != nil {
			if !fault.Is(err, fault.ConfigInvalid) {
				t.Errorf("an error without the code: %v", err)
			}
			return
		}
		config.Warnings(doc)
		if err := config.Validate(doc); err != nil {
			return
		}
		if hasFiles(doc) {
			return // which Validate does not read
		}
		if _, err := config.Resolve(config.Input{Document: &doc}); err != nil {
			t.Errorf("Validate accepts what Resolve refuses: %v", err)
		}
		config.Default(&doc)
		roundTrip(t, doc)
	})
}
