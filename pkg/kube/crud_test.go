package kube

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// serve has the server do all that it does with the objects of a collection ("/api/v1/namespaces/mine/pods").
func (s *store) serve(f *fakeAPI, collection string) *store {
	s.selects = true
	f.on("GET "+collection, s.ServeHTTP)
	f.on("POST "+collection, s.create)
	f.on(collection+"/", s.one)
	return s
}

// namespaceOf returns the namespace that a request is about.
func namespaceOf(r *http.Request) string {
	_, rest, ok := strings.Cut(r.URL.Path, "/namespaces/")
	namespace, _, below := strings.Cut(rest, "/")
	if !ok || !below {
		return ""
	}
	return namespace
}

// selected reports whether a list has the object.
func selected(o object, r *http.Request) bool {
	u := unstructured.Unstructured{Object: o}
	node, _, _ := unstructured.NestedString(o, "spec", "nodeName")
	byLabel, err1 := labels.Parse(r.URL.Query().Get("labelSelector"))
	byField, err2 := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	in := namespaceOf(r)
	return err1 == nil && err2 == nil && byLabel.Matches(labels.Set(u.GetLabels())) &&
		byField.Matches(fields.Set{"metadata.name": u.GetName(), "spec.nodeName": node}) && (in == "" || in == u.GetNamespace())
}

// find returns a copy of an object; nil where there is none. No namespace is any.
func (s *store) find(namespace, name string) object {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.items {
		u := unstructured.Unstructured{Object: o}
		if u.GetName() == name && (namespace == "" || u.GetNamespace() == namespace) {
			return u.DeepCopy().Object
		}
	}
	return nil
}

// body reads an object or a patch, in whichever form it comes.
func body(r *http.Request) object {
	raw, _ := io.ReadAll(r.Body)
	o := object{}
	if json.Unmarshal(raw, &o) == nil {
		return o
	}
	typed, gvk, err := scheme.Codecs.UniversalDeserializer().Decode(raw, nil, nil)
	if err != nil {
		return o
	}
	if o, err = runtime.DefaultUnstructuredConverter.ToUnstructured(typed); err == nil {
		o["apiVersion"], o["kind"] = gvk.ToAPIVersionAndKind()
	}
	return o
}

func metaOf(o object) object {
	m, _ := o["metadata"].(object)
	if m == nil {
		m = object{}
		o["metadata"] = m
	}
	return m
}

func (s *store) notFound(name string) http.HandlerFunc {
	return refuse(http.StatusNotFound, "NotFound", fmt.Sprintf("%s %q not found", strings.ToLower(s.kind), name), object{"name": name})
}

func (s *store) create(w http.ResponseWriter, r *http.Request) {
	o, namespace := body(r), namespaceOf(r)
	name := fmt.Sprint(metaOf(o)["name"])
	if s.find(namespace, name) != nil {
		refuse(http.StatusConflict, "AlreadyExists", name+" already exists", nil)(w, r)
		return
	}
	if namespace != "" {
		metaOf(o)["namespace"] = namespace
	}
	metaOf(o)["uid"] = "made"
	s.put(o)
	answer(w, http.StatusCreated, s.find(namespace, name))
}

// one serves an object by its name.
func (s *store) one(w http.ResponseWriter, r *http.Request) {
	name, namespace := path.Base(r.URL.Path), namespaceOf(r)
	have := s.find(namespace, name)
	apply := r.Header.Get("Content-Type") == "application/apply-patch+yaml"
	if have == nil && apply {
		have = object{}
	}
	if have == nil {
		s.notFound(name)(w, r)
		return
	}
	switch r.Method {
	case http.MethodPut, http.MethodPatch:
		o := body(r)
		if v := metaOf(o)["resourceVersion"]; v != nil && v != "" && v != metaOf(have)["resourceVersion"] {
			refuse(http.StatusConflict, "Conflict", "the object has been modified", nil)(w, r)
			return
		}
		if r.Method == http.MethodPatch {
			o = merged(have, o)
		}
		if r.URL.Query().Get("dryRun") == "" {
			s.put(o)
			o = s.find(namespace, name)
		}
		answer(w, http.StatusOK, o)
	case http.MethodDelete:
		s.drop(have, body(r))
		answer(w, http.StatusOK, have)
	default:
		answer(w, http.StatusOK, have)
	}
}

// drop deletes an object: at once, or when its grace is over, or never.
func (s *store) drop(o, options object) {
	grace := s.grace
	if asked, ok := options["gracePeriodSeconds"]; ok {
		_, _ = fmt.Sscan(fmt.Sprint(asked), &grace)
	}
	u := unstructured.Unstructured{Object: o}
	if grace == 0 && len(u.GetFinalizers()) == 0 {
		s.change("DELETED", o)
		return
	}
	metaOf(o)["deletionTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	s.put(o)
	if len(u.GetFinalizers()) == 0 && !s.dead {
		time.AfterFunc(time.Duration(grace)*time.Second, func() { s.remove(u.GetName()) })
	}
}

// merged returns an object after a merge patch (RFC 7386).
func merged(o, patch object) object {
	for key, value := range patch {
		part, isObject := value.(object)
		have, _ := o[key].(object)
		switch {
		case value == nil:
			delete(o, key)
		case isObject && have == nil:
			o[key] = merged(object{}, part)
		case isObject:
			o[key] = merged(have, part)
		default:
			o[key] = value
		}
	}
	return o
}
