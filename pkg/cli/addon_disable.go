package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
)

// addonDisableOptions are what the command line says to `cove addon disable`.
type addonDisableOptions struct {
	target  addonTarget
	names   []string
	force   bool
	disable cluster.AddonOptions
	output  string
}

func newAddonDisableCmd(f *Factory, run func(context.Context, *addonDisableOptions) error) *cobra.Command {
	o := &addonDisableOptions{}
	if run == nil {
		run = func(ctx context.Context, o *addonDisableOptions) error { return runAddonDisable(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:     "disable NAME...",
		Aliases: []string{"remove", "rm"},
		Short:   "Take addons off a cluster: all that they put there, and nothing else",
		Long: `Take addons off a cluster: all that they put there, and nothing else. Where others would lose
something by it, such as objects of a type that the addon brought, it asks first on a terminal,
and refuses elsewhere. An addon that is not there is no error.`,
		Example: `  cove addon disable traefik
  cove addon disable metallb --force`,
		ValidArgsFunction: f.completeInstalled,
	}
	o.target.vars(f, cmd)
	cmd.Flags().BoolVar(&o.force, "force", false, "also remove what others would lose, and what another addon requires")
	timeoutVar(cmd, &o.disable, "how long it may take")
	outputVar(cmd, &o.output, formatText, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		o.target.parse(cmd)
		if len(args) == 0 {
			return usage(cmd, "", "no addon is named")
		}
		if o.names, err = addonNames(cmd, args); err != nil {
			return err
		}
		if err = checkTimeout(cmd, o.disable); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runAddonDisable(ctx context.Context, f *Factory, o *addonDisableOptions) error {
	t, records, err := f.recorded(ctx, o.target)
	if err != nil {
		return err
	}
	names, absent, err := f.installed(records, o.names)
	if err != nil {
		return err
	}
	var stale []string // a run that was cut off has removed them, and they are on record
	for _, n := range absent {
		f.say("addon %s is not on cluster %s", n, t.Name)
		if t.Recorded(n) {
			stale = append(stale, n)
		}
	}
	if len(names)+len(stale) == 0 {
		return nil
	}
	force := o.force
	if !force {
		ordered, used, err := t.CheckDisable(ctx, f.catalogue(), names)
		if err != nil {
			return err
		}
		names = ordered
		if len(used) > 0 && f.isInteractive() {
			if force, err = confirm(f.IO.In, f.IO.ErrOut, loses(names, used)); err != nil {
				return err
			}
			if !force {
				f.say("nothing was done")
				return nil
			}
		}
	}
	names = append(names, stale...)
	return f.run(ctx, t.Name, o.output, func(ctx context.Context, em *event.Emitter) (string, error) {
		deps, err := f.addonDeps(ctx, em, o.target)
		if err != nil {
			return "", err
		}
		closing := fmt.Sprintf("cluster %s no longer has %s", t.Name, strings.Join(names, ", "))
		return closing, cluster.DisableAddons(ctx, deps, t, f.catalogue(), names, force, o.disable)
	})
}

// installed tells those of the names that are on the cluster from those that are only in the catalogue. A name that is in
// neither is AddonUnknown.
func (f *Factory) installed(records []addon.Record, names []string) (there, absent []string, err error) {
	cat := f.catalogue()
	for _, n := range names {
		if slices.ContainsFunc(records, func(r addon.Record) bool { return r.Name == n }) {
			there = append(there, n)
			continue
		}
		// One whose file is wrong is known all the same.
		if _, err := cat.Addon(n); fault.Is(err, fault.AddonUnknown) {
			return nil, nil, err
		}
		absent = append(absent, n)
	}
	return there, absent, nil
}

// loses asks whether to go on, and says what would be lost.
func loses(names []string, used []kube.Ref) string {
	const most = 20
	var b strings.Builder
	fmt.Fprintf(&b, "%s would go with %s:\n", count(len(used), "object"), strings.Join(names, ", "))
	for i, r := range used {
		if i == most {
			fmt.Fprintf(&b, "  and %d more\n", len(used)-most)
			break
		}
		fmt.Fprintf(&b, "  %s\n", r)
	}
	b.WriteString("Remove them, too? [y/N] ")
	return b.String()
}

// confirm asks a question, and reports whether the answer is yes; an empty line, or none, is no.
func confirm(in io.Reader, out io.Writer, question string) (bool, error) {
	if _, err := io.WriteString(out, question); err != nil {
		return false, fault.Wrap(fault.FileUnwritable, err, "cannot ask")
	}
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fault.Wrap(fault.FileUnwritable, err, "cannot read the answer")
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}
