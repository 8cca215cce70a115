package v1alpha1_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

var update = flag.Bool("update", false, "write what is generated instead of comparing it")

// The schema that is built in must be the one that the types, and their comments, give.
func TestSchemaIsFresh(t *testing.T) {
	want := generate(t)
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(v1alpha1.Schema(), want) {
		t.Error("schema.json is stale; run: go test ./pkg/apis/v1alpha1 -update")
	}
}

func TestSchemaIsACopy(t *testing.T) {
	v1alpha1.Schema()[0] = 'x'
	if !json.Valid(v1alpha1.Schema()) {
		t.Error("a caller changed the schema for the others")
	}
}

func generate(t *testing.T) []byte {
	t.Helper()
	r := jsonschema.Reflector{FieldNameTag: "yaml", CommentMap: comments(t), Namer: func(typ reflect.Type) string {
		if typ == reflect.TypeFor[kind.Cluster]() {
			return "KindCluster"
		}
		return typ.Name()
	}}
	s := r.Reflect(&v1alpha1.Cluster{})
	s.ID, s.Title = "https://cove.dev/schema/v1alpha1/cluster.json", "cove cluster document"
	for name, def := range s.Definitions {
		amend(name, def)
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// amend says what the types cannot: the values that are allowed, what this version does not honour, and where cove's
// defaults are not kind's.
func amend(def string, s *jsonschema.Schema) {
	property := func(name string) *jsonschema.Schema {
		p, ok := s.Properties.Get(name)
		if !ok {
			panic("no field " + name + " in " + def)
		}
		return p
	}
	enum := func(name string, values ...any) { property(name).Enum = values }
	describe := func(name, text string) { property(name).Description = text }
	port := func(name, lowest string) {
		property(name).Minimum, property(name).Maximum = json.Number(lowest), "65535"
	}
	patches := func(merge, json, order string) {
		describe(merge, "Merge patches (RFC 7386) of kubeadm's configuration, each as YAML in a string. The kind field says "+
			"which object is meant; an apiVersion, if there is one, must match too. "+order)
		describe(json, "JSON patches (RFC 6902) of kubeadm's configuration. "+order)
	}
	switch def {
	case "Cluster":
		enum("apiVersion", v1alpha1.APIVersion)
		enum("kind", v1alpha1.KindCluster)
		property("name").Pattern = `^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`
		property("name").Default = v1alpha1.DefaultName
		property("kubernetesVersion").Pattern = `^v?[0-9]+\.[0-9]+(\.[0-9]+(-.+)?)?$`
		scalar(property("kubernetesVersion"), "number")
		property("profile").Default = "dev"
		describe("nodes", "Nodes lists the nodes, with what kind's list lacks: names, numbers, sizes and taints. Either this list or "+
			"cluster.nodes is given. It has an odd number of control planes up to 9, and up to 180 workers; one without a control "+
			"plane gets a plain one.")
	case "NodeSpec":
		property("name").Pattern = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
		enum("role", string(kind.ControlPlaneRole), string(kind.WorkerRole))
		property("role").Default = string(kind.WorkerRole)
		property("count").Minimum, property("count").Maximum, property("count").Default = "1", "180", 1
		scalar(property("cpus"), "number")
		scalar(property("memory"), "number")
		scalar(property("labels").AdditionalProperties, "number", "boolean")
		patches("kubeadmConfigPatches", "kubeadmConfigPatchesJSON6902", "They come after those of the cluster.")
	case "CertificateAuthority":
		property("name").Pattern = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
	case "Taint":
		scalar(property("value"), "number", "boolean")
		enum("effect", "NoSchedule", "PreferNoSchedule", "NoExecute")
	case "Addon":
		property("name").Pattern = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
	case "KindCluster":
		enum("apiVersion", v1alpha1.KindAPIVersion)
		enum("kind", v1alpha1.KindCluster)
		describe("name", "Name may be left out: the document's name is beside cluster. If both are given, they must agree.")
		describe("nodes", "Nodes lists the nodes: an odd number of control planes up to 9, and up to 180 workers. Defaults to one "+
			"control plane, which then runs workloads too. The list beside cluster can say more.")
		patches("kubeadmConfigPatches", "kubeadmConfigPatchesJSON6902", "They come before those of the nodes.")
		scalar(property("runtimeConfig").AdditionalProperties, "number", "boolean")
		describe("containerdConfigPatches", "ContainerdConfigPatches are TOML merge patches of containerd's configuration on all "+
			"nodes. One that names a version is left out where the configuration has another one.")
		describe("containerdConfigPatchesJSON6902", "ContainerdConfigPatchesJSON6902 are lists of JSON Patch operations (RFC 6902) on containerd's "+
			"configuration, in JSON or YAML. They come after containerdConfigPatches.")
	case "Node":
		describe("role", "Role is the node's. Defaults to control-plane.")
		describe("labels", "Labels are the Kubernetes node's.")
		scalar(property("labels").AdditionalProperties, "number", "boolean")
		describe("extraMounts", "ExtraMounts are paths of the engine's host to mount into the node.")
		describe("extraPortMappings", "ExtraPortMappings are ports of the node to publish on the engine's host.")
		patches("kubeadmConfigPatches", "kubeadmConfigPatchesJSON6902", "They come after those of the cluster.")
		enum("role", string(kind.ControlPlaneRole), string(kind.WorkerRole))
		property("role").Default = string(kind.ControlPlaneRole)
		describe("image", "Image is this node's own. A worker's may be up to three minor versions of Kubernetes older than the "+
			"cluster. Defaults to the cluster's image.")
	case "Networking":
		enum("ipFamily", string(kind.IPv4Family), string(kind.IPv6Family), string(kind.DualStackFamily))
		property("ipFamily").Default = string(kind.IPv4Family)
		describe("ipFamily", "IPFamily is that of pods and services; dual is both, IPv4 first.")
		enum("kubeProxyMode", "iptables", "ipvs", "nftables", "none")
		describe("kubeProxyMode", "KubeProxyMode is how kube-proxy works; none leaves it out. Defaults to nftables from "+
			"Kubernetes 1.33 on, to iptables before.")
		describe("apiServerPort", "APIServerPort is the port of the engine's host that the API server is published on. 0, the "+
			"default, and -1 let cove or the engine choose one.")
		port("apiServerPort", "-1")
		describe("apiServerAddress", "APIServerAddress is the address of the engine's host that the API server is published on. ::1 "+
			"by default where ipFamily is ipv6.")
		property("apiServerAddress").Default = "127.0.0.1"
		describe("podSubnet", "PodSubnet is where pods get their addresses from; each node needs a /24 of it, or a /64 of an IPv6 "+
			"one. fd00:10:244::/56 by default where ipFamily is ipv6; with dual, both with a comma, IPv4 first.")
		property("podSubnet").Default = "10.244.0.0/16"
		describe("serviceSubnet", "ServiceSubnet is where services get their addresses from. fd00:10:96::/112 by default where "+
			"ipFamily is ipv6; with dual, both with a comma, IPv4 first.")
		property("serviceSubnet").Default = "10.96.0.0/16"
		describe("disableDefaultCNI", "DisableDefaultCNI leaves the pod network to you: nodes are not Ready until there is one.")
		describe("dnsSearch", "DNSSearch lists the search domains of the nodes. Defaults to the engine host's.")
	case "Mount":
		enum("propagation", "None", "HostToContainer", "Bidirectional")
		describe("hostPath", "HostPath is a path of the engine's host. A relative one starts where the command runs.")
		s.Required = []string{"containerPath", "hostPath"}
	case "PortMapping":
		enum("protocol", "TCP", "UDP", "SCTP", "tcp", "udp", "sctp") // kind's decoder takes both
		port("containerPort", "1")
		port("hostPort", "-1")
		describe("hostPort", "HostPort is the port of the engine's host. 0, the default, and -1 let the engine choose one.")
		describe("listenAddress", "ListenAddress is the address of the engine's host to listen on. Defaults to all.")
		s.Required = []string{"containerPort"}
	case "PatchJSON6902":
		enum("kind", "ClusterConfiguration", "InitConfiguration", "JoinConfiguration", "KubeletConfiguration", "KubeProxyConfiguration")
		describe("kind", "Kind is that of the object of kubeadm's configuration to patch.")
		describe("group", "Group is the object's. Without it, and without a version, any group matches.")
		describe("version", "Version is the object's.")
		describe("patch", "Patch is the list of operations, as YAML or JSON in a string.")
		s.Required = []string{"kind", "patch"}
	}
}

// scalar allows a text to be written as what YAML takes for something else without quotes.
func scalar(s *jsonschema.Schema, others ...string) {
	s.Type, s.Extras = "", map[string]any{"type": append([]string{"string"}, others...)}
}

// comments reads the documentation of the types, which reflection does not see.
func comments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, typ := range []reflect.Type{reflect.TypeFor[v1alpha1.Cluster](), reflect.TypeFor[kind.Cluster]()} {
		dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", typ.PkgPath()).Output()
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range parsed.Decls {
				if gen, ok := decl.(*ast.GenDecl); ok {
					collect(out, typ.PkgPath(), gen)
				}
			}
		}
	}
	return out
}

func collect(out map[string]string, pkg string, gen *ast.GenDecl) {
	for _, spec := range gen.Specs {
		ts, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		st, ok := ts.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range st.Fields.List {
			for _, name := range f.Names {
				out[pkg+"."+ts.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
	}
}
