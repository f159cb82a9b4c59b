package auth

import (
	"container/list"
	"sync"
	"time"

	"spillway/shared/config"
)

// tokenCache remembers whose a verified token is until it expires, so that its
// signature is not verified with each request. Tokens are known by their
// SHA-256. It is safe for concurrent use.
type tokenCache struct {
	limit int

	mu      sync.Mutex
	entries map[config.KeyHash]*list.Element // of *cachedToken. Guarded by mu.
	order   list.List                        // the last used first. Guarded by mu.
}

type cachedToken struct {
	hash    config.KeyHash
	caller  Caller
	expires time.Time
}

func newTokenCache(limit int) *tokenCache {
	return &tokenCache{limit: limit, entries: make(map[config.KeyHash]*list.Element)}
}

// get returns the caller of a token that has not expired.
func (c *tokenCache) get(hash config.KeyHash, now time.Time) (Caller, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[hash]
	if !ok {
		return Caller{}, false
	}
	token := element.Value.(*cachedToken)
	if now.After(token.expires) {
		c.remove(element)
		return Caller{}, false
	}
	c.order.MoveToFront(element)
	return token.caller, true
}

// put remembers a verified token. The one used least recently makes room.
func (c *tokenCache) put(hash config.KeyHash, caller Caller, expires time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[hash]; ok {
		c.remove(element)
	}
	if len(c.entries) >= c.limit {
		c.remove(c.order.Back())
	}
	c.entries[hash] = c.order.PushFront(&cachedToken{hash, caller, expires})
}

// remove requires mu.
func (c *tokenCache) remove(element *list.Element) {
	c.order.Remove(element)
	delete(c.entries, element.Value.(*cachedToken).hash)
}
