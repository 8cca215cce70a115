package kube

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Decode reads a manifest: YAML or JSON documents, of which empty ones are passed over and lists taken apart. Each object
// must have an apiVersion, a kind and a name; the error says which document has not.
func Decode(manifest []byte) ([]*unstructured.Unstructured, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	var objs []*unstructured.Unstructured
	for number := 1; ; number++ {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", number, err)
		}
		found, err := decodeOne(raw)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", number, err)
		}
		objs = append(objs, found...)
	}
}

// decodeOne reads one document.
func decodeOne(raw []byte) ([]*unstructured.Unstructured, error) {
	data, err := yaml.YAMLToJSON(raw)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(data, []byte("null")) {
		return nil, nil
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("not an object of Kubernetes: %w", err)
	}
	if !o.IsList() {
		return []*unstructured.Unstructured{o}, complete(o)
	}
	items, err := o.ToList()
	if err != nil {
		return nil, err
	}
	var objs []*unstructured.Unstructured
	for i := range items.Items {
		if err := complete(&items.Items[i]); err != nil {
			return nil, fmt.Errorf("item %d: %w", i+1, err)
		}
		objs = append(objs, &items.Items[i])
	}
	return objs, nil
}

// complete checks that an object can be applied.
func complete(o *unstructured.Unstructured) error {
	switch {
	case o.GetKind() == "":
		return errors.New("kind is missing")
	case o.GetAPIVersion() == "":
		return fmt.Errorf("apiVersion of the %s is missing", o.GetKind())
	case o.GetName() == "":
		return fmt.Errorf("metadata.name of the %s is missing", o.GetKind())
	}
	return nil
}
