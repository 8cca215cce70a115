//go:build linux

package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// aimedRatio is a ratio of medians that shall be small. The report says how small; nothing fails where it is not.
type aimedRatio struct {
	What   string  `json:"what"`
	Figure float64 `json:"figure"`
	Of     float64 `json:"of"` // what it is compared with
	Ratio  float64 `json:"ratio"`
	Aim    float64 `json:"aim"` // at most this
}

// aimedRatios returns those whose clusters were measured.
func aimedRatios(list []comparison) []aimedRatio {
	measured := map[size]comparison{}
	for _, c := range list {
		measured[c.size] = c
	}
	var ratios []aimedRatio
	add := func(what string, figure, of, aim float64) {
		ratios = append(ratios, aimedRatio{What: what, Figure: figure, Of: of, Ratio: ratio(figure, of), Aim: aim})
	}
	three, haveThree := measured[size{Nodes: 3, ControlPlanes: 1}]
	if one, ok := measured[size{Nodes: 1, ControlPlanes: 1}]; ok && haveThree {
		add("1+2 nodes usable, of 1 node, s", three.CoveMedian.Usable, one.CoveMedian.Usable, 1.3)
	}
	if haveThree {
		add("1+2 nodes deleted, of kind's, s", three.CoveMedian.Delete, three.KindMedian.Delete, 0.3)
	}
	if ha, ok := measured[size{Nodes: 3, ControlPlanes: 3}]; ok {
		add("3 control planes usable, of kind's, s", ha.CoveMedian.Usable, ha.KindMedian.Usable, 0.4)
	}
	return ratios
}

func writeRatios(w io.Writer, list []aimedRatio) error {
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nRatios with an aim")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tcove\tcompared with\tratio\taim\t")
	for _, r := range list {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%s\t\n", r.What, r.Figure, r.Of, r.Ratio, aimText(r.Aim))
	}
	return t.Flush()
}

// aimText is how the report writes an aim; 0 is none.
func aimText(aim float64) string {
	if aim == 0 {
		return ""
	}
	return fmt.Sprintf("≤ %g", aim)
}
