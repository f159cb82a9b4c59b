// Package config reads gateway.yaml into an immutable Config: it substitutes
// environment variables, applies defaults, and checks everything that can be
// checked before the first request. All problems are found in one go, each with
// its line, its key and its mend.
//
// The Go types below are the one source of the file format. Their struct tags
// drive the decoder and the JSON Schema alike:
//
//	yaml      the key in the file; "-" keeps a field out of it
//	required  "true": the key must be written where its mapping is
//	default   the value of an absent key, as it would be written
//	enum      the words allowed, separated by spaces
//	format    the shape of a text or number: see formats and the scalar types
//	min, max  bounds of a number or a duration, both inclusive
//	minItems  the smallest length of a list that is written out
//	maxItems  the largest length of a list
//	doc       what the key means; the description in the schema
//
// An absent number is 0, an absent list nil and an absent text empty, unless a
// default says otherwise. The few defaults that depend on other keys are in
// deriveDefaults.
package config

import (
	"crypto/x509"
	"net/url"
	"sync/atomic"
	"time"
)

// Config is the whole configuration. Nothing changes it after Parse or Load
// returned it, so it is safe for concurrent use.
type Config struct {
	Access    string     `yaml:"access" required:"true" enum:"keys open" doc:"Who may call: keys admits the consumers listed, open admits everybody. It must be written out."`
	State     State      `yaml:"state" doc:"Where limits, breakers and usage are kept."`
	Backends  []Backend  `yaml:"backends" required:"true" minItems:"1" doc:"The endpoints requests are sent to."`
	Pools     []Pool     `yaml:"pools" required:"true" minItems:"1" doc:"Which backends serve a model, and in which order. Of several pools of one model the first is its default."`
	Consumers []Consumer `yaml:"consumers" doc:"The calling applications and their limits. With store: tables more can be added at run time."`
	Breaker   Breaker    `yaml:"breaker" doc:"When a deployment is taken out because it fails, and for how long."`
	Retry     Retry      `yaml:"retry" doc:"How many deployments one request may try."`
	Timeouts  Timeouts   `yaml:"timeouts" doc:"How long each part of a request may take. Times that are not written are never longer than total."`
	Limits    Limits     `yaml:"limits" doc:"Bounds that protect the gateway itself."`
	Admin     Admin      `yaml:"admin" doc:"Who may read status, metrics, the usage of all consumers and the console."`
	Prices    []Price    `yaml:"prices" doc:"Prices of models, for the cost column of the usage ledger. A model without a price costs 0."`
	Entra     Entra      `yaml:"entra" doc:"The Microsoft Entra ID tenant whose tokens are accepted."`

	// defined is what CheckConsumer looks up. The first one builds it.
	defined atomic.Pointer[index]
}

// State says where shared state is kept. Store is memory or tables;
// OnUnavailable is allow, fairShare or deny. With tables, exactly one of
// Connection and Endpoint is set.
type State struct {
	Store         string   `yaml:"store" enum:"memory tables" default:"memory" doc:"tables shares state between all instances. memory keeps it in each instance, so limits then hold per instance."`
	Connection    Secret   `yaml:"connection" doc:"Connection string of the storage account, or UseDevelopmentStorage=true."`
	Endpoint      *url.URL `yaml:"endpoint" doc:"Table endpoint of the storage account, reached with a managed identity. Instead of connection."`
	Table         string   `yaml:"table" format:"table" default:"spillway" doc:"Name of the table. It is created if it does not exist."`
	OnUnavailable string   `yaml:"onUnavailable" enum:"allow fairShare deny" default:"allow" doc:"What a limit does while the table is down: allow everything, allow each instance its fair share, or deny."`
}

