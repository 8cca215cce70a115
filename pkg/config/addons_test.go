package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

// catalogue has a profile and addons of every sort that a document can have to do with.
func catalogue(more ...string) profile.Catalogue {
	files := fstest.MapFS{}
	put := func(name, text string) { files[name] = &fstest.MapFile{Data: []byte(text)} }
	for name, text := range map[string]string{
		"flannel": "provides: [cni]",
		"calico":  "provides: [cni]\nparameters: [{name: mtu, type: integer, description: d, default: 1450}]",
		"storage": "",
		"metallb": "parameters: [{name: pool, type: string, description: d}]",
		"gateway": "requires: {kubernetes: '>= 1.35'}",
		"traefik": "requires: {addons: [gateway]}\nhostPorts: [{parameter: hostPorts.http, containerPort: 80}]\nparameters:\n" +
			"- {name: hostPorts.http, type: integer, description: d}\n- {name: dashboard, type: boolean, description: d}",
	} {
		put("addons/"+name+"/addon.yaml", "apiVersion: cove.dev/v1alpha1\nkind: Addon\nname: "+name+"\ndescription: d\ncontent: {manifests: a.yaml}\n"+text)
		put("addons/"+name+"/a.yaml", "kind: List")
	}
	profiles := map[string]string{
		"minimal": "addons: [{name: flannel}]",
		"dev":     "extends: minimal\naddons: [{name: storage}, {name: metallb}]",
	}
	for i := 0; i+1 < len(more); i += 2 {
		profiles[more[i]] = more[i+1]
	}
	for name, text := range profiles {
		put(name+".yaml", "apiVersion: cove.dev/v1alpha1\nkind: Profile\nname: "+name+"\n"+text)
	}
	return profile.Open(files)
}

// addonsOf is what Resolve decides about addons, on one line.
func addonsOf(c v1alpha1.Cluster) string {
	s := fmt.Sprintf("%s %s:", c.Profile, c.CNI)
	for _, a := range c.Addons {
		s += " " + a.Name
		switch {
		case a.Disabled:
			s += "-"
		case profile.IsOwn(a):
			s += "=own"
		}
		if len(a.Parameters) > 0 {
			s += fmt.Sprint(a.Parameters)
		}
	}
	if c.Cluster.Networking.DisableDefaultCNI {
		s += " (no default CNI)"
	}
	return s
}

