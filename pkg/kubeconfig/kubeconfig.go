// Package kubeconfig puts one cluster's context into the user's kubeconfig and takes it out again, by the rules of
// kubectl: which files there are, which of them an entry belongs to, and their locks. It never leaves a file half
// written, never touches an entry that it does not own, and knows nothing of clusters beyond their context.
//
// Two locks are held around each change. One is kubectl's: a file FILE.lock that must not exist. It is held for the
// whole of reading, changing and writing, where client-go's own ModifyConfig reads before it locks and so loses changes.
// The other one is among the coves of a user, and the system gives it back when a process ends: whoever has it knows that
// a FILE.lock of such a cove is left over from one that was killed, and removes it. A FILE.lock of another program is removed when it is older than
// a minute and does not change while it is being watched: they hold it for milliseconds.
package kubeconfig

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/cove-k8s/cove/pkg/fault"
)

// previousContext names the extension of a context that holds the name of the one that was current before it.
const previousContext = "cove.dev/previous-context"

// Context is all that a user needs to speak to a cluster.
type Context struct {
	Name          string // of the context, the cluster and the user: "cove-NAME"
	Server        string // "https://127.0.0.1:6443"
	CA            []byte // PEM
	ClientCert    []byte // PEM
	ClientKey     []byte // PEM
	TLSServerName string // the name to check the certificate for; empty: that of Server
	Namespace     string // empty: default
}

// entry returns the context's parts as clientcmd has them.
func (c Context) entry() (*api.Cluster, *api.AuthInfo, *api.Context) {
	cluster, user, ctx := api.NewCluster(), api.NewAuthInfo(), api.NewContext()
	cluster.Server, cluster.CertificateAuthorityData, cluster.TLSServerName = c.Server, c.CA, c.TLSServerName
	user.ClientCertificateData, user.ClientKeyData = c.ClientCert, c.ClientKey
	ctx.Cluster, ctx.AuthInfo, ctx.Namespace = c.Name, c.Name, c.Namespace
	return cluster, user, ctx
}

// Bytes returns a kubeconfig file that has nothing but the context, which is current in it.
func Bytes(c Context) ([]byte, error) {
	config := api.NewConfig()
	config.Clusters[c.Name], config.AuthInfos[c.Name], config.Contexts[c.Name] = c.entry()
	config.CurrentContext = c.Name
	data, err := clientcmd.Write(*config)
	return data, fault.Wrap(fault.Internal, err, "cannot write a kubeconfig")
}

// Path returns the file that a new context is written to: explicit, if it is given; else kubectl's choice among the files
// of $KUBECONFIG, else ~/.kube/config.
func Path(explicit string) string { return options(explicit).GetDefaultFilename() }

// options returns kubectl's rules for finding files.
func options(explicit string) *clientcmd.PathOptions {
	o := clientcmd.NewDefaultPathOptions()
	o.LoadingRules.ExplicitPath = explicit
	return o
}

// Has reports whether there is a context of that name.
func Has(explicit, name string) (bool, error) {
	set, err := load(options(explicit))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(set.files, func(f *file) bool { return f.config.Contexts[name] != nil }), nil
}

// Merge adds the context, or replaces the one of its name where it is, and makes it current if setCurrent is set. It
// returns the file that has the context now. What was current before is remembered in the context, for Remove. Errors
// are KubeconfigUnusable, with the file's name.
func Merge(ctx context.Context, explicit string, c Context, setCurrent bool) (string, error) {
	o := options(explicit)
	home := ""
	err := edit(ctx, o, func(set *files) error {
		previous, has := set.current(), false
		f := set.with(o.GetDefaultFilename())
		for _, candidate := range set.files { // kubectl reads the first of several entries: that is the one to replace
			if old := candidate.config.Contexts[c.Name]; old != nil {
				f, has = candidate, true
				if c.Namespace == "" {
					c.Namespace = old.Namespace // where the user has moved to
				}
				if previous == c.Name || !setCurrent {
					previous = previousOf(old)
				}
				break
			}
		}
		cluster, user, entry := c.entry()
		if (setCurrent || has) && previous != "" && previous != c.Name {
			if err := remember(entry, previous); err != nil {
				return err
			}
		}
		set.drop(c.Name)
		f.config.Clusters[c.Name], f.config.AuthInfos[c.Name], f.config.Contexts[c.Name] = cluster, user, entry
		f.changed, home = true, f.path
		if setCurrent {
			set.setCurrent(c.Name, o.GetDefaultFilename())
		}
		return nil
	})
	return home, err
}

// Remove takes the context of that name, its cluster and its user out of every file, and returns the files that had any
// of them. If it was current, the context that was current before its Merge is so again, if it is still there; else
// none is. No such context is no error. Errors are KubeconfigUnusable, with the file's name.
func Remove(ctx context.Context, explicit, name string) ([]string, error) {
	o := options(explicit)
	set, err := load(o)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(set.files, func(f *file) bool { return f.mentions(name) }) {
		return nil, nil // and nothing to lock: the files may well be read-only
	}
	var touched []string
	err = edit(ctx, o, func(set *files) error {
		previous := ""
		for _, f := range set.files {
			if old := f.config.Contexts[name]; old != nil && previous == "" {
				previous = previousOf(old)
			}
			if f.mentions(name) {
				touched = append(touched, f.path)
			}
		}
		set.drop(name)
		if !set.hasContext(previous) {
			previous = ""
		}
		if err := set.forget(name, previous); err != nil {
			return err
		}
		set.restoreCurrent(name, previous)
		return nil
	})
	return touched, err
}

