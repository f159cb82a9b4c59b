// Package openai is the wire of the OpenAI and Azure OpenAI data planes: paths and dialects, the few request fields
// a gateway reads or rewrites, server-sent events, usage and errors.
//
// Nothing here is decoded into a tree. A request body is read by one pass that validates it and notes what matters;
// patches replace or insert single values, and every other byte is passed on as it came. The package keeps no state
// and does no I/O; values are safe for concurrent use where their comment says so.
package openai

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Operation is one kind of call of the API. The zero value is no operation.
type Operation uint8

// The operations a Route can name.
const (
	ChatCompletions Operation = iota + 1
	Completions
	Embeddings
)

// operations holds what the code knows about each Operation, so that a new one is a new row.
var operations = [...]struct {
	path      string // after the dialect's prefix
	name      string // gen_ai.operation.name of the OpenTelemetry semantic conventions
	generates bool   // whether the answer is generated text: reads stream, max_tokens, n …
}{
	ChatCompletions: {path: "chat/completions", name: "chat", generates: true},
	Completions:     {path: "completions", name: "text_completion", generates: true},
	Embeddings:      {path: "embeddings", name: "embeddings"},
}

// Path is the operation's path behind the dialect's prefix, such as "chat/completions"; "" for no operation.
func (op Operation) Path() string {
	if int(op) >= len(operations) {
		return ""
	}
	return operations[op].path
}

// String is the operation's name in logs and metrics: "chat", "text_completion", "embeddings", as OpenTelemetry's
// semantic conventions for generative AI (gen_ai.operation.name) call them.
func (op Operation) String() string {
	if int(op) >= len(operations) {
		return ""
	}
	return operations[op].name
}

// generates tells whether the operation's answer is generated text.
func (op Operation) generates() bool {
	return int(op) < len(operations) && operations[op].generates
}

// Dialect is where a service expects the model's name and which paths it has. The zero value is no dialect.
type Dialect uint8

// The dialects.
const (
	Azure   Dialect = iota + 1 // /openai/deployments/{deployment}/…?api-version=…
	AzureV1                    // /openai/v1/…, model in the body
	OpenAI                     // /v1/…, model in the body
)

// String is the dialect's name as the configuration writes it: "azure", "azure-v1", "openai".
func (d Dialect) String() string {
	switch d {
	case Azure:
		return "azure"
	case AzureV1:
		return "azure-v1"
	case OpenAI:
		return "openai"
	}
	return ""
}

// ModelInBody tells whether the dialect names the model in the request's body rather than in its path.
func (d Dialect) ModelInBody() bool { return d == AzureV1 || d == OpenAI }

// Route is what the path and query of a request say.
type Route struct {
	Operation  Operation
	Dialect    Dialect
	Model      string // from the path, unescaped; "" where the dialect has it in the body
	APIVersion string // the api-version query parameter; "" if absent
}

const (
	maxModelBytes      = 256 // of a model's name, in a path or a body
	maxAPIVersionBytes = 64
)

const (
	azurePrefix   = "/openai/deployments/"
	azureV1Prefix = "/openai/v1/"
	openAIPrefix  = "/v1/"
)

// ParseRoute reads the path of u as the client escaped it, and the api-version of its query. It returns false for
// every path that is not exactly one of the known ones, for a model in the path that is empty, longer than 256 bytes,
// not UTF-8, a dot segment, or holds a slash, a backslash or a control character (escaped or not), and for an
// api-version that is not up to 64 letters, digits, dots and hyphens: Azure too answers 404 to a version it does not
// know.
func ParseRoute(u *url.URL) (Route, bool) {
	version, ok := apiVersion(u.RawQuery)
	if !ok {
		return Route{}, false
	}
	path := u.EscapedPath()
	if rest, ok := strings.CutPrefix(path, azurePrefix); ok {
		name, tail, ok := strings.Cut(rest, "/")
		if !ok {
			return Route{}, false
		}
		op, known := operationAt(tail)
		model, valid := pathModel(name)
		return Route{op, Azure, model, version}, known && valid
	}
	if tail, ok := strings.CutPrefix(path, azureV1Prefix); ok {
		op, known := operationAt(tail)
		return Route{op, AzureV1, "", version}, known
	}
	if tail, ok := strings.CutPrefix(path, openAIPrefix); ok {
		op, known := operationAt(tail)
		return Route{op, OpenAI, "", version}, known
	}
	return Route{}, false
}

// URL is where a request for op goes at endpoint: scheme, host and path of endpoint are kept (its query is not), the
// dialect's prefix is added unless the path ends with it already (https://api.openai.com and https://api.openai.com/v1
// mean the same), and deployment is escaped as one path segment. Azure without an apiVersion gets DefaultAPIVersion;
// AzureV1 passes on only the versions it knows (see IsDated); OpenAI has none.
func URL(endpoint *url.URL, d Dialect, op Operation, deployment, apiVersion string) *url.URL {
	path := strings.TrimRight(endpoint.Path, "/")
	escaped := strings.TrimRight(endpoint.EscapedPath(), "/")
	u := &url.URL{Scheme: endpoint.Scheme, User: endpoint.User, Host: endpoint.Host}
	switch d {
	case Azure:
		path, escaped = strings.TrimSuffix(path, "/openai"), strings.TrimSuffix(escaped, "/openai")
		u.Path = path + azurePrefix + deployment + "/" + op.Path()
		u.RawPath = escaped + azurePrefix + url.PathEscape(deployment) + "/" + op.Path()
		if apiVersion == "" {
			apiVersion = DefaultAPIVersion
		}
		u.RawQuery = "api-version=" + url.QueryEscape(apiVersion)
	case AzureV1:
		path, escaped = strings.TrimSuffix(path, "/openai/v1"), strings.TrimSuffix(escaped, "/openai/v1")
		u.Path, u.RawPath = path+azureV1Prefix+op.Path(), escaped+azureV1Prefix+op.Path()
		if apiVersion != "" && !IsDated(apiVersion) {
			u.RawQuery = "api-version=" + url.QueryEscape(apiVersion)
		}
	case OpenAI:
		path, escaped = strings.TrimSuffix(path, "/v1"), strings.TrimSuffix(escaped, "/v1")
		u.Path, u.RawPath = path+openAIPrefix+op.Path(), escaped+openAIPrefix+op.Path()
	}
	return u
}

// operationAt finds the operation whose path is exactly path.
func operationAt(path string) (Operation, bool) {
	for op := ChatCompletions; int(op) < len(operations); op++ {
		if operations[op].path == path {
			return op, true
		}
	}
	return 0, false
}

// pathModel unescapes and checks the model's segment of a path. Slashes are refused even where they are escaped:
// proxies on the way disagree about %2F, and no Azure deployment's name has one.
func pathModel(segment string) (string, bool) {
	if len(segment) > 3*maxModelBytes {
		return "", false
	}
	model, err := url.PathUnescape(segment)
	if err != nil || !validModel(model) || model == "." || model == ".." || strings.ContainsAny(model, `/\`) {
		return "", false
	}
	return model, true
}

// validModel is the rule for a model's name wherever it stands: 1 to 256 bytes of UTF-8 without control characters.
func validModel(name string) bool {
	return name != "" && len(name) <= maxModelBytes && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}
