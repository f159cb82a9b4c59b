package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"spillway/shared/config"
)

const (
	defaultAuthority = "https://login.microsoftonline.com"
	// v1Issuer issues the tokens of applications that are registered for
	// version 1 of access tokens, the default.
	v1Issuer = "https://sts.windows.net/"
	// clockSkew is how far the tenant's clock may be from ours.
	clockSkew = 60 * time.Second
	// cachedTokens is how many verified tokens are remembered. Each application
	// has one or two at a time.
	cachedTokens = 10_000
	// maxTokenLife is the longest that a token is remembered. The tenant issues
	// none for more than 28 hours.
	maxTokenLife = 28 * time.Hour
	// maxHeader is the length of the longest header of a token that is parsed, in
	// its base64 form. It is read before the signature is checked; the tenant's
	// have 100 to 200 bytes.
	maxHeader = 1 << 10
	// maxRoles is how many roles of a token are looked at, and maxRole the length
	// of the longest, in bytes; the configuration takes no longer one.
	maxRoles = 16
	maxRole  = 120
)

// entra verifies access tokens of one Microsoft Entra tenant. It is safe for
// concurrent use.
type entra struct {
	tenant   *tenant
	audience string
	cache    *tokenCache
}

func newEntra(cfg config.Entra, o Options) (*entra, error) {
	if cfg.Tenant == "" || cfg.Audience == "" {
		return nil, errors.New("auth: entra needs a tenant and an audience")
	}
	if slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(cfg.Tenant)) {
		return nil, fmt.Errorf("auth: entra.tenant %q stands for many tenants", cfg.Tenant)
	}
	if o.Authority == "" {
		o.Authority = defaultAuthority
	}
	o.Authority = strings.TrimSuffix(o.Authority, "/")
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.KeysFailed == nil {
		o.KeysFailed = func(error) {}
	}
	return &entra{
		tenant:   newTenant(cfg.Tenant, o),
		audience: cfg.Audience,
		cache:    newTokenCache(cachedTokens),
	}, nil
}

// verified is what is used of a token whose signature and claims hold.
type verified struct {
	app   string   // in lower case; empty if the token names none
	roles []string // at most maxRoles
}

// verify returns what a token says; sum is its SHA-256.
func (e *entra) verify(ctx context.Context, raw string, sum config.KeyHash, now time.Time) (verified, Reason) {
	if token, ok := e.cache.get(sum, now); ok {
		return token, ""
	}
	claims, reason := e.claims(ctx, raw, now)
	if reason == "" {
		reason = e.judge(claims, now)
	}
	if reason != "" {
		return verified{}, reason
	}
	token := verified{app: claims.app(), roles: claims.roles()}
	e.cache.put(sum, token, claims.expires(now).Add(clockSkew))
	return token, ""
}

// claims returns the claims of a token that is signed with RS256 by a key of the
// tenant. The signature comes first; before it nothing is read but the header.
// The claims are then read strictly: their names in the right case, and none
// twice.
func (e *entra) claims(ctx context.Context, raw string, now time.Time) (*tokenClaims, Reason) {
	if strings.IndexByte(raw, '.') > maxHeader {
		return nil, InvalidToken
	}
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, InvalidToken
	}
	key, reason := e.tenant.signingKey(ctx, token.Headers[0].KeyID, now)
	if reason != "" {
		return nil, reason
	}
	claims := new(tokenClaims)
	if err := token.Claims(key, claims); err != nil {
		return nil, InvalidToken
	}
	return claims, ""
}

// judge checks the claims of a token as the Microsoft identity platform documents
// it: issued by the tenant (version 1 or 2), for our audience, and valid now.
func (e *entra) judge(c *tokenClaims, now time.Time) Reason {
	switch {
	case !slices.Contains(e.tenant.issuers(), c.Issuer):
		return WrongIssuer
	case !slices.Contains(c.Audience, e.audience):
		return WrongAudience
	case c.Expires < float64(now.Add(-clockSkew).Unix()):
		return ExpiredToken
	case c.NotBefore > float64(now.Add(clockSkew).Unix()):
		return EarlyToken
	case c.AppID != "" && c.AZP != "" && !strings.EqualFold(c.AppID, c.AZP):
		return InvalidToken
	}
	return ""
}

// tokenClaims are the claims of an access token that are read.
type tokenClaims struct {
	Issuer    string       `json:"iss"`
	Audience  jwt.Audience `json:"aud"` // a text, or a list of texts
	Expires   float64      `json:"exp"` // in seconds since 1970, like NotBefore
	NotBefore float64      `json:"nbf"`
	AppID     string       `json:"appid"` // version 1
	AZP       string       `json:"azp"`   // version 2
	Roles     []string     `json:"roles"`
}

// app is the application that was given the token, in lower case, or empty.
func (c *tokenClaims) app() string {
	app := c.AppID
	if app == "" {
		app = c.AZP
	}
	if !guid.MatchString(app) {
		return ""
	}
	return strings.ToLower(app)
}

// roles are the first roles of the token, each once, without those that no
// consumer can list.
func (c *tokenClaims) roles() []string {
	var roles []string
	for _, role := range c.Roles {
		if len(roles) == maxRoles {
			break
		}
		if role != "" && len(role) <= maxRole && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	return roles
}

// expires is when a token that is valid now ends.
func (c *tokenClaims) expires(now time.Time) time.Time {
	latest := now.Add(maxTokenLife)
	if c.Expires >= float64(latest.Unix()) {
		return latest
	}
	return time.Unix(int64(c.Expires), 0)
}
