package entra

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	identityPath = "/msi/token"
	// identityHeader is the secret that a host gives its programs to show to the
	// identity endpoint.
	identityHeader = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"
)

// Environment returns the variables by which a program finds its host's identity
// endpoint below a base URL. In memory any will do.
func Environment(base string) map[string]string {
	return map[string]string{"IDENTITY_ENDPOINT": base + identityPath, "IDENTITY_HEADER": identityHeader}
}

// identity is a managed identity and what it wants to use.
type identity struct{ clientID, resource string }

// access is an access token.
type access struct {
	token   string
	expires time.Time
}

// appService is the identity endpoint of App Service. Its times are texts.
func (s *Server) appService(r *http.Request) answer {
	q := r.URL.Query()
	asked := Request{Resource: q.Get("resource"), ClientID: q.Get("client_id")}
	refuse := func(status int, message string) answer {
		return answer{asked, status, map[string]any{"statusCode": status, "message": message}}
	}
	switch {
	case r.Header.Get("X-Identity-Header") != identityHeader:
		return refuse(http.StatusUnauthorized, "The header X-IDENTITY-HEADER is wrong.")
	case q.Get("api-version") != "2019-08-01" || asked.Resource == "":
		return refuse(http.StatusBadRequest, "The parameters api-version and resource are needed.")
	case !s.known(asked.ClientID):
		return refuse(http.StatusBadRequest, "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.")
	}
	clientID, token := s.managed(asked)
	return answer{asked, http.StatusOK, map[string]any{
		"access_token": token.token,
		"client_id":    clientID,
		"expires_on":   fmt.Sprint(token.expires.Unix()),
		"resource":     asked.Resource,
		"token_type":   "Bearer",
	}}
}

// metadata is the instance metadata service. A request without the header
// Metadata is how a client finds out whether it is there.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Metadata") != "true" {
		s.kind(Probe, func(*http.Request) answer {
			return answer{status: http.StatusBadRequest, document: oauthError("invalid_request", "Required metadata header not specified")}
		})(w, r)
		return
	}
	s.kind(IMDS, s.imds)(w, r)
}

func (s *Server) imds(r *http.Request) answer {
	q := r.URL.Query()
	asked := Request{Resource: q.Get("resource"), ClientID: q.Get("client_id")}
	switch {
	case q.Get("api-version") != "2018-02-01" || asked.Resource == "":
		return answer{asked, http.StatusBadRequest, oauthError("invalid_request", "The parameters api-version and resource are needed.")}
	case !s.known(asked.ClientID):
		return answer{asked, http.StatusBadRequest, oauthError("invalid_request", "Identity not found")}
	}
	clientID, token := s.managed(asked)
	return answer{asked, http.StatusOK, map[string]any{
		"access_token": token.token,
		"client_id":    clientID,
		"expires_in":   fmt.Sprint(int(time.Until(token.expires).Seconds())),
		"expires_on":   fmt.Sprint(token.expires.Unix()),
		"resource":     asked.Resource,
		"token_type":   "Bearer",
	}}
}

func oauthError(code, description string) map[string]any {
	return map[string]any{"error": code, "error_description": description}
}

// known tells whether the host has an identity; an empty id is the
// system-assigned one.
func (s *Server) known(clientID string) bool {
	return clientID == "" || clientID == SystemIdentity || slices.ContainsFunc(s.options.Identities, func(id string) bool { return strings.EqualFold(id, clientID) })
}

// managed returns a token of a managed identity, perhaps one that was handed out
// before.
func (s *Server) managed(asked Request) (clientID string, token access) {
	clientID = asked.ClientID
	if clientID == "" {
		clientID = SystemIdentity
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := identity{clientID, asked.Resource}
	if kept, ok := s.kept[id]; ok && time.Until(kept.expires) >= s.policy.Keep {
		return clientID, kept
	}
	token = s.issue(clientID, asked.Resource, 24*time.Hour)
	if s.policy.Keep > 0 {
		s.kept[id] = token
	}
	return clientID, token
}
