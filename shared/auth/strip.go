package auth

import (
	"net/http"
	"net/url"
	"strings"
)

// secretHeaders are the headers that carry a credential of the caller, in
// canonical form. None of them is a backend's business, and each would put the
// caller's credential into foreign hands, or take the place of the gateway's.
var secretHeaders = map[string]bool{
	"Api-Key":                   true, // the caller's key
	"Authorization":             true, // the caller's key or token; also the signature of AWS IAM
	"Proxy-Authorization":       true, // a proxy's credential; RFC 9110 has it end at the first proxy
	"X-Api-Key":                 true, // a key by convention of many gateways; clients send it beside the right header
	"Ocp-Apim-Subscription-Key": true, // the other name under which Azure AI services take a key
	"X-Functions-Key":           true, // key of the Functions host, which the gateway runs under
	"Cookie":                    true, // sessions with this host: App Service authentication, load balancer affinity
	"X-Zumo-Auth":               true, // session token of App Service authentication
	"X-Amz-Security-Token":      true, // session of AWS IAM, where a function URL is called with it
}

// secretHeaderPrefixes begin the headers in which App Service authentication
// hands the gateway the caller's tokens and identity.
var secretHeaderPrefixes = []string{"X-Ms-Token-", "X-Ms-Client-Principal"}

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

// IsSecretHeader tells whether a header carries a credential of the caller. The name is in
// canonical form.
func IsSecretHeader(canonical string) bool {
	if secretHeaders[canonical] {
		return true
	}
	for _, prefix := range secretHeaderPrefixes {
		if strings.HasPrefix(canonical, prefix) {
			return true
		}
	}
	return false
}
