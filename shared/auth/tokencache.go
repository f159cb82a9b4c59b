package auth

import (
	"container/list"
	"sync"
	"time"

	"spillway/shared/config"
)

// tokenCache remembers what verified tokens say until they expire, so that their
// signatures are not verified with each request. Tokens are known by their
// SHA-256. It is safe for concurrent use.
type tokenCache struct {
	limit int

	mu      sync.Mutex
	entries map[config.KeyHash]*list.Element // of *cachedToken. Guarded by mu.
	order   list.List                        // the last used first. Guarded by mu.
}

type cachedToken struct {
	hash   config.KeyHash
	token  verified
	forget time.Time
}

func newTokenCache(limit int) *tokenCache {
	return &tokenCache{limit: limit, entries: make(map[config.KeyHash]*list.Element)}
}

// get returns what a token says that has not expired.
func (c *tokenCache) get(hash config.KeyHash, now time.Time) (verified, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[hash]
	if !ok {
		return verified{}, false
	}
	cached := element.Value.(*cachedToken)
	if now.After(cached.forget) {
		c.remove(element)
		return verified{}, false
	}
	c.order.MoveToFront(element)
	return cached.token, true
}

// put remembers a verified token. The one used least recently makes room.
func (c *tokenCache) put(hash config.KeyHash, token verified, forget time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[hash]; ok {
		c.remove(element)
	}
	if len(c.entries) >= c.limit {
		c.remove(c.order.Back())
	}
	c.entries[hash] = c.order.PushFront(&cachedToken{hash, token, forget})
}

// remove requires mu.
func (c *tokenCache) remove(element *list.Element) {
	c.order.Remove(element)
	delete(c.entries, element.Value.(*cachedToken).hash)
}
