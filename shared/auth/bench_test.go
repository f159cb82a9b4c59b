package auth

import (
	"fmt"
	"net/http"
	"testing"

	"spillway/shared/config"
)

func BenchmarkAuthenticate(b *testing.B) {
	cfg := entraConfig(tenantID)
	for i := range 100_000 {
		cfg.Consumers = append(cfg.Consumers, config.Consumer{
			Name: fmt.Sprintf("consumer-%d", i), Keys: []config.KeyHash{hashOf(fmt.Sprintf("sw-key-of-consumer-%d", i))},
		})
	}
	key, _ := NewKey()
	cfg.Consumers[0].Keys = append(cfg.Consumers[0].Keys, hashOf(key))
	a := newAuthenticator(b, cfg, Options{Transport: newDirectory()})
	for name, r := range map[string]*http.Request{
		"key":    request("api-key", key),
		"bearer": request("Authorization", "Bearer "+key),
		"token":  withToken(sign(b, firstKey(), "k1", good(nil))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("unknown key", func(b *testing.B) {
		r := request("api-key", "sw-nobody-0123456789abcdef")
		b.ReportAllocs()
		for b.Loop() {
			if _, err := a.Authenticate(b.Context(), r); err == nil {
				b.Fatal("let in")
			}
		}
	})
}

func BenchmarkVerifyToken(b *testing.B) {
	a := newAuthenticator(b, entraConfig(tenantID), Options{Transport: newDirectory()})
	a.entra.cache.limit = 1
	requests := []*http.Request{
		withToken(sign(b, firstKey(), "k1", good(nil))),
		withToken(sign(b, firstKey(), "k1", good(claims{"jti": "2"}))),
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := a.Authenticate(b.Context(), requests[i%2]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStrip(b *testing.B) {
	h := request("api-key", searchKey, "Content-Type", "application/json", "User-Agent", "x", "Accept", "*/*", "traceparent", "x").Header
	b.ReportAllocs()
	for b.Loop() {
		h["Api-Key"] = nil
		Strip(h, nil)
	}
}