// Backend is one endpoint. API is azure, azure-v1 or openai; Endpoint is an
// absolute http or https URL whose path does not end in a slash. Roots are the
// certificates of CAFile, and nil without one; backends of the same file share
// them.
type Backend struct {
	Name        string       `yaml:"name" required:"true" format:"name" doc:"Name of the backend in pools, logs, metrics and response headers."`
	Endpoint    *url.URL     `yaml:"endpoint" required:"true" doc:"Base URL. The path that the api adds (/openai, /openai/v1 or /v1) may be left out."`
	API         string       `yaml:"api" enum:"azure azure-v1 openai" default:"azure" doc:"azure: deployment in the path. azure-v1: /openai/v1, deployment in the body. openai: /v1, model in the body."`
	APIVersion  string       `yaml:"apiVersion" format:"apiVersion" doc:"The api-version sent to this backend. Absent: the one the client sent."`
	Region      string       `yaml:"region" format:"region" doc:"The region of this backend, for usage reports. Absent: the region its answers name, if they name one."`
	Auth        Auth         `yaml:"auth" doc:"Credentials of the gateway at this backend. Absent: none are sent."`
	Headers     Headers      `yaml:"headers" format:"header" doc:"Fixed headers that are added to each request to this backend, in place of those that the client sent."`
	CAFile      string       `yaml:"caFile" doc:"A file of certificates in PEM that this backend's TLS certificate must be signed by, relative to this file. Absent: those of the system."`
	Files       bool         `yaml:"files" doc:"Whether it keeps the files and batches of the consumers whose pools have it as a member. Absent: false."`
	Deployments []Deployment `yaml:"deployments" required:"true" minItems:"1" doc:"The models this backend serves."`

	Roots *x509.CertPool `yaml:"-"`
}

// Auth is how the gateway authenticates at a backend: by key, by managed
// identity, or (both absent) not at all.
type Auth struct {
	APIKey          Secret           `yaml:"apiKey" doc:"The key of the backend."`
	ManagedIdentity *ManagedIdentity `yaml:"managedIdentity" doc:"Use the identity that the host gives: {} takes credentials or a workload identity of the environment, else the managed identity (that of AZURE_CLIENT_ID, or the system-assigned one)."`
}

// ManagedIdentity is an Azure managed identity. An empty ClientID is the
// system-assigned one; Scope is never empty.
type ManagedIdentity struct {
	ClientID string `yaml:"clientId" format:"guid" doc:"Client id of the identity, where the host has several."`
	Scope    string `yaml:"scope" doc:"The scope tokens are asked for. Absent: https://cognitiveservices.azure.com/.default for api azure, https://ai.azure.com/.default for azure-v1; api openai has none."`
}

// Deployment is a model on a backend: the unit of limits, throttles and
// breakers. A limit of 0 is no limit of ours. Accounting is azure or actual.
type Deployment struct {
	Model             string `yaml:"model" required:"true" format:"model" doc:"The model clients ask for."`
	Deployment        string `yaml:"deployment" format:"model" doc:"Its name on this backend. Absent: the model."`
	TokensPerMinute   int64  `yaml:"tokensPerMinute" min:"1" max:"1000000000000" doc:"Tokens per minute this deployment is given. Absent: no limit."`
	RequestsPerMinute int64  `yaml:"requestsPerMinute" min:"1" max:"1000000000000" doc:"Requests per minute this deployment is given. Absent: no limit."`
	SpillBelow        int64  `yaml:"spillBelow" min:"0" max:"1000000000000" doc:"With fewer tokens than this left in the window, requests go elsewhere."`
	Accounting        string `yaml:"accounting" enum:"azure actual" doc:"azure: charge the estimate on arrival and never refund it, as Azure OpenAI does. actual: settle to the usage reported. Absent: azure for api azure and azure-v1, actual for openai."`
}

