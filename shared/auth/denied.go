package auth

import (
	"net/http"
	"time"
)

// Reason says why a request was denied, in one word for logs and metrics. It
// must not be sent to the client: it would help to guess.
type Reason string

// The reasons.
const (
	Missing              Reason = "missing"               // neither header is there
	Malformed            Reason = "malformed"             // empty, too long, twice, or not a bearer token
	UnknownKey           Reason = "unknown_key"           // nobody's key
	InvalidToken         Reason = "invalid_token"         // not a token, or not signed by the tenant
	ExpiredToken         Reason = "expired_token"         // exp has passed
	EarlyToken           Reason = "early_token"           // nbf has not come
	WrongIssuer          Reason = "wrong_issuer"          // another tenant's
	WrongAudience        Reason = "wrong_audience"        // meant for somebody else
	UnknownApp           Reason = "unknown_app"           // no consumer lists the application or one of the roles
	MissingRole          Reason = "missing_role"          // a consumer lists the application, and only with a role that the token lacks
	AmbiguousRoles       Reason = "ambiguous_roles"       // the roles are those of two consumers
	KeysUnavailable      Reason = "keys_unavailable"      // the tenant's signing keys cannot be fetched
	DirectoryUnavailable Reason = "directory_unavailable" // the directory of consumers cannot be asked
	Canceled             Reason = "canceled"              // the client left while either was
)

// Denied is the answer to a request that is not let in. Its texts are for the
// client, and are the same whatever was wrong with the credential.
type Denied struct {
	Status     int    // 401, or 503 if the credential could not be checked now
	Message    string // the fields of OpenAI's error object
	Type       string
	Code       string
	RetryAfter time.Duration // 0: repeating the request does not help
	Challenge  string        // value of the header WWW-Authenticate of a 401; empty for others
	Reason     Reason        // not for the client
}

// Error returns the message for the client.
func (d *Denied) Error() string { return d.Message }

const (
	// challenge asks for a bearer token or key (RFC 6750, section 3). A caller
	// that sent none is told no more.
	challenge = `Bearer realm="spillway"`
	// tokenChallenge answers one that was sent and is no good, whyever.
	tokenChallenge = challenge + `, error="invalid_token"`
)

// deny returns the answer to a request with that credential. The answer depends
// on the credential only in what the client knows: whether it sent a bearer token.
func deny(reason Reason, c credential) *Denied {
	switch reason {
	case KeysUnavailable:
		return later(reason, fetchPause)
	case DirectoryUnavailable, Canceled:
		return later(reason, time.Second)
	}
	denied := &Denied{
		Status:    http.StatusUnauthorized,
		Message:   "Access denied: the API key or token is missing or invalid. Send it in the header api-key, or as Authorization: Bearer.",
		Type:      "invalid_request_error",
		Code:      "invalid_api_key",
		Challenge: challenge,
		Reason:    reason,
	}
	if c.bearer {
		denied.Challenge = tokenChallenge
	}
	return denied
}

// later is the answer to a credential that cannot be checked now.
func later(reason Reason, after time.Duration) *Denied {
	return &Denied{
		Status:     http.StatusServiceUnavailable,
		Message:    "Your key or token cannot be checked at the moment. Please retry.",
		Type:       "server_error",
		Code:       "authentication_unavailable",
		RetryAfter: after,
		Reason:     reason,
	}
}

var _ error = (*Denied)(nil)
