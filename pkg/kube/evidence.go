package kube

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Evidence writes nodes, pods, events, and the workloads into dir, which is made: a YAML file each. Secrets are left out.
func (c *Client) Evidence(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	all := everything()
	core, apps := c.static.CoreV1(), c.static.AppsV1()
	lists := map[string]func() (runtime.Object, error){
		"nodes":       func() (runtime.Object, error) { return core.Nodes().List(ctx, all) },
		"pods":        func() (runtime.Object, error) { return core.Pods("").List(ctx, all) },
		"events":      func() (runtime.Object, error) { return core.Events("").List(ctx, all) },
		"services":    func() (runtime.Object, error) { return core.Services("").List(ctx, all) },
		"volumes":     func() (runtime.Object, error) { return core.PersistentVolumes().List(ctx, all) },
		"claims":      func() (runtime.Object, error) { return core.PersistentVolumeClaims("").List(ctx, all) },
		"deployments": func() (runtime.Object, error) { return apps.Deployments("").List(ctx, all) },
		"daemonsets":  func() (runtime.Object, error) { return apps.DaemonSets("").List(ctx, all) },
	}
	var problems []error
	for name, get := range lists {
		o, err := get()
		if err == nil {
			err = writeYAML(filepath.Join(dir, name+".yaml"), o)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func writeYAML(file string, v any) error {
	data, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}
