package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The tenant is a domain name: its id comes from the discovery document.
func TestTenantByDomainName(t *testing.T) {
	d := newAuthority()
	a := newAuthenticator(t, entraConfig("contoso.onmicrosoft.com"), Options{Transport: d})
	for _, issuer := range []string{issuerV2, issuerV1} {
		if got := identified(t, a, withToken(sign(t, firstKey(), "k1", good(claims{"iss": issuer})))); got != "team-search" {
			t.Errorf("%s: got %s, want team-search", issuer, got)
		}
	}
	want := []string{
		defaultAuthority + "/contoso.onmicrosoft.com/v2.0/.well-known/openid-configuration",
		defaultAuthority + "/contoso.onmicrosoft.com/discovery/v2.0/keys",
	}
	if len(d.requests) != 2 || d.requests[0] != want[0] || d.requests[1] != want[1] {
		t.Errorf("requests %q, want %q", d.requests, want)
	}
}

// Garbage key ids cost at most one fetch in ten seconds, and cannot keep a new
// key out for longer.
func TestUnknownKeyIDsFetchAtMostOnceInTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newAuthority()
		a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d})
		start := time.Now()
		for i := range 300 {
			token := sign(t, firstKey(), fmt.Sprintf("garbage-%d", i), good(nil))
			if got := identified(t, a, withToken(token)); got != "denied: invalid_token" {
				t.Fatal(got)
			}
			if most := 1 + int(time.Since(start)/fetchPause); d.count() > most {
				t.Fatalf("%d fetches in %v, want at most %d", d.count(), time.Since(start), most)
			}
			pass(100 * time.Millisecond)
		}
		d.set(func(d *authority) { d.keys["k2"] = &secondKey().PublicKey })
		rotated := sign(t, secondKey(), "k2", good(nil))
		pass(fetchPause)
		if got := identified(t, a, withToken(rotated)); got != "team-search" {
			t.Errorf("the tenant's new key after %v: %s, want team-search", fetchPause, got)
		}
		// A known key id with a wrong signature is no reason to fetch at all.
		before := d.count()
		pass(fetchPause)
		for range 10 {
			if got := identified(t, a, withToken(sign(t, foreign(), "k1", good(nil)))); got != "denied: invalid_token" {
				t.Error(got)
			}
		}
		if d.count() != before {
			t.Errorf("wrong signatures caused %d fetches", d.count()-before)
		}
	})
}

// Many first requests wait for one fetch.
func TestConcurrentTokensShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newAuthority()
		d.stall = make(chan struct{})
		a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d})
		results := make(chan string, 50)
		for range cap(results) {
			token := sign(t, firstKey(), "k1", good(nil))
			go func() { results <- identified(t, a, withToken(token)) }()
		}
		synctest.Wait()
		close(d.stall)
		for range cap(results) {
			if got := <-results; got != "team-search" {
				t.Error(got)
			}
		}
		if d.count() != 1 {
			t.Errorf("%d fetches, want 1", d.count())
		}
	})
}

// The tenant changes its key while requests go on: all tokens of the new key wait
// for one fetch, tokens of the old key for none.
func TestKeyRotationUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newAuthority()
		a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d})
		if got := identified(t, a, withToken(sign(t, firstKey(), "k1", good(nil)))); got != "team-search" {
			t.Fatal(got)
		}
		pass(fetchPause)
		d.set(func(d *authority) {
			d.keys["k2"] = &secondKey().PublicKey
			d.stall = make(chan struct{})
		})
		fresh := sign(t, secondKey(), "k2", good(nil))
		results := make(chan string, 200)
		for i := range cap(results) {
			token := fresh
			if i%2 == 0 {
				token = sign(t, secondKey(), "k2", good(claims{"jti": i}))
			}
			go func() { results <- identified(t, a, withToken(token)) }()
		}
		synctest.Wait()
		start := time.Now()
		if got := identified(t, a, withToken(sign(t, firstKey(), "k1", good(claims{"jti": "old"})))); got != "team-search" || time.Since(start) > 0 {
			t.Errorf("the old key during the fetch: %s after %v", got, time.Since(start))
		}
		close(d.stall)
		for range cap(results) {
			if got := <-results; got != "team-search" {
				t.Errorf("the new key: %s, want team-search", got)
			}
		}
		if d.count() != 2 {
			t.Errorf("%d fetches, want one at first and one for the new key", d.count())
		}
	})
}

// Where nothing was ever fetched, no token can be checked. That is not the
// client's fault.
func TestTenantIsDownFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newAuthority()
		d.fail = errors.New("connection refused")
		a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d})
		token := withToken(sign(t, firstKey(), "k1", good(nil)))
		for range 100 {
			if got := identified(t, a, token); got != "denied: keys_unavailable" {
				t.Fatalf("got %s, want denied: keys_unavailable", got)
			}
		}
		if d.count() != 1 {
			t.Errorf("%d fetches, want 1", d.count())
		}
		for name, r := range map[string]*http.Request{"a key": request("api-key", searchKey), "a key as a bearer token": withToken(botKey)} {
			if got := identified(t, a, r); strings.HasPrefix(got, "denied") {
				t.Errorf("%s: %s", name, got)
			}
		}
		d.set(func(d *authority) { d.fail = nil })
		pass(fetchPause)
		if got := identified(t, a, token); got != "team-search" {
			t.Errorf("when it is up again: %s, want team-search", got)
		}
	})
}

