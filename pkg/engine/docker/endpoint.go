package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/connhelper"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/tlsconfig"

	"github.com/cove-k8s/cove/pkg/fault"
)

// endpoint is where an engine listens, and how it was found.
type endpoint struct {
	host   string // "unix:///var/run/docker.sock"
	source string // "DOCKER_HOST", `the docker context "x"`, "" for the default
	tls    *tlsconfig.Options
}

// String is the endpoint as messages name it.
func (p endpoint) String() string {
	if p.source == "" {
		return p.host
	}
	return fmt.Sprintf("%s (from %s)", p.host, p.source)
}

// socket returns the path of a local Unix socket, or "".
func (p endpoint) socket() string {
	if path, ok := strings.CutPrefix(p.host, "unix://"); ok {
		return path
	}
	return ""
}

// remote returns the host's name where the engine is not reached by a local socket or pipe, else "".
func (p endpoint) remote() string {
	u, err := url.Parse(p.host)
	if err != nil || u.Scheme == "unix" || u.Scheme == "npipe" || u.Scheme == "fd" {
		return ""
	}
	return u.Hostname()
}

// clientOptions are the options that make a client speak to the endpoint.
func (p endpoint) clientOptions() ([]client.Opt, error) {
	helper, err := connhelper.GetConnectionHelper(p.host)
	if err != nil {
		return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot use the engine endpoint %s", p)
	}
	if helper != nil {
		// The transport must not be shared with http.DefaultClient, and its idle connections are processes.
		return []client.Opt{
			client.WithHTTPClient(&http.Client{Transport: &http.Transport{DialContext: helper.Dialer}, CheckRedirect: client.CheckRedirect}),
			client.WithHost(helper.Host), client.WithDialContext(helper.Dialer),
		}, nil
	}
	var opts []client.Opt
	if p.tls != nil {
		config, err := tlsconfig.Client(*p.tls)
		if err != nil {
			return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot use the TLS files of %s", p)
		}
		opts = append(opts, client.WithHTTPClient(&http.Client{
			Transport: &http.Transport{TLSClientConfig: config}, CheckRedirect: client.CheckRedirect,
		}))
	}
	return append(opts, client.WithHost(p.host)), nil
}

// resolve finds the endpoint in the docker command's order: the explicit choice, DOCKER_HOST, DOCKER_CONTEXT, the current
// context, the default. Source: docker/cli, cli/command/cli.go, resolveContextName.
func resolve(o Options, getenv func(string) string, home, defaultHost string) (endpoint, error) {
	dir := getenv("DOCKER_CONFIG")
	if dir == "" {
		dir = filepath.Join(home, ".docker")
	}
	switch {
	case o.Host != "" && o.Context != "":
		return endpoint{}, fault.New(fault.Usage, "an engine host and a docker context cannot be given both")
	case o.Host != "":
		return hostEndpoint(o.Host, "", dir, getenv)
	case o.Context != "":
		return contextEndpoint(o.Context, dir, defaultHost)
	case getenv("DOCKER_HOST") != "":
		return hostEndpoint(getenv("DOCKER_HOST"), "DOCKER_HOST", dir, getenv)
	case getenv("DOCKER_CONTEXT") != "":
		return contextEndpoint(getenv("DOCKER_CONTEXT"), dir, defaultHost)
	}
	current, err := currentContext(dir)
	if err != nil {
		return endpoint{}, err
	}
	return contextEndpoint(current, dir, defaultHost)
}

// hostEndpoint reads an endpoint that somebody wrote down.
func hostEndpoint(host, source, dir string, getenv func(string) string) (endpoint, error) {
	p := endpoint{host: strings.TrimSpace(host), source: source}
	if !strings.Contains(p.host, "://") && !strings.HasPrefix(p.host, "/") {
		p.host = "tcp://" + p.host
	}
	u, err := url.Parse(p.host)
	if err != nil || u.Scheme == "" || u.Host+u.Path == "" {
		return endpoint{}, fault.New(fault.ConfigInvalid, "cannot use the engine endpoint %q: it is not like unix:///path, tcp://host:port or ssh://user@host", host).
			WithHint("set DOCKER_HOST to an endpoint of that form, or unset it")
	}
	if u.Scheme != "tcp" && u.Scheme != "http" && u.Scheme != "https" {
		return p, nil
	}
	verify := getenv("DOCKER_TLS_VERIFY") != ""
	port := "2375"
	if verify || getenv("DOCKER_TLS") != "" {
		port = "2376"
		certs := getenv("DOCKER_CERT_PATH")
		if certs == "" {
			certs = dir
		}
		p.tls = tlsFiles(certs, !verify)
	}
	if u.Scheme == "tcp" && u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
		p.host = u.String()
	}
	return p, nil
}

// contextEndpoint reads a docker context from the docker command's store.
func contextEndpoint(name, dir, defaultHost string) (endpoint, error) {
	if name == "" || name == "default" {
		return endpoint{host: defaultHost}, nil
	}
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	data, err := os.ReadFile(filepath.Join(dir, "contexts", "meta", id, "meta.json")) //nolint:gosec // the user's own configuration
	if errors.Is(err, fs.ErrNotExist) {
		return endpoint{}, fault.New(fault.EngineUnreachable, "cannot use the docker context %q: there is none of that name", name).
			WithHint("`docker context ls` shows those there are; `docker context use default` goes back to the default one")
	}
	var meta struct {
		Endpoints map[string]struct {
			Host          string
			SkipTLSVerify bool
		}
	}
	if err == nil {
		err = json.Unmarshal(data, &meta)
	}
	if err != nil {
		return endpoint{}, fault.Wrap(fault.ConfigInvalid, err, "cannot read the docker context %q", name)
	}
	docker := meta.Endpoints["docker"]
	p := endpoint{host: docker.Host, source: fmt.Sprintf("the docker context %q", name)}
	if p.host == "" {
		p.host = defaultHost
	}
	files := tlsFiles(filepath.Join(dir, "contexts", "tls", id, "docker"), docker.SkipTLSVerify)
	if files.CAFile != "" || files.CertFile != "" {
		p.tls = files
	}
	return p, nil
}

// tlsFiles returns those of the usual three files that dir has.
func tlsFiles(dir string, skipVerify bool) *tlsconfig.Options {
	o := &tlsconfig.Options{InsecureSkipVerify: skipVerify}
	for name, field := range map[string]*string{"ca.pem": &o.CAFile, "cert.pem": &o.CertFile, "key.pem": &o.KeyFile} {
		if path := filepath.Join(dir, name); isFile(path) {
			*field = path
		}
	}
	o.ExclusiveRootPools = o.CAFile != ""
	return o
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// currentContext reads the name of the current context from the docker configuration; "" where there is none.
func currentContext(dir string) (string, error) {
	file := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(file) //nolint:gosec // the user's own configuration
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	return config.CurrentContext, fault.Wrap(fault.ConfigInvalid, err, "cannot read the docker configuration %s", file)
}
