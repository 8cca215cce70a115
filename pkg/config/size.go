package config

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// A node's size has bounds: below the smallest, Kubernetes does not come up or is no use; beyond the largest, it is a slip
// of the pen.
const (
	maxCPUs   = "1024"
	maxMemory = "64Ti"
)

// smallest is the least that a node may have, as quantities.
type smallest struct{ cpus, memory string }

// minControlPlane is less than the two CPUs that kubeadm's preflight check wants, which cove leaves out: a control plane
// that stands idle needs a tenth of one.
func minControlPlane() smallest { return smallest{cpus: "500m", memory: "512Mi"} }

func minWorker() smallest { return smallest{cpus: "100m", memory: "128Mi"} }

// checkSize checks the size of a node, whose fields' paths begin with prefix. What is empty is not checked. who is "a worker".
func checkSize(p *Problems, prefix, who, cpus, memory string, least smallest) {
	if cpus != "" {
		if problem := cpusProblem(cpus, who, least.cpus); problem != "" {
			p.Invalid(prefix+"cpus", "%s", problem)
		}
	}
	if memory != "" {
		if problem := memoryProblem(memory, who, least.memory); problem != "" {
			p.Invalid(prefix+"memory", "%s", problem)
		}
	}
}

func cpusProblem(s, who, least string) string {
	q, err := resource.ParseQuantity(s)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is no number of CPUs; write it as 2, 1.5 or 500m", s)
	case q.Cmp(resource.MustParse(least)) < 0:
		return fmt.Sprintf("%s is too little for %s; give it at least %s", s, who, least)
	case q.Cmp(resource.MustParse(maxCPUs)) > 0:
		return fmt.Sprintf("%s is more than any host has; write it as 2, 1.5 or 500m", s)
	case q.Cmp(*resource.NewMilliQuantity(q.MilliValue(), resource.DecimalSI)) != 0:
		return fmt.Sprintf("%s is finer than a thousandth of a CPU; round it", s)
	}
	return ""
}

func memoryProblem(s, who, least string) string {
	// Docker's form: 2g is none of Kubernetes', and its 512m would be half a byte.
	if m := regexp.MustCompile(`^([0-9.]+)([kKmMgGtT])([iI]?[bB]|i)?$`).FindStringSubmatch(s); m != nil {
		unit := strings.ToUpper(m[2])
		if kubernetes := m[3] == "" && (m[2] == "k" || m[2] != "K" && m[2] == unit) || m[3] == "i" && m[2] == unit; !kubernetes {
			return fmt.Sprintf("%q is not how Kubernetes writes it; write %s%si", s, m[1], unit)
		}
	}
	q, err := resource.ParseQuantity(s)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is no amount of memory; write it as 2Gi or 512Mi", s)
	case q.Cmp(resource.MustParse(least)) < 0:
		return fmt.Sprintf("%s is too little for %s; give it at least %s", s, who, least)
	case q.Cmp(resource.MustParse(maxMemory)) > 0:
		return fmt.Sprintf("%s is more than any host has; write it as 2Gi or 512Mi", s)
	}
	return ""
}