func parse(t *testing.T, text string) *v1alpha1.Cluster {
	t.Helper()
	api := "apiVersion: cove.dev/v1alpha1"
	if strings.HasPrefix(text, "networking:") {
		api = "apiVersion: kind.x-k8s.io/v1alpha4"
	}
	doc, err := config.Parse(strings.NewReader(api+"\nkind: Cluster\n"+text), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return &doc
}

func TestResolveAddons(t *testing.T) {
	o := func(change func(*config.Overrides)) config.Overrides {
		out := config.Overrides{}
		change(&out)
		return out
	}
	cni := func(name string) config.Overrides { return config.Overrides{CNI: name} }
	add := func(names ...string) config.Overrides {
		return o(func(o *config.Overrides) {
			for _, n := range names {
				o.Addons = append(o.Addons, v1alpha1.Addon{Name: n})
			}
		})
	}
	const pool = "map[pool:]"
	tests := []struct {
		name, document  string
		settings, flags config.Overrides
		want            string
	}{
		{"nothing", "", config.Overrides{}, config.Overrides{}, "dev flannel: flannel metallb" + pool + " storage"},
		{"a profile of the document", "profile: minimal", config.Overrides{Profile: "dev"}, config.Overrides{}, "minimal flannel: flannel"},
		{"a profile of the settings", "", config.Overrides{Profile: "minimal"}, config.Overrides{}, "minimal flannel: flannel"},
		{"a profile by flag", "profile: minimal", config.Overrides{Profile: "none"}, config.Overrides{Profile: "dev"}, "dev flannel: flannel metallb" + pool + " storage"},
		{"parameters of the document", "addons: [{name: metallb, parameters: {pool: x}}]", config.Overrides{}, config.Overrides{}, "dev flannel: flannel metallbmap[pool:x] storage"},
		{"what is left out stays said", "addons: [{name: metallb, disabled: true}]", config.Overrides{}, config.Overrides{}, "dev flannel: flannel storage metallb-"},
		{"and comes back by flag", "addons: [{name: metallb, disabled: true}]", config.Overrides{}, add("metallb"), "dev flannel: flannel metallb" + pool + " storage"},
		{"order by what is required", "profile: minimal\naddons: [{name: traefik}, {name: gateway}]", config.Overrides{}, config.Overrides{},
			"minimal flannel: flannel gateway traefikmap[dashboard:false hostPorts:map[http:0]]"},
		{"what is required by flag", "profile: minimal\naddons: [{name: traefik}]", config.Overrides{}, add("gateway"),
			"minimal flannel: flannel gateway traefikmap[dashboard:false hostPorts:map[http:0]]"},
		{"parameters by flag", "addons: [{name: metallb, parameters: {pool: x}}]", config.Overrides{},
			o(func(o *config.Overrides) { o.Parameters = map[string][]string{"metallb": {"pool=y"}} }), "dev flannel: flannel metallbmap[pool:y] storage"},
		{"cni by flag", "cni: none", cni("none"), cni("calico"), "dev calico: calicomap[mtu:1450] metallb" + pool + " storage (no default CNI)"},
		{"cni of the document", "cni: none", cni("calico"), config.Overrides{}, "dev none: metallb" + pool + " storage (no default CNI)"},
		{"cni of the settings wins over the profile's", "profile: minimal", cni("none"), config.Overrides{}, "minimal none: (no default CNI)"},
		{"cni by flag in place of one with parameters", "cni: calico\naddons: [{name: calico, parameters: {mtu: 9}}]", config.Overrides{}, cni("flannel"),
			"dev flannel: flannel metallb" + pool + " storage"},
		{"no default one, as kind has it", "networking: {disableDefaultCNI: true}", cni("calico"), config.Overrides{}, "dev none: metallb" + pool + " storage (no default CNI)"},
		{"no default one, but another", "cni: calico\ncluster: {networking: {disableDefaultCNI: true}}", config.Overrides{}, config.Overrides{},
			"dev calico: calicomap[mtu:1450] metallb" + pool + " storage (no default CNI)"},
		{"no default one, but by flag", "networking: {disableDefaultCNI: true}", config.Overrides{}, cni("flannel"), "dev flannel: flannel metallb" + pool + " storage"},
		{"the pod network is left out", "profile: minimal\naddons: [{name: flannel, disabled: true}]", config.Overrides{}, config.Overrides{}, "minimal none: (no default CNI)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.Resolve(config.Input{Document: parse(t, tt.document), Settings: tt.settings, Flags: tt.flags, Catalogue: catalogue()})
			if err != nil {
				t.Fatal(err)
			}
			if addonsOf(got) != tt.want {
				t.Errorf("got  %s\nwant %s", addonsOf(got), tt.want)
			}
			again, err := config.Resolve(config.Input{Document: &got, Settings: tt.settings, Catalogue: catalogue()})
			if err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("resolved again: %s, %v", addonsOf(again), err)
			}
			roundTrip(t, got)
		})
	}
}

