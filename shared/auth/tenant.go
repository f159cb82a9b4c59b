package auth

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

const (
	// fetchPause is the least time between two fetches of the signing keys,
	// however many tokens name keys that nobody knows.
	fetchPause = 10 * time.Second
	// keysFreshFor is how long keys are used before they are fetched again in
	// the background, so that a key taken back is not trusted for ever.
	keysFreshFor = time.Hour
	// fetchTimeout bounds one fetch, and so the wait of a request.
	fetchTimeout = 5 * time.Second
	// maxDocument is the size of the largest document of a tenant, in bytes.
	maxDocument = 1 << 20
	// minModulus is the least size of an RSA key for RS256, in bits (RFC 7518,
	// section 3.3).
	minModulus = 2048
)

// tenant knows the signing keys of a Microsoft Entra tenant and its id. It
// fetches them when a token needs them: once at first, then for key ids it has
// not seen (a tenant changes its keys at any time), and once an hour; at most
// one fetch at a time and one in ten seconds. Keys stay in use while the tenant
// cannot be reached. It is safe for concurrent use.
type tenant struct {
	authority string // base URL without a slash at the end
	name      string // id, or a domain name
	client    *http.Client
	onFailure func(error)

	mu       sync.Mutex
	id       string                    // Guarded by mu. Empty until it is known.
	keys     map[string]*rsa.PublicKey // by key id; replaced, never changed. Guarded by mu.
	loaded   time.Time                 // when keys were fetched. Guarded by mu.
	started  time.Time                 // when the last fetch was started. Guarded by mu.
	failed   bool                      // whether it failed. Guarded by mu.
	fetching chan struct{}             // closed at the end of the fetch under way; nil if there is none. Guarded by mu.
}

// newTenant takes options whose defaults are filled in.
func newTenant(name string, o Options) *tenant {
	t := &tenant{
		authority: o.Authority,
		name:      name,
		onFailure: o.KeysFailed,
		client: &http.Client{
			Transport: o.Transport,
			Timeout:   fetchTimeout,
			// The documents are where the authority says; it does not send us elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if guid.MatchString(name) {
		t.id = strings.ToLower(name)
	}
	return t
}

var guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// issuers returns the issuers of the tenant's access tokens, version 2 and 1;
// none before the tenant's id is known.
func (t *tenant) issuers() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.id == "" {
		return nil
	}
	return []string{t.authority + "/" + t.id + "/v2.0", v1Issuer + t.id + "/"}
}

// signingKey returns the key of that id. A key that is not known is waited for
// if a fetch may be made or is under way. Right after a fetch it is refused: the
// tenant does not have it.
func (t *tenant) signingKey(ctx context.Context, id string, now time.Time) (*rsa.PublicKey, Reason) {
	if id == "" {
		return nil, InvalidToken
	}
	key, wait := t.known(id, now)
	if key != nil || wait == nil {
		return key, t.refusal(key)
	}
	select {
	case <-wait:
	case <-ctx.Done():
		return nil, Canceled
	}
	t.mu.Lock()
	key = t.keys[id]
	t.mu.Unlock()
	return key, t.refusal(key)
}

// refusal is the reason to refuse a token whose key is not known.
func (t *tenant) refusal(key *rsa.PublicKey) Reason {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case key != nil:
		return ""
	case t.failed:
		return KeysUnavailable
	}
	return InvalidToken
}

// known returns the key of that id. If there is none, it returns what to wait
// for, or nil if waiting is no use. It starts the fetch that is due.
func (t *tenant) known(id string, now time.Time) (key *rsa.PublicKey, wait <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key = t.keys[id]
	due := key == nil || now.Sub(t.loaded) >= keysFreshFor
	if due && t.fetching == nil && now.Sub(t.started) >= fetchPause {
		t.started = now
		t.fetching = make(chan struct{})
		go t.fetch(t.fetching, now)
	}
	if key != nil || t.fetching == nil {
		return key, nil
	}
	return nil, t.fetching
}

// fetch is one fetch; it is independent of the request that started it, since
// others wait for it too.
func (t *tenant) fetch(done chan struct{}, now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	id, err := t.fetchID(ctx)
	var keys map[string]*rsa.PublicKey
	if err == nil {
		keys, err = t.fetchKeys(ctx)
	}
	t.mu.Lock()
	t.fetching = nil
	t.failed = err != nil
	if err == nil {
		t.id, t.keys, t.loaded = id, keys, now
	}
	t.mu.Unlock()
	close(done)
	if err != nil {
		t.onFailure(fmt.Errorf("auth: fetching the signing keys: %w", err))
	}
}

// fetchID returns the tenant's id. A tenant that is given by a domain name
// tells its id in the issuer of its discovery document (OpenID Connect
// Discovery 1.0, section 4).
func (t *tenant) fetchID(ctx context.Context) (string, error) {
	t.mu.Lock()
	id := t.id
	t.mu.Unlock()
	if id != "" {
		return id, nil
	}
	var document struct {
		Issuer string `json:"issuer"`
	}
	if err := t.get(ctx, "/v2.0/.well-known/openid-configuration", &document); err != nil {
		return "", err
	}
	id, ok := strings.CutPrefix(document.Issuer, t.authority+"/")
	id, ok2 := strings.CutSuffix(id, "/v2.0")
	if !ok || !ok2 || !guid.MatchString(id) {
		return "", errors.New("the tenant's issuer is not of the authority")
	}
	return strings.ToLower(id), nil
}

// fetchKeys returns the tenant's signing keys. What is no RSA key for
// signatures is left out.
func (t *tenant) fetchKeys(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := t.get(ctx, "/discovery/v2.0/keys", &document); err != nil {
		return nil, err
	}
	keys := make(map[string]*rsa.PublicKey, len(document.Keys))
	for _, raw := range document.Keys {
		var jwk jose.JSONWebKey
		if jwk.UnmarshalJSON(raw) != nil || jwk.KeyID == "" || jwk.Use != "" && jwk.Use != "sig" {
			continue
		}
		if key, ok := jwk.Key.(*rsa.PublicKey); ok && key.N.BitLen() >= minModulus {
			keys[jwk.KeyID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the tenant has no signing key")
	}
	return keys, nil
}

// get reads a JSON document of the tenant.
func (t *tenant) get(ctx context.Context, path string, document any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.authority+"/"+url.PathEscape(t.name)+path, nil)
	if err != nil {
		return err
	}
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", request.URL.Host, response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, maxDocument)).Decode(document)
}
