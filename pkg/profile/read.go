package profile

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// readAddon decodes an addon.yaml and checks all of it. name is what it must be called; files is its folder.
func readAddon(data []byte, name string, files fs.FS) (*Addon, error) {
	root, err := strict.Document(data, "an addon", "a file is one addon", "`cove addon show NAME` prints addons that can be taken as a pattern")
	if err != nil {
		return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot read addon %s", name)
	}
	a := &Addon{FS: files}
	problems := strict.Decode(root, a)
	if len(problems) == 0 {
		c := addonChecker{Addon: a}
		c.check(name)
		problems = c.problems
	}
	if len(problems) > 0 {
		return nil, mend(problems.Fault("cannot read addon %s", name))
	}
	for i := range a.Parameters {
		a.Parameters[i].Default = strict.Plain(a.Parameters[i].Default)
	}
	if a.Content.Helm != nil {
		a.Content.Helm.Values = strict.PlainMap(a.Content.Helm.Values)
	}
	return a, nil
}

// mend replaces the hint of ConfigInvalid, which is about cluster documents.
func mend(err error) error {
	if e, ok := err.(*fault.Error); ok && e.Code == fault.ConfigInvalid { //nolint:errorlint // just made by Problems.Fault
		return e.WithHint("mend the fields that are named")
	}
	return err
}

// checkMeta checks what a file says of itself.
func checkMeta(root *strict.Problems, apiVersion, kind, name, wantKind, wantName string) {
	if apiVersion != v1alpha1.APIVersion {
		root.Invalid("apiVersion", "it is %q; write %s", apiVersion, v1alpha1.APIVersion)
	}
	if kind != wantKind {
		root.Invalid("kind", "it is %q; write %s", kind, wantKind)
	}
	switch {
	case wantName != "" && name != wantName:
		root.Invalid("name", "it is %q; write %s, as it is called where it is", name, wantName)
	case !isName(name):
		root.Invalid("name", "%q is no name; use lower-case letters, digits and hyphens", name)
	}
}

// addonChecker finds what is wrong with an addon.
type addonChecker struct {
	*Addon
	problems strict.Problems
}

func (c *addonChecker) check(name string) {
	checkMeta(&c.problems, c.APIVersion, c.Kind, c.Name, KindAddon, name)
	if c.Description == "" {
		c.problems.Invalid("description", "it is missing; say in one line what the addon is for")
	}
	if r := c.Requires.Kubernetes; r != "" {
		if _, err := semver.NewConstraint(r); err != nil {
			c.problems.Invalid("requires.kubernetes", "%q is no range of versions; write it as \">= 1.30\"", r)
		}
	}
	if n := c.Requires.NodeImage; n != "" && n != "cove" {
		c.problems.Invalid("requires.nodeImage", "%q is not cove, the only one that can be required", n)
	}
	if slices.Contains(c.Requires.Addons, c.Name) {
		c.problems.Invalid("requires.addons", "an addon cannot require itself")
	}
	c.images()
	c.parameters()
	c.content()
	c.rest()
}

func (c *addonChecker) images() {
	names := map[string]bool{}
	for i, img := range c.Images {
		at := fmt.Sprintf("images[%d]", i)
		switch {
		case img.Name == "":
			c.problems.Invalid(at+".name", "it is missing")
		case names[img.Name]:
			c.problems.Invalid(at+".name", "%s is there already", img.Name)
		}
		names[img.Name] = true
		last := img.Ref[strings.LastIndex(img.Ref, "/")+1:]
		if !strings.Contains(img.Ref, "/") || !strings.ContainsAny(last, ":@") {
			c.problems.Invalid(at+".ref", "%q is no full name of an image; write it as registry.k8s.io/pause:3.10", img.Ref)
		}
	}
}

func (c *addonChecker) parameters() {
	name := regexp.MustCompile(`^[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*$`)
	for i := range c.Parameters {
		p, at := &c.Parameters[i], fmt.Sprintf("parameters[%d]", i)
		if !name.MatchString(p.Name) {
			c.problems.Invalid(at+".name", "%q is no name of a parameter; write it as logLevel, or with dots to nest", p.Name)
		}
		for _, other := range c.Parameters[:i] {
			if p.Name == other.Name || strings.HasPrefix(p.Name, other.Name+".") || strings.HasPrefix(other.Name, p.Name+".") {
				c.problems.Invalid(at+".name", "%s does not go with %s", p.Name, other.Name)
			}
		}
		if p.Description == "" {
			c.problems.Invalid(at+".description", "it is missing")
		}
		c.parameter(p, at)
	}
	c.references()
}

