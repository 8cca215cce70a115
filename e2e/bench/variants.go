//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// variant is cove's cluster of one node with other addons. The first one is what the others are compared with.
type variant struct {
	Name    string   `json:"name"`
	Args    []string `json:"args"` // of cove create
	Samples []sample `json:"samples"`
	Median  sample   `json:"median"`
}

// variants returns the leanest cluster, those of profiles, and the leanest with one addon more.
func variants(profiles, addons []string) []variant {
	list := []variant{{Name: "minimal", Args: []string{"--profile", "minimal"}}}
	for _, p := range profiles {
		list = append(list, variant{Name: p, Args: []string{"--profile", p}})
	}
	for _, a := range addons {
		list = append(list, variant{Name: "minimal + " + a, Args: []string{"--profile", "minimal", "--addon", a}})
	}
	return list
}

// addonImages are the images of addons that cove builds.
func addonImages() []string {
	return []string{
		"cove.dev/metrics-server:v0.9.0", "cove.dev/metallb-controller:v0.15.2", "cove.dev/metallb-speaker:v0.15.2",
		"cove.dev/traefik:v3.6.12", "cove.dev/kwok:v0.8.0",
	}
}

// measureVariants measures each variant in its turn, round after round.
func measureVariants(ctx context.Context, engine *testbed.Engine, o options, list []variant, say func(string, ...any)) ([]variant, error) {
	for round := 1; round <= o.rounds; round++ {
		for i := range list {
			v := &list[i]
			t := tool{
				name: "cove",
				create: func(cluster string, _ size) ([]string, error) {
					return append([]string{o.cove, "create", cluster, "--image", o.image}, v.Args...), nil
				},
				remove: func(cluster string) []string { return []string{o.cove, "delete", cluster} },
			}
			s, err := measure(ctx, engine, t, size{1, 1}, o.idle)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", v.Name, round, err)
			}
			say("%s, round %d of %d: create returns after %.1f s", v.Name, round, o.rounds, s.Returned)
			v.Samples = append(v.Samples, s)
		}
	}
	for i := range list {
		for _, f := range figures() {
			*f.of(&list[i].Median) = median(list[i].Samples, f.of)
		}
	}
	return list, nil
}

// writeVariants writes how long create takes with all addons Available, and what they use when nothing happens.
func writeVariants(w io.Writer, list []variant) error {
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\n1 node, by profile and addon")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, strings.Join([]string{"", "create returns, s", "of minimal", "idle memory, MiB", "more than minimal", "idle CPU, mCPU", ""}, "\t"))
	first := list[0].Median
	for _, v := range list {
		m := v.Median
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.0f\t%+.0f\t%.0f\t\n", v.Name, m.Returned, ratio(m.Returned, first.Returned), m.MemoryMiB, m.MemoryMiB-first.MemoryMiB, m.CPUMilli)
	}
	return t.Flush()
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// splitList reads a list with commas.
func splitList(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
