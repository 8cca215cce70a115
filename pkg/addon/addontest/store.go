package addontest

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stored is what an API is in a file, so that one process finds what another one did.
type stored struct {
	Objects []map[string]any          `json:"objects"`
	Owned   map[string]map[string]any `json:"owned"`
	Made    int                       `json:"made"`
}

// MarshalJSON writes the objects, and what was applied of them.
func (a *API) MarshalJSON() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := stored{Owned: a.owned, Made: a.made}
	for _, o := range a.objects {
		s.Objects = append(s.Objects, o.Object)
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads what MarshalJSON wrote. What the API had before is gone.
func (a *API) UnmarshalJSON(data []byte) error {
	raw := struct {
		Objects []json.RawMessage          `json:"objects"`
		Owned   map[string]json.RawMessage `json:"owned"`
		Made    int                        `json:"made"`
	}{}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.objects, a.owned, a.made = map[string]*unstructured.Unstructured{}, map[string]map[string]any{}, raw.Made
	for _, one := range raw.Objects {
		o := &unstructured.Unstructured{} // reads whole numbers as such
		if err := o.UnmarshalJSON(one); err != nil {
			return err
		}
		a.objects[keyOf(o)] = o
	}
	for key, one := range raw.Owned {
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(one); err != nil {
			return err
		}
		a.owned[key] = o.Object
	}
	return nil
}