// references checks the names of parameters that are somewhere else.
func (c *addonChecker) references() {
	for i, name := range c.ForeignNeeds {
		if p, rest := c.Addon.parameter(name); p == nil || rest != "" {
			c.problems.Invalid(fmt.Sprintf("foreignNeeds[%d]", i), "there is no parameter %s", name)
		}
	}
	for i, h := range c.HostPorts {
		at := fmt.Sprintf("hostPorts[%d]", i)
		if p, rest := c.Addon.parameter(h.Parameter); p == nil || rest != "" || p.Type != TypeInteger {
			c.problems.Invalid(at+".parameter", "there is no parameter %q of type integer", h.Parameter)
		}
		if h.ContainerPort < 1 || h.ContainerPort > 65535 {
			c.problems.Invalid(at+".containerPort", "%d is no port", h.ContainerPort)
		}
	}
}

// parameter checks that what is said of a parameter goes together, and its default with it.
func (c *addonChecker) parameter(p *Parameter, at string) {
	types := []string{TypeString, TypeInteger, TypeBoolean, TypeList, TypeObject}
	textual := p.Type == TypeString || p.Type == TypeList
	switch {
	case !slices.Contains(types, p.Type):
		c.problems.Invalid(at+".type", "%q is not one of %s", p.Type, strings.Join(types, ", "))
		return
	case !textual && len(p.Enum) > 0:
		c.problems.Invalid(at+".enum", "it is for the types string and list")
	case !textual && p.Pattern != "":
		c.problems.Invalid(at+".pattern", "it is for the types string and list")
	case p.Type != TypeInteger && (p.Minimum != nil || p.Maximum != nil):
		c.problems.Invalid(at, "minimum and maximum are for the type integer")
	case p.Minimum != nil && p.Maximum != nil && *p.Minimum > *p.Maximum:
		c.problems.Invalid(at+".minimum", "%d is larger than maximum %d", *p.Minimum, *p.Maximum)
	}
	if _, err := regexp.Compile(p.Pattern); err != nil {
		c.problems.Invalid(at+".pattern", "it is no regular expression: %s", err)
		return
	}
	c.fallback(p, at)
}

// fallback checks a parameter's default, and that one that is not named would be allowed.
func (c *addonChecker) fallback(p *Parameter, at string) {
	bare := *p
	bare.Default = nil
	switch {
	case p.Default != nil:
		if _, message := bare.check(p.Default); message != "" {
			c.problems.Invalid(at+".default", "%s", message)
		}
	case p.Type == TypeString && len(p.Enum) > 0 && !slices.Contains(p.Enum, ""):
		c.problems.Invalid(at+".default", "it is missing; name one of %s", strings.Join(p.Enum, ", "))
	case p.Type == TypeInteger && p.inRange(0) != "":
		c.problems.Invalid(at+".default", "it is missing, and %s", p.inRange(0))
	}
}

// content checks that there is one, and that its files are there.
func (c *addonChecker) content() {
	kinds := 0
	exists := func(at, name string, folder bool) {
		kinds++
		if !fs.ValidPath(name) {
			c.problems.Invalid(at, "%q is no path in the addon's folder", name)
			return
		}
		info, err := fs.Stat(c.FS, name)
		switch {
		case err != nil:
			c.problems.Invalid(at, "there is no %s in the addon's folder", name)
		case folder && !info.IsDir():
			c.problems.Invalid(at, "%s is no folder", name)
		}
	}
	if m := c.Content.Manifests; m != "" {
		exists("content.manifests", m, false)
	}
	if k := c.Content.Kustomization; k != "" {
		exists("content.kustomization", k, true)
	}
	if n := c.Content.NodeImage; n != "" {
		kinds++
		if !path.IsAbs(n) {
			c.problems.Invalid("content.nodeImage", "%q is not absolute", n)
		}
	}
	if h := c.Content.Helm; h != nil {
		kinds++
		c.helm(h)
	}
	if kinds != 1 {
		c.problems.Invalid("content", "it names %d of manifests, kustomization, helm and nodeImage; name one", kinds)
	}
}

func (c *addonChecker) helm(h *Helm) {
	const at = "content.helm"
	switch {
	case h.Chart == "":
		c.problems.Invalid(at+".chart", "it is missing")
	case h.remote() && h.Version == "":
		c.problems.Invalid(at+".version", "it is missing; an addon is of one version")
	case !h.remote():
		if _, err := fs.Stat(c.FS, h.Chart); err != nil {
			c.problems.Invalid(at+".chart", "there is no %s in the addon's folder", h.Chart)
		}
	}
	if h.ValuesFile != "" {
		if _, err := fs.Stat(c.FS, h.ValuesFile); err != nil {
			c.problems.Invalid(at+".valuesFile", "there is no %s in the addon's folder", h.ValuesFile)
		}
	}
}

