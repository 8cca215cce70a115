package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/profile"
	"github.com/cove-k8s/cove/profiles"
)

// builtIn returns the catalogue that is built in, without a user's own files.
func builtIn() profile.Catalogue { return profile.Open(profiles.FS()) }

// addonPages makes the list of addons, and a page for each of them.
func addonPages(c profile.Catalogue) ([]page, error) {
	addons, err := c.Addons()
	if err != nil {
		return nil, err
	}
	list := page{name: "addons/_index.md", title: "Addons"}
	list.para("The addons that are built in. [The guide](../../guides/addons.md) says how to put them onto a cluster and how to add your own; " +
		"`cove addon list` lists them, with what a cluster has.")
	pages, rows := []page{}, [][]string{}
	for _, a := range addons {
		rows = append(rows, []string{fmt.Sprintf("[`%s`](%s.md)", a.Name, a.Name), code(a.Version), codes(a.Provides), sentence(a.Description)})
		one, err := addonPage(a)
		if err != nil {
			return nil, err
		}
		pages = append(pages, one)
	}
	list.table([]string{"Addon", "Version", "Provides", "What it is for"}, rows)
	list.para("A cluster has one addon at most that provides a thing.")
	return append(pages, list), nil
}

func addonPage(a *profile.Addon) (page, error) {
	p := page{name: "addons/" + a.Name + ".md", title: a.Name}
	p.para("%s.", sentence(a.Description))
	command := "cove addon enable "
	if slices.Contains(a.Provides, profile.ProvidesCNI) {
		command = "cove create --cni " // it cannot be exchanged later
	}
	p.printf("```sh\n%s%s\n```\n\n", command, a.Name)
	if a.Documentation != "" {
		p.para("Its own documentation: <%s>.", a.Documentation)
	}
	var rows [][]string
	row := func(what, text string) {
		if text != "" {
			rows = append(rows, []string{what, text})
		}
	}
	row("Version", code(a.Version))
	row("Provides", codes(a.Provides))
	row("Requires", requires(a.Requires))
	row("Namespace", code(a.Namespace))
	row("Content", content(a))
	row("Clusters that cove did not make", elsewhere(a))
	p.table([]string{"", ""}, rows)
	if a.Notes != "" {
		p.para("## Notes")
		p.para("%s", strings.TrimSpace(a.Notes))
	}
	if err := parameters(&p, a); err != nil {
		return p, fmt.Errorf("addon %s: %w", a.Name, err)
	}
	images(&p, a)
	made(&p, a)
	return p, nil
}

// sentence makes a description begin as a sentence does.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return cell(string(unicode.ToUpper(first)) + text[size:])
}

// codes quotes words.
func codes(words []string) string {
	quoted := make([]string, 0, len(words))
	for _, w := range words {
		quoted = append(quoted, code(w))
	}
	return strings.Join(quoted, ", ")
}

// requires says what an addon cannot do without.
func requires(r profile.Requires) string {
	var needs []string
	for _, name := range r.Addons {
		needs = append(needs, fmt.Sprintf("addon [`%s`](%s.md)", name, name))
	}
	if r.Kubernetes != "" {
		needs = append(needs, "Kubernetes "+code(r.Kubernetes))
	}
	if r.NodeImage != "" {
		needs = append(needs, "the node image of "+cell(r.NodeImage))
	}
	return strings.Join(needs, ", ")
}

// content says where an addon's objects come from.
func content(a *profile.Addon) string {
	switch c := a.Content; {
	case c.Manifests != "":
		return "manifests that are built in"
	case c.Kustomization != "":
		return "a kustomization that is built in"
	case c.NodeImage != "":
		return "the manifest " + code(c.NodeImage) + " of the node image"
	default:
		text := "Helm chart " + code(c.Helm.Chart)
		if c.Helm.Version != "" {
			text += " " + code(c.Helm.Version)
		}
		switch {
		case c.Helm.Repository != "":
			return text + " of <" + c.Helm.Repository + ">"
		case strings.Contains(c.Helm.Chart, "://"):
			return text
		}
		return text + ", built in"
	}
}

