// Package openai is the wire of the OpenAI and Azure OpenAI data planes: paths and dialects, the few request fields
// a gateway reads or rewrites, server-sent events, usage and errors.
//
// Nothing here is decoded into a tree. A request body is read by one pass that validates it and notes what matters;
// patches replace, insert or remove single members, and every other byte is passed on as it came. The package keeps no
// state and does no I/O; values are safe for concurrent use where their comment says so.
package openai

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Dialect is where a service expects the model's name and which paths it has. The zero value is no dialect.
type Dialect uint8

// The dialects.
const (
	Azure   Dialect = iota + 1 // /openai/deployments/{deployment}/…?api-version=…, or /openai/…?api-version=…
	AzureV1                    // /openai/v1/…
	OpenAI                     // /v1/…
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

// Route is what the method, the path and the query of a request say.
type Route struct {
	Operation  Operation
	Dialect    Dialect
	Model      string // from the path, unescaped: the deployment, or the model that GetModel asks for; "" elsewhere
	ID         string // from the path: of a response, a file or a batch; "" where the path has none
	APIVersion string // the api-version query parameter; "" if absent
	Query      string // the raw query without api-version and code (a key of Azure Functions, a credential); "" if none
}

const (
	maxModelBytes      = 256 // of a model's name, in a path or a body
	maxIDBytes         = 256 // of the id of a response, a file or a batch
	maxAPIVersionBytes = 64
)

const (
	azurePrefix      = "/openai/"
	deploymentPrefix = "/openai/deployments/"
	azureV1Prefix    = "/openai/v1/"
	openAIPrefix     = "/v1/"
)

// ParseRoute reads the method, the path of u as the client escaped it, and its query. Every path that is not exactly
// one of the known ones is an UnknownURL, and so are a model in the path that is empty, longer than 256 bytes, not
// UTF-8, a dot segment, or holds a slash, a backslash or a control character (escaped or not); an id that is not 1 to
// 256 letters, digits, dots, underscores and hyphens, or a dot segment; a query with spaces, control characters or a #;
// and an api-version that is not up to 64 letters, digits, dots and hyphens: Azure too answers 404 to a version it does
// not know. A known path with another method is MethodNotAllowed, and a path of the realtime API is NotImplemented.
func ParseRoute(method string, u *url.URL) (Route, *Error) {
	r, tail, ok := splitPath(u.EscapedPath())
	if !ok {
		return Route{}, UnknownURL(method, u.Path)
	}
	if r.Model == "" && (tail == "realtime" || strings.HasPrefix(tail, "realtime/")) {
		return Route{}, NotImplemented("Spillway has no websockets, and so no realtime API.")
	}
	if r.APIVersion, r.Query, ok = splitQuery(u.RawQuery); !ok {
		return Route{}, UnknownURL(method, u.Path)
	}
	var allowed []string
	for op := ChatCompletions; op.known(); op++ {
		spec := &operations[op]
		deployed := spec.model == inDeployment && r.Dialect == Azure
		if deployed != (r.Model != "") || tail == "" || spec.path[0] != tail[0] {
			continue
		}
		found := r
		if !found.match(op, tail) {
			continue
		}
		if spec.method == method {
			return found, nil
		}
		allowed = append(allowed, spec.method)
	}
	if len(allowed) > 0 {
		return Route{}, MethodNotAllowed(method, allowed...)
	}
	return Route{}, UnknownURL(method, u.Path)
}

// splitPath finds the dialect of a path, its deployment, and the rest, the path of an operation.
func splitPath(path string) (r Route, tail string, ok bool) {
	if rest, found := strings.CutPrefix(path, deploymentPrefix); found {
		name, tail, _ := strings.Cut(rest, "/")
		model, valid := pathModel(name)
		return Route{Dialect: Azure, Model: model}, tail, valid
	}
	for _, p := range [...]struct {
		prefix  string
		dialect Dialect
	}{{azureV1Prefix, AzureV1}, {azurePrefix, Azure}, {openAIPrefix, OpenAI}} {
		if tail, found := strings.CutPrefix(path, p.prefix); found {
			return Route{Dialect: p.dialect}, tail, true
		}
	}
	return Route{}, "", false
}

// match tells whether tail is the path of an operation, and takes the operation and its id if so.
func (r *Route) match(op Operation, tail string) bool {
	before, after, hasID := strings.Cut(operations[op].path, "{id}")
	if !hasID {
		r.Operation = op
		return tail == before
	}
	id, ok := strings.CutPrefix(tail, before)
	if !ok {
		return false
	}
	if id, ok = strings.CutSuffix(id, after); !ok {
		return false
	}
	r.Operation = op
	if op == GetModel {
		r.Model, ok = pathModel(id)
		return ok
	}
	r.ID = id
	return validID(id)
}

// Streams tells whether the query asks for a stream of events, as GetResponse may ("stream=true").
func (r Route) Streams() bool {
	for pair := range strings.SplitSeq(r.Query, "&") {
		if name, value, _ := strings.Cut(pair, "="); name == "stream" {
			return value == "true"
		}
	}
	return false
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

// validID is the rule for the id of a response, a file or a batch wherever it stands: 1 to 256 letters, digits, dots,
// underscores and hyphens, and no dot segment. So an id needs no escape in a path, and is a key in any store.
func validID[T []byte | string](id T) bool {
	if len(id) == 0 || len(id) > maxIDBytes || string(id) == "." || string(id) == ".." {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// splitQuery takes the first api-version out of a raw query, and drops others and every code. Azure reads names without
// regard to case, and so they are matched. It returns false if a byte is none of a query, or the version is implausible.
func splitQuery(query string) (version, rest string, ok bool) {
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == '#' || c == 0x7F {
			return "", "", false
		}
	}
	var kept strings.Builder
	versioned := false
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		switch {
		case pair == "" || err == nil && strings.EqualFold(name, "code"):
		case err == nil && strings.EqualFold(name, "api-version"):
			if versioned {
				continue
			}
			versioned = true
			if version, err = url.QueryUnescape(value); err != nil || !plausibleVersion(version) {
				return "", "", false
			}
		default:
			if kept.Len() > 0 {
				kept.WriteByte('&')
			}
			kept.WriteString(pair)
		}
	}
	return version, kept.String(), true
}
