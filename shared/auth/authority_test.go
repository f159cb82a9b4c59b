package auth

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	jose "github.com/go-jose/go-jose/v4"
)

// authority plays Microsoft Entra ID without a network. Its zero key set is
// {"k1": firstKey}.
type authority struct {
	mu       sync.Mutex
	keys     map[string]any // by key id
	fail     error          // instead of an answer
	status   int            // instead of 200
	body     string         // instead of the keys
	stall    chan struct{}  // answers wait until it is closed
	fetches  int            // of keys
	requests []string       // URLs
}

func newAuthority() *authority {
	return &authority{keys: map[string]any{"k1": &firstKey().PublicKey}}
}

func (d *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	stall := d.stall
	d.requests = append(d.requests, r.URL.String())
	if strings.HasSuffix(r.URL.Path, "/keys") {
		d.fetches++
	}
	d.mu.Unlock()
	if stall != nil {
		select {
		case <-stall:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return nil, d.fail
	}
	status, body := http.StatusOK, d.body
	if d.status != 0 {
		status = d.status
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		body = fmt.Sprintf(`{"issuer":%q}`, issuerV2)
	case body == "":
		body = keySet(d.keys)
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (d *authority) set(change func(*authority)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

func (d *authority) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fetches
}

func keySet(keys map[string]any) string {
	var set jose.JSONWebKeySet
	for id, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: id})
	}
	data, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return string(data)
}
