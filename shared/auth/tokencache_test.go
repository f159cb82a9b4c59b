package auth

import (
	"testing"
	"time"

	"spillway/shared/config"
)

func TestTokenCacheForgetsTheLeastRecentlyUsed(t *testing.T) {
	const limit = 100
	now := time.Unix(1_700_000_000, 0)
	c := newTokenCache(limit)
	id := func(i int) config.KeyHash { return config.KeyHash{byte(i), byte(i >> 8)} }
	for i := range 10 * limit {
		c.put(id(i), verified{app: appID}, now.Add(time.Hour))
		if _, ok := c.get(id(0), now); !ok {
			t.Fatalf("the token in use was forgotten after %d others", i)
		}
		if len(c.entries) > limit || len(c.entries) != c.order.Len() {
			t.Fatalf("%d entries in the map, %d in order, want ≤ %d", len(c.entries), c.order.Len(), limit)
		}
	}
	if _, ok := c.get(id(1), now); ok {
		t.Error("the oldest token is still there")
	}
	if _, ok := c.get(id(10*limit-1), now); !ok {
		t.Error("the newest token is not there")
	}
}

func TestTokenCacheForgetsExpiredTokens(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := newTokenCache(10)
	c.put(config.KeyHash{1}, verified{app: appID}, now.Add(time.Minute))
	if _, ok := c.get(config.KeyHash{1}, now.Add(time.Minute)); !ok {
		t.Error("forgotten too early")
	}
	if _, ok := c.get(config.KeyHash{1}, now.Add(time.Minute+1)); ok || len(c.entries) != 0 {
		t.Error("an expired token is still there")
	}
	c.put(config.KeyHash{2}, verified{}, now)
	c.put(config.KeyHash{2}, verified{app: appID}, now.Add(time.Hour))
	if token, ok := c.get(config.KeyHash{2}, now.Add(time.Minute)); !ok || token.app != appID || c.order.Len() != 1 {
		t.Error("the second put did not replace the first")
	}
}
