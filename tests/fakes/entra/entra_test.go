package entra

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	user   = "11111111-bbbb-4000-8000-000000000001"
	app    = "22222222-bbbb-4000-8000-000000000002"
	nobody = "33333333-bbbb-4000-8000-000000000003"
	vault  = "https://vault.test"
)

func newServer() *Server {
	return New(Options{
		Domain:       "contoso.onmicrosoft.com",
		Identities:   []string{user},
		Applications: map[string]Application{app: {Secret: "secret", Assertion: "assertion"}},
	})
}

// call sends a request in memory and returns the status and the document.
func call(t *testing.T, s *Server, r *http.Request) (int, map[string]any) {
	t.Helper()
	response, err := s.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

func read(t *testing.T, response *http.Response) (int, map[string]any) {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	_ = json.Unmarshal(body, &document) // what is no JSON has no members
	return response.StatusCode, document
}

func get(t *testing.T, url string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func post(t *testing.T, url string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// verified checks a token with the published keys and returns its claims.
func verified(t *testing.T, s *Server, token string) (Claims, error) {
	t.Helper()
	response, err := s.RoundTrip(get(t, Authority+"/"+s.Tenant()+"/discovery/v2.0/keys"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(response.Body).Decode(&keys); err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	claims := Claims{}
	return claims, parsed.Claims(keys, &claims)
}

func TestManagedIdentityEndpoints(t *testing.T) {
	const (
		service = "http://identity.test" + identityPath + "?api-version=2019-08-01&resource=" + vault
		machine = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" + vault
	)
	tests := []struct {
		name    string
		url     string
		headers []string
		kind    Kind
		status  int
		client  string
	}{
		{"App Service", service, []string{"X-IDENTITY-HEADER", identityHeader}, AppService, 200, SystemIdentity},
		{"App Service, user-assigned", service + "&client_id=" + user, []string{"X-IDENTITY-HEADER", identityHeader}, AppService, 200, user},
		{"App Service, another's identity", service + "&client_id=" + nobody, []string{"X-IDENTITY-HEADER", identityHeader}, AppService, 400, ""},
		{"App Service without the header", service, nil, AppService, 401, ""},
		{"App Service of an older version", strings.Replace(service, "2019", "2017", 1), []string{"X-IDENTITY-HEADER", identityHeader}, AppService, 400, ""},
		{"virtual machine", machine, []string{"Metadata", "true"}, IMDS, 200, SystemIdentity},
		{"virtual machine, user-assigned", machine + "&client_id=" + user, []string{"Metadata", "true"}, IMDS, 200, user},
		{"virtual machine, another's identity", machine + "&client_id=" + nobody, []string{"Metadata", "true"}, IMDS, 400, ""},
		{"virtual machine, probed", machine, nil, Probe, 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			status, document := call(t, s, get(t, tt.url, tt.headers...))
			if status != tt.status || s.Count(tt.kind) != 1 {
				t.Fatalf("got %d %v after %d requests, want %d after one", status, document, s.Count(tt.kind), tt.status)
			}
			if status != http.StatusOK {
				return
			}
			token, _ := document["access_token"].(string)
			claims, err := verified(t, s, token)
			if _, isText := document["expires_on"].(string); err != nil || !isText || claims["aud"] != vault || claims["appid"] != tt.client {
				t.Errorf("got %v with the claims %v, %v, want a token for %s", document, claims, err, tt.client)
			}
		})
	}
}

func TestTokenEndpoint(t *testing.T) {
	form := func(pairs ...string) url.Values {
		values := url.Values{"grant_type": {"client_credentials"}, "client_id": {app}, "scope": {vault + "/.default openid offline_access profile"}}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return values
	}
	const bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	tests := []struct {
		name   string
		tenant string
		form   url.Values
		status int
	}{
		{"secret", DefaultTenant, form("client_secret", "secret"), 200},
		{"tenant by its domain", "Contoso.onmicrosoft.com", form("client_secret", "secret"), 200},
		{"assertion", DefaultTenant, form("client_assertion_type", bearer, "client_assertion", "assertion"), 200},
		{"wrong secret", DefaultTenant, form("client_secret", "assertion"), 401},
		{"wrong assertion", DefaultTenant, form("client_assertion_type", bearer, "client_assertion", "secret"), 401},
		{"assertion of no kind", DefaultTenant, form("client_assertion", "assertion"), 401},
		{"nothing", DefaultTenant, form(), 401},
		{"another application", DefaultTenant, form("client_id", nobody, "client_secret", ""), 401},
		{"no scope", DefaultTenant, form("client_secret", "secret", "scope", vault), 400},
		{"another grant", DefaultTenant, form("client_secret", "secret", "grant_type", "password"), 400},
		{"another tenant", nobody, form("client_secret", "secret"), 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			status, document := call(t, s, post(t, Authority+"/"+tt.tenant+"/oauth2/v2.0/token", tt.form))
			if status != tt.status {
				t.Fatalf("got %d %v, want %d", status, document, tt.status)
			}
			if status != http.StatusOK {
				return
			}
			token, _ := document["access_token"].(string)
			if claims, err := verified(t, s, token); err != nil || claims["aud"] != vault || claims["appid"] != app {
				t.Errorf("the claims are %v, %v", claims, err)
			}
		})
	}
}

// A caller's token verifies with the published keys, after a rotation too, until
// its key is taken back.
func TestKeysRotate(t *testing.T) {
	s := newServer()
	old := s.CallerToken(app, "api://spillway", "Chat.Use")
	claims, err := verified(t, s, old)
	if err != nil || claims["iss"] != Authority+"/"+DefaultTenant+"/v2.0" || claims["azp"] != app || claims["aud"] != "api://spillway" {
		t.Errorf("the claims are %v, %v", claims, err)
	}
	s.Rotate()
	fresh := s.Sign(Claims{"aud": "x", "nbf": nil})
	if _, err := verified(t, s, old); err != nil {
		t.Errorf("the old key after a rotation: %v", err)
	}
	if claims, err := verified(t, s, fresh); err != nil || claims["nbf"] != nil {
		t.Errorf("the new key: %v, %v", claims, err)
	}
	s.Retire()
	if _, err := verified(t, s, old); err == nil {
		t.Error("the old key is still there")
	}
	if _, err := verified(t, s, fresh); err != nil {
		t.Errorf("the new key after the old one is gone: %v", err)
	}
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		ask := func() (*http.Response, error) {
			return s.RoundTrip(get(t, Authority+"/"+DefaultTenant+"/discovery/v2.0/keys"))
		}
		s.Fail(Keys, Fault{Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Second, Times: 2})
		for range 2 {
			response, err := ask()
			if err != nil || response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "7" {
				t.Errorf("got %v, %v, want 429 and Retry-After 7", response, err)
			}
		}
		if response, err := ask(); err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("after the fault: %v, want StatusCode %v, %v", response, http.StatusOK, err)
		}
		s.Fail(Keys, Fault{})
		if _, err := ask(); !errors.Is(err, errBroken) {
			t.Errorf("got %v, want a broken connection", err)
		}
		release := make(chan struct{})
		s.Fail(Keys, Fault{Stall: release})
		answered := make(chan int)
		go func() {
			if response, err := ask(); err == nil {
				answered <- response.StatusCode
			}
			close(answered)
		}()
		synctest.Wait()
		select {
		case <-answered:
			t.Error("a request that is held back was answered")
		default:
		}
		s.Recover(Keys)
		if response, err := ask(); err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("another request: %v, want StatusCode %v, %v", response, http.StatusOK, err)
		}
		close(release)
		if status := <-answered; status != http.StatusOK {
			t.Errorf("released: %d, want %d", status, http.StatusOK)
		}
	})
}

// Policy.Keep hands the same token out until so little is left of it.
func TestTokensAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.SetPolicy(Policy{Life: time.Hour, Keep: 10 * time.Minute})
		ask := func() any {
			_, document := call(t, s, get(t, "http://identity.test"+identityPath+"?api-version=2019-08-01&resource="+vault, "X-IDENTITY-HEADER", identityHeader))
			return document["access_token"]
		}
		first := ask()
		<-time.After(50 * time.Minute)
		if ask() != first {
			t.Error("another token before its time")
		}
		<-time.After(time.Second)
		if ask() == first {
			t.Error("the same token after its time")
		}
	})
}