// A token that names no key is not worth a fetch.
func TestTokenWithoutKeyIDFetchesNothing(t *testing.T) {
	d := newAuthority()
	a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d})
	if got := identified(t, a, withToken(sign(t, firstKey(), "", good(nil)))); got != "denied: invalid_token" || d.count() != 0 {
		t.Errorf("%s after %d fetches, want denied: invalid_token, 0", got, d.count())
	}
}

// An hour later the keys are fetched again while requests go on; a key the
// tenant took back is then refused.
func TestKeysAreRefreshedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newAuthority()
		a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d})
		identified(t, a, withToken(sign(t, firstKey(), "k1", good(nil))))
		d.set(func(d *authority) {
			d.keys = map[string]any{"k2": &secondKey().PublicKey}
			d.stall = make(chan struct{})
		})
		pass(keysFreshFor)
		old := sign(t, firstKey(), "k1", good(nil))
		if got := identified(t, a, withToken(old)); got != "team-search" {
			t.Errorf("during the refresh: %s, want team-search", got)
		}
		close(d.stall)
		synctest.Wait()
		if got := identified(t, a, withToken(sign(t, firstKey(), "k1", good(claims{"jti": "2"})))); got != "denied: invalid_token" {
			t.Errorf("a key taken back: %s, want denied: invalid_token", got)
		}
		if got := identified(t, a, withToken(sign(t, secondKey(), "k2", good(nil)))); got != "team-search" {
			t.Errorf("the new key: %s, want team-search", got)
		}
	})
}

// While the tenant cannot be reached, tokens of known keys work, and others get
// 503 to try again, not 401.
func TestTenantIsDown(t *testing.T) {
	failures := map[string]func(*authority){
		"no connection":   func(d *authority) { d.fail = errors.New("connection refused") },
		"500":             func(d *authority) { d.status = http.StatusInternalServerError },
		"redirect":        func(d *authority) { d.status = http.StatusFound },
		"no JSON":         func(d *authority) { d.body = "<html>" },
		"no keys":         func(d *authority) { d.body = `{"keys":[]}` },
		"keys of no use":  func(d *authority) { d.body = `{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"k2"},{"kty":"RSA"},7]}` },
		"endless":         func(d *authority) { d.body = `{"keys":[` + strings.Repeat(" ", maxDocument+10) + `]}` },
		"hangs":           func(d *authority) { d.stall = make(chan struct{}) },
		"encryption keys": func(d *authority) { d.body = strings.ReplaceAll(keySet(d.keys), `"kty"`, `"use":"enc","kty"`) },
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newAuthority()
				var told []error
				var mu sync.Mutex
				a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d, KeysFailed: func(err error) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, err)
				}})
				if got := identified(t, a, withToken(sign(t, firstKey(), "k1", good(nil)))); got != "team-search" {
					t.Fatal(got)
				}
				d.set(fail)
				pass(2 * keysFreshFor)
				if got := identified(t, a, withToken(sign(t, firstKey(), "k1", good(nil)))); got != "team-search" {
					t.Errorf("a known key: %s, want team-search", got)
				}
				if got := identified(t, a, withToken(sign(t, secondKey(), "k2", good(nil)))); got != "denied: keys_unavailable" {
					t.Errorf("an unknown key: %s, want denied: keys_unavailable", got)
				}
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				if len(told) != 1 {
					t.Errorf("told of %d failures, want 1: %v", len(told), told)
				}
			})
		})
	}
}

func TestClientLeavesWhileKeysAreFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newAuthority()
		d.stall = make(chan struct{})
		a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := a.Authenticate(ctx, withToken(sign(t, firstKey(), "k1", good(nil))))
		var denied *Denied
		if !errors.As(err, &denied) || denied.Reason != Canceled || time.Since(start) != time.Second {
			t.Errorf("%v after %v, want canceled after 1 s", err, time.Since(start))
		}
		close(d.stall)
	})
}

// The same over a real connection, with an authority of the test's own.
func TestAuthorityOption(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/"+tenantID+"/discovery/v2.0/keys" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.Copy(w, bytes.NewBufferString(keySet(map[string]any{"k1": &firstKey().PublicKey})))
	}))
	defer server.Close()
	a := newAuthenticator(t, entraConfig(tenantID), Options{Authority: server.URL + "/"})
	ours := good(claims{"iss": server.URL + "/" + tenantID + "/v2.0"})
	if got := identified(t, a, withToken(sign(t, firstKey(), "k1", ours))); got != "team-search" {
		t.Errorf("issuer of our authority: %s, want team-search", got)
	}
	if got := identified(t, a, withToken(sign(t, firstKey(), "k1", good(nil)))); got != "denied: wrong_issuer" {
		t.Errorf("issuer of the default authority: %s, want denied: wrong_issuer", got)
	}
}
