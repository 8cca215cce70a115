package shutdown

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// role is what a pod's process is for the order of stopping.
type role int

const (
	workload role = iota
	apiServer
	etcd
	pause // holds a pod's namespaces; it ends with the node
)

// process is one process of a pod.
type process struct {
	pid  int
	role role
	main bool // the first of its container: the one that the kubelet would send SIGTERM
}

type entry struct {
	process
	parent int
	cgroup string
}

// scan lists the processes of pods: those in a cgroup below the kubelet's. Containerd's shims are not in there. proc is
// /proc; processes that end meanwhile are left out, and so are those that have ended and only wait to be collected.
func scan(proc string) []process {
	files := os.DirFS(proc)
	dirs, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil
	}
	entries := map[int]entry{}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if e, ok := read(files, pid); ok {
			entries[pid] = e
		}
	}
	var found []process
	for _, e := range entries {
		parent, ok := entries[e.parent]
		e.main = !ok || parent.cgroup != e.cgroup
		found = append(found, e.process)
	}
	return found
}

func read(files fs.FS, pid int) (entry, bool) {
	dir := strconv.Itoa(pid)
	cgroup, err := fs.ReadFile(files, dir+"/cgroup")
	if err != nil || !inPod(string(cgroup)) {
		return entry{}, false
	}
	stat, err := fs.ReadFile(files, dir+"/stat")
	if err != nil {
		return entry{}, false
	}
	name, state, parent := parseStat(string(stat))
	if state == "Z" || state == "X" {
		return entry{}, false
	}
	cmdline, _ := fs.ReadFile(files, dir+"/cmdline")
	argv0, _, _ := strings.Cut(string(cmdline), "\x00")
	e := entry{process: process{pid: pid, role: roleOf(name, filepath.Base(argv0))}, parent: parent, cgroup: string(cgroup)}
	return e, true
}

// inPod says whether the text of a /proc/PID/cgroup file names a cgroup of a pod, in any hierarchy.
func inPod(text string) bool {
	return strings.Contains(text, "/kubelet/") || strings.Contains(text, "/kubepods")
}

// parseStat takes what matters from the text of /proc/PID/stat: a name may have blanks and parentheses of its own (proc(5)).
func parseStat(text string) (name, state string, parent int) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return "", "", 0
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 2 {
		return "", "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return text[open+1 : end], fields[0], parent
}

// roleOf goes by the kernel's name and by argv[0]: either may be a link to a program with several names.
func roleOf(names ...string) role {
	for _, n := range names {
		switch n {
		case "kube-apiserver":
			return apiServer
		case "etcd":
			return etcd
		case "pause":
			return pause
		}
	}
	return workload
}