func TestResolveAddonsRefuses(t *testing.T) {
	flag := func(a ...v1alpha1.Addon) config.Overrides { return config.Overrides{Addons: a} }
	set := func(addon, assignment string) config.Overrides {
		return config.Overrides{Parameters: map[string][]string{addon: {assignment}}}
	}
	tests := []struct {
		name, document string
		flags          config.Overrides
		code           fault.Code
		want           string
	}{
		{"a profile", "profile: devv", config.Overrides{}, fault.ProfileUnknown, `there is no profile "devv"; did you mean dev?`},
		{"an addon", "addons: [{name: metalb}]", config.Overrides{}, fault.AddonUnknown, `addons[0]: the catalogue has no addon "metalb"; did you mean metallb?`},
		{"an addon by flag", "", flag(v1alpha1.Addon{Name: "metalb"}), fault.AddonUnknown, `--addon metalb: the catalogue has no addon "metalb"; did you mean metallb?`},
		{"no addon by flag", "", flag(v1alpha1.Addon{Name: "A B"}), fault.ConfigInvalid, `--addon: "A B" is no name; use lower-case letters, digits and hyphens`},
		{"a parameter", "addons: [{name: metallb, parameters: {pol: x}}]", config.Overrides{}, fault.AddonParameter,
			"addons[0].parameters.pol: addon metallb has no such parameter; did you mean pool? It has pool (string)"},
		{"a parameter by flag", "", set("metallb", "x=1"), fault.AddonParameter, "--set metallb.x: addon metallb has no such parameter. It has pool (string)"},
		{"a parameter of what is not there", "", set("traefik", "dashboard=true"), fault.AddonNotInstalled, "--set traefik: the cluster does not have addon traefik; add it first"},
		{"a parameter of what nobody knows", "", set("x", "y=1"), fault.AddonUnknown, `--set x: the catalogue has no addon "x"`},
		{"what is required", "addons: [{name: traefik}]", config.Overrides{}, fault.AddonRequires, "addons[0]: traefik requires addon gateway, which is not there; enable gateway too"},
		{"two networks", "addons: [{name: calico}]", config.Overrides{}, fault.AddonConflict,
			"addons[0]: flannel and calico provide cni, which a cluster has one of; choose one with cni: calico"},
		{"two networks of the document", "cni: calico\naddons: [{name: flannel}]", config.Overrides{}, fault.AddonConflict,
			"addons[0]: calico and flannel provide cni, which a cluster has one of; choose one with cni: flannel"},
		{"a network beside none", "cni: none", flag(v1alpha1.Addon{Name: "calico"}), fault.AddonConflict,
			"--addon calico: addon calico provides the pod network, but cni is none; leave one of them out"},
		{"no network", "cni: storage", config.Overrides{}, fault.ConfigInvalid, "cni: addon storage provides no pod network; name one that does, or none"},
		{"no name", "cni: 'a b'", config.Overrides{}, fault.ConfigInvalid, ""},
		{"the default one and not", "cni: flannel\ncluster: {networking: {disableDefaultCNI: true}}", config.Overrides{}, fault.ConfigInvalid,
			"cluster.networking.disableDefaultCNI: it is true, but the pod network is flannel, the default one; leave one of them out"},
		{"another Kubernetes", "kubernetesVersion: v1.34.1\naddons: [{name: gateway}]", config.Overrides{}, fault.AddonUnfit,
			"addons[0]: addon gateway is for Kubernetes >= 1.35, not for v1.34.1"},
		{"no port", "addons: [{name: gateway}, {name: traefik, parameters: {hostPorts: {http: 70000}}}]", config.Overrides{}, fault.AddonParameter,
			"addons[1].parameters.hostPorts.http: 70000 is no port; name one from 1 to 65535, or 0 for none"},
		{"another port", "addons: [{name: gateway}, {name: traefik, parameters: {hostPorts: {http: 8080}}}]\ncluster: {nodes: [{extraPortMappings: [{containerPort: 80, hostPort: 9090}]}]}",
			config.Overrides{}, fault.ConfigInvalid, "addons[1].parameters.hostPorts.http: it is 8080, but port 80 of the control plane is published as 9090; make them agree"},
		{"a port that is taken", "addons: [{name: gateway}, {name: traefik, parameters: {hostPorts: {http: 8080}}}]\ncluster: {nodes: [{extraPortMappings: [{containerPort: 81, hostPort: 8080}]}]}",
			config.Overrides{}, fault.ConfigInvalid, "cluster.nodes[0].extraPortMappings[1].hostPort: 8080/TCP is taken by cluster.nodes[0].extraPortMappings[0].hostPort"},
		{"a list with mistakes", "addons: [{name: metallb}, {name: metallb}]", config.Overrides{}, fault.ConfigInvalid, "addons[1].name: metallb is addons[0] already"},
		{"a path to nothing", "addons: [{name: x, path: none}]", config.Overrides{}, fault.ConfigInvalid, "addons[0]: cannot open addon x: there is no /doc/none"},
		{"a path to nothing by flag", "", flag(v1alpha1.Addon{Name: "x", Path: "none"}), fault.ConfigInvalid, "--addon x: cannot open addon x: there is no /cwd/none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Resolve(config.Input{Document: parse(t, tt.document), Flags: tt.flags, Dir: "/cwd", DocumentDir: "/doc", Catalogue: catalogue()})
			if !fault.Is(err, tt.code) || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("got  %v [%s]\nwant %s [%s]", err, fault.CodeOf(err), tt.want, tt.code)
			}
		})
	}
	// Those of the document itself and those of its addons come together.
	_, err := config.Resolve(config.Input{Document: parse(t, "name: A\naddons: [{name: metalb}]"), Catalogue: catalogue()})
	if !fault.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), "\n  name: ") || !strings.Contains(err.Error(), "\n  addons[0]: ") {
		t.Errorf("got %v", err)
	}
}

