package build

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// The bill of materials, as SPDX 2.3 has it (https://spdx.github.io/spdx-spec/v2.3/).
type (
	spdxDocument struct {
		Version       string         `json:"spdxVersion"`
		License       string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      spdxCreation   `json:"creationInfo"`
		Packages      []spdxPackage  `json:"packages"`
		Relationships []spdxRelation `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID       string    `json:"SPDXID"`
		Name     string    `json:"name"`
		Version  string    `json:"versionInfo"`
		Purpose  string    `json:"primaryPackagePurpose,omitempty"`
		Supplier string    `json:"supplier,omitempty"`
		Download string    `json:"downloadLocation"`
		Analyzed bool      `json:"filesAnalyzed"`
		Declared string    `json:"licenseDeclared"`
		Refs     []spdxRef `json:"externalRefs,omitempty"`
	}
	spdxRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelation struct {
		From string `json:"spdxElementId"`
		Kind string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

const noAssertion = "NOASSERTION"

// debianPackage is a row of dpkg's list.
type debianPackage struct{ name, version, arch, maintainer string }

// sbom lists what is in a node image. The same parts give the same bytes.
func sbom(v version, content string, debian []debianPackage, modules []module) ([]byte, error) {
	const image = "SPDXRef-image"
	doc := spdxDocument{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: "cove-node-" + v.Kubernetes,
		Namespace: "https://cove.dev/spdx/node/" + content,
		Creation:  spdxCreation{Created: epoch().Format(time.RFC3339), Creators: []string{"Tool: cove"}},
		Packages: []spdxPackage{{
			ID: image, Name: "cove-node", Version: v.Kubernetes, Purpose: "CONTAINER", Download: noAssertion, Declared: noAssertion,
		}},
		Relationships: []spdxRelation{{"SPDXRef-DOCUMENT", "DESCRIBES", image}},
	}
	add := func(p spdxPackage, locator string) {
		p.Download, p.Declared = noAssertion, noAssertion
		p.Refs = []spdxRef{{"PACKAGE-MANAGER", "purl", locator}}
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, spdxRelation{image, "CONTAINS", p.ID})
	}
	mailer := strings.NewReplacer("<", "(", ">", ")") // SPDX's way to write an address
	for i, d := range debian {
		p := spdxPackage{ID: fmt.Sprintf("SPDXRef-deb-%d", i+1), Name: d.name, Version: d.version, Supplier: "Organization: " + mailer.Replace(d.maintainer)}
		add(p, fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=%s", d.name, url.QueryEscape(d.version), d.arch, suite))
	}
	for i, m := range modules {
		name := m.Path
		if name == "std" {
			name = "stdlib" // what vulnerability databases call it
		}
		add(spdxPackage{ID: fmt.Sprintf("SPDXRef-go-%d", i+1), Name: name, Version: m.Version}, "pkg:golang/"+name+"@"+url.PathEscape(m.Version))
	}
	data, err := json.MarshalIndent(doc, "", " ")
	return append(data, '\n'), err
}

// debianPackages reads dpkg's list of packages.
func debianPackages(rootfs tree) ([]debianPackage, error) {
	status, ok := rootfs["var/lib/dpkg/status"]
	if !ok {
		return nil, fmt.Errorf("the root file system has no list of packages")
	}
	in, err := status.open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return parseStatus(in)
}

// parseStatus reads paragraphs of "Field: value" lines.
func parseStatus(in io.Reader) ([]debianPackage, error) {
	var list []debianPackage
	var p debianPackage
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "Package":
			p.name = value
		case "Version":
			p.version = value
		case "Architecture":
			p.arch = value
		case "Maintainer":
			p.maintainer = value
		case "":
			list, p = append(list, p), debianPackage{}
		}
	}
	if p.name != "" {
		list = append(list, p)
	}
	return list, lines.Err()
}
