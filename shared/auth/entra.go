package auth

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

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
)

// entra verifies access tokens of one Microsoft Entra tenant.
type entra struct {
	tenant   *tenant
	audience string
	apps     map[string]*config.Consumer // by application id in lower case
	cache    *tokenCache
}

func newEntra(cfg *config.Config, o Options) (*entra, error) {
	if cfg.Entra.Tenant == "" || cfg.Entra.Audience == "" {
		return nil, errors.New("auth: entra needs a tenant and an audience")
	}
	if slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(cfg.Entra.Tenant)) {
		return nil, fmt.Errorf("auth: entra.tenant %q stands for many tenants", cfg.Entra.Tenant)
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
	e := &entra{
		tenant:   newTenant(cfg.Entra.Tenant, o),
		audience: cfg.Entra.Audience,
		apps:     make(map[string]*config.Consumer),
		cache:    newTokenCache(cachedTokens),
	}
	for i := range cfg.Consumers {
		consumer := &cfg.Consumers[i]
		for _, id := range consumer.Entra.AppIDs {
			id = strings.ToLower(id)
			if other, taken := e.apps[id]; taken && other != consumer {
				return nil, fmt.Errorf("auth: consumers %q and %q share the application %s", other.Name, consumer.Name, id)
			}
			e.apps[id] = consumer
		}
	}
	return e, nil
}

// identify returns the caller of a token; sum is the token's SHA-256.
func (e *entra) identify(ctx context.Context, token string, sum config.KeyHash, now time.Time) (Caller, *Denied) {
	if caller, ok := e.cache.get(sum, now); ok {
		return caller, nil
	}
	claims, reason := e.verify(ctx, token, now)
	if reason != "" {
		return Caller{}, deny(reason)
	}
	consumer, ok := e.apps[claims.app]
	if !ok {
		return Caller{}, deny(UnknownApp)
	}
	caller := Caller{Consumer: consumer, AppID: claims.app}
	e.cache.put(sum, caller, claims.expires.Add(clockSkew))
	return caller, nil
}

// verified is what is used of a token whose signature and claims hold.
type verified struct {
	app     string // in lower case
	expires time.Time
}

// verify checks a token as the Microsoft identity platform documents it: signed
// with RS256 by a key of the tenant, issued by the tenant (version 1 or 2), for
// our audience, and valid now. The signature comes first; nothing in the token
// is believed before.
func (e *entra) verify(ctx context.Context, raw string, now time.Time) (verified, Reason) {
	key, reason := e.tenant.signingKey(ctx, raw, now)
	if reason != "" {
		return verified{}, reason
	}
	verifier := oidc.NewVerifier("", &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{key}}, &oidc.Config{
		SupportedSigningAlgs: []string{oidc.RS256},
		SkipIssuerCheck:      true, // there are two issuers: checked below, like
		SkipClientIDCheck:    true, // the audience, to tell the reasons apart, and
		SkipExpiryCheck:      true, // the times, with our own skew
	})
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return verified{}, InvalidToken
	}
	var claims struct {
		NotBefore float64 `json:"nbf"`
		AppID     string  `json:"appid"` // version 1
		AZP       string  `json:"azp"`   // version 2
	}
	if err := token.Claims(&claims); err != nil {
		return verified{}, InvalidToken
	}
	switch {
	case !slices.Contains(e.tenant.issuers(), token.Issuer):
		return verified{}, WrongIssuer
	case !slices.Contains(token.Audience, e.audience):
		return verified{}, WrongAudience
	case now.After(token.Expiry.Add(clockSkew)):
		return verified{}, ExpiredToken
	case claims.NotBefore > float64(now.Add(clockSkew).Unix()):
		return verified{}, EarlyToken
	case claims.AppID != "" && claims.AZP != "" && !strings.EqualFold(claims.AppID, claims.AZP):
		return verified{}, InvalidToken
	}
	app := claims.AppID
	if app == "" {
		app = claims.AZP
	}
	return verified{app: strings.ToLower(app), expires: token.Expiry}, ""
}
