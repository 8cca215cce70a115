package build

import (
	"context"
	"fmt"
	goversion "go/version"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/cove-k8s/cove/images"
	"github.com/cove-k8s/cove/pkg/fault"
)

// lookup tells what the machine has.
type lookup interface {
	command(name string) bool
	library(file string) bool // in one of the linker's folders
}

// hostLookup looks at this machine.
type hostLookup struct{}

func (hostLookup) command(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

func (hostLookup) library(file string) bool {
	for _, pattern := range []string{"/usr/lib/*/", "/usr/lib/", "/usr/lib64/", "/usr/local/lib/"} {
		if found, err := filepath.Glob(pattern + file); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// checkTools names everything that is missing at once, and the packages that bring it.
func checkTools(l lookup) error {
	var missing, packages []string
	need := func(ok bool, what, pkg string) {
		if !ok {
			missing, packages = append(missing, what), append(packages, pkg)
		}
	}
	need(l.command("go"), "go (https://go.dev/doc/install)", "golang-go")
	need(l.command("gcc") || l.command("cc"), "a C compiler", "gcc libc6-dev")
	need(l.command("pkg-config") || l.command("pkgconf"), "pkg-config", "pkg-config")
	need(l.library("libseccomp.a"), "libseccomp's static library", "libseccomp-dev")
	need(l.command("mmdebstrap"), "mmdebstrap", "mmdebstrap")
	if len(missing) == 0 {
		return nil
	}
	return fault.New(fault.ImageBuildTools, "cannot build an image: this machine lacks %s", strings.Join(missing, ", ")).
		WithHint("on Debian and Ubuntu: `apt-get install %s`; or give --image kindest/node:…", strings.Join(packages, " "))
}

// checkGo is checkTools for what takes nothing but Go.
func checkGo(goos string, l lookup) error {
	switch {
	case goos == "windows":
		return fault.New(fault.ImageBuildTools, "cannot build an image on %s: it takes Linux or macOS", goos).
			WithHint("build in WSL, or bring the image over with `docker save` and `docker load`")
	case !l.command("go"):
		return fault.New(fault.ImageBuildTools, "cannot build an image: this machine lacks go").
			WithHint("install it (https://go.dev/doc/install; on Debian and Ubuntu: `apt-get install golang-go`), or bring the image over from where it was built with `docker save` and `docker load`")
	}
	return nil
}

// goTool is the machine's Go.
type goTool struct{ version string } // "go1.26.8"

// findGo asks Go for its version, and refuses one that cannot build the sources and may not fetch a newer one.
func findGo(ctx context.Context, tree sourceTree) (goTool, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOTOOLCHAIN")
	cmd.Dir = os.TempDir() // not in a module: its toolchain line does not count
	out, err := cmd.Output()
	if err != nil {
		return goTool{}, fault.Wrap(fault.ImageBuildTools, err, "cannot ask go for its version")
	}
	fields := strings.Fields(string(out))
	if len(fields) == 0 {
		return goTool{}, fault.New(fault.ImageBuildTools, "cannot ask go for its version: it says nothing")
	}
	need, err := tree.goVersion()
	if err != nil {
		return goTool{}, err
	}
	if local := len(fields) > 1 && fields[1] == "local"; local && goversion.Compare(fields[0], need) < 0 {
		return goTool{}, fault.New(fault.ImageBuildTools, "cannot build an image with %s: it takes %s", fields[0], need).
			WithHint("install %s or later, or let go fetch it with GOTOOLCHAIN=auto", need)
	}
	return goTool{version: fields[0]}, nil
}

// sourceTree is the packed sources.
type sourceTree struct{ fs.FS }

func packedSources() (sourceTree, error) {
	tree, err := images.Sources()
	return sourceTree{tree}, fault.Wrap(fault.Internal, err, "cannot unpack the images' sources")
}

// hash of a folder: names and contents.
func (t sourceTree) hash(folder string) string {
	h := newHasher()
	err := fs.WalkDir(t, folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(t, name)
		h.add(name, string(data))
		return err
	})
	if err != nil { // the folder is not there: whoever builds it says so
		h.add("missing", folder)
	}
	return h.sum()
}

// goVersion returns the newest Go version that one of the modules asks for, as "go1.26.6".
func (t sourceTree) goVersion() (string, error) {
	newest := ""
	folders, err := fs.Glob(t, "*/go.mod")
	if err != nil {
		return "", fault.Wrap(fault.Internal, err, "cannot list the images' modules")
	}
	for _, name := range folders {
		data, err := fs.ReadFile(t, name)
		if err != nil {
			return "", fault.Wrap(fault.Internal, err, "cannot read %s", name)
		}
		f, err := modfile.ParseLax(name, data, nil)
		if err != nil {
			return "", fault.Wrap(fault.Internal, err, "cannot read %s", name)
		}
		if v := "go" + f.Go.Version; goversion.Compare(v, newest) > 0 {
			newest = v
		}
	}
	return newest, nil
}

// unpack writes a folder of the sources to dir.
func (t sourceTree) unpack(folder, dir string) error {
	sub, err := fs.Sub(t, folder)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot find the sources of %s", folder)
	}
	if _, err := fs.Stat(sub, "go.mod"); err != nil {
		return fault.Wrap(fault.Internal, err, "cannot find the sources of %s", folder)
	}
	return fault.Wrap(fault.FileUnwritable, os.CopyFS(dir, sub), "cannot unpack the sources of %s", folder)
}

// file returns a configuration file of the folder files, with each @NAME@ replaced.
func (t sourceTree) file(name string, values map[string]string) ([]byte, error) {
	data, err := fs.ReadFile(t, path.Join("files", name))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot find the file %s", name)
	}
	var pairs []string
	for k, v := range values {
		pairs = append(pairs, "@"+k+"@", v)
	}
	text := strings.NewReplacer(pairs...).Replace(string(data))
	if i := strings.Index(text, "@"); i >= 0 && strings.Contains(text[i+1:], "@") {
		return nil, fault.New(fault.Internal, "cannot fill in the file %s: nothing is known for %s", name, firstPlaceholder(text[i:]))
	}
	return []byte(text), nil
}

func firstPlaceholder(text string) string {
	if end := strings.Index(text[1:], "@"); end >= 0 {
		text = text[:end+2]
	}
	return fmt.Sprintf("%.40q", text)
}