// What a profile says comes after what the document says, and before the settings.
func TestResolveProfileShape(t *testing.T) {
	shaped := "image: profile:v1.35.1\ncluster:\n  nodes: [{role: control-plane}, {role: worker}]\n  networking: {podSubnet: 10.1.0.0/16, kubeProxyMode: ipvs}\n" +
		"  featureGates: {A: true}\n  kubeadmConfigPatches: ['kind: InitConfiguration']\n"
	settings := config.Overrides{Profile: "shaped", Workers: new(5), Image: "settings:1"}
	for name, tt := range map[string]struct {
		document string
		flags    config.Overrides
		want     string
		subnet   string
		patches  int
	}{
		"all of it":         {"", config.Overrides{}, "cove v1.35.1 ipvs c=profile:v1.35.1 w=profile:v1.35.1", "10.1.0.0/16", 1},
		"the document wins": {"cluster: {nodes: [{}], networking: {podSubnet: 10.2.0.0/16}, kubeadmConfigPatches: ['kind: JoinConfiguration']}", config.Overrides{}, "cove v1.35.1 ipvs c=profile:v1.35.1", "10.2.0.0/16", 2},
		"a version":         {"kubernetesVersion: v1.36.3", config.Overrides{}, "cove v1.36.3 ipvs c w", "10.1.0.0/16", 1},
		"flags":             {"", config.Overrides{Workers: new(2), KubernetesVersion: "1.36"}, "cove v1.36.3 ipvs c w w", "10.1.0.0/16", 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := config.Input{Document: parse(t, tt.document), Settings: settings, Flags: tt.flags, Catalogue: catalogue("shaped", shaped)}
			got, err := config.Resolve(in)
			if err != nil {
				t.Fatal(err)
			}
			if shape(got) != tt.want || got.Cluster.Networking.PodSubnet != tt.subnet || len(got.Cluster.KubeadmConfigPatches) != tt.patches || !got.Cluster.FeatureGates["A"] {
				t.Errorf("got  %s %+v\nwant %s", shape(got), got.Cluster, tt.want)
			}
			again, err := config.Resolve(config.Input{Document: &got, Settings: settings, Catalogue: in.Catalogue})
			if err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("resolved again: %+v, %v", again, err)
			}
		})
	}
}

