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
	"crypto/subtle"
	"fmt"
	"net/http"
	"time"

	"spillway/shared/config"
)

// Caller is who sent a request.
type Caller struct {
	// Consumer is the calling application; nil is anybody, under open access.
	Consumer *config.Consumer
	// Key is the beginning of the hash of the key that was used, for logs: while
	// keys are rotated it tells which of the two is still in use. Empty if
	// there was no key.
	Key string
	// AppID is the Entra application that was given the token, in lower case;
	// empty if there was no token.
	AppID string
}

// Options are the settings of an Authenticator that are not part of the
// configuration. The zero value is what a gateway needs.
type Options struct {
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
	open   bool
	keys   map[config.KeyHash]keyOwner // immutable after New
	admins map[config.KeyHash]keyOwner // immutable after New; the owners have no consumer
	entra  *entra                      // nil: tokens are not accepted
}

// keyOwner is whose a key is.
type keyOwner struct {
	hash     config.KeyHash
	consumer *config.Consumer
	label    string // the beginning of the hash
}

// New returns an Authenticator for the consumers and administrators of cfg. It
// does no I/O. It fails if two of them share a key or an application, or if
// tokens of any tenant would be accepted.
func New(cfg *config.Config, o Options) (*Authenticator, error) {
	a := &Authenticator{
		open:   cfg.Access == "open",
		keys:   make(map[config.KeyHash]keyOwner, 2*len(cfg.Consumers)),
		admins: make(map[config.KeyHash]keyOwner, len(cfg.Admin.Keys)),
	}
	for _, hash := range cfg.Admin.Keys {
		a.admins[hash] = keyOwner{hash: hash}
	}
	for i := range cfg.Consumers {
		consumer := &cfg.Consumers[i]
		for _, hash := range consumer.Keys {
			if _, taken := a.admins[hash]; taken {
				return nil, fmt.Errorf("auth: a key of consumer %q is an admin key too", consumer.Name)
			}
			if other, taken := a.keys[hash]; taken && other.consumer != consumer {
				return nil, fmt.Errorf("auth: consumers %q and %q share a key", other.consumer.Name, consumer.Name)
			}
			a.keys[hash] = keyOwner{hash, consumer, hash.String()}
		}
	}
	if cfg.Entra != (config.Entra{}) {
		var err error
		if a.entra, err = newEntra(cfg, o); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Authenticate returns the caller of a request. The credential is the header
// api-key or, without it, the bearer token of the header Authorization; a
// bearer token may be a key too, as OpenAI's clients send it.
//
// The error is always a *Denied. Under open access there is none: whoever has no
// valid credential, whether missing, wrong or expired, is anonymous.
//
// A key costs no I/O. A token is verified once and then remembered until it
// expires; the first one, or one signed by a key not seen before, may wait for
// the signing keys, 5 s at most, or until ctx ends.
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

// Admin tells whether a request carries an admin key, in the same headers. A
// consumer's key is none, and open access opens nothing here.
func (a *Authenticator) Admin(r *http.Request) bool {
	credential, reason := readCredential(r.Header)
	if reason != "" {
		return false
	}
	_, ok := lookup(a.admins, hash(credential.value))
	return ok
}

func (a *Authenticator) identify(ctx context.Context, h http.Header) (Caller, *Denied) {
	credential, reason := readCredential(h)
	if reason != "" {
		return Caller{}, deny(reason)
	}
	sum := hash(credential.value)
	if owner, ok := lookup(a.keys, sum); ok {
		return Caller{Consumer: owner.consumer, Key: owner.label}, nil
	}
	if a.entra != nil && credential.bearer && looksLikeJWT(credential.value) {
		return a.entra.identify(ctx, credential.value, sum, time.Now())
	}
	return Caller{}, deny(UnknownKey)
}

// lookup finds the owner of a key by its hash. The time it takes depends on
// hashes only, from which nobody can come closer to a key; the comparison in
// constant time keeps that true whatever the map does.
func lookup(keys map[config.KeyHash]keyOwner, sum config.KeyHash) (keyOwner, bool) {
	owner := keys[sum]
	return owner, subtle.ConstantTimeCompare(owner.hash[:], sum[:]) == 1
}

func hash(credential string) config.KeyHash {
	var buffer [128]byte // holds any key, so that only tokens are copied to the heap
	return sha256.Sum256(append(buffer[:0], credential...))
}
