package auth

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"spillway/shared/config"
)

const (
	inFile      = 10_000
	inDirectory = 90_000
)

// index is a Directory that holds all it knows in memory.
type index struct {
	keys  map[config.KeyHash]*config.Definition
	apps  map[string]*config.Definition
	roles map[string]*config.Definition
}

func (x *index) ByKey(_ context.Context, key config.KeyHash) (*config.Definition, error) {
	return x.keys[key], nil
}
func (x *index) ByApp(_ context.Context, app string) (*config.Definition, error) {
	return x.apps[app], nil
}
func (x *index) ByRole(_ context.Context, role string) (*config.Definition, error) {
	return x.roles[role], nil
}

func keyOf(i int) string { return fmt.Sprintf("sw-key-of-consumer-%d", i) }

func consumerOf(i int) config.Consumer {
	return config.Consumer{Name: fmt.Sprintf("consumer-%d", i), Keys: []config.KeyHash{hashOf(keyOf(i))}}
}

// crowd is an Authenticator with a hundred thousand consumers: some in the
// configuration, most in the directory.
func crowd(b *testing.B) *Authenticator {
	b.Helper()
	cfg := rosterConfig()
	for i := range inFile {
		cfg.Consumers = append(cfg.Consumers, consumerOf(i))
	}
	x := &index{keys: make(map[config.KeyHash]*config.Definition), apps: make(map[string]*config.Definition), roles: make(map[string]*config.Definition)}
	for i := inFile; i < inFile+inDirectory; i++ {
		consumer := consumerOf(i)
		x.keys[consumer.Keys[0]] = &config.Definition{Consumer: &consumer}
	}
	x.apps[tableApp] = definitions(config.Consumer{Name: "table-app", Entra: config.ConsumerEntra{AppIDs: []string{tableApp}}})[0]
	x.roles["Table.Use"] = definitions(config.Consumer{Name: "table-role", Entra: config.ConsumerEntra{Roles: []string{"Table.Use"}}})[0]
	return newAuthenticator(b, cfg, Options{Transport: newAuthority(), Directory: x})
}

func BenchmarkAuthenticate(b *testing.B) {
	a := crowd(b)
	token := func(c claims) *http.Request { return withToken(sign(b, firstKey(), "k1", good(c))) }
	for _, bench := range []struct {
		name string
		r    *http.Request
		ok   bool
	}{
		{"key", request("api-key", keyOf(inFile/2)), true},
		{"bearer", request("Authorization", "Bearer "+keyOf(inFile/2)), true},
		{"directory key", request("api-key", keyOf(inFile+inDirectory/2)), true},
		{"unknown key", request("api-key", "sw-nobody-0123456789abcdef"), false},
		{"token", token(nil), true},
		{"directory token", token(claims{"azp": tableApp}), true},
		{"role", token(claims{"azp": otherApp, "roles": []string{"Chat.Read"}}), true},
		{"directory role, the last of 16", token(claims{"azp": otherApp, "roles": append(roles(maxRoles-1), "Table.Use")}), true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), bench.r); (err == nil) != bench.ok {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRoster tells what the maps of a consumer of the configuration take,
// in bytes.
func BenchmarkRoster(b *testing.B) {
	consumers := make([]config.Consumer, inFile+inDirectory)
	for i := range consumers {
		consumers[i] = consumerOf(i)
	}
	var before, after runtime.MemStats
	var r *roster
	for b.Loop() {
		r = nil
		runtime.GC()
		runtime.ReadMemStats(&before)
		var err error
		if r, err = newRoster(consumers, nil); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(consumers)), "B/consumer")
	runtime.KeepAlive(r)
	runtime.KeepAlive(consumers)
}

// BenchmarkUnknownKeyPrefix: how much of a key is right makes no difference to
// the time in which it is refused.
func BenchmarkUnknownKeyPrefix(b *testing.B) {
	a := crowd(b)
	key := keyOf(inFile / 2)
	for _, bench := range []struct {
		name  string
		right int // how many characters
	}{{"0", 0}, {"half", len(key) / 2}, {"allButOne", len(key) - 1}} {
		b.Run(bench.name, func(b *testing.B) {
			r := request("api-key", key[:bench.right]+strings.Repeat("!", len(key)-bench.right))
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), r); err == nil {
					b.Fatal("let in")
				}
			}
		})
	}
}

func BenchmarkVerifyToken(b *testing.B) {
	a := newAuthenticator(b, entraConfig(tenantID), Options{Transport: newAuthority()})
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
