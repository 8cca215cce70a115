package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Evidence writes what a bug report needs into dir, which is made: nodes, pods, events, services, volumes and workloads, of
// all namespaces, a YAML file each, for the user's eyes only. Secrets and ConfigMaps are left out; what a pod's own
// definition says is not. What can be had is written, whatever else fails.
func (c *Client) Evidence(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Wrap(fault.FileUnwritable, err, "cannot make %s", dir)
	}
	core, apps, batch := corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion, batchv1.SchemeGroupVersion
	resources := map[string]schema.GroupVersionResource{
		"nodes":        core.WithResource("nodes"),
		"pods":         core.WithResource("pods"),
		"events":       core.WithResource("events"),
		"services":     core.WithResource("services"),
		"volumes":      core.WithResource("persistentvolumes"),
		"claims":       core.WithResource("persistentvolumeclaims"),
		"deployments":  apps.WithResource("deployments"),
		"daemonsets":   apps.WithResource("daemonsets"),
		"statefulsets": apps.WithResource("statefulsets"),
		"jobs":         batch.WithResource("jobs"),
	}
	problems := make(chan error, len(resources))
	var group errgroup.Group
	for name, r := range resources {
		group.Go(func() error {
			problems <- c.writeList(ctx, r, filepath.Join(dir, name+".yaml"))
			return nil
		})
	}
	_ = group.Wait() // none of them returns an error: each puts it into problems
	close(problems)
	var all []error
	for err := range problems {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// writeList writes all objects of a resource to the file, without the bookkeeping of who owns which field.
func (c *Client) writeList(ctx context.Context, r schema.GroupVersionResource, file string) error {
	list, err := c.dyn.Resource(r).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fault.Wrap(applyCode(err), err, "cannot list the %s", r.Resource)
	}
	for i := range list.Items {
		list.Items[i].SetManagedFields(nil)
	}
	data, err := yaml.Marshal(list.UnstructuredContent())
	if err != nil {
		return fmt.Errorf("cannot write the %s: %w", r.Resource, err)
	}
	return fault.Wrap(fault.FileUnwritable, os.WriteFile(file, data, 0o600), "cannot write %s", file)
}
