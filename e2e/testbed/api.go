//go:build linux

package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// call sends a request to an engine; a status of 400 or more is an error. The caller closes the body. Tests speak to the
// engine without the adapter that they test.
func call(ctx context.Context, c *http.Client, method, path string, body io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-tar")
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return nil, errors.Join(fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, strings.TrimSpace(string(said))), err)
}

// Get asks the engine's API and decodes the answer into out.
func (e *Engine) Get(ctx context.Context, path string, out any) error {
	body, err := call(ctx, e.api, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(out)
}

// loadError reads the progress of a load to its end: the engine reports failures there, with status 200.
func loadError(answer io.Reader) error {
	decoder := json.NewDecoder(answer)
	for {
		var line struct {
			Error string `json:"error"`
		}
		err := decoder.Decode(&line)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case line.Error != "":
			return fmt.Errorf("cannot load images: %s", line.Error)
		}
	}
}
