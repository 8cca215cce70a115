//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// kindBalancer is what kind runs before several control planes.
// Source: kind 0.33.0, pkg/cluster/internal/loadbalancer/const.go.
const kindBalancer = "envoyproxy/envoy:v1.36.2"

// standIn is called as Envoy is, by kind's own command, and waits as Envoy does for the files that kind writes when the
// nodes are there (the listener's is the last). Its haproxy has the settings of the one in cove's clusters, so that the
// balancers of both are the same.
// Source: kind 0.33.0, pkg/cluster/internal/loadbalancer/config.go; here pkg/cluster/balancer.go.
const standIn = `#!/bin/bash
until grep -qs port_value /home/envoy/lds.yaml; do sleep 0.1; done
{
cat <<'END'
global
  maxconn 2000
  nbthread 1
defaults
  mode tcp
  timeout connect 2s
  timeout client 24h
  timeout server 24h
  retries 2
  option redispatch 1
frontend api
  bind *:6443
  default_backend control-planes
backend control-planes
  balance leastconn
  option httpchk GET /readyz
  http-check expect status 200
  timeout check 1s
  option allbackups
  default-server inter 500ms fastinter 200ms downinter 250ms rise 1 fall 2
END
awk '$1 == "address:" { host = $2 }
$1 == "port_value:" {
	print "  server " host " " host ":" $2 " check check-ssl verify none on-marked-down shutdown-sessions"
	print "  server " host "-unchecked " host ":" $2 " backup"
}' /home/envoy/cds.yaml
} >/home/envoy/haproxy.cfg
exec haproxy -db -f /home/envoy/haproxy.cfg
`

// prepareBalancer gives the engine the image of kind's load balancer, and says what is in it: Envoy where the machine's
// engine has the image, else haproxy from cove's node image.
func prepareBalancer(ctx context.Context, engine *testbed.Engine, image string) (string, error) {
	missing := engine.Transfer(ctx, machineSocket(os.Getenv("DOCKER_HOST")), kindBalancer)
	if missing == nil {
		return kindBalancer, nil
	}
	script := filepath.Join(engine.Dir(), "envoy")
	if err := os.WriteFile(script, []byte(standIn), 0o755); err != nil { //nolint:gosec // it is to be run
		return "", err
	}
	const container = "bench-balancer"
	for _, args := range [][]string{
		{"create", "--name", container, "--entrypoint", "/usr/bin/env", image}, // which runs kind's command as it is
		{"cp", script, container + ":/usr/local/bin/envoy"},
		{"commit", container, kindBalancer},
		{"rm", "--volumes", container},
	} {
		if out, err := engine.Command(ctx, "docker", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot make a load balancer for kind: docker %v: %w: %s (%s: %w)", args, err, out, kindBalancer, missing)
		}
	}
	return fmt.Sprintf("haproxy from %s, with the settings of cove's, stands in for %s", image, kindBalancer), nil
}
