package config

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

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

// minor returns "1.36" of a full version, "" of anything else.
func minor(full string) string {
	v, err := version.ParseSemantic(full)
	if err != nil {
		return ""
	}
	return version.MajorMinor(v.Major(), v.Minor()).String()
}

// atLeast reports whether a full version is at least another one; what is no version is not.
func atLeast(full, other string) bool {
	v, err := version.ParseSemantic(full)
	return err == nil && v.AtLeast(version.MustParseSemantic(other))
}