func TestHostPorts(t *testing.T) {
	const traefik = "profile: minimal\naddons: [{name: gateway}, {name: traefik, parameters: {hostPorts.http: 8080}}]\n"
	mapped := kind.PortMapping{ContainerPort: 80, HostPort: 8080, ListenAddress: "127.0.0.1", Protocol: "TCP"}
	own := kind.PortMapping{ContainerPort: 80, HostPort: 8080, ListenAddress: "0.0.0.0", Protocol: "TCP"}
	for name, tt := range map[string]struct {
		document string
		node     int
		want     []kind.PortMapping
	}{
		"published":                  {traefik, 0, []kind.PortMapping{mapped}},
		"on the first control plane": {traefik + "cluster: {nodes: [{role: worker}, {role: control-plane}]}", 1, []kind.PortMapping{mapped}},
		"already there":              {traefik + "cluster: {nodes: [{extraPortMappings: [{containerPort: 80, hostPort: 8080, listenAddress: 0.0.0.0}]}]}", 0, []kind.PortMapping{own}},
		"one of several": {traefik + "cluster: {nodes: [{extraPortMappings: [{containerPort: 80, hostPort: 9090}, {containerPort: 80, hostPort: 8080, listenAddress: 0.0.0.0}]}]}", 0,
			[]kind.PortMapping{{ContainerPort: 80, HostPort: 9090, Protocol: "TCP"}, own}},
		"another protocol": {traefik + "cluster: {nodes: [{extraPortMappings: [{containerPort: 80, hostPort: 8080, protocol: UDP}]}]}", 0,
			[]kind.PortMapping{{ContainerPort: 80, HostPort: 8080, Protocol: "UDP"}, mapped}},
		"not asked for": {"addons: [{name: gateway}, {name: traefik}]", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := config.Resolve(config.Input{Document: parse(t, tt.document), Catalogue: catalogue()})
			if err != nil {
				t.Fatal(err)
			}
			if ports := got.Cluster.Nodes[tt.node].ExtraPortMappings; !reflect.DeepEqual(ports, tt.want) {
				t.Errorf("got %+v, want %+v", ports, tt.want)
			}
			again, err := config.Resolve(config.Input{Document: &got, Catalogue: catalogue()})
			if err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("resolved again: %+v, %v", again, err)
			}
		})
	}
}

// A port that an addon has published follows its parameter, and the parameter follows the port; what a file says of both counts.
func TestHostPortsOfACluster(t *testing.T) {
	current, err := config.Resolve(config.Input{Catalogue: catalogue(), Document: parse(t,
		"profile: minimal\naddons: [{name: gateway}, {name: traefik, parameters: {hostPorts.http: 8080}}]\nnodes: [{role: control-plane, count: 3}, {}]")})
	if err != nil {
		t.Fatal(err)
	}
	set := func(value string) config.Overrides {
		return config.Overrides{Parameters: map[string][]string{"traefik": {"hostPorts.http=" + value}}}
	}
	publish := func(ports ...int32) func(*v1alpha1.Cluster) {
		return func(doc *v1alpha1.Cluster) {
			doc.NodeSpecs[0].ExtraPortMappings = nil
			for _, p := range ports {
				doc.NodeSpecs[0].ExtraPortMappings = append(doc.NodeSpecs[0].ExtraPortMappings, kind.PortMapping{ContainerPort: 80, HostPort: p, Protocol: "TCP"})
			}
		}
	}
	for name, tt := range map[string]struct {
		change func(*v1alpha1.Cluster)
		flags  config.Overrides
		follow bool
		want   string
	}{
		"nothing":                   {want: "8080 [8080]"},
		"another parameter":         {flags: set("9090"), want: "9090 [9090]"},
		"no parameter":              {flags: set("0"), want: "0 []"},
		"a port less":               {change: publish(), follow: true, want: "0 []"},
		"another port":              {change: publish(9090), follow: true, want: "9090 [9090]"},
		"a port more":               {change: publish(8080, 9090), follow: true, want: "8080 [8080 9090]"},
		"a port less, by a file":    {change: publish(), want: "8080 [8080]"},
		"the user's own port stays": {change: publish(8080), flags: set("9090"), want: "CONFIG_INVALID"},
	} {
		doc := current.DeepCopy()
		if tt.change != nil {
			tt.change(doc)
		}
		if tt.follow {
			if err := config.FollowPorts(catalogue(), doc, current); err != nil {
				t.Fatal(err)
			}
		}
		got, err := config.Resolve(config.Input{Document: doc, Current: &current, Flags: tt.flags, Catalogue: catalogue()})
		text := string(fault.CodeOf(err))
		if err == nil {
			ports := []int32{}
			for _, p := range got.Nodes()[0].ExtraPortMappings {
				ports = append(ports, p.HostPort)
			}
			text = fmt.Sprint(profile.Lookup(got.Addons[2].Parameters, "hostPorts.http"), ports)
		}
		if text != tt.want {
			t.Errorf("%s: got %s, %v, want %s", name, text, err, tt.want)
		}
	}
}