// Pool is who can serve a model. Strategy is weighted, leastLatency or
// mostHeadroom.
type Pool struct {
	Model          string        `yaml:"model" required:"true" format:"model" doc:"The model this pool serves."`
	Name           string        `yaml:"name" format:"name" doc:"Name of the pool, for consumers' pools. Absent: the model."`
	Strategy       string        `yaml:"strategy" enum:"weighted leastLatency mostHeadroom" default:"weighted" doc:"How one of the members of the same priority is picked."`
	Members        []Member      `yaml:"members" required:"true" minItems:"1" doc:"The backends of the pool."`
	FallbackModels []string      `yaml:"fallbackModels" format:"model" doc:"Models to serve instead, in this order, when no member has room. Their own fallbacks are not followed."`
	MaxWait        time.Duration `yaml:"maxWait" default:"0s" min:"0s" doc:"Hold a request this long for capacity before refusing it."`
}

// Member is one backend of a pool.
type Member struct {
	Backend  string `yaml:"backend" required:"true" format:"name" doc:"Name of a backend that serves the pool's model."`
	Priority int    `yaml:"priority" default:"1" min:"0" max:"1000" doc:"Lower is tried first."`
	Weight   int    `yaml:"weight" default:"1" min:"1" max:"1000000" doc:"Share of requests among members of the same priority."`
}

// Consumer is a calling application. A limit of 0 is no limit. Nil Models
// means all models, a nil Spillover unlimited spillover, and with nil
// TokenWeights every token counts once. A model that none of Pools serves is
// served by its default pool.
type Consumer struct {
	Name              string        `yaml:"name" required:"true" format:"name" doc:"Name of the consumer in usage reports, logs and metrics."`
	Keys              []KeyHash     `yaml:"keys" doc:"Keys of the consumer, each as sha256: and 64 hex digits, or as plain text of at least 16 characters, which is hashed when it is read."`
	Entra             ConsumerEntra `yaml:"entra" doc:"Applications of the Entra tenant that are this consumer. With appIds and roles both, the application must be listed and its token carry one of the roles."`
	Models            []string      `yaml:"models" format:"model" minItems:"1" doc:"The models it may use. Absent: all."`
	Pools             []string      `yaml:"pools" format:"model" minItems:"1" doc:"The pools that serve it, at most one for each model. Models without one here, or all if absent: the default pool."`
	TokensPerMinute   int64         `yaml:"tokensPerMinute" min:"1" max:"1000000000000" doc:"Tokens per minute it may use. Absent: no limit."`
	RequestsPerMinute int64         `yaml:"requestsPerMinute" min:"1" max:"1000000000000" doc:"Requests per minute it may send. Absent: no limit."`
	Quotas            []Quota       `yaml:"quotas" doc:"Token quotas over longer periods, at most one for each period."`
	ModelLimits       []ModelLimit  `yaml:"modelLimits" doc:"Limits for single models, beside those for all models together. At most one entry for each model."`
	TokenWeights      *TokenWeights `yaml:"tokenWeights" doc:"How much tokens of some kinds count against the token limits. Absent: every token counts once."`
	Shadow            bool          `yaml:"shadow" doc:"Count and report the limits, and refuse nothing because of them. Absent: false."`
	// Since is when its definition was last changed, for a consumer that is kept in
	// the table; zero for one of the file.
	Since     time.Time  `yaml:"-"`
	Spillover *Spillover `yaml:"spillover" doc:"Whether and how much it may use members other than those of the lowest priority. Absent or true: unlimited."`
	// MayChooseBackend and Tags are about headers of its requests.
	MayChooseBackend bool     `yaml:"mayChooseBackend" doc:"Whether its requests may name the backends that serve them, by the headers x-spillway-backend and x-spillway-exclude. Absent: false."`
	Tags             []string `yaml:"tags" format:"tag" minItems:"1" maxItems:"8" doc:"Names of the tags that its requests may carry in the header x-spillway-tags, for usage reports. Absent: none."`
}

