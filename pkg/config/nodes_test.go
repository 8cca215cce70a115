package config_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
)

// plan is what Resolve decides about nodes of either list, on one line.
func plan(c v1alpha1.Cluster) string {
	s := []string{}
	for _, n := range c.Nodes() {
		one := c.ShortName(n.Name)
		if n.Image != "" {
			one += "=" + n.Image
		}
		if n.NanoCPUs+n.Memory > 0 {
			one += fmt.Sprintf("(%dm,%dMi)", n.NanoCPUs/1e6, n.Memory>>20)
		}
		for _, p := range n.ExtraPortMappings {
			one += fmt.Sprintf(":%d", p.ContainerPort)
		}
		for _, m := range n.ExtraMounts {
			one += m.ContainerPath
		}
		s = append(s, one)
	}
	return strings.Join(s, " ")
}

// What flags and settings say of nodes goes into either list.
func TestResolveNodes(t *testing.T) {
	const threeAndTwo = "nodes: [{role: control-plane, count: 3}, {count: 2}, {name: web, count: 2, cpus: 1}]"
	ports := config.Overrides{Ports: []kind.PortMapping{{ContainerPort: 80}}, Mounts: []kind.Mount{{HostPath: "/a", ContainerPath: "/b"}}}
	tests := []struct {
		name, document  string
		settings, flags config.Overrides
		want            string
	}{
		{"as it is", threeAndTwo, config.Overrides{Workers: new(9), ControlPlanes: new(1)}, config.Overrides{},
			"control-plane control-plane2 control-plane3 worker worker2 web(1000m,0Mi) web2(1000m,0Mi)"},
		{"fewer of both", threeAndTwo, config.Overrides{}, config.Overrides{Workers: new(3), ControlPlanes: new(1)}, "control-plane worker worker2 web(1000m,0Mi)"},
		{"none", threeAndTwo, config.Overrides{}, config.Overrides{Workers: new(0)}, "control-plane control-plane2 control-plane3"},
		{"more of both", threeAndTwo, config.Overrides{}, config.Overrides{Workers: new(5), ControlPlanes: new(5)},
			"control-plane control-plane2 control-plane3 worker worker2 web(1000m,0Mi) web2(1000m,0Mi) control-plane4 control-plane5 worker3"},
		{"a control plane that the list leaves out", "nodes: [{}]", config.Overrides{}, config.Overrides{ControlPlanes: new(3)},
			"control-plane worker control-plane2 control-plane3"},
		{"ports are the first control plane's", threeAndTwo, config.Overrides{}, ports,
			"control-plane:80/b control-plane2/b control-plane3/b worker/b worker2/b web(1000m,0Mi)/b web2(1000m,0Mi)/b"},
		{"ports where the list leaves out control planes", "nodes: [{name: a}]", config.Overrides{}, ports, "control-plane:80/b a/b"},
		{"ports of control planes with names", "nodes: [{name: cp, role: control-plane, count: 3}]", config.Overrides{}, ports, "cp:80/b cp2/b cp3/b"},
		{"an addon's port", threeAndTwo + "\naddons: [{name: gateway}, {name: traefik, parameters: {hostPorts: {http: 80}}}]", config.Overrides{}, config.Overrides{Workers: new(0)},
			"control-plane:80 control-plane2 control-plane3"},
		{"sizes by flag", threeAndTwo, config.Overrides{CPUs: "4"}, config.Overrides{CPUs: "2", Workers: new(3), ControlPlanes: new(1)},
			"control-plane(2000m,0Mi) worker(2000m,0Mi) worker2(2000m,0Mi) web(2000m,0Mi)"},
		{"sizes of the settings", threeAndTwo, config.Overrides{CPUs: "4", Memory: "1Gi"}, config.Overrides{Workers: new(3), ControlPlanes: new(1)},
			"control-plane(4000m,1024Mi) worker(4000m,1024Mi) worker2(4000m,1024Mi) web(1000m,1024Mi)"},
		{"sizes for kind's list", "cluster: {nodes: [{role: worker}, {}]}", config.Overrides{Memory: "1Gi"}, config.Overrides{CPUs: "1500m"},
			"worker(1500m,1024Mi) control-plane(1500m,1024Mi)"},
		{"sizes without a list", "name: dev", config.Overrides{Memory: "1Gi"}, config.Overrides{}, "control-plane(0m,1024Mi)"},
		{"an image by flag", "nodes: [{image: own}]", config.Overrides{}, config.Overrides{Image: "i"}, "control-plane=i worker=i"},
		{"an image of the list keeps out one of the settings", "nodes: [{image: own}]", config.Overrides{Image: "i"}, config.Overrides{}, "control-plane worker=own"},
		{"another name", "name: dev\nnodes: [{name: dev-web}, {name: db}]", config.Overrides{Name: "no"}, config.Overrides{Name: "prod"}, "control-plane web db"},
		{"a profile's nodes", "profile: three", config.Overrides{}, config.Overrides{}, "control-plane worker worker2"},
		{"a list in place of the profile's nodes", "profile: three\nnodes: [{name: web}]", config.Overrides{}, config.Overrides{}, "control-plane web"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.Resolve(config.Input{
				Document: parse(t, tt.document), Settings: tt.settings, Flags: tt.flags,
				Catalogue: catalogue("three", "description: d\ncluster: {nodes: [{}, {role: worker}, {role: worker}]}"),
			})
			if err != nil {
				t.Fatal(err)
			}
			if plan(got) != tt.want {
				t.Errorf("got  %s\nwant %s", plan(got), tt.want)
			}
			roundTrip(t, got)
			if again := got.DeepCopy(); len(got.NodeSpecs) > 0 {
				if config.Default(again); !reflect.DeepEqual(*again, got) {
					t.Errorf("defaults changed what they had made:\n%+v\n%+v", got, *again)
				}
			}
		})
	}
}

// A field is named as the document has it, whatever flags have done to the list.
func TestResolveNamesTheItemThatIsWrong(t *testing.T) {
	const bad = "{name: Bad, extraPortMappings: [{containerPort: 0}]}"
	port := config.Overrides{Ports: []kind.PortMapping{{ContainerPort: 80, HostPort: 80}}, CPUs: "1"}
	clash := "extraPortMappings: [{containerPort: 80, hostPort: 80}]"
	for _, tt := range []struct{ document, want string }{
		{"nodes: [{count: 3}, " + bad + "]", "nodes[1].name nodes[1].extraPortMappings[0].containerPort"},
		{"nodes: [{role: control-plane, count: 3}, {" + clash + "}]", "nodes[1].extraPortMappings[0].hostPort"},
		{"cluster: {nodes: [{}, {role: worker, " + clash + "}]}", "cluster.nodes[1].extraPortMappings[0].hostPort"},
	} {
		_, err := config.Resolve(config.Input{Document: parse(t, tt.document), Flags: port, Catalogue: catalogue()})
		problems, paths := config.Problems{}, []string{}
		errors.As(err, &problems)
		for _, p := range problems {
			paths = append(paths, p.Path)
		}
		if got := strings.Join(paths, " "); got != tt.want {
			t.Errorf("%s: got %s, want %s (%v)", tt.document, got, tt.want, err)
		}
	}
}
