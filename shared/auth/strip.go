package auth

import (
	"net/http"
	"net/url"
	"strings"
)

// secretQueries are the parameters that carry a credential of the caller, in
// lower case; hosts read them without regard to case.
var secretQueries = map[string]bool{
	"code":                 true, // key of the Functions host
	"api-key":              true, // the caller's key, where a client cannot set headers
	"subscription-key":     true, // the other name under which Azure AI services take a key
	"access_token":         true, // a bearer token (RFC 6750, section 2.3)
	"x-amz-security-token": true, // a request signed for AWS IAM in its URL
	"x-amz-credential":     true,
	"x-amz-signature":      true,
}

// Strip removes the caller's credentials from the headers and the query of a
// request that is to be forwarded. Everything else stays. Either may be nil.
func Strip(h http.Header, q url.Values) {
	for name := range h {
		if IsSecretHeader(http.CanonicalHeaderKey(name)) {
			delete(h, name)
		}
	}
	for name := range q {
		if secretQueries[strings.ToLower(name)] {
			delete(q, name)
		}
	}
}

// IsSecretHeader tells whether a header carries a credential of the caller. None of those
// is a backend's business, and each would put the caller's credential into foreign hands,
// or take the place of the gateway's. The name is in canonical form.
func IsSecretHeader(canonical string) bool {
	switch canonical {
	case "Api-Key", // the caller's key
		"Authorization",             // the caller's key or token; also the signature of AWS IAM
		"Proxy-Authorization",       // a proxy's credential; RFC 9110 has it end at the first proxy
		"X-Api-Key",                 // a key by convention of many gateways; clients send it beside the right header
		"Ocp-Apim-Subscription-Key", // the other name under which Azure AI services take a key
		"X-Functions-Key",           // key of the Functions host, which the gateway runs under
		"Cookie",                    // sessions with this host: App Service authentication, load balancer affinity
		"X-Zumo-Auth",               // session token of App Service authentication
		"X-Amz-Security-Token":      // session of AWS IAM, where a function URL is called with it
		return true
	}
	// App Service authentication hands the gateway the caller's tokens and identity.
	return strings.HasPrefix(canonical, "X-Ms-Token-") || strings.HasPrefix(canonical, "X-Ms-Client-Principal")
}
