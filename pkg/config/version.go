package config

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
)

// oldestVersion is the first one whose kubeadm reads v1beta4, the form that cove writes.
// https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/
const oldestVersion = "v1.31.0"

// Version completes what people write for a version of Kubernetes: "1.36.3" and "v1.36.3" to v1.36.3, "1.36" and "v1.36"
// to the newest release of that minor version that is known. A minor version of which none is known is VersionUnknown,
// what is no version at all is ConfigInvalid, one that is too old for this cove is ConfigUnsupported.
func Version(s string) (string, error) {
	full, problem := checkVersion(completeVersion(s, ""))
	if problem != nil {
		return "", fault.New(problem.Code, "cannot use Kubernetes version %q: %s", s, problem.Message)
	}
	return full, nil
}

// completeVersion returns the full form of s, or s itself where it cannot be completed. imageVersion, if not empty, is
// what the node image has, and is the one that is meant by its minor version.
func completeVersion(s, imageVersion string) string {
	v := strings.TrimSpace(s)
	if !strings.HasPrefix(v, "v") {
		v = "v" + v
	}
	if _, err := version.ParseSemantic(v); err == nil {
		return v
	}
	if isMinor(v) {
		for _, known := range append([]string{imageVersion}, v1alpha1.KnownVersions()...) {
			if strings.HasPrefix(known, v+".") {
				return known
			}
		}
	}
	return s
}

func isMinor(s string) bool { return regexp.MustCompile(`^v?[0-9]+\.[0-9]+$`).MatchString(s) }

// checkVersion judges a version that was completed.
func checkVersion(s string) (string, *Problem) {
	v, err := version.ParseSemantic(s)
	switch {
	case err == nil && !v.AtLeast(version.MustParseSemantic(oldestVersion)):
		return s, &Problem{Code: fault.ConfigUnsupported, Message: s + " is too old; cove needs " + oldestVersion + " or later"}
	case err == nil:
		return s, nil
	}
	if isMinor(s) {
		return s, &Problem{Code: fault.VersionUnknown, Message: "no release of " + s + " is known; known are " +
			strings.Join(v1alpha1.KnownVersions(), ", ") + "; write out another one in full"}
	}
	return s, &Problem{Code: fault.ConfigInvalid, Message: "it is no version of Kubernetes; write it as " +
		v1alpha1.DefaultKubernetesVersion() + " or 1.36"}
}

// ImageVersion returns the version of Kubernetes that a node image's tag names, as kindest/node:v1.36.3 does, in its full
// form; "" where the tag names none. Anything may follow the version after a hyphen or an underscore.
func ImageVersion(ref string) string {
	name, _, _ := strings.Cut(ref, "@")
	name = name[strings.LastIndex(name, "/")+1:]
	_, tag, _ := strings.Cut(name, ":")
	// Only Kubernetes counts that high: an image may have a version of its own in its tag.
	return regexp.MustCompile(`^v1\.[2-9][0-9]\.[0-9]+`).FindString(tag)
}

// maxSkew is how many minor versions a worker may be older than the control plane.
// https://kubernetes.io/releases/version-skew-policy/#kubelet
const maxSkew = 3

// imageProblem says what is wrong with the image of a node of a cluster that runs the version full, by the version that
// the image's tag names; "" where nothing is, or none is named. first says that the node is the first control plane, whose
// version is the cluster's.
func imageProblem(image, full string, role kind.NodeRole, first bool) string {
	has := ImageVersion(image)
	if has == "" {
		return ""
	}
	own, cluster := version.MustParseSemantic(has), version.MustParseSemantic(full)
	prefix := image + " has Kubernetes " + has + ", but "
	switch {
	case first && has != full:
		return prefix + "kubernetesVersion is " + full + "; leave one of them out, or make them agree"
	case role == kind.ControlPlaneRole && own.Minor() != cluster.Minor():
		return prefix + "the cluster runs " + full + "; all control planes run the same minor version"
	}
	if problem := SkewProblem(image, has, full); problem != "" {
		return problem
	}
	if !atLeast(has, oldestVersion) {
		return image + " has Kubernetes " + has + ", which is too old; cove needs " + oldestVersion + " or later"
	}
	return ""
}

// SkewProblem says why an image that has the version has cannot be a worker's in a cluster of the version full; "" where it can, or where
// one of the two is no version.
func SkewProblem(image, has, full string) string {
	own, errOwn := version.ParseSemantic(has)
	cluster, errCluster := version.ParseSemantic(full)
	if errOwn != nil || errCluster != nil {
		return ""
	}
	prefix := image + " has Kubernetes " + has + ", but "
	switch {
	case own.Minor() > cluster.Minor():
		return prefix + "the cluster runs " + full + "; a worker's may not be newer"
	case cluster.Minor()-own.Minor() > maxSkew:
		return fmt.Sprintf("%sthe cluster runs %s; a worker's may be up to %d minor versions older", prefix, full, maxSkew)
	}
	return ""
}

// atLeast reports whether a full version is at least another one; what is no version is not.
func atLeast(full, other string) bool {
	v, err := version.ParseSemantic(full)
	return err == nil && v.AtLeast(version.MustParseSemantic(other))
}
