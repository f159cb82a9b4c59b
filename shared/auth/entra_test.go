package auth

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
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

const plainHeader = `{"alg":"RS256","kid":"k1"}`

// signRaw signs any texts as header and payload.
func signRaw(t testing.TB, key *rsa.PrivateKey, header, payload string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	head := encode([]byte(header)) + "." + encode([]byte(payload))
	sum := sha256.Sum256([]byte(head))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return head + "." + encode(signature)
}

func text(c claims) string {
	payload, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(payload)
}

// twice returns a token that is good, but that it has a claim twice: first with
// the value given.
func twice(t testing.TB, claim, value string) string {
	t.Helper()
	return signRaw(t, firstKey(), plainHeader, fmt.Sprintf(`{%q:%q,`, claim, value)+text(good(nil))[1:])
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
	// A public key, in whatever form a verifier may hold it, as the secret of an
	// HMAC: one that takes the algorithm from the token would agree.
	confused := func(secret []byte) string {
		head := strings.TrimSuffix(unsigned(`{"alg":"HS256","kid":"k1"}`, good(nil)), ".")
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(head))
		return head + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	public := &firstKey().PublicKey
	pkcs1 := x509.MarshalPKCS1PublicKey(public)
	pkix, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
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
		{"expires at no time that can be told", func(t *testing.T) string {
			return signRaw(t, firstKey(), plainHeader, strings.Replace(text(good(claims{"exp": nil})), "{", `{"exp":1e999,`, 1))
		}, "denied: invalid_token"},
		{"expires in the far future", func(t *testing.T) string { return valid(t, claims{"exp": 1e300}) }, "team-search"},
		{"early for ever", func(t *testing.T) string { return valid(t, claims{"nbf": 1e300}) }, "denied: early_token"},
		{"exp is a text", func(t *testing.T) string { return valid(t, claims{"exp": fmt.Sprint(now(time.Hour))}) }, "denied: invalid_token"},
		{"version 1 with a slash missing", func(t *testing.T) string { return valid(t, claims{"iss": strings.TrimSuffix(issuerV1, "/")}) }, "denied: wrong_issuer"},
		{"version 1 of another tenant", func(t *testing.T) string { return valid(t, claims{"iss": v1Issuer + otherID + "/"}) }, "denied: wrong_issuer"},
		{"issuer is a list", func(t *testing.T) string { return valid(t, claims{"iss": []string{issuerV2}}) }, "denied: invalid_token"},
		{"audience with a tail", func(t *testing.T) string { return valid(t, claims{"aud": audience + "/"}) }, "denied: wrong_audience"},
		{"audience is a mapping", func(t *testing.T) string { return valid(t, claims{"aud": claims{"0": audience}}) }, "denied: invalid_token"},
		{"another tenant", func(t *testing.T) string {
			return valid(t, claims{"iss": defaultAuthority + "/" + otherID + "/v2.0"})
		}, "denied: wrong_issuer"},
		{"issuer with a tail", func(t *testing.T) string { return valid(t, claims{"iss": issuerV2 + "/"}) }, "denied: wrong_issuer"},
		{"no issuer", func(t *testing.T) string { return valid(t, claims{"iss": nil}) }, "denied: wrong_issuer"},
		{"another audience", func(t *testing.T) string { return valid(t, claims{"aud": "https://graph.microsoft.com"}) }, "denied: wrong_audience"},
		{"no audience", func(t *testing.T) string { return valid(t, claims{"aud": nil}) }, "denied: wrong_audience"},
		{"unknown application", func(t *testing.T) string { return valid(t, claims{"azp": otherID}) }, "denied: unknown_app"},
		{"no application", func(t *testing.T) string { return valid(t, claims{"azp": nil}) }, "denied: unknown_app"},
		{"application twice, in both cases", func(t *testing.T) string { return valid(t, claims{"appid": strings.ToUpper(appID)}) }, "team-search"},
		{"application is no id", func(t *testing.T) string { return valid(t, claims{"azp": appID + "/x"}) }, "denied: unknown_app"},
		{"appid and azp disagree", func(t *testing.T) string { return valid(t, claims{"appid": otherID}) }, "denied: invalid_token"},
		{"appid and azp disagree the other way", func(t *testing.T) string { return valid(t, claims{"appid": appID, "azp": otherID}) }, "denied: invalid_token"},
		{"application twice", func(t *testing.T) string { return twice(t, "azp", otherID) }, "denied: invalid_token"},
		{"audience twice", func(t *testing.T) string { return twice(t, "aud", "api://other") }, "denied: invalid_token"},
		{"issuer twice", func(t *testing.T) string { return twice(t, "iss", defaultAuthority) }, "denied: invalid_token"},
		{"any claim twice, even alike", func(t *testing.T) string { return twice(t, "azp", appID) }, "denied: invalid_token"},
		{"claims in another case are other claims", func(t *testing.T) string {
			return valid(t, claims{"aud": "api://other", "AUD": audience, "Aud": audience})
		}, "denied: wrong_audience"},
		{"the application in another case is another claim", func(t *testing.T) string { return valid(t, claims{"azp": otherID, "AZP": appID}) }, "denied: unknown_app"},
		{"claims are a list", func(t *testing.T) string { return signRaw(t, firstKey(), plainHeader, "["+text(good(nil))+"]") }, "denied: invalid_token"},
		{"claims are not JSON", func(t *testing.T) string { return signRaw(t, firstKey(), plainHeader, "claims") }, "denied: invalid_token"},
		{"no claims", func(t *testing.T) string { return signRaw(t, firstKey(), plainHeader, "") }, "denied: invalid_token"},
		{"nbf is a text", func(t *testing.T) string { return valid(t, claims{"nbf": "soon"}) }, "denied: invalid_token"},
		{"foreign key", func(t *testing.T) string { return sign(t, foreign(), "k1", good(nil)) }, "denied: invalid_token"},
		{"unknown key id", func(t *testing.T) string { return sign(t, foreign(), "k9", good(nil)) }, "denied: invalid_token"},
		{"no key id", func(t *testing.T) string { return sign(t, firstKey(), "", good(nil)) }, "denied: invalid_token"},
		{"RS512", func(t *testing.T) string { return signWith(t, jose.RS512, firstKey(), "k1", good(nil)) }, "denied: invalid_token"},
		{"PS256", func(t *testing.T) string { return signWith(t, jose.PS256, firstKey(), "k1", good(nil)) }, "denied: invalid_token"},
		{"none", func(*testing.T) string { return unsigned(`{"alg":"none","kid":"k1"}`, good(nil)) }, "denied: invalid_token"},
		{"RS256 without a signature", func(*testing.T) string { return unsigned(`{"alg":"RS256","kid":"k1"}`, good(nil)) }, "denied: invalid_token"},
		{"HS256 with the public key, PKCS #1 in DER", func(*testing.T) string { return confused(pkcs1) }, "denied: invalid_token"},
		{"HS256 with the public key, PKCS #1 in PEM", func(*testing.T) string { return confused(inPEM("RSA PUBLIC KEY", pkcs1)) }, "denied: invalid_token"},
		{"HS256 with the public key, PKIX in DER", func(*testing.T) string { return confused(pkix) }, "denied: invalid_token"},
		{"HS256 with the public key, PKIX in PEM", func(*testing.T) string { return confused(inPEM("PUBLIC KEY", pkix)) }, "denied: invalid_token"},
		{"HS256 with the modulus", func(*testing.T) string { return confused(public.N.Bytes()) }, "denied: invalid_token"},
		{"None", func(*testing.T) string { return unsigned(`{"alg":"None","kid":"k1"}`, good(nil)) }, "denied: invalid_token"},
		{"no algorithm", func(*testing.T) string { return unsigned(`{"kid":"k1"}`, good(nil)) }, "denied: invalid_token"},
		{"a key of its own in the header", func(t *testing.T) string {
			key, _ := json.Marshal(jose.JSONWebKey{Key: &foreign().PublicKey, KeyID: "k1"})
			return signRaw(t, foreign(), `{"alg":"RS256","kid":"k1","jwk":`+string(key)+`}`, text(good(nil)))
		}, "denied: invalid_token"},
		{"key set of its own in the header", func(t *testing.T) string {
			return signRaw(t, foreign(), `{"alg":"RS256","kid":"k1","jku":"https://contoso.test/keys"}`, text(good(nil)))
		}, "denied: invalid_token"},
		{"extension that must be understood", func(t *testing.T) string {
			return signRaw(t, firstKey(), `{"alg":"RS256","kid":"k1","crit":["x"],"x":1}`, text(good(nil)))
		}, "denied: invalid_token"},
		{"header names two keys", func(t *testing.T) string {
			return signRaw(t, firstKey(), `{"alg":"RS256","kid":"k9","kid":"k1"}`, text(good(nil)))
		}, "denied: invalid_token"},
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
				a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: newAuthority()})
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
	a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: newAuthority()})
	caller, err := a.Authenticate(t.Context(), withToken(sign(t, firstKey(), "k1", good(nil))))
	if err != nil || caller.AppID != appID || caller.Key != "" {
		t.Errorf("%+v, %v, want the application %s and no key", caller, err, appID)
	}
}

// A token is verified once; until it expires it costs nothing, even if the key
// set is gone.
func TestVerifiedTokensAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newAuthority()
		a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d})
		token := sign(t, firstKey(), "k1", good(nil))
		if got := identified(t, a, withToken(token)); got != "team-search" {
			t.Fatal(got)
		}
		a.entra.tenant.mu.Lock()
		a.entra.tenant.keys = nil // whoever verifies now is found out
		a.entra.tenant.mu.Unlock()
		d.set(func(d *authority) { d.fail = errors.New("gone") })
		pass(time.Hour + 59*time.Second)
		if got := identified(t, a, withToken(token)); got != "team-search" {
			t.Errorf("before it expires: %s, want team-search", got)
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
