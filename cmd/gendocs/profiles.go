package main

import (
	"fmt"
	"io/fs"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/profile"
)

// profilePages makes the list of profiles, and a page for each of them.
func profilePages(c profile.Catalogue) ([]page, error) {
	all, err := c.Profiles()
	if err != nil {
		return nil, err
	}
	list := page{name: "profiles/_index.md", title: "Profiles"}
	list.para("The profiles that are built in. Without `--profile` a cluster is made from `%s`. [The guide](../../guides/profiles.md) says how to "+
		"choose one and how to write your own.", profile.DefaultProfile)
	pages, rows := []page{}, [][]string{}
	for _, p := range all {
		resolved, err := c.Resolve(p.Name)
		if err != nil {
			return nil, err
		}
		one, err := profilePage(c, p, resolved)
		if err != nil {
			return nil, fmt.Errorf("profile %s: %w", p.Name, err)
		}
		pages = append(pages, one)
		rows = append(rows, []string{fmt.Sprintf("[`%s`](%s.md)", p.Name, p.Name), addonLinks(resolved.Addons), nodes(resolved.Cluster.Nodes), sentence(p.Description)})
	}
	list.table([]string{"Profile", "Addons", "Nodes", "What it is for"}, rows)
	return append(pages, list), nil
}

func profilePage(c profile.Catalogue, p, resolved profile.Profile) (page, error) {
	out := page{name: "profiles/" + p.Name + ".md", title: p.Name}
	out.para("%s.", sentence(p.Description))
	out.printf("```sh\ncove create --profile %s\n```\n\n", p.Name)
	var rows [][]string
	row := func(what, text string) {
		if text != "" {
			rows = append(rows, []string{what, text})
		}
	}
	if p.Extends != "" {
		row("Extends", fmt.Sprintf("[`%s`](%s.md)", p.Extends, p.Extends))
	}
	row("Adds", addonLinks(p.Addons))
	row("Nodes", nodes(resolved.Cluster.Nodes))
	row("Kubernetes", code(resolved.KubernetesVersion))
	row("Node image", code(resolved.Image))
	row("Output", output(resolved.Output))
	out.table([]string{"", ""}, rows)
	if err := resolvedAddons(&out, c, resolved); err != nil {
		return out, err
	}
	data, err := fs.ReadFile(c.FS(), p.Name+".yaml")
	if err != nil {
		return out, err
	}
	out.para("## The file")
	out.printf("```yaml\n%s\n```\n\n", strings.TrimSpace(string(data)))
	return out, nil
}

// resolvedAddons writes all addons that a cluster of the profile gets, in the order in which they are applied.
func resolvedAddons(out *page, c profile.Catalogue, resolved profile.Profile) error {
	given := map[string]map[string]any{}
	var opened []*profile.Addon
	for _, entry := range resolved.Addons {
		a, err := c.Addon(entry.Name)
		if err != nil {
			return err
		}
		given[a.Name], opened = entry.Parameters, append(opened, a)
	}
	ordered, err := profile.Order(opened)
	if err != nil {
		return err
	}
	out.para("## Addons")
	out.para("With the parameters that the profile sets; the others have their defaults.")
	var rows [][]string
	for _, a := range ordered {
		set := ""
		if len(given[a.Name]) > 0 {
			if set, err = flow(given[a.Name]); err != nil {
				return err
			}
		}
		rows = append(rows, []string{fmt.Sprintf("[`%s`](../addons/%s.md)", a.Name, a.Name), code(a.Version), code(set), sentence(a.Description)})
	}
	out.table([]string{"Addon", "Version", "Parameters", "What it is for"}, rows)
	return nil
}

func addonLinks(list []v1alpha1.Addon) string {
	links := make([]string, 0, len(list))
	for _, a := range list {
		link := fmt.Sprintf("[`%s`](../addons/%s.md)", a.Name, a.Name)
		if a.Disabled {
			link = "not " + link
		}
		links = append(links, link)
	}
	return strings.Join(links, ", ")
}

// nodes counts the nodes of a shape. None are the one control plane of every cluster.
func nodes(list []kind.Node) string {
	workers := 0
	for _, n := range list {
		if n.Role == kind.WorkerRole {
			workers++
		}
	}
	text := plural(max(len(list)-workers, 1), "control plane")
	if workers > 0 {
		text += ", " + plural(workers, "worker")
	}
	return text
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// output says how a create of the profile shows what it does.
func output(form string) string {
	if form == profile.OutputPlain {
		return "lines, also on a terminal (`" + form + "`)"
	}
	return code(form)
}
