package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"spillway/shared/openai"
	"spillway/shared/upstream/wire"
)

// Credential authenticates us to a backend. It is safe for concurrent use.
type Credential interface {
	// Field returns the field that authenticates a request; without a name: there is
	// none. An error means that the request must not be sent; it never holds a secret.
	Field(ctx context.Context) (wire.Field, error)
}

// None is the Credential of a backend that asks for none.
type None struct{}

// Field returns none.
func (None) Field(context.Context) (wire.Field, error) { return wire.Field{}, nil }

// APIKey is the Credential that sends a key.
type APIKey struct{ field wire.Field }

// NewAPIKey makes an APIKey that is sent as the dialect wants it: as api-key to
// Azure, as a bearer token to others.
func NewAPIKey(key string, d openai.Dialect) *APIKey {
	if d == openai.OpenAI {
		return &APIKey{wire.Field{Name: "Authorization", Values: []string{"Bearer " + key}}}
	}
	return &APIKey{wire.Field{Name: "Api-Key", Values: []string{key}}}
}

// Field returns the key.
func (k *APIKey) Field(context.Context) (wire.Field, error) { return k.field, nil }

// Format keeps the key out of whatever is printed.
func (k *APIKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// DefaultScope is the scope of tokens for Azure OpenAI.
const DefaultScope = "https://cognitiveservices.azure.com/.default"

const (
	// tokenFetch bounds one fetch of a token.
	tokenFetch = 10 * time.Second
	// tokenMargin is how long before its end a token is not used any more.
	tokenMargin = 30 * time.Second
	// tokenAhead is how long before its end a token is replaced, if whoever
	// issued it has no advice; and how long after a renewal that brought the same
	// token the next is tried.
	tokenAhead = 5 * time.Minute
	// tokenPause is the time after a failed fetch in which no other is made,
	// and longestPause the same while there is a token that is good for long.
	tokenPause   = 5 * time.Second
	longestPause = time.Minute
)

// ManagedIdentity is the Credential that sends a token of Microsoft Entra, most
// often that of the host's managed identity. The token is kept, and replaced in
// the background ahead of its end; any number of requests that need one wait for
// the same fetch.
type ManagedIdentity struct {
	source azcore.TokenCredential
	scopes []string

	mu       sync.Mutex
	value    []string      // guarded by mu; the Authorization field, nil before the first token
	until    time.Time     // guarded by mu; when value is no longer to be used
	renew    time.Time     // guarded by mu; when a new one is to be fetched
	fetching chan struct{} // guarded by mu; closed when the fetch under way has ended
	err      error         // guarded by mu; of the last fetch
	pause    time.Time     // guarded by mu; no fetch before
}

// NewManagedIdentity makes a ManagedIdentity of a source of tokens. An empty
// scope means DefaultScope. Nothing is fetched yet.
func NewManagedIdentity(source azcore.TokenCredential, scope string) *ManagedIdentity {
	if scope == "" {
		scope = DefaultScope
	}
	return &ManagedIdentity{source: source, scopes: []string{scope}}
}

// Field returns the token. It waits only while there is none that is valid, for one
// fetch at most.
func (c *ManagedIdentity) Field(ctx context.Context) (wire.Field, error) {
	value, wait, err := c.current(time.Now())
	if wait != nil {
		select {
		case <-wait:
			value, _, err = c.current(time.Now())
		case <-ctx.Done():
			return wire.Field{}, ctx.Err()
		}
	}
	if value == nil {
		if err == nil {
			err = errNoToken
		}
		return wire.Field{}, err
	}
	return wire.Field{Name: "Authorization", Values: value}, nil
}

var (
	errNoToken    = errors.New("no token")
	errEndedToken = errors.New("a token that has ended already")
)

// current returns the token, or what to wait for, or why there is none. It
// starts a fetch where one is due.
func (c *ManagedIdentity) current(now time.Time) (value []string, wait <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	valid := c.value != nil && now.Before(c.until)
	if c.fetching == nil && (!valid || !now.Before(c.renew)) && !now.Before(c.pause) {
		c.fetching = make(chan struct{})
		go c.fetch(c.fetching)
	}
	switch {
	case valid:
		return c.value, nil, nil
	case c.fetching != nil:
		return nil, c.fetching, nil
	default:
		return nil, nil, c.err
	}
}

// fetch gets a new token. It belongs to no request, so that one which leaves
// does not take the token away from those that wait.
func (c *ManagedIdentity) fetch(ended chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenFetch)
	defer cancel()
	token, err := c.source.GetToken(ctx, policy.TokenRequestOptions{Scopes: c.scopes})
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetching = nil
	close(ended)
	switch {
	case err != nil:
	case token.Token == "":
		err = errNoToken
	case !token.ExpiresOn.After(now):
		err = errEndedToken
	}
	if c.err = err; err != nil {
		// Many requests get this error. Its text is made here, once: the SDK's
		// errors read the answer they hold whenever they are asked for theirs.
		c.err = fmt.Errorf("fetching a token: %w", err)
		c.pause = now.Add(pause(c.until.Sub(now)))
		return
	}
	c.value = []string{"Bearer " + token.Token}
	c.until = token.ExpiresOn.Add(-min(tokenMargin, token.ExpiresOn.Sub(now)/2))
	c.renew = renewal(token, now)
}

// renewal is when to replace a token that is handed out now. Where the time that
// its issuer has advised is past, the source tried in vain and has kept that to
// itself, as the Azure SDK does: then it is asked again soon.
func renewal(t azcore.AccessToken, now time.Time) time.Time {
	ahead := min(tokenAhead, t.ExpiresOn.Sub(now)/2)
	switch {
	case t.RefreshOn.IsZero(), !t.RefreshOn.Before(t.ExpiresOn):
		return t.ExpiresOn.Add(-ahead)
	case !t.RefreshOn.After(now):
		return now.Add(ahead)
	}
	return t.RefreshOn
}

// pause is how long to wait after a failed fetch while the token that is there can
// be used for so long; 0 or less: there is none.
func pause(left time.Duration) time.Duration {
	return min(max(left/10, tokenPause), longestPause)
}

var (
	_ Credential    = None{}
	_ Credential    = (*APIKey)(nil)
	_ Credential    = (*ManagedIdentity)(nil)
	_ fmt.Formatter = (*APIKey)(nil)
)
