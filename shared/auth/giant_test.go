package auth

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	josejson "github.com/go-jose/go-jose/v4/json"

	"spillway/shared/config"
)

// fill returns text with as many middles between its ends as a payload or header
// of a token of the greatest length can hold beside a signature.
func fill(begin, middle, end string) string {
	const room = (maxCredential - 500) * 3 / 4
	return begin + strings.Repeat(middle, (room-len(begin)-len(end))/len(middle)) + end
}

// numbered is fill with members of an object that have names of their own.
func numbered(begin, member, end string) string {
	const room = (maxCredential - 500) * 3 / 4
	var b strings.Builder
	b.WriteString(begin)
	for i := 0; b.Len()+len(member)+len(end)+10 < room; i++ {
		fmt.Fprintf(&b, member, i)
	}
	return b.String() + end
}

// A token of the greatest length costs a bounded number of allocations, whatever
// it consists of and whoever has signed it. A longer one is not looked at.
func TestGiantTokens(t *testing.T) {
	ours := strings.TrimSuffix(text(good(nil)), "}")
	half := maxCredential / 4
	nested := ours + `,"x":` + strings.Repeat("[", half) + strings.Repeat("]", half) + "}"
	certificates, err := json.Marshal(jose.JSONWebKey{Key: &foreign().PublicKey, KeyID: "k1"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		header  string
		payload string
		forged  bool
		want    string
		allocs  float64 // at most
	}{
		{"one long claim", plainHeader, fill(ours+`,"x":"`, "x", `"}`), false, "team-search", 300},
		{"deep nesting", plainHeader, nested, false, "team-search", 300},
		{"deep nesting, forged", plainHeader, nested, true, "denied: invalid_token", 200},
		{"nesting that does not end", plainHeader, fill(ours+`,"x":`, "[", ""), false, "denied: invalid_token", 300},
		{"many claims", plainHeader, numbered(ours, `,"c%d":1`, "}"), false, "team-search", 10_000},
		{"many claims, forged", plainHeader, numbered(ours, `,"c%d":1`, "}"), true, "denied: invalid_token", 200},
		{"many roles", plainHeader, numbered(ours+`,"roles":["r"`, `,"r%d"`, "]}"), false, "team-search", 5000},
		{"many audiences", plainHeader, numbered(ours[:len(ours)-1]+`,"x":["r"`, `,"r%d"`, "]}"), true, "denied: invalid_token", 200},
		{"long header", fill(`{"alg":"RS256","kid":"k1","x":"`, "x", `"}`), "{}", true, "denied: invalid_token", 100},
		{"many header members", numbered(`{"alg":"RS256","kid":"k1"`, `,"h%d":1`, "}"), "{}", true, "denied: invalid_token", 100},
		{"deep header", fill(`{"alg":"RS256","kid":"k1","x":`, "[", ""), "{}", true, "denied: invalid_token", 100},
		{"long key id", fill(`{"alg":"RS256","kid":"`, "k", `"}`), "{}", true, "denied: invalid_token", 100},
		{"header members, as many as are read", numbered(`{"alg":"RS256","kid":"k1"`, `,"h%d":1`, "}")[:maxHeader*3/4-12] + `,"x":"x"}`, "{}", true, "denied: invalid_token", 2000},
		{"key in the header", `{"alg":"RS256","kid":"k1","jwk":` + string(certificates) + `}`, "{}", true, "denied: invalid_token", 600},
		{"certificates in the header", fill(`{"alg":"RS256","kid":"k1","x5c":["AA=="`, `,"AA=="`, `]}`), "{}", true, "denied: invalid_token", 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key := firstKey()
			if tt.forged {
				key = foreign()
			}
			token := signRaw(t, key, tt.header, tt.payload)
			if len(token) > maxCredential {
				t.Fatalf("the token has %d bytes, want at most %d", len(token), maxCredential)
			}
			a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: newAuthority()})
			identified(t, a, withToken(sign(t, firstKey(), "k1", good(nil)))) // the tenant's keys are there
			r := withToken(token)
			got := ""
			allocs := testing.AllocsPerRun(3, func() {
				clear(a.entra.cache.entries)
				a.entra.cache.order.Init()
				got = identified(t, a, r)
			})
			if got != tt.want || allocs > tt.allocs {
				t.Errorf("%d bytes: got %s with %.0f allocations, want %s with at most %.0f", len(token), got, allocs, tt.want, tt.allocs)
			}
		})
	}
}

func TestTokenThatIsTooLong(t *testing.T) {
	d := newAuthority()
	a := newAuthenticator(t, entraConfig(tenantID), Options{Transport: d})
	for _, size := range []int{maxCredential + 1, 1 << 20} {
		token := sign(t, firstKey(), "k1", good(claims{"x": strings.Repeat("x", size)}))
		r := withToken(token)
		if got := identified(t, a, r); got != "denied: malformed" || d.count() > 0 {
			t.Errorf("%d bytes: got %s after %d fetches, want denied: malformed and none", len(token), got, d.count())
		}
		if allocs := testing.AllocsPerRun(3, func() { _, _ = a.Authenticate(t.Context(), r) }); allocs > 3 {
			t.Errorf("%d bytes cost %.0f allocations, want at most 3", len(token), allocs)
		}
	}
}

// FuzzClaims: whatever the tenant has signed, nothing panics, and what holds is for
// us, of an application and of no more roles than are looked at. How claims are
// read is how the verifier reads them once the signature holds.
func FuzzClaims(f *testing.F) {
	for _, seed := range []claims{nil, {"roles": []string{"Chat.Read"}, "azp": otherApp}, {"aud": []string{"x", audience}}, {"exp": 1e300}, {"roles": 1}} {
		f.Add(text(good(seed)))
	}
	f.Add(`{"iss":1,"aud":{},"exp":"x","roles":[null,[]]}`)
	f.Add(`[[[[`)
	e, err := newEntra(config.Entra{Tenant: tenantID, Audience: audience}, Options{Transport: newAuthority()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		var c tokenClaims
		now := time.Now()
		if josejson.Unmarshal([]byte(payload), &c) != nil || e.judge(&c, now) != "" {
			return
		}
		var plain struct{ Aud any }
		if json.Unmarshal([]byte(payload), &plain) != nil || !strings.Contains(fmt.Sprint(plain.Aud), audience) {
			t.Errorf("%s is taken for a token for us", payload)
		}
		if app := c.app(); app != "" && (!guid.MatchString(app) || !strings.Contains(strings.ToLower(payload), app)) {
			t.Errorf("%s is of the application %q", payload, app)
		}
		if roles := c.roles(); len(roles) > maxRoles {
			t.Errorf("%s has %d roles, want at most %d", payload, len(roles), maxRoles)
		}
		if end := c.expires(now); end.Before(now.Add(-clockSkew-time.Second)) || end.After(now.Add(maxTokenLife)) {
			t.Errorf("%s ends at %s", payload, end)
		}
	})
}
