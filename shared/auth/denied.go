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
	Missing         Reason = "missing"          // neither header is there
	Malformed       Reason = "malformed"        // empty, too long, twice, or not a bearer token
	UnknownKey      Reason = "unknown_key"      // nobody's key
	InvalidToken    Reason = "invalid_token"    // not a token, or not signed by the tenant
	ExpiredToken    Reason = "expired_token"    // exp has passed
	EarlyToken      Reason = "early_token"      // nbf has not come
	WrongIssuer     Reason = "wrong_issuer"     // another tenant's
	WrongAudience   Reason = "wrong_audience"   // meant for somebody else
	UnknownApp      Reason = "unknown_app"      // no consumer lists the application
	KeysUnavailable Reason = "keys_unavailable" // the tenant's signing keys cannot be fetched
	Canceled        Reason = "canceled"         // the client left while they were fetched
)

// Denied is the answer to a request that is not let in. Its texts are for the
// client, and are the same whatever was wrong with the credential.
type Denied struct {
	Status     int    // 401, or 503 if the credential could not be checked now
	Message    string // the fields of OpenAI's error object
	Type       string
	Code       string
	RetryAfter time.Duration // 0: repeating the request does not help
	Reason     Reason        // not for the client
}

// Error returns the message for the client.
func (d *Denied) Error() string { return d.Message }

func deny(reason Reason) *Denied {
	if reason == KeysUnavailable || reason == Canceled {
		return &Denied{
			Status:     http.StatusServiceUnavailable,
			Message:    "Your token cannot be checked at the moment. Please retry.",
			Type:       "server_error",
			Code:       "authentication_unavailable",
			RetryAfter: fetchPause,
			Reason:     reason,
		}
	}
	return &Denied{
		Status:  http.StatusUnauthorized,
		Message: "Access denied: the API key or token is missing or invalid. Send it in the header api-key, or as Authorization: Bearer.",
		Type:    "invalid_request_error",
		Code:    "invalid_api_key",
		Reason:  reason,
	}
}

var _ error = (*Denied)(nil)