// remote reports whether a chart is fetched over the network.
func (h *Helm) remote() bool { return isRemote(h.Chart, h.Repository) }

func isRemote(chart, repository string) bool {
	return repository != "" || strings.HasPrefix(chart, "oci://")
}

func (c *addonChecker) rest() {
	for i, g := range c.Generate {
		at := fmt.Sprintf("generate[%d]", i)
		if g.Secret == "" || g.Namespace == "" {
			c.problems.Invalid(at, "it needs secret and namespace")
		}
		switch g.Type {
		case GenerateRandom:
			if g.Key == "" || g.Bytes < 1 {
				c.problems.Invalid(at, "random needs key, and bytes of 1 or more")
			}
		case GenerateCertificate:
			if len(g.DNSNames) == 0 {
				c.problems.Invalid(at+".dnsNames", "certificate needs one at least")
			}
		default:
			c.problems.Invalid(at+".type", "%q is not one of %s, %s", g.Type, GenerateRandom, GenerateCertificate)
		}
	}
	for i, r := range c.Ready {
		if r.APIVersion == "" || r.Kind == "" || r.Name == "" || r.Condition == "" {
			c.problems.Invalid(fmt.Sprintf("ready[%d]", i), "it needs apiVersion, kind, name and condition")
		}
	}
}

// readProfile decodes the file of a profile and checks what can be checked of it alone. name is what it must be called;
// empty: as it likes.
func readProfile(data []byte, source, name string) (Profile, error) {
	root, err := strict.Document(data, "a profile", "a file is one profile", "`cove profile init` writes a profile to start from")
	if err != nil {
		return Profile{}, fault.Wrap(fault.ConfigInvalid, err, "cannot read profile %s", source)
	}
	p := Profile{}
	problems := decodeProfile(root, &p)
	if len(problems) == 0 {
		checkMeta(&problems, p.APIVersion, p.Kind, p.Name, KindProfile, name)
		if p.Output != "" && p.Output != OutputPlain {
			problems.Invalid("output", "%q is not %s", p.Output, OutputPlain)
		}
		if p.Cluster.Name != "" {
			problems.Invalid("cluster.name", "a profile does not name clusters; leave it out")
		}
		if p.CNI != "" && !isName(p.CNI) {
			problems.Invalid("cni", "%q is no name of an addon", p.CNI)
		}
		problems = append(problems, CheckAddons(p.Addons)...)
	}
	if len(problems) > 0 {
		return Profile{}, mend(problems.Fault("cannot read profile %s", source))
	}
	return p, nil
}

func decodeProfile(root *yaml.Node, p *Profile) strict.Problems {
	problems := strict.Decode(root, p)
	for i := range p.Addons {
		a := &p.Addons[i]
		a.Parameters = strict.PlainMap(a.Parameters)
		if a.Helm != nil {
			a.Helm.Values = strict.PlainMap(a.Helm.Values)
		}
	}
	return problems
}

// CheckAddons finds what is wrong with a list of addons as such, without a look at any catalogue.
func CheckAddons(addons []v1alpha1.Addon) strict.Problems {
	problems, first := strict.Problems{}, map[string]int{}
	for i, a := range addons {
		at := fmt.Sprintf("addons[%d]", i)
		before, again := first[a.Name]
		switch {
		case a.Name == "":
			problems.Invalid(at+".name", "it is missing")
		case !isName(a.Name):
			problems.Invalid(at+".name", "%s is no name; use lower-case letters, digits and hyphens", quoted(a.Name))
		case a.Name == NoCNI:
			problems.Invalid(at+".name", "%s is no addon; write cni: %s", NoCNI, NoCNI)
		case again:
			problems.Invalid(at+".name", "%s is addons[%d] already", a.Name, before)
		default:
			first[a.Name] = i
		}
		switch {
		case a.Path != "" && a.Helm != nil:
			problems.Invalid(at, "it has path and helm; write one of them")
		case a.Helm != nil && a.Helm.Chart == "":
			problems.Invalid(at+".helm.chart", "it is missing")
		case a.Disabled && (a.Path != "" || a.Helm != nil || len(a.Parameters) > 0):
			problems.Invalid(at+".disabled", "what is left out has no path, helm or parameters")
		}
	}
	return problems
}
