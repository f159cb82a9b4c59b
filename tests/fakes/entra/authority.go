package entra

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// instance tells that an authority is known (instance discovery).
func (s *Server) instance(r *http.Request) answer {
	endpoint, found := strings.CutSuffix(r.URL.Query().Get("authorization_endpoint"), "/oauth2/v2.0/authorize")
	if !found {
		return answer{status: http.StatusBadRequest, document: oauthError("invalid_instance", "AADSTS50049: Unknown or invalid instance.")}
	}
	host := strings.Split(strings.TrimPrefix(endpoint, "https://"), "/")[0]
	return answer{status: http.StatusOK, document: map[string]any{
		"tenant_discovery_endpoint": endpoint + "/v2.0/.well-known/openid-configuration",
		"metadata":                  []any{map[string]any{"preferred_network": host, "preferred_cache": host, "aliases": []string{host}}},
	}}
}

// configuration is the OpenID configuration of the tenant, for the authority by
// whose name it was asked.
func (s *Server) configuration(r *http.Request) answer {
	if !s.isTenant(r) {
		return unknownTenant
	}
	authority := "https://" + r.Host + "/" + s.options.Tenant
	return answer{status: http.StatusOK, document: map[string]any{
		"issuer":                 authority + "/v2.0",
		"authorization_endpoint": authority + "/oauth2/v2.0/authorize",
		"token_endpoint":         authority + "/oauth2/v2.0/token",
		"jwks_uri":               authority + "/discovery/v2.0/keys",
	}}
}

// signingKeys are the public keys of the tenant.
func (s *Server) signingKeys(r *http.Request) answer {
	if !s.isTenant(r) {
		return unknownTenant
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, key := range s.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &key.private.PublicKey, KeyID: key.id, Use: "sig"})
	}
	return answer{status: http.StatusOK, document: set}
}

// token is the token endpoint, for applications that act for themselves.
func (s *Server) token(r *http.Request) answer {
	if !s.isTenant(r) {
		return unknownTenant
	}
	asked := Request{Resource: r.PostFormValue("scope"), ClientID: r.PostFormValue("client_id")}
	resource, ok := strings.CutSuffix(asked.Resource, "/.default")
	for scope := range strings.FieldsSeq(asked.Resource) { // clients add scopes of OpenID Connect
		if name, found := strings.CutSuffix(scope, "/.default"); found {
			resource, ok = name, true
		}
	}
	switch {
	case r.PostFormValue("grant_type") != "client_credentials":
		return answer{asked, http.StatusBadRequest, oauthError("unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type.")}
	case !ok:
		return answer{asked, http.StatusBadRequest, oauthError("invalid_scope", "AADSTS1002012: The provided value for scope is not valid.")}
	case !s.proven(r, asked.ClientID):
		return answer{asked, http.StatusUnauthorized, oauthError("invalid_client", "AADSTS7000215: Invalid client secret or assertion provided.")}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token := s.issue(asked.ClientID, resource, time.Hour)
	seconds := int(time.Until(token.expires).Seconds())
	document := map[string]any{"access_token": token.token, "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds}
	if s.policy.RefreshIn > 0 {
		document["refresh_in"] = int(s.policy.RefreshIn.Seconds())
	}
	return answer{asked, http.StatusOK, document}
}

// proven tells whether an application has shown its secret or its assertion.
func (s *Server) proven(r *http.Request, clientID string) bool {
	const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	app := s.options.Applications[clientID]
	same := func(shown, want string) bool {
		return want != "" && subtle.ConstantTimeCompare([]byte(shown), []byte(want)) == 1
	}
	return same(r.PostFormValue("client_secret"), app.Secret) ||
		r.PostFormValue("client_assertion_type") == jwtBearer && same(r.PostFormValue("client_assertion"), app.Assertion)
}

func (s *Server) isTenant(r *http.Request) bool {
	name := r.PathValue("tenant")
	return strings.EqualFold(name, s.options.Tenant) || s.options.Domain != "" && strings.EqualFold(name, s.options.Domain)
}

var unknownTenant = answer{
	status:   http.StatusBadRequest,
	document: oauthError("invalid_tenant", "AADSTS90002: Tenant not found."),
}
