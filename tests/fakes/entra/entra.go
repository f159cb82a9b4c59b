// Package entra plays Microsoft Entra ID and the endpoints of managed identities,
// for tests of programs that ask them for tokens or verify theirs:
//
//   - the identity endpoint of App Service, Functions and Container Apps
//     (api-version 2019-08-01);
//   - the instance metadata service of virtual machines (IMDS, 2018-02-01);
//   - the token endpoint, for client secrets and federated assertions;
//   - OpenID configuration, instance discovery and the signing keys of a tenant,
//     and tokens signed with them.
//
// A Server answers in memory, as a transport for clients that live in the same
// process, under a synthetic clock too; Listen puts it behind sockets, where
// unchanged programs reach it as the real one.
package entra

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// DefaultTenant is the id of the tenant of a Server that is given none.
const DefaultTenant = "aaaaaaaa-1111-4000-8000-00000000000a"

// Kind is what a request asks for.
type Kind string

// The kinds.
const (
	AppService Kind = "app-service" // a token of the identity endpoint
	IMDS       Kind = "imds"        // a token of the instance metadata service
	Probe      Kind = "probe"       // whether that is there at all
	Token      Kind = "token"       // a token of the token endpoint
	Discovery  Kind = "discovery"   // OpenID configuration, or instance discovery
	Keys       Kind = "keys"        // the signing keys
)

// Options are a tenant and what is registered there.
type Options struct {
	// Tenant is its id. Default: DefaultTenant.
	Tenant string
	// Domain is a domain name of the tenant, by which it can be named too.
	Domain string
	// Identities are the client ids of the user-assigned identities of the host.
	// It has a system-assigned one, SystemIdentity, in any case.
	Identities []string
	// Applications are those that may get tokens for themselves, by client id.
	Applications map[string]Application
}

// SystemIdentity is the client id of the host's system-assigned identity.
const SystemIdentity = "bbbbbbbb-1111-4000-8000-00000000000b"

// Application is how an application proves who it is.
type Application struct {
	Secret    string // its client secret; empty: it has none
	Assertion string // the federated token that is believed; empty: none is
}

// Policy is how tokens are issued.
type Policy struct {
	// Life is how long a token is valid. Default: 24 hours for managed identities,
	// one hour for applications.
	Life time.Duration
	// RefreshIn is the advice of the token endpoint when to get a new one; 0: none.
	RefreshIn time.Duration
	// Keep makes the endpoints of managed identities hand out the same token until
	// less than this is left of it, as those of Azure do.
	Keep time.Duration
}

// Fault is what happens to requests instead of an answer.
type Fault struct {
	// Stall holds requests back until it is closed, or they are given up.
	Stall <-chan struct{}
	// Status is answered instead of 200; 0 with a nil Stall breaks the connection.
	Status int
	// RetryAfter is said with the Status; 0: nothing is. In whole seconds.
	RetryAfter time.Duration
	// Times is how many requests meet the fault; 0: all, until it is lifted.
	Times int
}

// Request is a request that came in.
type Request struct {
	Kind     Kind
	At       time.Time
	Resource string // the resource or scope that was asked for
	ClientID string // empty: the system-assigned identity
	Status   int    // of the answer; 0: there was none
}

// Server is a tenant and a host with managed identities. It is safe for
// concurrent use.
type Server struct {
	options Options
	mux     *http.ServeMux

	mu       sync.Mutex
	policy   Policy              // guarded by mu
	faults   map[Kind]*Fault     // guarded by mu
	requests []Request           // guarded by mu
	keys     []signingKey        // guarded by mu; the last one signs
	issued   int                 // guarded by mu; how many tokens
	kept     map[identity]access // guarded by mu; what Policy.Keep hands out again
}

// New returns a Server with one signing key. It does no I/O.
func New(o Options) *Server {
	if o.Tenant == "" {
		o.Tenant = DefaultTenant
	}
	s := &Server{options: o, faults: make(map[Kind]*Fault), kept: make(map[identity]access)}
	s.Rotate()
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("GET "+identityPath, s.kind(AppService, s.appService))
	s.mux.HandleFunc("GET /metadata/identity/oauth2/token", s.metadata)
	s.mux.HandleFunc("GET /common/discovery/instance", s.kind(Discovery, s.instance))
	s.mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", s.kind(Discovery, s.configuration))
	s.mux.HandleFunc("GET /{tenant}/discovery/v2.0/keys", s.kind(Keys, s.signingKeys))
	s.mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.kind(Token, s.token))
	return s
}

// Tenant is the tenant's id.
func (s *Server) Tenant() string { return s.options.Tenant }

// SetPolicy changes how tokens are issued from now on.
func (s *Server) SetPolicy(p Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policy = p
	clear(s.kept)
}

// Fail makes requests of a kind meet a fault from now on.
func (s *Server) Fail(kind Kind, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[kind] = &f
}

// Recover lifts the fault of a kind. Requests that are held back stay so.
func (s *Server) Recover(kind Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, kind)
}

// Requests returns the requests of a kind so far, in the order of their arrival.
func (s *Server) Requests(kind Kind) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.requests), func(r Request) bool { return r.Kind != kind })
}

// Count is how many requests of a kind came in so far.
func (s *Server) Count(kind Kind) int { return len(s.Requests(kind)) }
