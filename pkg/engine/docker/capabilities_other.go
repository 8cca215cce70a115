//go:build !linux

package docker

// missingCapabilities cannot be known where the engine runs in a virtual machine or on another host.
func missingCapabilities(_, _ string) []string { return nil }
