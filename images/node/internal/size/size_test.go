package size

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		cpus, memory string
		want         Size
		problem      string
	}{
		{"", "", Size{}, ""},
		{"1.5", "2147483648", Size{1500, 2 << 30}, ""},
		{"2", "", Size{MilliCPUs: 2000}, ""},
		{"0.1", "", Size{MilliCPUs: 100}, ""},
		{"0.0015", "", Size{MilliCPUs: 2}, ""}, // as Kubernetes rounds: to the next millicore
		{"500m", "1000", Size{Memory: 1000}, "COVE_NODE_CPUS"},
		{"1", "2Gi", Size{MilliCPUs: 1000}, "COVE_NODE_MEMORY"},
		{"-1", "-1", Size{}, "COVE_NODE_MEMORY"},
		{"NaN", "", Size{}, "COVE_NODE_CPUS"},
	} {
		got, err := Parse(c.cpus, c.memory)
		if got != c.want || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("Parse(%q, %q) = %+v, %v", c.cpus, c.memory, got, err)
		}
	}
}

const text = "MemTotal:       16384 kB\nMemFree:         1 kB\nHugePages_Total:       2\nHugetlb:            4096 kB\n"

func TestReadHost(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	online, mem := "devices/system/cpu/online", fstest.MapFS{"meminfo": file(text)}
	for name, c := range map[string]struct {
		sys, proc fstest.MapFS
		want      Host
		problem   string
	}{
		"all online":   {fstest.MapFS{online: file("0-3\n")}, mem, Host{4, 16 << 20, 4 << 20}, ""},
		"some offline": {fstest.MapFS{online: file("0,2-3,7\n")}, mem, Host{4, 16 << 20, 4 << 20}, ""},
		"one":          {fstest.MapFS{online: file("0\n")}, fstest.MapFS{"meminfo": file("MemTotal: 1 kB\n")}, Host{1, 1024, 0}, ""},
		"no hotplug": {
			fstest.MapFS{"devices/system/cpu/cpu0/x": file(""), "devices/system/cpu/cpu1/x": file(""), "devices/system/cpu/cpufreq/x": file("")},
			mem, Host{2, 16 << 20, 4 << 20}, "",
		},
		"rubbish":   {fstest.MapFS{online: file("3-1\n")}, mem, Host{0, 16 << 20, 4 << 20}, "CPUs"},
		"nothing":   {fstest.MapFS{}, mem, Host{0, 16 << 20, 4 << 20}, "CPUs"},
		"no memory": {fstest.MapFS{online: file("0")}, fstest.MapFS{}, Host{CPUs: 1}, "memory"},
		"no total":  {fstest.MapFS{online: file("0")}, fstest.MapFS{"meminfo": file("MemFree: 1 kB\n")}, Host{CPUs: 1}, "MemTotal"},
	} {
		got, err := ReadHost(c.sys, c.proc)
		if got != c.want || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestReserved(t *testing.T) {
	host := Host{CPUs: 4, Memory: 10 << 30, HugePages: 1 << 30}
	for _, c := range []struct {
		host Host
		size Size
		want string
	}{
		{host, Size{1500, 2 << 30}, "cpu=2500m,memory=7516192768"}, // 10 Gi - 1 Gi of huge pages - 2 Gi
		{host, Size{MilliCPUs: 1}, "cpu=3999m"},
		{host, Size{Memory: 9<<30 - 1}, "memory=1"},
		{host, Size{Memory: 9 << 30}, ""},
		{host, Size{4000, 20 << 30}, ""},
		{host, Size{}, ""},
		{Host{}, Size{1000, 1 << 30}, ""}, // the host could not be counted
	} {
		if got := Reserved(c.host, c.size); got != c.want {
			t.Errorf("Reserved(%+v, %+v) = %q, want %q", c.host, c.size, got, c.want)
		}
	}
}
