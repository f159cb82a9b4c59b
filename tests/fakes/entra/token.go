package entra

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// Authority is the base URL of Microsoft Entra ID, which the issuers of Claims
// belong to.
const Authority = "https://login.microsoftonline.com"

type signingKey struct {
	id      string
	private *rsa.PrivateKey
}

// Rotate makes a new key with which tokens are signed from now on. The keys
// before it are published on.
func (s *Server) Rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := firstKey
	if len(s.keys) > 0 {
		key = newKey
	}
	s.keys = append(s.keys, signingKey{fmt.Sprintf("key-%d-%s", len(s.keys)+1, rand.Text()), key()})
}

// firstKey is the first key of each Server: keys take long to make, and most
// tests need no other. The tenants have ids of their own for it.
var firstKey = sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // the system has no randomness
	}
	return key
}

// Retire takes back all keys but the newest.
func (s *Server) Retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = s.keys[len(s.keys)-1:]
}

// Claims are the claims of a token by their names.
type Claims map[string]any

// CallerToken returns an access token as an application gets it for an audience,
// of version 2, valid for an hour, with these app roles.
func (s *Server) CallerToken(appID, audience string, roles ...string) string {
	claims := Claims{"aud": audience, "azp": appID}
	if len(roles) > 0 {
		claims["roles"] = roles
	}
	return s.Sign(claims)
}

// Sign returns a token with any claims, signed with the newest key. It has the
// tenant's issuer, and is valid for an hour from now, unless the claims say
// otherwise; a nil value leaves a claim out.
func (s *Server) Sign(claims Claims) string {
	now := time.Now()
	all := Claims{
		"iss": Authority + "/" + s.options.Tenant + "/v2.0", "tid": s.options.Tenant, "ver": "2.0",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sign(all)
}

// issue returns an access token for a resource, of version 1 as Azure's services
// take them. No two are the same. It requires mu.
func (s *Server) issue(clientID, resource string, life time.Duration) access {
	if s.policy.Life > 0 {
		life = s.policy.Life
	}
	now := time.Now()
	expires := now.Add(life)
	s.issued++
	token := s.sign(Claims{
		"iss": "https://sts.windows.net/" + s.options.Tenant + "/", "tid": s.options.Tenant, "ver": "1.0",
		"aud": resource, "appid": clientID, "iat": now.Unix(), "nbf": now.Unix(), "exp": expires.Unix(),
		"uti": fmt.Sprintf("token-%d", s.issued),
	})
	return access{token, expires}
}

// sign requires mu.
func (s *Server) sign(claims Claims) string {
	key := s.keys[len(s.keys)-1]
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key.private, KeyID: key.id}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err) // the key is one for RS256
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // a test's claims that JSON has no form for
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return token
}