// elsewhere says whether an addon fits clusters that cove did not make.
func elsewhere(a *profile.Addon) string {
	switch {
	case a.Foreign != "":
		return "no: " + cell(a.Foreign)
	case len(a.ForeignNeeds) > 0:
		return "yes, and needs " + codes(a.ForeignNeeds) + " there"
	}
	return "yes"
}

// parameters writes the table of what can be set.
func parameters(p *page, a *profile.Addon) error {
	p.para("## Parameters")
	if len(a.Parameters) == 0 {
		p.para("It has none.")
		return nil
	}
	var rows [][]string
	for _, one := range a.Parameters {
		text, err := defaultValue(one)
		if err != nil {
			return err
		}
		rows = append(rows, []string{code(one.Name), code(one.Type), code(text), cell(one.Description), rules(one)})
	}
	p.table([]string{"Parameter", "Type", "Default", "Meaning", "Values"}, rows)
	return nil
}

// defaultValue writes what holds where nothing is set, on one line.
func defaultValue(one profile.Parameter) (string, error) {
	if one.Default == nil {
		return map[string]string{profile.TypeInteger: "0", profile.TypeBoolean: "false"}[one.Type], nil
	}
	if s, ok := one.Default.(string); ok {
		return s, nil
	}
	return flow(one.Default)
}

// flow writes a value as YAML on one line.
func flow(value any) (string, error) {
	node := yaml.Node{}
	if err := node.Encode(value); err != nil {
		return "", fmt.Errorf("cannot write a value: %w", err)
	}
	node.Style = yaml.FlowStyle
	text, err := yaml.Marshal(&node)
	return strings.TrimSpace(string(text)), err
}

// rules says which values a parameter takes.
func rules(one profile.Parameter) string {
	switch {
	case len(one.Enum) > 0:
		return codes(one.Enum)
	case one.Pattern != "":
		return code(one.Pattern)
	case one.Minimum != nil && one.Maximum != nil:
		return fmt.Sprintf("%d to %d", *one.Minimum, *one.Maximum)
	case one.Minimum != nil:
		return fmt.Sprintf("%d or more", *one.Minimum)
	case one.Maximum != nil:
		return fmt.Sprintf("%d or less", *one.Maximum)
	}
	return ""
}

// images writes which images the addon's pods run, and how nodes get them.
func images(p *page, a *profile.Addon) {
	p.para("## Images")
	if len(a.Images) == 0 {
		p.para("The chart names them; the nodes pull them from their registries.")
		return
	}
	var rows [][]string
	for _, i := range a.Images {
		how := "pulled"
		switch {
		case i.InNodeImage:
			how = "in cove's node image"
		case i.Build != "":
			how = "pulled, or built by cove from source"
		}
		rows = append(rows, []string{code(i.Ref), how})
	}
	p.table([]string{"Image", "How nodes get it"}, rows)
	if slices.ContainsFunc(a.Images, func(i profile.Image) bool { return i.Build != "" }) {
		p.para("`cove build addon-images %s` builds beforehand. See [Images and registries](../../guides/addons.md#images-and-registries).", a.Name)
	}
}

// made writes what cove makes for the addon: Secrets, and ports of the host.
func made(p *page, a *profile.Addon) {
	if len(a.Generate) > 0 {
		p.para("## Generated Secrets")
		p.para("Made once, and left alone while they are there.")
		var rows [][]string
		for _, g := range a.Generate {
			what := fmt.Sprintf("%d random bytes in key %s", g.Bytes, code(g.Key))
			if g.Type == profile.GenerateCertificate {
				what = "a certificate of the [cluster-local CA](../../guides/addons.md#certificates) for " + codes(g.DNSNames)
			}
			rows = append(rows, []string{code(g.Namespace + "/" + g.Secret), what})
		}
		p.table([]string{"Secret", "What is in it"}, rows)
	}
	if len(a.HostPorts) > 0 {
		p.para("## Ports of the host")
		p.para("With a parameter other than 0, the first control plane publishes the port on 127.0.0.1 of the engine's host when the cluster is created.")
		var rows [][]string
		for _, h := range a.HostPorts {
			rows = append(rows, []string{code(h.Parameter), fmt.Sprint(h.ContainerPort)})
		}
		p.table([]string{"Parameter", "Port of the node"}, rows)
	}
}
