package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"spillway/shared/config"
)

const (
	tenantID = "aaaaaaaa-0000-4000-8000-00000000000a"
	otherID  = "bbbbbbbb-0000-4000-8000-00000000000b"
	appID    = "cccccccc-0000-4000-8000-00000000000c"
	audience = "api://spillway"
	issuerV2 = defaultAuthority + "/" + tenantID + "/v2.0"
	issuerV1 = v1Issuer + tenantID + "/"
)

// Keys take long to make; tests share three.
var (
	firstKey  = sync.OnceValue(newRSAKey)
	secondKey = sync.OnceValue(newRSAKey)
	foreign   = sync.OnceValue(newRSAKey)
)

func newRSAKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

type claims map[string]any

// good returns the claims of a token that is let in, changed by the claims
// given; a nil value removes a claim.
func good(changes claims) claims {
	now := time.Now().Unix()
	c := claims{"iss": issuerV2, "aud": audience, "azp": appID, "nbf": now - 10, "exp": now + 3600}
	for name, value := range changes {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func sign(t testing.TB, key *rsa.PrivateKey, kid string, c claims) string {
	t.Helper()
	return signWith(t, jose.RS256, key, kid, c)
}

func signWith(t testing.TB, algorithm jose.SignatureAlgorithm, key any, kid string, c claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func entraConfig(tenant string) *config.Config {
	cfg := testConfig()
	cfg.Entra = config.Entra{Tenant: tenant, Audience: audience}
	cfg.Consumers[0].Entra.AppIDs = []string{appID}
	return cfg
}

// pass lets time go by; in a synctest bubble that takes none.
func pass(d time.Duration) { <-time.After(d) }

func withToken(token string) *http.Request { return request("Authorization", "Bearer "+token) }

func TestTokens(t *testing.T) {
	unsigned := func(header string, c claims) string {
		payload, _ := json.Marshal(c)
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(header)) + "." + encode(payload) + "."
	}
	// The public key as the secret of an HMAC: a verifier that takes the
	// algorithm from the token would agree.
	confused := func() string {
		head := strings.TrimSuffix(unsigned(`{"alg":"HS256","kid":"k1"}`, good(nil)), ".")
		mac := hmac.New(sha256.New, x509.MarshalPKCS1PublicKey(&firstKey().PublicKey))
		mac.Write([]byte(head))
		return head + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	valid := func(t *testing.T, changes claims) string { return sign(t, firstKey(), "k1", good(changes)) }
	now := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	tests := []struct {
		name  string
		token func(t *testing.T) string
		want  string
	}{
		{"version 2", func(t *testing.T) string { return valid(t, nil) }, "team-search"},
		{"version 1", func(t *testing.T) string { return valid(t, claims{"iss": issuerV1, "azp": nil, "appid": appID}) }, "team-search"},
		{"application id in upper case", func(t *testing.T) string { return valid(t, claims{"azp": strings.ToUpper(appID)}) }, "team-search"},
		{"several audiences", func(t *testing.T) string { return valid(t, claims{"aud": []string{"x", audience}}) }, "team-search"},
		{"without nbf", func(t *testing.T) string { return valid(t, claims{"nbf": nil}) }, "team-search"},
		{"expired within the skew", func(t *testing.T) string { return valid(t, claims{"exp": now(-59 * time.Second)}) }, "team-search"},
		{"early within the skew", func(t *testing.T) string { return valid(t, claims{"nbf": now(59 * time.Second)}) }, "team-search"},

		{"expired", func(t *testing.T) string { return valid(t, claims{"exp": now(-62 * time.Second)}) }, "denied: expired_token"},
		{"never expires", func(t *testing.T) string { return valid(t, claims{"exp": nil}) }, "denied: expired_token"},
		{"early", func(t *testing.T) string { return valid(t, claims{"nbf": now(62 * time.Second)}) }, "denied: early_token"},
		{"another tenant", func(t *testing.T) string {
			return valid(t, claims{"iss": defaultAuthority + "/" + otherID + "/v2.0"})
		}, "denied: wrong_issuer"},
		{"issuer with a tail", func(t *testing.T) string { return valid(t, claims{"iss": issuerV2 + "/"}) }, "denied: wrong_issuer"},
		{"no issuer", func(t *testing.T) string { return valid(t, claims{"iss": nil}) }, "denied: wrong_issuer"},
		{"another audience", func(t *testing.T) string { return valid(t, claims{"aud": "https://graph.microsoft.com"}) }, "denied: wrong_audience"},
		{"no audience", func(t *testing.T) string { return valid(t, claims{"aud": nil}) }, "denied: wrong_audience"},
		{"unknown application", func(t *testing.T) string { return valid(t, claims{"azp": otherID}) }, "denied: unknown_app"},
		{"no application", func(t *testing.T) string { return valid(t, claims{"azp": nil}) }, "denied: unknown_app"},
		{"two applications", func(t *testing.T) string { return valid(t, claims{"appid": otherID}) }, "denied: invalid_token"},
		{"nbf is a text", func(t *testing.T) string { return valid(t, claims{"nbf": "soon"}) }, "denied: invalid_token"},
		{"foreign key", func(t *testing.T) string { return sign(t, foreign(), "k1", good(nil)) }, "denied: invalid_token"},
		{"unknown key id", func(t *testing.T) string { return sign(t, foreign(), "k9", good(nil)) }, "denied: invalid_token"},
		{"no key id", func(t *testing.T) string { return sign(t, firstKey(), "", good(nil)) }, "denied: invalid_token"},
		{"RS512", func(t *testing.T) string { return signWith(t, jose.RS512, firstKey(), "k1", good(nil)) }, "denied: invalid_token"},
		{"PS256", func(t *testing.T) string { return signWith(t, jose.PS256, firstKey(), "k1", good(nil)) }, "denied: invalid_token"},
		{"none", func(*testing.T) string { return unsigned(`{"alg":"none","kid":"k1"}`, good(nil)) }, "denied: invalid_token"},
		{"RS256 without a signature", func(*testing.T) string { return unsigned(`{"alg":"RS256","kid":"k1"}`, good(nil)) }, "denied: invalid_token"},
		{"HS256 with the public key", func(*testing.T) string { return confused() }, "denied: invalid_token"},
		{"changed payload", func(t *testing.T) string {
			parts := strings.Split(valid(t, claims{"azp": otherID}), ".")
			return parts[0] + "." + strings.Split(valid(t, nil), ".")[1] + "." + parts[2]
		}, "denied: invalid_token"},
		{"garbage", func(*testing.T) string { return "eyJ.eyJ.x" }, "denied: invalid_token"},
		{"two parts", func(t *testing.T) string { return strings.Join(strings.Split(valid(t, nil), ".")[:2], ".") }, "denied: unknown_key"},
		{"a key, not a token", func(*testing.T) string { return botKey }, "bot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: newDirectory()})
				token := tt.token(t)
				for range 2 { // the second time it may be remembered
					if got := identified(t, a, withToken(token)); got != tt.want {
						t.Errorf("got %s, want %s", got, tt.want)
					}
				}
				if got := identified(t, a, request("api-key", token)); strings.HasPrefix(got, "team") {
					t.Error("a token in the header api-key was taken for one")
				}
			})
		})
	}
}