// ConsumerEntra tells which Entra applications are one consumer: those of
// AppIDs, and with Roles too only those among them whose token carries one of
// the roles. With Roles alone it is any application whose token carries one.
// The ids are in lower case; roles are as written, for their case counts.
type ConsumerEntra struct {
	AppIDs []string `yaml:"appIds" format:"guid" minItems:"1" doc:"Application (client) ids, as in the appid or azp claim."`
	Roles  []string `yaml:"roles" format:"role" minItems:"1" doc:"App roles of the tenant, as in the roles claim. Without appIds: any application that has one of them."`
}

// ModelLimit is what a consumer may use of one model. A limit of 0 is no
// limit; at least one of the limits is set.
type ModelLimit struct {
	Model             string  `yaml:"model" required:"true" format:"model" doc:"The model, one that the consumer may use."`
	TokensPerMinute   int64   `yaml:"tokensPerMinute" min:"1" max:"1000000000000" doc:"Tokens per minute it may use of this model. Absent: no limit."`
	RequestsPerMinute int64   `yaml:"requestsPerMinute" min:"1" max:"1000000000000" doc:"Requests per minute it may send for this model. Absent: no limit."`
	Quotas            []Quota `yaml:"quotas" doc:"Token quotas for this model, at most one for each period."`
}

// TokenWeights is how much a token counts against the token limits of a
// consumer. CachedInput is from 0 to 1, Reasoning from 0 to 10.
type TokenWeights struct {
	CachedInput float64 `yaml:"cachedInput" default:"1" min:"0" max:"1" doc:"How much a prompt token counts that the model had in its cache."`
	Reasoning   float64 `yaml:"reasoning" default:"1" min:"0" max:"10" doc:"How much a generated token counts that went into reasoning."`
}

// Quota is a number of tokens per calendar period in UTC. Per is hour, day,
// week or month.
type Quota struct {
	Tokens int64  `yaml:"tokens" required:"true" min:"1" max:"1000000000000000" doc:"Tokens per period."`
	Per    string `yaml:"per" required:"true" enum:"hour day week month" doc:"The period, by the UTC calendar. A week starts on Monday."`
}

// Spillover is a consumer's share of spillover. In the file it is false, true,
// or a mapping with tokensPerMinute. With Allowed, a TokensPerMinute of 0 is
// unlimited.
type Spillover struct {
	Allowed         bool  `yaml:"-"`
	TokensPerMinute int64 `yaml:"tokensPerMinute" required:"true" min:"1" max:"1000000000000" doc:"Tokens per minute that may spill over."`
}

// Breaker says when a deployment is taken out because it fails.
type Breaker struct {
	Failures      int           `yaml:"failures" default:"5" min:"1" max:"1000000" doc:"Consecutive failures that open the breaker."`
	Interval      time.Duration `yaml:"interval" default:"10s" min:"1ms" doc:"The time over which failures are counted."`
	StatusCodes   []StatusRange `yaml:"statusCodes" default:"500-599" minItems:"1" doc:"Answers that count as failures. 429 cannot be among them: it is a throttle, which ends by time."`
	OpenFor       time.Duration `yaml:"openFor" default:"10s" min:"1ms" doc:"How long it stays open the first time. Each opening in a row lasts longer."`
	MaxOpenFor    time.Duration `yaml:"maxOpenFor" default:"300s" min:"1ms" doc:"The longest it stays open."`
	MaxRetryAfter time.Duration `yaml:"maxRetryAfter" default:"60s" min:"1ms" doc:"The longest a backend's Retry-After is believed."`
}

// Retry bounds the attempts of one request. Budget is a share from 0 to 1.
type Retry struct {
	MaxAttempts int     `yaml:"maxAttempts" default:"0" min:"0" max:"1000" doc:"Attempts per request. 0: every candidate once."`
	Budget      float64 `yaml:"budget" default:"0.2" min:"0" max:"1" doc:"Retries after failures, as a share of all requests."`
}

