//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TestReport wants medians, ratios and the table of known samples.
func TestReport(t *testing.T) {
	c := comparison{Nodes: 3}
	for i, usable := range []float64{9, 7, 8} { // the median of an odd number is the one in the middle
		c.add("cove", sample{API: 4, Ready: 5, Usable: usable, Returned: 8, CPUSeconds: 3.5, Delete: 0.5, MemoryMiB: 400 + float64(i), CPUMilli: 50})
	}
	for _, usable := range []float64{50, 30} { // of an even number it is the mean of two
		c.add("kind", sample{API: 8, Ready: 10, Usable: usable, Returned: 12, CPUSeconds: 7, Delete: 1, MemoryMiB: 500, CPUMilli: 100})
	}
	c = c.summarize()
	if c.CoveMedian.Usable != 8 || c.KindMedian.Usable != 40 || c.Ratio.Usable != 0.2 {
		t.Errorf("usable: medians %v and %v, ratio %v", c.CoveMedian.Usable, c.KindMedian.Usable, c.Ratio.Usable)
	}
	wantForms(t, report{Engine: engineInfo{"20.10.24", "overlay2", "1", 2, 1 << 30}, Image: "cove-node:v1", PeerImage: "kindest/node:v1", Rounds: 3, Comparisons: []comparison{c}, Variants: []variant{
		{Name: "minimal", Median: sample{Returned: 8, MemoryMiB: 400, CPUMilli: 50}}, {Name: "dev", Median: sample{Returned: 10, MemoryMiB: 450, CPUMilli: 60}},
	}})
}

// wantForms wants the report as the golden table, and as JSON.
func wantForms(t *testing.T, r report) {
	t.Helper()
	var table bytes.Buffer
	if err := r.write(&table, "table"); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "table.txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, table.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if table.String() != string(want) {
		t.Errorf("the table is\n%s\nwant\n%s", table.String(), want)
	}
	var out bytes.Buffer
	if err := r.write(&out, "json"); err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Comparisons) != 1 || len(back.Comparisons[0].Cove) != 3 || back.Comparisons[0].Ratio.Usable != 0.2 {
		t.Errorf("as JSON the report is %s", out.String())
	}
}

// TestFigures wants every figure of a sample to be in the report.
func TestFigures(t *testing.T) {
	var s sample
	for i, f := range figures() {
		*f.of(&s) = float64(i + 1)
	}
	if want := (sample{1, 2, 3, 4, 5, 6, 7, 8}); s != want {
		t.Errorf("the figures write %+v, want %+v", s, want)
	}
}

func TestParse(t *testing.T) {
	good, err := parse([]string{"--rounds=5", "--nodes=3", "-o", "json"}, &bytes.Buffer{})
	if err != nil || good.rounds != 5 || len(good.sizes) != 1 || good.sizes[0] != 3 || good.output != "json" || good.peerImage != good.image {
		t.Errorf("%+v, %v", good, err)
	}
	for _, args := range []string{"--rounds=0", "--nodes=0", "--nodes=1,x", "-o=yaml", "--idle=1s", "more", "--nonsense"} {
		if _, err := parse([]string{args}, &bytes.Buffer{}); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
}

// TestNodeNames wants the names that both tools give their containers.
func TestNodeNames(t *testing.T) {
	got := strings.Join(nodeNames("x", 4), " ")
	if want := "x-control-plane x-worker x-worker2 x-worker3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestKindConfig wants the patches to depend on whose image it is.
func TestKindConfig(t *testing.T) {
	ours := facts{EtcdTag: "3.6.10-0", CoreDNSTag: "v1.15.0"}.kindConfig(3)
	if !strings.Contains(ours, `imageTag: "3.6.10-0"`) || strings.Contains(ours, "containerdConfigPatches") || strings.Count(ours, "- role: worker") != 2 {
		t.Errorf("for an image of cove's:\n%s", ours)
	}
	theirs := facts{}.kindConfig(1)
	if strings.Contains(theirs, "imageTag") || !strings.Contains(theirs, "restrict_oom_score_adj") || strings.Contains(theirs, "worker") {
		t.Errorf("for another image:\n%s", theirs)
	}
}

// TestMemory subtracts the cache of either cgroup version.
func TestMemory(t *testing.T) {
	for _, test := range []struct {
		json string
		want uint64
	}{
		{`{"memory_stats": {"usage": 100, "stats": {"total_inactive_file": 30, "inactive_file": 5}}}`, 70},
		{`{"memory_stats": {"usage": 100, "stats": {"inactive_file": 5}}}`, 95},
		{`{"memory_stats": {"usage": 100, "stats": {"inactive_file": 500}}}`, 100},
	} {
		var s stats
		if err := json.Unmarshal([]byte(test.json), &s); err != nil {
			t.Fatal(err)
		}
		if got := s.memory(); got != test.want {
			t.Errorf("%s: %d, want %d", test.json, got, test.want)
		}
	}
}

// TestAnswered takes nothing but an address for an answer.
func TestAnswered(t *testing.T) {
	packed, err := question("a.example.")
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(packed); err != nil {
		t.Fatal(err)
	}
	if err := answered(packed); err == nil {
		t.Error("a question is taken for an answer")
	}
	m.Response = true
	m.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET},
		Body:   &dnsmessage.AResource{A: [4]byte{10, 96, 0, 1}},
	}}
	good, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if err := answered(good); err != nil {
		t.Error(err)
	}
	m.RCode = dnsmessage.RCodeServerFailure
	bad, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if err := answered(bad); err == nil {
		t.Error("a failure of the server is taken for an answer")
	}
	if err := answered([]byte("nonsense")); err == nil {
		t.Error("nonsense is taken for an answer")
	}
}

// TestWaitUntil wants a time that has passed not to be waited for.
func TestWaitUntil(t *testing.T) {
	if err := waitUntil(t.Context(), time.Now().Add(-time.Second)); err != nil {
		t.Error(err)
	}
}
