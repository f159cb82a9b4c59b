package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"spillway/shared/config"
)

const (
	searchKey  = "sw-search-0123456789abcdef"
	searchNext = "sw-search-fedcba9876543210"
	botKey     = "sw-bot-0123456789abcdef"
	adminKey   = "sw-admin-0123456789abcdef"
	ciKey      = "sw-ci-0123456789abcdef"
)

func hashOf(key string) config.KeyHash { return sha256.Sum256([]byte(key)) }

func sumOf(key string) []byte {
	sum := hashOf(key)
	return sum[:]
}

func testConfig() *config.Config {
	return &config.Config{
		Access: "keys",
		Consumers: []config.Consumer{
			{Name: "team-search", Keys: []config.KeyHash{hashOf(searchKey), hashOf(searchNext)}},
			{Name: "bot", Keys: []config.KeyHash{hashOf(botKey)}},
		},
		Admin: config.Admin{Keys: []config.AdminKey{{Name: "ops", Key: hashOf(adminKey)}, {Name: "ci", Key: hashOf(ciKey)}}},
	}
}

func newAuthenticator(t testing.TB, cfg *config.Config, o Options) *Authenticator {
	t.Helper()
	a, err := New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// request returns a request with headers given as name, value, name, value …
func request(headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// identified authenticates and returns the consumer's name, or "denied: " and
// the reason. It asserts what holds for every answer.
func identified(t testing.TB, a *Authenticator, r *http.Request) string {
	t.Helper()
	caller, err := a.Authenticate(t.Context(), r)
	if err != nil {
		var denied *Denied
		if !errors.As(err, &denied) || caller != (Caller{}) || denied.Message == "" || denied.Type == "" || denied.Code == "" {
			t.Fatalf("Authenticate = %+v, %#v, want no caller and a Denied with all fields", caller, err)
		}
		if (denied.Status == http.StatusServiceUnavailable) != (denied.RetryAfter > 0) {
			t.Fatalf("status %d with Retry-After %v", denied.Status, denied.RetryAfter)
		}
		return "denied: " + string(denied.Reason)
	}
	if caller.Consumer == nil {
		if caller != (Caller{}) {
			t.Fatalf("an anonymous caller has a credential: %+v", caller)
		}
		return "anonymous"
	}
	return caller.Consumer.Name
}

var credentialCases = []struct {
	name    string
	headers []string
	want    string
}{
	{"api-key", []string{"api-key", searchKey}, "team-search"},
	{"the second key of a rotation", []string{"api-key", searchNext}, "team-search"},
	{"another consumer", []string{"api-key", botKey}, "bot"},
	{"bearer", []string{"Authorization", "Bearer " + botKey}, "bot"},
	{"scheme in any case, spaces", []string{"Authorization", "bEARER   " + botKey + " "}, "bot"},
	{"both the same", []string{"api-key", botKey, "Authorization", "Bearer " + botKey}, "bot"},
	{"both, different: api-key wins", []string{"api-key", botKey, "Authorization", "Bearer " + searchKey}, "bot"},
	{"both, api-key wrong: it wins too", []string{"api-key", "wrong", "Authorization", "Bearer " + searchKey}, "denied: unknown_key"},
	{"both, Authorization is no bearer token", []string{"api-key", botKey, "Authorization", "Basic eDp5"}, "bot"},

	{"nothing", nil, "denied: missing"},
	{"empty api-key", []string{"api-key", ""}, "denied: malformed"},
	{"empty api-key, good bearer", []string{"api-key", "", "Authorization", "Bearer " + botKey}, "denied: malformed"},
	{"empty bearer", []string{"Authorization", "Bearer "}, "denied: malformed"},
	{"spaces", []string{"Authorization", "Bearer    "}, "denied: malformed"},
	{"scheme alone", []string{"Authorization", "Bearer"}, "denied: malformed"},
	{"no scheme", []string{"Authorization", botKey}, "denied: malformed"},
	{"basic", []string{"Authorization", "Basic " + botKey}, "denied: malformed"},
	{"api-key twice", []string{"api-key", botKey, "api-key", botKey}, "denied: malformed"},
	{"Authorization twice", []string{"Authorization", "Bearer " + botKey, "Authorization", "Bearer " + botKey}, "denied: malformed"},
	{"api-key, and Authorization twice", []string{"api-key", botKey, "Authorization", "Bearer x", "Authorization", "Bearer y"}, "denied: malformed"},
	{"longest api-key", []string{"api-key", strings.Repeat("k", maxCredential)}, "denied: unknown_key"},
	{"too long api-key", []string{"api-key", strings.Repeat("k", maxCredential+1)}, "denied: malformed"},
	{"too long bearer", []string{"Authorization", "Bearer " + strings.Repeat("k", maxCredential+1)}, "denied: malformed"},

	{"wrong key", []string{"api-key", "sw-nobody-0123456789abcdef"}, "denied: unknown_key"},
	{"almost a key", []string{"api-key", botKey[:len(botKey)-1] + "0"}, "denied: unknown_key"},
	{"beginning of a key", []string{"api-key", botKey[:len(botKey)-1]}, "denied: unknown_key"},
	{"two keys in one", []string{"api-key", botKey + "," + searchKey}, "denied: unknown_key"},
	{"the hash instead of the key", []string{"api-key", "sha256:" + hex.EncodeToString(sumOf(botKey))}, "denied: unknown_key"},
	{"the hash as bytes", []string{"api-key", string(sumOf(botKey))}, "denied: unknown_key"},
	{"an admin key is no consumer's", []string{"api-key", adminKey}, "denied: unknown_key"},
	{"a key in another header", []string{"x-api-key", botKey}, "denied: missing"},
	{"a token, though tokens are not accepted", []string{"Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJhcHBpZCI6IngifQ."}, "denied: unknown_key"},
}

func TestAuthenticateByKey(t *testing.T) {
	a := newAuthenticator(t, testConfig(), Options{})
	for _, tt := range credentialCases {
		t.Run(tt.name, func(t *testing.T) {
			if got := identified(t, a, request(tt.headers...)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// Open access lets everybody in, and still knows whom it knows.
func TestOpenAccess(t *testing.T) {
	cfg := testConfig()
	cfg.Access = "open"
	a := newAuthenticator(t, cfg, Options{})
	for _, tt := range credentialCases {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if strings.HasPrefix(want, "denied") {
				want = "anonymous"
			}
			r := request(tt.headers...)
			if got := identified(t, a, r); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if _, admin := a.Admin(r); admin != (tt.name == "an admin key is no consumer's") {
				t.Error("open access must not make or unmake administrators")
			}
		})
	}
}

func TestCallerNamesTheKeyByTheBeginningOfItsHash(t *testing.T) {
	a := newAuthenticator(t, testConfig(), Options{})
	first, err1 := a.Authenticate(t.Context(), request("api-key", searchKey))
	second, err2 := a.Authenticate(t.Context(), request("api-key", searchNext))
	if err1 != nil || err2 != nil || first.Consumer != second.Consumer || first.Key == second.Key {
		t.Fatalf("%+v and %+v, want one consumer and two keys", first, second)
	}
	if first.Key != hashOf(searchKey).String() || first.AppID != "" {
		t.Errorf("Key = %q, AppID = %q, want %q, %q", first.Key, first.AppID, hashOf(searchKey).String(), "")
	}
}

func TestAdmin(t *testing.T) {
	a := newAuthenticator(t, testConfig(), Options{})
	tests := []struct {
		name    string
		headers []string
		want    string // name of the key; empty: no administrator
	}{
		{"api-key", []string{"api-key", adminKey}, "ops"},
		{"another key", []string{"api-key", ciKey}, "ci"},
		{"bearer", []string{"Authorization", "Bearer " + adminKey}, "ops"},
		{"nothing", nil, ""},
		{"a consumer's key", []string{"api-key", searchKey}, ""},
		{"wrong", []string{"api-key", adminKey + "x"}, ""},
		{"twice", []string{"api-key", adminKey, "api-key", adminKey}, ""},
		{"behind a wrong api-key", []string{"api-key", "x", "Authorization", "Bearer " + adminKey}, ""},
	}
	for _, tt := range tests {
		if got, ok := a.Admin(request(tt.headers...)); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: Admin = %q, %v, want %q", tt.name, got, ok, tt.want)
		}
	}
	closed := newAuthenticator(t, &config.Config{Access: "keys"}, Options{})
	for _, r := range []*http.Request{request("api-key", adminKey), request("api-key", ""), request()} {
		if name, ok := closed.Admin(r); ok {
			t.Errorf("without admin keys %q is an administrator", name)
		}
	}
}

// Whatever is wrong with a credential, the client reads the same. Only whether it
// has sent a bearer token, which it knows, makes a difference: RFC 6750 has no
// error told to one that has sent none.
func TestDeniedIsNoOracle(t *testing.T) {
	a := newAuthenticator(t, testConfig(), Options{})
	seen := make(map[string]Denied) // by challenge
	for _, tt := range credentialCases {
		_, err := a.Authenticate(t.Context(), request(tt.headers...))
		if err == nil {
			continue
		}
		denied := *err.(*Denied)
		denied.Reason = ""
		want := `Bearer realm="spillway"`
		if c, _ := readCredential(request(tt.headers...).Header); c.bearer {
			want += `, error="invalid_token"`
		}
		if denied.Challenge != want || denied.Status != http.StatusUnauthorized || denied.RetryAfter != 0 {
			t.Errorf("%s: got %+v, want 401 with the challenge %s", tt.name, denied, want)
		}
		denied.Challenge = ""
		seen[want] = denied
		for _, other := range seen {
			if denied != other {
				t.Errorf("%s: got %+v, others get %+v", tt.name, denied, other)
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("got %d kinds of challenges, want 2", len(seen))
	}
}

func TestNewRefusesAConfigurationThatLetsOneCallerBeTwo(t *testing.T) {
	const app = "11111111-2222-3333-4444-555555555555"
	tests := []struct {
		name   string
		change func(*config.Config)
		want   string
	}{
		{"two consumers, one key", func(c *config.Config) { c.Consumers[1].Keys = c.Consumers[0].Keys[1:] }, "share a key"},
		{"a consumer's key is an admin key", func(c *config.Config) { c.Admin.Keys[1].Key = c.Consumers[1].Keys[0] }, "is an admin key too"},
		{"two consumers, one application", func(c *config.Config) {
			c.Entra = config.Entra{Tenant: tenantID, Audience: audience}
			c.Consumers[0].Entra.AppIDs = []string{app}
			c.Consumers[1].Entra.AppIDs = []string{strings.ToUpper(app)}
		}, "share the application"},
		{"two consumers, one role", func(c *config.Config) {
			c.Consumers[0].Entra.Roles = []string{"Chat.Use"}
			c.Consumers[1].Entra.Roles = []string{"Chat.Admin", "Chat.Use"}
		}, "share the role"},
		{"any tenant", func(c *config.Config) { c.Entra = config.Entra{Tenant: "Common", Audience: audience} }, "many tenants"},
		{"no audience", func(c *config.Config) { c.Entra = config.Entra{Tenant: tenantID} }, "needs a tenant and an audience"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig()
			tt.change(cfg)
			if _, err := New(cfg, Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestNewKey(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		key, hash := NewKey()
		secret, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(key, "sw-"))
		if !strings.HasPrefix(key, "sw-") || err != nil || len(secret) != 32 || bytes.Equal(secret, make([]byte, 32)) {
			t.Fatalf("key %q is not sw- and 32 bytes", key)
		}
		if want := "sha256:" + hex.EncodeToString(sumOf(key)); hash != want {
			t.Fatalf("hash = %s, want %s", hash, want)
		}
		if seen[key] {
			t.Fatal("the same key twice")
		}
		seen[key] = true
	}
}

// A key from NewKey, its hash in a configuration file, and the caller is known.
func TestNewKeyWorksInAConfiguration(t *testing.T) {
	key, hash := NewKey()
	const file = `
access: keys
backends: [{ name: b, endpoint: "https://contoso.openai.azure.com", deployments: [{ model: m }] }]
pools: [{ model: m, members: [{ backend: b }] }]
consumers: [{ name: team, keys: ["HASH"] }]
`
	cfg, err := config.Parse("gateway.yaml", []byte(strings.Replace(file, "HASH", hash, 1)), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if got := identified(t, newAuthenticator(t, cfg, Options{}), request("api-key", key)); got != "team" {
		t.Errorf("got %s, want team", got)
	}
}

// FuzzAuthenticate: no header makes the authenticator panic, and nobody gets in
// whose key or token is not known.
func FuzzAuthenticate(f *testing.F) {
	for _, tt := range credentialCases {
		var apiKey, authorization string
		for i := 0; i < len(tt.headers); i += 2 {
			switch tt.headers[i] {
			case "api-key":
				apiKey = tt.headers[i+1]
			case "Authorization":
				authorization = tt.headers[i+1]
			}
		}
		if len(apiKey)+len(authorization) < 200 {
			f.Add(apiKey, authorization, len(tt.headers) > 4)
		}
	}
	f.Add("", "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0.eyJpc3MiOiJ4In0.c2ln", false)
	cfg := testConfig()
	cfg.Entra = config.Entra{Tenant: tenantID, Audience: audience}
	cfg.Consumers[0].Entra.AppIDs = []string{appID}
	known := map[string]bool{searchKey: true, searchNext: true, botKey: true}
	f.Fuzz(func(t *testing.T, apiKey, authorization string, twice bool) {
		issuer := newAuthority()
		a := newAuthenticator(t, cfg, Options{Transport: issuer})
		h := http.Header{}
		if apiKey != "" {
			h.Add("api-key", apiKey)
		}
		h.Add("Authorization", authorization)
		if twice {
			h.Add("Authorization", authorization)
		}
		r := &http.Request{Header: h}
		got := identified(t, a, r)
		if !strings.HasPrefix(got, "denied") && (twice || !known[apiKey] && !known[strings.Trim(authorization[len("Bearer "):], " ")]) {
			t.Fatalf("%q and %q: %s", apiKey, authorization, got)
		}
		if _, admin := a.Admin(r); admin && apiKey != adminKey && !strings.Contains(authorization, adminKey) && apiKey != ciKey && !strings.Contains(authorization, ciKey) {
			t.Fatalf("%q and %q make an administrator", apiKey, authorization)
		}
	})
}
