package cluster

import (
	"bytes"
	"context"
	"errors"

	"k8s.io/client-go/util/cert"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/kubeconfig"
)

// Whether the user's context is right is asked of the kubeconfig itself: the run that moved the API, or renewed the certificates, may
// have ended before it wrote that down.

// contextFault says what is wrong with the cluster's context in the kubeconfig, so that it does not lead to the API at that address;
// empty where nothing is, and where there is no such context: a user may have removed it.
func contextFault(d Deps, name, server string, ca []byte, remote bool) (string, error) {
	had, there, err := kubeconfig.Get(d.Kubeconfig, ContextName(name))
	if err != nil || !there {
		return "", err
	}
	switch {
	case had.Server != server && !remote: // to a remote engine a user's own tunnel may lead
		return "server " + had.Server + " → " + server, nil
	case !bytes.Equal(bytes.TrimSpace(had.CA), bytes.TrimSpace(ca)):
		return "it has another cluster's certificate authority", nil
	}
	certs, err := cert.ParseCertsPEM(had.ClientCert)
	if err != nil || len(certs) == 0 {
		return "", nil //nolint:nilerr // the user comes with something else, a token or a program
	}
	if certs[0].NotAfter.Before(d.Now().Add(renewAhead)) {
		return "its certificate has ended or ends within 30 days", nil
	}
	return "", nil
}

// staleContext notes that the cluster's context is there and wrong, which no comparison of containers would find.
func (d *delta) staleContext(ctx context.Context, deps Deps, o ApplyOptions) {
	if o.SkipKubeconfig {
		return
	}
	server := d.was.record.server(d.was.info)
	if gateway, ok := d.was.gateway(); ok && publishedAPI(gateway).IsValid() {
		server = serverURL(d.was.info, gateway)
	}
	if _, there, err := kubeconfig.Get(deps.Kubeconfig, ContextName(d.doc.Name)); err != nil || !there || server == "" {
		return // a file that cannot be read is told of when it is to be written
	}
	for _, cp := range d.was.controlPlanes() {
		ca, err := deps.Engine.ReadFile(ctx, cp.Name, pkiDir+"ca.crt")
		if err != nil {
			continue
		}
		if what, err := contextFault(deps, d.doc.Name, server, ca, d.was.info.Host != ""); err == nil && what != "" {
			d.misled = true
			d.note(Modify, "context "+ContextName(d.doc.Name), what)
		}
		return
	}
}

// keepKubeconfig returns the step that writes the cluster's context anew where it is there and wrong. moved reports whether this run
// has changed the API's address or the certificates.
func keepKubeconfig(moved func(*Context) bool) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		gateway, err := rc.Engine.Node(ctx, rc.gateway())
		if err != nil {
			return err
		}
		info := rc.engineInfo()
		_, there, err := kubeconfig.Get(rc.Kubeconfig, ContextName(rc.Name()))
		if err == nil && !there {
			return event.Skip("it is not in the kubeconfig")
		}
		what, faultErr := contextFault(rc.Deps, rc.Name(), serverURL(info, gateway), rc.ca.CertPEM(), info.Host != "")
		if err := errors.Join(err, faultErr); err != nil {
			return err
		}
		if what == "" && !moved(rc) {
			return event.Skip("nothing in it is wrong")
		}
		return mergeKubeconfig(ctx, rc)
	}
}

// movedSince reports whether the run has changed the port, or the certificates.
func movedSince(port uint16) func(*Context) bool {
	return func(rc *Context) bool { return rc.record.APIPort != port || rc.renewed }
}
