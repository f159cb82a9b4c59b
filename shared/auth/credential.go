package auth

import (
	"net/http"
	"strings"
)

// maxCredential is the length of the longest credential that is looked at, in
// bytes. Entra tokens of accounts with many groups reach a few thousand.
const maxCredential = 16 << 10

// credential is what a request says who it is by.
type credential struct {
	value  string
	bearer bool // from Authorization
}

// readCredential reads the credential from the headers; a reason other than ""
// says why there is none. Where both headers are given, api-key wins: clients
// of Azure send it on purpose, while some libraries add an Authorization of
// their own.
func readCredential(h http.Header) (credential, Reason) {
	// The names are in canonical form, which spares Header.Get's conversion.
	keys, authorizations := h["Api-Key"], h["Authorization"]
	switch {
	case len(keys) > 1 || len(authorizations) > 1:
		return credential{}, Malformed // which one counts is a matter of taste; two parties might differ
	case len(keys) == 1:
		if keys[0] == "" || len(keys[0]) > maxCredential {
			return credential{}, Malformed
		}
		return credential{value: keys[0]}, ""
	case len(authorizations) == 1:
		token, ok := bearer(authorizations[0])
		if !ok {
			return credential{}, Malformed
		}
		return credential{value: token, bearer: true}, ""
	}
	return credential{}, Missing
}

// bearer reads the value of a header Authorization: the scheme in any case, one
// or more spaces, the token (RFC 9110, section 11.4).
func bearer(value string) (token string, ok bool) {
	const scheme = "Bearer "
	if len(value) > maxCredential+len(scheme) || len(value) <= len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false
	}
	token = strings.Trim(value[len(scheme):], " ")
	return token, token != ""
}

// couldBeKey tells whether it is worth to look a key up beyond the
// configuration: whether it has the length of one, and no characters that the
// configuration allows in none. A token is too long for a key.
func couldBeKey(credential string) bool {
	const shortest, longest = 16, 256 // keys of other systems that people bring along have 32 to 200 characters
	if len(credential) < shortest || len(credential) > longest {
		return false
	}
	for i := range len(credential) {
		if c := credential[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// looksLikeJWT tells whether a bearer token is a signed token in compact form:
// three parts in base64url, the first of which is a JSON object (RFC 7515).
func looksLikeJWT(token string) bool {
	const object = "eyJ" // {"
	if !strings.HasPrefix(token, object) {
		return false
	}
	dots := 0
	for i := range len(token) {
		switch c := token[i]; {
		case c == '.':
			dots++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return dots == 2
}