// Timeouts bounds the parts of one request.
type Timeouts struct {
	Connect         time.Duration `yaml:"connect" default:"5s" min:"1ms" doc:"To connect to a backend, TLS included."`
	ResponseHeaders time.Duration `yaml:"responseHeaders" default:"120s" min:"1ms" doc:"From the request sent to the headers of the answer."`
	StreamIdle      time.Duration `yaml:"streamIdle" default:"60s" min:"1ms" doc:"Between two pieces of an answer."`
	Total           time.Duration `yaml:"total" default:"225s" min:"1ms" doc:"From arrival to the last byte, all attempts included."`
}

// Limits protects the gateway itself. RequestBody is in bytes.
type Limits struct {
	RequestBody int64 `yaml:"requestBody" format:"size" default:"32MiB" min:"1" max:"2147483647" doc:"The largest request body, in bytes or with a unit (KB, MB, GB, KiB, MiB, GiB)."`
	Consumers   int   `yaml:"consumers" default:"100000" min:"1" max:"10000000" doc:"The largest number of consumers."`
}

// Admin says who may read what concerns all consumers.
type Admin struct {
	Keys []AdminKey `yaml:"keys" doc:"Keys, each written as a consumer's, or as a mapping with a name. Absent: status, metrics and console are closed."`
}

// AdminKey is a key of an administrator. In the file it is a text, the key, or
// a mapping with a name and the key. Names are unique; that of a plain text is
// the beginning of its hash, as KeyHash.String has it.
type AdminKey struct {
	Name string  `yaml:"name" required:"true" format:"name" doc:"Name of the key, for the record of who changed what."`
	Key  KeyHash `yaml:"key" required:"true" doc:"The key, written as a consumer's."`
}

// Price is what a model costs, per million tokens, in any one currency.
type Price struct {
	Model                 string  `yaml:"model" required:"true" format:"model" doc:"The model, as clients ask for it."`
	InputPerMillion       float64 `yaml:"inputPerMillion" required:"true" min:"0" max:"1000000000" doc:"Price of a million prompt tokens."`
	CachedInputPerMillion float64 `yaml:"cachedInputPerMillion" min:"0" max:"1000000000" doc:"Price of a million cached prompt tokens. Absent: inputPerMillion."`
	OutputPerMillion      float64 `yaml:"outputPerMillion" default:"0" min:"0" max:"1000000000" doc:"Price of a million generated tokens."`
}

// Entra is the Microsoft Entra ID tenant whose tokens are accepted. Both
// fields are empty when none is.
type Entra struct {
	Tenant   string `yaml:"tenant" required:"true" format:"tenant" doc:"Tenant id, or a domain name of the tenant."`
	Audience string `yaml:"audience" required:"true" doc:"The audience tokens must carry: the application id URI or the client id of the gateway's app registration."`
}

// Pool returns the pool of that name, or nil.
func (c *Config) Pool(name string) *Pool {
	for i := range c.Pools {
		if c.Pools[i].Name == name {
			return &c.Pools[i]
		}
	}
	return nil
}

// DefaultPool returns the first pool that serves the model, or nil.
func (c *Config) DefaultPool(model string) *Pool {
	for i := range c.Pools {
		if c.Pools[i].Model == model {
			return &c.Pools[i]
		}
	}
	return nil
}

// Models returns the models that pools serve, each once, in the order of the
// file.
func (c *Config) Models() []string {
	var models []string
	seen := make(map[string]bool, len(c.Pools))
	for _, pool := range c.Pools {
		if !seen[pool.Model] {
			seen[pool.Model] = true
			models = append(models, pool.Model)
		}
	}
	return models
}

// Backend returns the backend of that name, or nil.
func (c *Config) Backend(name string) *Backend {
	for i := range c.Backends {
		if c.Backends[i].Name == name {
			return &c.Backends[i]
		}
	}
	return nil
}

// DeploymentFor returns the deployment that serves the model on this backend,
// or nil.
func (b *Backend) DeploymentFor(model string) *Deployment {
	for i := range b.Deployments {
		if b.Deployments[i].Model == model {
			return &b.Deployments[i]
		}
	}
	return nil
}
