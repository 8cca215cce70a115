//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TestReport wants medians, ratios and the table of known samples.
func TestReport(t *testing.T) {
	c := comparison{size: size{3, 1}}
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
	one := comparison{size: size{1, 1}, CoveMedian: sample{Usable: 6.4}, KindMedian: sample{Usable: 32}}
	ha := comparison{size: size{3, 3}, CoveMedian: sample{Usable: 30}, KindMedian: sample{Usable: 120}, Ratio: sample{Usable: 0.25}}
	wantForms(t, report{
		Engine: engineInfo{"20.10.24", "overlay2", false, "1", 2, 1 << 30}, Image: "cove-node:v1", PeerImage: "kindest/node:v1", PeerBalancer: "haproxy",
		Rounds: 3, Comparisons: []comparison{c, ha}, Ratios: aimedRatios([]comparison{one, c, ha}), Life: knownLife(),
		Variants: []variant{
			{Name: "minimal", Median: sample{Returned: 8, MemoryMiB: 400, CPUMilli: 50}},
			{Name: "dev", Median: sample{Returned: 10, MemoryMiB: 450, CPUMilli: 60}},
		},
	})
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
	if !reflect.DeepEqual(back, r) {
		t.Errorf("as JSON the report is %s", out.String())
	}
}

// knownLife is the life whose table is golden.
func knownLife() *life {
	return summarizeLife([]lifeSample{
		{Create: 8, StopOne: 1, Again: 5, Worker: 4, Several: 1, Stop: 3, Start: 9},
		{Create: 10, StopOne: 2, Again: 7, Worker: 2, Several: 3, Stop: 1, Start: 7},
	})
}

// TestLife wants medians, and their parts of create's.
func TestLife(t *testing.T) {
	l := knownLife()
	if want := (lifeSample{9, 1.5, 6, 3, 2, 2, 8}); l.Median != want {
		t.Errorf("the medians are %+v, want %+v", l.Median, want)
	}
	if l.OfCreate.Create != 1 || l.OfCreate.Worker != 3.0/9 || l.OfCreate.Again != 6.0/9 || l.OfCreate.Start != 8.0/9 {
		t.Errorf("of create: %+v", l.OfCreate)
	}
	if err := (*life)(nil).write(&bytes.Buffer{}); err != nil {
		t.Errorf("a life that was not measured: %v", err)
	}
}

// TestAimedRatios wants the ratios of what was measured, and no others.
func TestAimedRatios(t *testing.T) {
	one, three, ha := comparison{size: size{1, 1}}, comparison{size: size{3, 1}}, comparison{size: size{3, 3}}
	for _, test := range []struct {
		list []comparison
		want int
	}{
		{nil, 0},
		{[]comparison{one}, 0},
		{[]comparison{three}, 1}, // its delete
		{[]comparison{three, one}, 2},
		{[]comparison{ha}, 1},
		{[]comparison{one, ha}, 1},
	} {
		if got := aimedRatios(test.list); len(got) != test.want {
			t.Errorf("%v: %v, want %d", test.list, got, test.want)
		}
	}
	var out bytes.Buffer
	if err := writeRatios(&out, nil); err != nil || out.Len() > 0 {
		t.Errorf("no ratios are written as %q, %v", out.String(), err)
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

// TestClusters wants the cluster of three control planes last, and only where it is asked for.
func TestClusters(t *testing.T) {
	for _, test := range []struct {
		args string
		want []size
	}{
		{"--nodes=1,3", []size{{1, 1}, {3, 1}}},
		{"--nodes=1 --ha", []size{{1, 1}, {3, 3}}},
		{"--nodes= --life", nil},
	} {
		o, err := parse(strings.Fields(test.args), &bytes.Buffer{})
		if err != nil {
			t.Fatal(err)
		}
		if got := o.clusters(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.args, got, test.want)
		}
	}
}

// TestNodeNames wants the names that both tools give their containers.
func TestNodeNames(t *testing.T) {
	for _, test := range []struct {
		size size
		want string
	}{
		{size{4, 1}, "x-control-plane x-worker x-worker2 x-worker3"},
		{size{3, 3}, "x-control-plane x-control-plane2 x-control-plane3"},
		{size{0, 1}, ""},
	} {
		if got := strings.Join(nodeNames("x", test.size), " "); got != test.want {
			t.Errorf("%v: %s, want %s", test.size, got, test.want)
		}
	}
}

// TestKindConfig wants the patches to depend on whose image it is.
func TestKindConfig(t *testing.T) {
	ours := facts{EtcdTag: "3.6.10-0", CoreDNSTag: "v1.15.0"}.kindConfig(size{3, 1})
	if !strings.Contains(ours, `imageTag: "3.6.10-0"`) || strings.Contains(ours, "containerdConfigPatches") || strings.Count(ours, "- role: worker") != 2 {
		t.Errorf("for an image of cove's:\n%s", ours)
	}
	theirs := facts{}.kindConfig(size{1, 1})
	if strings.Contains(theirs, "imageTag") || !strings.Contains(theirs, "restrict_oom_score_adj") || strings.Contains(theirs, "worker") {
		t.Errorf("for another image:\n%s", theirs)
	}
	if ha := (facts{}).kindConfig(size{3, 3}); strings.Count(ha, "- role: control-plane") != 3 || strings.Contains(ha, "worker") {
		t.Errorf("with three control planes:\n%s", ha)
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