// remember notes in a context which one was current before it; "" removes the note.
func remember(c *api.Context, previous string) error {
	if previous == "" {
		delete(c.Extensions, previousContext)
		return nil
	}
	raw, err := json.Marshal(previous)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot note the current context")
	}
	if c.Extensions == nil {
		c.Extensions = map[string]runtime.Object{}
	}
	c.Extensions[previousContext] = &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON}
	return nil
}

// previousOf returns what remember has noted; "" if nothing.
func previousOf(c *api.Context) string {
	u, ok := c.Extensions[previousContext].(*runtime.Unknown)
	if !ok {
		return ""
	}
	var name string
	if json.Unmarshal(u.Raw, &name) != nil {
		return ""
	}
	return name
}

// file is one kubeconfig file.
type file struct {
	path    string
	config  *api.Config
	changed bool
}

// mentions reports whether the file has a context, a cluster or a user of that name, or it as its current context.
func (f *file) mentions(name string) bool {
	return f.config.Contexts[name] != nil || f.config.Clusters[name] != nil || f.config.AuthInfos[name] != nil ||
		f.config.CurrentContext == name
}

// files are the kubeconfig files that there are, in the order in which kubectl reads them: of two that say the same
// thing, the first one is right.
type files struct{ files []*file }

// load reads all files. One that does not exist has nothing in it.
func load(o *clientcmd.PathOptions) (*files, error) {
	set := &files{}
	for _, path := range o.GetLoadingPrecedence() {
		config, err := clientcmd.LoadFromFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fault.Wrap(fault.KubeconfigUnusable, err, "cannot read %s", path)
		}
		set.files = append(set.files, &file{path: path, config: config})
	}
	return set, nil
}

// with returns the file of that path, added to the end if it does not exist.
func (s *files) with(path string) *file {
	for _, f := range s.files {
		if f.path == path {
			return f
		}
	}
	f := &file{path: path, config: api.NewConfig()}
	s.files = append(s.files, f)
	return f
}

// drop removes every entry of that name.
func (s *files) drop(name string) {
	for _, f := range s.files {
		if f.config.Contexts[name] == nil && f.config.Clusters[name] == nil && f.config.AuthInfos[name] == nil {
			continue
		}
		delete(f.config.Contexts, name)
		delete(f.config.Clusters, name)
		delete(f.config.AuthInfos, name)
		f.changed = true
	}
}

func (s *files) hasContext(name string) bool {
	return slices.ContainsFunc(s.files, func(f *file) bool { return f.config.Contexts[name] != nil })
}

// current returns the current context, as kubectl finds it.
func (s *files) current() string {
	for _, f := range s.files {
		if f.config.CurrentContext != "" {
			return f.config.CurrentContext
		}
	}
	return ""
}

// setCurrent makes the context current, in the file that kubectl would write that to.
func (s *files) setCurrent(name, path string) {
	if s.current() == name {
		return
	}
	f := s.with(path)
	f.config.CurrentContext, f.changed = name, true
}

// forget makes the contexts that remember name as their previous one remember previous in its place.
func (s *files) forget(name, previous string) error {
	for _, f := range s.files {
		for _, c := range f.config.Contexts {
			if previousOf(c) != name {
				continue
			}
			if err := remember(c, previous); err != nil {
				return err
			}
			f.changed = true
		}
	}
	return nil
}

// restoreCurrent makes previous ("": none) current where name was.
func (s *files) restoreCurrent(name, previous string) {
	var had *file
	for _, f := range s.files {
		if f.config.CurrentContext == name {
			f.config.CurrentContext, f.changed = "", true
			if had == nil {
				had = f
			}
		}
	}
	if had != nil && s.current() != previous {
		had.config.CurrentContext = previous
	}
}

// edit changes the files by fn, under their locks, and writes those that have changed.
func edit(ctx context.Context, o *clientcmd.PathOptions, fn func(*files) error) error {
	paths := append(slices.Clone(o.GetLoadingPrecedence()), o.GetDefaultFilename())
	return locked(ctx, paths, func() error {
		set, err := load(o)
		if err != nil {
			return err
		}
		if err := fn(set); err != nil {
			return err
		}
		for _, f := range set.files {
			if !f.changed {
				continue
			}
			data, err := clientcmd.Write(*f.config)
			if err != nil {
				return fault.Wrap(fault.KubeconfigUnusable, err, "cannot write %s", f.path)
			}
			if err := replace(f.path, data); err != nil {
				return fault.Wrap(fault.KubeconfigUnusable, err, "cannot write %s", f.path)
			}
		}
		return nil
	})
}

// absolute returns an absolute form of the path, as far as that can be told.
func absolute(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}

// Find returns the file that has the context of that name; "" where none has.
func Find(explicit, name string) (string, error) {
	set, err := load(options(explicit))
	if err != nil {
		return "", err
	}
	for _, f := range set.files {
		if f.config.Contexts[name] != nil {
			return f.path, nil
		}
	}
	return "", nil
}

// Get returns the context of that name as kubectl reads it: of several entries the first one counts. false where there is none.
func Get(explicit, name string) (Context, bool, error) {
	set, err := load(options(explicit))
	if err != nil {
		return Context{}, false, err
	}
	c := Context{Name: name}
	i := slices.IndexFunc(set.files, func(f *file) bool { return f.config.Contexts[name] != nil })
	if i < 0 {
		return c, false, nil
	}
	entry := set.files[i].config.Contexts[name]
	c.Namespace = entry.Namespace
	for _, f := range slices.Backward(set.files) {
		if cluster := f.config.Clusters[entry.Cluster]; cluster != nil {
			c.Server, c.CA, c.TLSServerName = cluster.Server, cluster.CertificateAuthorityData, cluster.TLSServerName
		}
		if user := f.config.AuthInfos[entry.AuthInfo]; user != nil {
			c.ClientCert, c.ClientKey = user.ClientCertificateData, user.ClientKeyData
		}
	}
	return c, true, nil
}
