//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// report is the result, as JSON has it.
type report struct {
	Engine    engineInfo `json:"engine"`
	Image     string     `json:"image"`
	PeerImage string     `json:"peerImage"`
	// PeerBalancer is what kind's clusters with several control planes have before them.
	PeerBalancer string       `json:"peerBalancer,omitempty"`
	Rounds       int          `json:"rounds"`
	Comparisons  []comparison `json:"comparisons"`
	Ratios       []aimedRatio `json:"ratios,omitempty"`
	Life         *life        `json:"life,omitempty"`
	Variants     []variant    `json:"variants,omitempty"`
}

// engineInfo is where it was measured.
type engineInfo struct {
	Version       string `json:"version"`
	StorageDriver string `json:"storageDriver"`
	Offline       bool   `json:"offline"` // no name server answers
	CgroupVersion string `json:"cgroupVersion"`
	CPUs          int    `json:"cpus"`
	MemoryBytes   int64  `json:"memoryBytes"`
}

func (i *engineInfo) read(ctx context.Context, engine *testbed.Engine) error {
	var info struct {
		ServerVersion, Driver, CgroupVersion string
		NCPU                                 int
		MemTotal                             int64
	}
	err := engine.Get(ctx, "/info", &info)
	*i = engineInfo{info.ServerVersion, info.Driver, i.Offline, info.CgroupVersion, info.NCPU, info.MemTotal}
	return err
}

// comparison is of clusters of one size.
type comparison struct {
	size
	Cove []sample `json:"cove"`
	Kind []sample `json:"kind"`

	CoveMedian sample `json:"coveMedian"`
	KindMedian sample `json:"kindMedian"`
	Ratio      sample `json:"ratio"` // cove's median as a part of kind's
}

func (c *comparison) add(tool string, s sample) {
	if tool == "cove" {
		c.Cove = append(c.Cove, s)
	} else {
		c.Kind = append(c.Kind, s)
	}
}

// figure is a row of a table: a name, and the field of a sample.
type figure[S any] struct {
	name, unit string
	of         func(*S) *float64
}

func figures() []figure[sample] {
	return []figure[sample]{
		{"API ready", "s", func(s *sample) *float64 { return &s.API }},
		{"nodes Ready", "s", func(s *sample) *float64 { return &s.Ready }},
		{"usable", "s", func(s *sample) *float64 { return &s.Usable }},
		{"command returns", "s", func(s *sample) *float64 { return &s.Returned }},
		{"CPU until usable", "s", func(s *sample) *float64 { return &s.CPUSeconds }},
		{"delete", "s", func(s *sample) *float64 { return &s.Delete }},
		{"idle memory", "MiB", func(s *sample) *float64 { return &s.MemoryMiB }},
		{"idle CPU", "mCPU", func(s *sample) *float64 { return &s.CPUMilli }},
	}
}

// summarize fills in medians and ratios.
func (c comparison) summarize() comparison {
	for _, f := range figures() {
		cove, kind := median(c.Cove, f.of), median(c.Kind, f.of)
		*f.of(&c.CoveMedian), *f.of(&c.KindMedian) = cove, kind
		if kind > 0 {
			*f.of(&c.Ratio) = cove / kind
		}
	}
	return c
}

// median returns the middle of the samples' figures; of an even number of them, the mean of the two in the middle.
func median[S any](samples []S, of func(*S) *float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	values := make([]float64, len(samples))
	for i := range samples {
		values[i] = *of(&samples[i])
	}
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

// write prints the report as a table, as JSON, or both.
func (r report) write(w io.Writer, form string) error {
	if form != "json" {
		if err := r.table(w); err != nil {
			return err
		}
	}
	if form == "table" {
		return nil
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

func (r report) table(w io.Writer) error {
	network := ""
	if r.Engine.Offline {
		network = ", offline"
	}
	fmt.Fprintf(w, "Docker %s, %s, cgroup v%s, %d CPUs%s; medians of %d rounds; cove runs %s, kind 0.33.0 runs %s\n",
		r.Engine.Version, r.Engine.StorageDriver, r.Engine.CgroupVersion, r.Engine.CPUs, network, r.Rounds, r.Image, r.PeerImage)
	for _, c := range r.Comparisons {
		fmt.Fprintf(w, "\n%s\n", c.size)
		if c.ControlPlanes > 1 {
			fmt.Fprintf(w, "kind's load balancer: %s\n", r.PeerBalancer)
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "\tcove\tkind\tcove/kind\t")
		for _, f := range figures() {
			fmt.Fprintf(t, "%s, %s\t%.2f\t%.2f\t%.2f\t\n", f.name, f.unit, *f.of(&c.CoveMedian), *f.of(&c.KindMedian), *f.of(&c.Ratio))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if err := writeRatios(w, r.Ratios); err != nil {
		return err
	}
	if err := r.Life.write(w); err != nil {
		return err
	}
	return writeVariants(w, r.Variants)
}
