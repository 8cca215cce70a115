// Package size makes a node as large as its container is. A kubelet counts the CPUs and the memory of the host, whatever the
// engine's limits are; this package says how much of that it must leave alone. It limits nothing: the engine does.
package size

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// Variables of the container by which a node learns its size. Either may be missing: then all of the host counts.
const (
	EnvCPUs   = "COVE_NODE_CPUS"   // cores as a decimal number, "1.5"
	EnvMemory = "COVE_NODE_MEMORY" // bytes
)

const (
	milli    = 1000
	kibibyte = 1024
)

// Size is what a node is to have; 0 is no limit.
type Size struct {
	MilliCPUs int64
	Memory    int64 // bytes
}

// Host is what a kubelet counts where it runs, the way that its cadvisor does
// (https://github.com/google/cadvisor: utils/sysinfo, machine).
type Host struct {
	CPUs      int   // that are online, whatever CPUs the container may use
	Memory    int64 // bytes: MemTotal
	HugePages int64 // bytes set aside for huge pages, which the kubelet takes off the memory by itself
}

// Parse reads the values of EnvCPUs and EnvMemory; "" is no limit. What cannot be read is no limit and an error: the other
// one still counts.
func Parse(cpus, memory string) (Size, error) {
	var s Size
	var problems []error
	if cpus != "" {
		n, err := strconv.ParseFloat(cpus, 64)
		if err != nil || !(n >= 0 && n <= math.MaxInt32) { // which is also false for NaN
			problems = append(problems, fmt.Errorf("%s is %q: want cores as a decimal number, such as 1.5", EnvCPUs, cpus))
		} else {
			s.MilliCPUs = int64(math.Round(n * milli))
		}
	}
	if memory != "" {
		n, err := strconv.ParseInt(memory, 10, 64)
		if err != nil || n < 0 {
			problems = append(problems, fmt.Errorf("%s is %q: want bytes", EnvMemory, memory))
		} else {
			s.Memory = n
		}
	}
	return s, errors.Join(problems...)
}

// ReadHost counts CPUs below sys (/sys) and memory below proc (/proc). What it cannot count is 0, and an error.
func ReadHost(sys, proc fs.FS) (Host, error) {
	cpus, cpuErr := onlineCPUs(sys)
	h := Host{CPUs: cpus}
	text, memErr := fs.ReadFile(proc, "meminfo")
	if memErr == nil {
		h.Memory, h.HugePages = meminfo(string(text), "MemTotal"), meminfo(string(text), "Hugetlb")
		if h.Memory == 0 {
			memErr = errors.New("meminfo has no MemTotal")
		}
	}
	if memErr != nil {
		memErr = fmt.Errorf("cannot count the host's memory: %w", memErr)
	}
	return h, errors.Join(cpuErr, memErr)
}

// onlineCPUs counts as cadvisor does: those that the kernel lists as online; all of them where it cannot take one away.
func onlineCPUs(sys fs.FS) (int, error) {
	const dir = "devices/system/cpu"
	text, err := fs.ReadFile(sys, path.Join(dir, "online"))
	if errors.Is(err, fs.ErrNotExist) {
		all, globErr := fs.Glob(sys, path.Join(dir, "cpu[0-9]*"))
		if globErr == nil && len(all) > 0 {
			return len(all), nil
		}
	}
	if err != nil {
		return 0, fmt.Errorf("cannot count the host's CPUs: %w", err)
	}
	n, err := countList(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("cannot count the host's CPUs: %w", err)
	}
	return n, nil
}

// countList counts the members of a list as the kernel writes it: "0-3,5".
func countList(list string) (int, error) {
	total := 0
	for _, part := range strings.Split(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		if err != nil {
			return 0, fmt.Errorf("%q is no list of numbers", list)
		}
		last, err := strconv.Atoi(to)
		if err != nil || last < first {
			return 0, fmt.Errorf("%q is no list of numbers", list)
		}
		total += last - first + 1
	}
	return total, nil
}

// meminfo returns a field of proc(5)'s meminfo in bytes, 0 where there is none.
func meminfo(text, field string) int64 {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name != field {
			continue
		}
		number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0
		}
		return n * kibibyte
	}
	return 0
}

// Reserved is the value of the kubelet's --system-reserved with which its Allocatable is exactly the size, in millicores and
// bytes; "" where the host is no larger.
func Reserved(h Host, s Size) string {
	var parts []string
	if over := int64(h.CPUs)*milli - s.MilliCPUs; s.MilliCPUs > 0 && over > 0 {
		parts = append(parts, fmt.Sprintf("cpu=%dm", over))
	}
	if over := h.Memory - h.HugePages - s.Memory; s.Memory > 0 && over > 0 {
		parts = append(parts, fmt.Sprintf("memory=%d", over))
	}
	return strings.Join(parts, ",")
}
