package docker

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/client"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// TestAnswers: what engines answer, in their own words, and what becomes of it.
func TestAnswers(t *testing.T) {
	const create, start, network = "POST /containers/create", "POST /containers/1234/start", "POST /networks/create"
	calls := map[string]func(e *Engine) error{
		create: func(e *Engine) error {
			_, err := e.CreateNode(t.Context(), engine.NodeSpec{Name: "dev-a", Cluster: "dev", Image: "node:1"})
			return err
		},
		start: func(e *Engine) error { return e.StartNode(t.Context(), "dev-a") },
		network: func(e *Engine) error {
			_, err := e.CreateNetwork(t.Context(), engine.NetworkSpec{Name: "dev", Cluster: "dev", Subnet: mustPrefix("172.18.0.0/24"), IPv6: true})
			return err
		},
		"POST /containers/dev-a/exec": func(e *Engine) error {
			return e.Exec(t.Context(), "dev-a", engine.Command{Args: []string{"true"}})
		},
		"PUT /containers/dev-a/archive": func(e *Engine) error {
			return e.PutFiles(t.Context(), "dev-a", []engine.File{{Path: "/etc/x"}})
		},
		"GET /images/node:1/json": func(e *Engine) error { _, err := e.Image(t.Context(), "node:1"); return err },
		"DELETE /images/node:1":   func(e *Engine) error { return e.RemoveImage(t.Context(), "node:1") },
		"POST /images/create":     func(e *Engine) error { return e.PullImage(t.Context(), "example.com/node:1", nil) },
		"POST /images/load":       func(e *Engine) error { _, err := e.LoadImage(t.Context(), strings.NewReader("x")); return err },
	}
	for _, c := range []struct {
		name, call string
		status     int
		message    string
		code       fault.Code
		says       string
	}{
		{"taken name", create, 409, `Conflict. The container name "/dev-a" is already in use by container "c0ffee". You have to remove (or rename) that container to be able to reuse that name.`, fault.NameTaken, "cannot create node dev-a: Conflict."},
		{"no image, 20.10", create, 404, "No such image: node:1", fault.ImageNotFound, "No such image: node:1"},
		{"no image, containerd store", create, 404, "No such image: node:1", fault.ImageNotFound, "cannot create node dev-a"},
		{"disk full", create, 500, "error creating overlay mount to /var/lib/docker/overlay2/x: no space left on device", fault.DiskFull, "no space left"},
		{"no entrypoint", create, 400, "no command specified", fault.ImageBroken, "no command specified"},
		{"unknown", create, 500, "something else", fault.EngineFailed, "cannot create node dev-a: something else"},
		{"allocated port, 20.10", start, 500, "driver failed programming external connectivity on endpoint dev-a (f00): Bind for 127.0.0.1:6443 failed: port is already allocated", fault.PortTaken, "port 127.0.0.1:6443 is in use"},
		{"foreign port, 20.10", start, 500, "driver failed programming external connectivity on endpoint dev-a (f00): Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use", fault.PortTaken, "port 0.0.0.0:80 is in use"},
		{"foreign port, 28", start, 500, "failed to set up container networking: driver failed programming external connectivity on endpoint dev-a (f00): failed to bind host port for 0.0.0.0:7148:172.18.0.2:7148/tcp: address already in use", fault.PortTaken, "port 0.0.0.0:7148 is in use"},
		{"foreign port, 29", start, 500, "failed to set up container networking: driver failed programming external connectivity on endpoint dev-a (f00): failed to bind host port 10.0.2.100:3000/tcp: address already in use", fault.PortTaken, "port 10.0.2.100:3000 is in use"},
		{"foreign port, IPv6", start, 500, "failed to set up container networking: driver failed programming external connectivity on endpoint dev-a (f00): failed to bind host port [fd00:1::2]:3000/tcp: address already in use", fault.PortTaken, "port [fd00:1::2]:3000 is in use"},
		{"foreign port, Docker Desktop on Windows", start, 500, "Ports are not available: exposing port TCP 0.0.0.0:61616 -> 127.0.0.1:0: listen tcp 0.0.0.0:61616: bind: An attempt was made to access a socket in a way forbidden by its access permissions.", fault.PortTaken, "port 0.0.0.0:61616 is in use"},
		{"an address that is gone, 20.10", start, 500, "driver failed programming external connectivity on endpoint dev-a (f00): Error starting userland proxy: listen tcp4 192.0.2.9:6443: bind: cannot assign requested address", fault.AddressMissing, "the host has no address for port 192.0.2.9:6443"},
		{"an address that is gone, 29", start, 500, "failed to set up container networking: driver failed programming external connectivity on endpoint dev-a (f00): failed to bind host port 192.0.2.9:6443/tcp: cannot assign requested address", fault.AddressMissing, "the host has no address for port 192.0.2.9:6443"},
		{"a port that is not named", start, 500, "driver failed programming external connectivity: port is already allocated", fault.PortTaken, "port 127.0.0.1:6443 is in use"},
		{"low port, rootless", start, 500, "driver failed programming external connectivity on endpoint dev-a (f00): Error starting userland proxy: error while calling PortManager.AddPort(): cannot expose privileged port 80, you can add 'net.ipv4.ip_unprivileged_port_start=80' to /etc/sysctl.conf", fault.HostLimit, "ip_unprivileged_port_start"},
		{"taken address", start, 403, "Address already in use", fault.NetworkTaken, "cannot start node dev-a: Address already in use"},
		{"taken address, 28", start, 403, "failed to set up container networking: Address already in use", fault.NetworkTaken, "Address already in use"},
		{"no init in the image", start, 400, `failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/sbin/init": stat /sbin/init: no such file or directory: unknown`, fault.ImageBroken, "/sbin/init"},
		{"another architecture", start, 400, "OCI runtime create failed: exec /sbin/init: exec format error", fault.ImageBroken, "exec format error"},
		{"no device cgroup", start, 500, "OCI runtime create failed: Devices cgroup isn't mounted", fault.CgroupUnsupported, "cgroup"},
		{"unknown at start", start, 500, "OCI runtime create failed: something else", fault.NodeStart, "cannot start node dev-a: OCI runtime"},
		{"overlap, 20.10", network, 403, "Pool overlaps with other one on this address space", fault.NetworkTaken, "172.18.0.0/24"},
		{"overlap, 29", network, 403, "invalid pool request: Pool overlaps with other one on this address space", fault.NetworkTaken, "Pool overlaps"},
		{"taken network", network, 409, "network with name dev already exists", fault.NameTaken, "network dev"},
		{"no IPv6, 20.10", network, 500, "Cannot read IPv6 setup for bridge br-1234: open /proc/sys/net/ipv6/conf/br-1234/disable_ipv6: no such file or directory", fault.EngineUnsupported, "no IPv6: Cannot read IPv6 setup"},
		{"no IPv6 tables, 28", network, 500, "Failed to Setup IP tables: Unable to enable NAT rule:  (iptables failed: ip6tables --wait -t nat: can't initialize)", fault.EngineUnsupported, "cannot create network dev: the engine or its host has no IPv6"},
		{"no pools, 20.10", network, 404, "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network", fault.NetworkExhausted, "non-overlapping"},
		{"no pools, 28", network, 400, "all predefined address pools have been fully subnetted", fault.NetworkExhausted, "fully subnetted"},
		{"no such node", "POST /containers/dev-a/exec", 404, "No such container: dev-a", fault.NodeNotFound, "there is no node dev-a"},
		{"a stopped node, 20.10", "POST /containers/dev-a/exec", 409, "Container 1234 is not running", fault.ClusterNotRunning, "is not running"},
		{"a stopped node, 29", "POST /containers/dev-a/exec", 409, "container 1234 is not running", fault.ClusterNotRunning, `cannot run "true" on dev-a`},
		{"a paused node", "POST /containers/dev-a/exec", 409, "Container 1234 is paused, unpause the container before exec", fault.ClusterNotRunning, "paused"},
		{"no such node for files", "PUT /containers/dev-a/archive", 404, "No such container: dev-a", fault.NodeNotFound, "cannot put files into dev-a"},
		{"disk full for files", "PUT /containers/dev-a/archive", 500, "write /etc/x: no space left on device", fault.DiskFull, "cannot put files into dev-a"},
		{"missing image", "GET /images/node:1/json", 404, "No such image: node:1", fault.ImageNotFound, "cannot find image node:1"},
		{"image in use", "DELETE /images/node:1", 409, "conflict: unable to remove repository reference \"node:1\" (must force) - container c0ffee is using its referenced image f00", fault.EngineFailed, "cannot remove image node:1"},
		{"no such manifest", "POST /images/create", 404, "manifest for example.com/node:1 not found: manifest unknown: manifest unknown", fault.ImagePull, "manifest unknown"},
		{"a private registry", "POST /images/create", 500, "Head \"https://example.com/v2/node/manifests/1\": no basic auth credentials", fault.ImagePull, "no basic auth credentials"},
		{"no network", "POST /images/create", 500, "Get \"https://example.com/v2/\": dial tcp: lookup example.com: no such host", fault.ImagePull, "cannot pull example.com/node:1"},
		{"a broken archive", "POST /images/load", 500, "invalid tar header", fault.ImageLoad, "invalid tar header"},
		{"client too new", create, 400, "client version 1.51 is too new. Maximum supported API version is 1.41", fault.EngineUnsupported, "too new"},
		{"client too old, 29", create, 400, "client version 1.43 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version", fault.EngineUnsupported, "too old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bound := map[string]any{"PortBindings": map[string]any{"6443/tcp": []any{map[string]any{"HostIp": "127.0.0.1", "HostPort": "6443"}}}}
			e := engineWith(t, map[string]http.HandlerFunc{
				"GET /containers/dev-a/json": answer(http.StatusOK, aNode(bound)),
				"GET /networks":              answer(http.StatusOK, []any{}),
				c.call:                       refuse(c.status, c.message),
			})
			err := calls[c.call](e)
			if !fault.Is(err, c.code) {
				t.Errorf("%v has the code %s, want %s", err, fault.ReportOf(err).Code, c.code)
			}
			if err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "Error response from daemon")) {
				t.Errorf("the message is %q, want %q in it", err, c.says)
			}
		})
	}
}

