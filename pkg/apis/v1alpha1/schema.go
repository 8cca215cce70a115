package v1alpha1

import (
	_ "embed"
	"slices"
)

// The schema is generated from the types by TestSchemaIsFresh: go test ./pkg/apis/v1alpha1 -update
//
//go:embed schema.json
var schema []byte

// Schema returns the document's JSON Schema (draft 2020-12). It allows what this version honours.
func Schema() []byte { return slices.Clone(schema) }