// A cluster's document stands without its profile and without what its addons were made from.
func TestResolveOfACluster(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const head = "apiVersion: cove.dev/v1alpha1\nkind: Profile\nname: team\nextends: minimal\n"
	write("team.yaml", head+"addons: [{name: metallb}]")
	write("app.yaml", "kind: List")
	in := config.Input{
		Document:    parse(t, "profile: ./team.yaml\naddons: [{name: app, path: app.yaml, parameters: {}}, {name: metallb, disabled: true}]"),
		DocumentDir: dir, Catalogue: catalogue(),
	}
	current, err := config.Resolve(in)
	if err != nil {
		t.Fatal(err)
	}
	again := func(change func(*config.Input)) (v1alpha1.Cluster, error) {
		in := config.Input{Document: current.DeepCopy(), Current: &current, Catalogue: catalogue()}
		if change != nil {
			change(&in)
		}
		return config.Resolve(in)
	}
	same := func(what string) {
		if got, err := again(nil); err != nil || !reflect.DeepEqual(got, current) {
			t.Errorf("%s: got %s, %v", what, addonsOf(got), err)
		}
	}
	write("team.yaml", head+"addons: [{name: storage}]\ncluster: {kubeadmConfigPatches: ['kind: ClusterConfiguration']}")
	same("the profile has changed")
	got, err := again(func(in *config.Input) { in.Flags.Profile = current.Profile })
	if err != nil || !strings.Contains(addonsOf(got), "storage") || len(got.Cluster.KubeadmConfigPatches) != 1 {
		t.Errorf("named again: %s, %v", addonsOf(got), err)
	}
	got, err = again(func(in *config.Input) { in.Document.Cluster.Networking.PodSubnet = "" })
	if err != nil || !strings.Contains(addonsOf(got), "storage") {
		t.Errorf("a document that leaves something open: %s, %v", addonsOf(got), err)
	}
	for _, name := range []string{"team.yaml", "app.yaml"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	same("nothing is there any more")
	got, err = again(func(in *config.Input) { in.Document.Addons = in.Document.Addons[:1] })
	if want := current.Profile + " flannel:"; err != nil || !strings.HasPrefix(addonsOf(got), want) || strings.Contains(addonsOf(got), "flannel app") {
		t.Errorf("addons taken out: %s, %v", addonsOf(got), err)
	}
	for name, change := range map[string]func(*config.Input){
		"of another cluster": func(in *config.Input) { in.Current = nil },
		"another path":       func(in *config.Input) { in.Document.Addons[1].Path = filepath.Join(dir, "other.yaml") },
		"a parameter":        func(in *config.Input) { in.Flags.Parameters = map[string][]string{"app": {"a=b"}} },
	} {
		if got, err := again(change); err == nil {
			t.Errorf("%s: got %s", name, addonsOf(got))
		}
	}
}

// Ports and mounts of the command line come after the profile's nodes, so that these stay.
func TestResolvePortsAndMounts(t *testing.T) {
	flags := config.Overrides{Workers: new(1), Ports: []kind.PortMapping{{ContainerPort: 80}}, Mounts: []kind.Mount{{HostPath: "src", ContainerPath: "/src"}}}
	for name, document := range map[string]string{"no nodes": "", "worker first": "cluster: {nodes: [{role: worker}, {role: control-plane}]}"} {
		got, err := config.Resolve(config.Input{Document: parse(t, document), Flags: flags, Dir: "/cwd", Catalogue: catalogue()})
		if err != nil {
			t.Fatal(err)
		}
		nodes := got.Nodes()
		if len(nodes) != 2 {
			t.Fatalf("%s: got %+v", name, nodes)
		}
		for _, n := range nodes {
			if len(n.ExtraMounts) != 1 || n.ExtraMounts[0].HostPath != "/cwd/src" {
				t.Errorf("%s: %s has mounts %+v", name, n.Name, n.ExtraMounts)
			}
			if want := n.Role == "control-plane"; (len(n.ExtraPortMappings) == 1) != want {
				t.Errorf("%s: %s has ports %+v", name, n.Name, n.ExtraPortMappings)
			}
		}
	}
}

// What is the user's own is found from where the document is, or from where the command runs.
func TestResolveOwnAddons(t *testing.T) {
	docDir, cwd := t.TempDir(), t.TempDir()
	for _, file := range []string{filepath.Join(docDir, "app.yaml"), filepath.Join(cwd, "flag.yaml"), filepath.Join(docDir, "mine.yaml")} {
		if err := os.WriteFile(file, []byte("apiVersion: cove.dev/v1alpha1\nkind: Profile\nname: mine\ncni: flannel\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := config.Input{
		Document: parse(t, "profile: ./mine.yaml\naddons: [{name: app, path: app.yaml}, {name: redis, helm: {chart: oci://r/redis}, parameters: {a: 1.0}}]"), DocumentDir: docDir, Dir: cwd,
		Flags:     config.Overrides{Addons: []v1alpha1.Addon{{Name: "late", Path: "flag.yaml"}}, Parameters: map[string][]string{"redis": {"b.c=2"}}},
		Catalogue: catalogue(),
	}
	got, err := config.Resolve(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(docDir, "mine.yaml") + " flannel: flannel app=own late=own redis=ownmap[a:1 b:map[c:2]]"; addonsOf(got) != want {
		t.Errorf("got  %s\nwant %s", addonsOf(got), want)
	}
	if got.Addons[1].Path != filepath.Join(docDir, "app.yaml") || got.Addons[2].Path != filepath.Join(cwd, "flag.yaml") {
		t.Errorf("got %+v", got.Addons)
	}
	roundTrip(t, got)
	got.Addons = append(got.Addons, v1alpha1.Addon{Name: "storage", Disabled: true})
	opened, err := config.Addons(in.Catalogue, got, "")
	if err != nil || len(opened) != 4 || opened[0].Name != "flannel" || !opened[1].Own || opened[3].Content.Helm == nil {
		t.Errorf("got %+v, %v", opened, err)
	}
	got.Addons[0].Name = "gone"
	if _, err := config.Addons(in.Catalogue, got, ""); !fault.Is(err, fault.AddonUnknown) {
		t.Errorf("got %v", err)
	}
}

// Without a catalogue nothing is known of addons, and what the document says stays.
func TestResolveWithoutCatalogue(t *testing.T) {
	doc := parse(t, "profile: x\ncni: y\naddons: [{name: z}]")
	got, err := config.Resolve(config.Input{Document: doc})
	if err != nil || got.Profile != "x" || got.CNI != "y" || !reflect.DeepEqual(got.Addons, doc.Addons) {
		t.Errorf("got %+v, %v", got, err)
	}
}
