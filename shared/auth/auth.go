// Package auth tells which consumer a request comes from: by an API key, or by
// an access token of Microsoft Entra ID. It also tells who is an administrator,
// makes new keys, and removes credentials from what is forwarded.
//
// Keys are known by their SHA-256 only. A key or a token never appears in an
// error or in a Caller.
package auth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"spillway/shared/config"
)

// Caller is who sent a request.
type Caller struct {
	// Consumer is the calling application; nil is anybody, under open access.
	Consumer *config.Definition
	// Key is the beginning of the hash of the key that was used, for logs: while
	// keys are rotated it tells which of the two is still in use. Empty if
	// there was no key.
	Key string
	// AppID is the Entra application that was given the token, in lower case;
	// empty if there was no token.
	AppID string
}

// Directory finds consumers that are not in the configuration. Nil without an
// error is nobody; an error means that it cannot be told now. It is safe for
// concurrent use, and quick: it is asked for every request whose credential the
// configuration does not know.
type Directory interface {
	// ByKey finds the consumer with a key of that hash.
	ByKey(ctx context.Context, key config.KeyHash) (*config.Definition, error)
	// ByApp finds the consumer that lists an application, by its id in lower case.
	ByApp(ctx context.Context, appID string) (*config.Definition, error)
	// ByRole finds the consumer that lists an app role.
	ByRole(ctx context.Context, role string) (*config.Definition, error)
}

// Options are the settings of an Authenticator that are not part of the
// configuration. The zero value is what a gateway needs.
type Options struct {
	// Directory knows further consumers; nil: there are none.
	Directory Directory
	// Authority is the base URL of Microsoft Entra ID: the issuer and the signing
	// keys of tokens. Default: https://login.microsoftonline.com.
	Authority string
	// Transport fetches the signing keys. Default: http.DefaultTransport.
	Transport http.RoundTripper
	// KeysFailed, if set, is told why the signing keys could not be fetched: at
	// most once in ten seconds, from a goroutine of its own.
	KeysFailed func(error)
}

// Authenticator authenticates requests. It is safe for concurrent use.
type Authenticator struct {
	open      bool
	admins    map[config.KeyHash]string // the names of the admin keys; immutable after New
	consumers *roster
	entra     *entra // nil: tokens are not accepted
}

// New returns an Authenticator for the consumers and administrators of cfg. It
// does no I/O. It fails if two of them share a key, an application or a role
// that makes a caller both, or if tokens of any tenant would be accepted.
func New(cfg *config.Config, o Options) (*Authenticator, error) {
	a := &Authenticator{
		open:   cfg.Access == "open",
		admins: make(map[config.KeyHash]string, len(cfg.Admin.Keys)),
	}
	for _, admin := range cfg.Admin.Keys {
		a.admins[admin.Key] = admin.Name
	}
	var err error
	if a.consumers, err = newRoster(cfg.Consumers, o.Directory); err != nil {
		return nil, err
	}
	for hash, consumer := range a.consumers.keys {
		if _, taken := a.admins[hash]; taken {
			return nil, fmt.Errorf("auth: a key of consumer %q is an admin key too", consumer.Name)
		}
	}
	if cfg.Entra != (config.Entra{}) {
		if a.entra, err = newEntra(cfg.Entra, o); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Authenticate returns the caller of a request. The credential is the header
// api-key or, without it, the bearer token of the header Authorization; a
// bearer token may be a key too, as OpenAI's clients send it.
//
// A token is its application's: the consumer that lists the application and, if
// it lists roles too, one of the token's roles. Where there is none, it is that of
// the one consumer that lists a role of the token and no applications. In each of
// these steps the configuration comes before the directory, and while the
// directory is down whom the configuration knows is let in.
//
// The error is always a *Denied. Under open access there is none: whoever has no
// valid credential, whether missing, wrong or expired, is anonymous.
//
// A key of the configuration costs no I/O, others what the directory takes. A
// token is verified once and then remembered until it expires, but not whose it
// is; the first one, or one signed by a key not seen before, may wait for the
// signing keys, 5 s at most, or until ctx ends.
func (a *Authenticator) Authenticate(ctx context.Context, r *http.Request) (Caller, error) {
	caller, denied := a.identify(ctx, r.Header)
	if denied == nil {
		return caller, nil
	}
	if a.open {
		return Caller{}, nil
	}
	return Caller{}, denied
}

// Admin returns the name of the admin key that a request carries in the same
// headers. A consumer's key is none, and open access opens nothing here.
func (a *Authenticator) Admin(r *http.Request) (name string, ok bool) {
	credential, reason := readCredential(r.Header)
	if reason != "" {
		return "", false
	}
	name, ok = a.admins[hash(credential.value)]
	return name, ok
}

func (a *Authenticator) identify(ctx context.Context, h http.Header) (Caller, *Denied) {
	credential, reason := readCredential(h)
	if reason != "" {
		return Caller{}, deny(reason, credential)
	}
	sum := hash(credential.value)
	var caller Caller
	if a.entra != nil && credential.bearer && looksLikeJWT(credential.value) && a.consumers.keys[sum] == nil {
		caller, reason = a.byToken(ctx, credential.value, sum)
	} else if caller.Consumer, reason = a.consumers.byKey(ctx, credential.value, sum); reason == "" {
		caller.Key = sum.String()
	}
	if reason != "" {
		return Caller{}, deny(reason, credential)
	}
	return caller, nil
}

func (a *Authenticator) byToken(ctx context.Context, raw string, sum config.KeyHash) (Caller, Reason) {
	token, reason := a.entra.verify(ctx, raw, sum, time.Now())
	if reason != "" {
		return Caller{}, reason
	}
	consumer, reason := a.consumers.byToken(ctx, token)
	return Caller{Consumer: consumer, AppID: token.app}, reason
}

func hash(credential string) config.KeyHash {
	var buffer [128]byte // holds any key, so that only tokens are copied to the heap
	return sha256.Sum256(append(buffer[:0], credential...))
}