func TestCallerNamesTheApplication(t *testing.T) {
	a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: newDirectory()})
	caller, err := a.Authenticate(t.Context(), withToken(sign(t, firstKey(), "k1", good(nil))))
	if err != nil || caller.AppID != appID || caller.Key != "" {
		t.Errorf("%+v, %v, want the application %s and no key", caller, err, appID)
	}
}

// A token is verified once; until it expires it costs nothing, even if the key
// set is gone.
func TestVerifiedTokensAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory()
		a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d})
		token := sign(t, firstKey(), "k1", good(nil))
		if got := identified(t, a, withToken(token)); got != "team-search" {
			t.Fatal(got)
		}
		a.entra.tenant.mu.Lock()
		a.entra.tenant.keys = nil // whoever verifies now is found out
		a.entra.tenant.mu.Unlock()
		d.set(func(d *directory) { d.fail = errors.New("gone") })
		pass(time.Hour + 59*time.Second)
		if got := identified(t, a, withToken(token)); got != "team-search" {
			t.Errorf("before it expires: %s", got)
		}
		pass(2 * time.Second)
		if got := identified(t, a, withToken(token)); got == "team-search" {
			t.Error("an expired token was let in")
		}
		if d.count() != 2 {
			t.Errorf("%d fetches, want one at first and one after it expired", d.count())
		}
	})
}