// TestWays: what is wrong with the way to the engine.
func TestWays(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain.sock")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, host string
		code       fault.Code
	}{
		{"no socket", "unix://" + filepath.Join(dir, "none.sock"), fault.EngineUnreachable},
		{"nobody listens", "unix://" + plain, fault.EngineUnreachable},
		{"refused", "tcp://127.0.0.1:1", fault.EngineUnreachable},
	} {
		_, err := connect(t.Context(), endpoint{host: c.host})
		if !fault.Is(err, c.code) || strings.Count(err.Error(), c.host) != 1 {
			t.Errorf("%s: %v has the code %s", c.name, err, fault.ReportOf(err).Code)
		}
	}
	api, err := client.NewClientWithOpts(client.WithHost("unix:///run/x.sock"), client.WithVersion("1.41"),
		client.WithDialContext(func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
		}))
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{api: api, endpoint: endpoint{host: "unix:///run/x.sock"}}
	_, err = e.Info(t.Context())
	if want := "cannot ask the engine what it is: cannot reach the engine at unix:///run/x.sock: permission denied"; !fault.Is(err, fault.EnginePermission) || err.Error() != want {
		t.Errorf("a socket that may not be opened: %v", err)
	}
	err = e.fail(fault.EngineFailed, permissionDenied{}, "cannot list nodes")
	if want := "cannot list nodes: permission denied"; fault.Is(err, fault.EnginePermission) || err.Error() != want {
		t.Errorf("a file that may not be read is %v", err)
	}
}

// permissionDenied is no trouble with the way to the engine.
type permissionDenied struct{}

func (permissionDenied) Error() string        { return "permission denied" }
func (permissionDenied) Is(target error) bool { return target == os.ErrPermission }

func TestUnsupported(t *testing.T) {
	for _, c := range []struct {
		server *engineServer
		says   string
	}{
		{&engineServer{version: "1.40"}, `it speaks API "1.40", and 1.41 is needed`},
		{&engineServer{version: ""}, `it speaks API ""`},
		{&engineServer{version: "1.51", osType: "windows"}, "it runs windows containers"},
	} {
		_, err := serve(t, c.server)
		if !fault.Is(err, fault.EngineUnsupported) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want %q", err, c.says)
		}
	}
	for _, version := range []string{"1.41", "1.44", "1.52"} {
		if _, err := serve(t, &engineServer{version: version, osType: "linux"}); err != nil {
			t.Errorf("API %s: %v", version, err)
		}
	}
}
