package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
	"github.com/cove-k8s/cove/profiles"
)

// profileInitOptions are what the command line says to `cove profile init`.
type profileInitOptions struct {
	name  string
	from  string // the profile that it extends
	dir   string // empty: where cove looks for profiles
	force bool
}

func newProfileInitCmd(f *Factory, run func(context.Context, *profileInitOptions) error) *cobra.Command {
	o := &profileInitOptions{}
	if run == nil {
		run = func(_ context.Context, o *profileInitOptions) error { return runProfileInit(f, o) }
	}
	cmd := &cobra.Command{
		Use:   "init NAME",
		Short: "Write a profile of your own, to be edited",
		Long: `Write a profile of your own, with comments that say what can be in it, and print its path. It
goes where cove looks for profiles, so that "cove create --profile NAME" finds it.`,
		Example:           "  cove profile init team --from ingress\n  cove profile init team --dir .",
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.from, "from", profile.DefaultProfile, "profile that it extends: a name or a file")
	f.completeFlag(cmd, "from", f.completeProfiles)
	flags.StringVar(&o.dir, "dir", "", "folder to write it to (default: where cove looks for profiles)")
	flags.BoolVar(&o.force, "force", false, "overwrite a file that is there")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.name, err = oneProfile(cmd, args); err != nil {
			return err
		}
		if problems := validation.IsDNS1123Label(o.name); len(problems) > 0 {
			return usage(cmd, "", "%q is no name of a profile; use lower-case letters, digits and hyphens", o.name)
		}
		if o.name == o.from {
			return usage(cmd, "", "profile %s cannot extend itself; choose another name, or another --from", o.name)
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runProfileInit(f *Factory, o *profileInitOptions) error {
	if profile.IsPath(o.from) {
		abs, err := filepath.Abs(o.from)
		if err != nil {
			return fault.Wrap(fault.FileUnwritable, err, "cannot tell where %s is", o.from)
		}
		o.from = abs
	}
	base, err := f.catalogue().Resolve(o.from)
	if err != nil {
		return err
	}
	dir := o.dir
	if dir == "" {
		dir = f.profilesDir()
	}
	file := filepath.Join(dir, o.name+".yaml")
	if _, err := os.Lstat(file); err == nil && !o.force {
		return fault.New(fault.FileUnwritable, "cannot write profile %s: there is %s already", o.name, file).
			WithHint("choose another name, or give --force to overwrite it")
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(fault.FileUnwritable, err, "cannot write profile %s", o.name)
	}
	if err := f.writeProfile(file, newProfile(f.catalogue(), o, base)); err != nil {
		return err
	}
	return writeLines(f.IO.Out, []string{file})
}

// writeProfile writes the file, as a whole or not at all, and not before it was found to be good: with its name it could
// be in the chain of what it extends.
func (f *Factory) writeProfile(file, text string) error {
	fail := func(err error) error { return fault.Wrap(fault.FileUnwritable, err, "cannot write profile %s", file) }
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as other folders of settings
		return fail(err)
	}
	temp, err := os.MkdirTemp(dir, ".init-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(temp)
	base := filepath.Base(file)
	if err := os.WriteFile(filepath.Join(temp, base), []byte(text), 0o644); err != nil { //nolint:gosec // it is no secret
		return fail(err)
	}
	cat := profile.Open(os.DirFS(temp), os.DirFS(f.profilesDir()), profiles.FS())
	if _, err := cat.Resolve(strings.TrimSuffix(base, ".yaml")); err != nil {
		return err
	}
	return fail(os.Rename(filepath.Join(temp, base), file))
}

// newProfile writes the text of a profile that extends another one.
func newProfile(cat profile.Catalogue, o *profileInitOptions, base profile.Profile) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# A profile of cove's. "cove create --profile %[1]s" makes a cluster of it, "cove profile show %[1]s --resolved" shows
# what it comes to, "cove profile validate %[1]s" checks it.
apiVersion: %[2]s
kind: %[3]s
name: %[1]s
description: what %[4]s has

# All that is not said here is as in this profile. Leave it out to start from nothing.
extends: %[4]s

`, o.name, v1alpha1.APIVersion, profile.KindProfile, o.from)
	b.WriteString("# Addons are added to those of the profile above, and refine those of the same name. {name: X, disabled: true} leaves one\n" +
		"# out, and {name: X, path: /home/me/deploy} is one of your own: manifests, a kustomization or a chart.\n")
	b.WriteString("#addons:\n")
	for _, a := range base.Addons {
		fmt.Fprintf(&b, "#  - name: %s\n", a.Name)
		opened, err := cat.Addon(a.Name)
		if err != nil || profile.IsOwn(a) || len(opened.Parameters) == 0 {
			continue
		}
		b.WriteString("#    parameters:\n")
		for _, p := range opened.Parameters {
			// Dots in a name nest; written as they are they do too.
			fmt.Fprintf(&b, "#      %s: %s  # %s\n", p.Name, yamlDefault(p), p.Description)
		}
	}
	b.WriteString(`
# The addon for the pod network; "none" leaves it to you.
#cni: flannel

`)
	fmt.Fprintf(&b, "#kubernetesVersion: %s\n", v1alpha1.DefaultKubernetesVersion())
	b.WriteString(`#output: plain            # lines instead of a live screen

# The shape of the cluster, in kind's own words.
#cluster:
#  nodes:
#    - role: control-plane
#    - role: worker
#  networking:
#    podSubnet: 10.244.0.0/16
`)
	return b.String()
}

// yamlDefault writes a parameter's default as YAML on one line.
func yamlDefault(p profile.Parameter) string {
	text := defaultOf(p)
	if p.Type == profile.TypeString && !strings.HasPrefix(text, `"`) {
		return fmt.Sprintf("%q", text)
	}
	return text
}
