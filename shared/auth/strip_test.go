package auth

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
)

func TestStrip(t *testing.T) {
	secret := []string{
		"api-key", "Authorization", "Proxy-Authorization", "X-Api-Key", "Ocp-Apim-Subscription-Key", "x-functions-key", "Cookie",
		"X-ZUMO-AUTH", "X-Amz-Security-Token", "X-MS-TOKEN-AAD-ACCESS-TOKEN", "X-MS-CLIENT-PRINCIPAL", "X-MS-CLIENT-PRINCIPAL-ID",
	}
	kept := []string{
		"Content-Type", "Accept", "traceparent", "x-ms-client-request-id", "x-ms-spillover-deployment", "api-key-hint",
		"OpenAI-Organization", "X-Stainless-Retry-Count", "User-Agent", "aoai-evals",
	}
	h := http.Header{}
	for _, name := range slices.Concat(secret, kept) {
		h.Add(name, "first")
		h.Add(name, "second")
	}
	h["api-KEY"] = []string{"set without canonical form"}
	q := url.Values{
		"code": {"c"}, "CODE": {"c"}, "api-key": {"k"}, "Subscription-Key": {"k"}, "access_token": {"t"}, "X-Amz-Signature": {"s"},
		"X-Amz-Credential": {"c"}, "x-amz-security-token": {"t"}, "api-version": {"2024-10-21"}, "encode": {"yes"},
	}
	Strip(h, q)
	left := slices.Sorted(maps.Keys(h))
	var want []string
	for _, name := range kept {
		want = append(want, http.CanonicalHeaderKey(name))
	}
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("headers left: %q, want %q", left, want)
	}
	for name, values := range h {
		if len(values) != 2 {
			t.Errorf("%s: %q, want both values", name, values)
		}
	}
	if got := slices.Sorted(maps.Keys(q)); !slices.Equal(got, []string{"api-version", "encode"}) {
		t.Errorf("parameters left: %q", got)
	}
	Strip(nil, nil)
}

// What authenticates a caller is always stripped.
func TestStripRemovesWhatAuthenticateReads(t *testing.T) {
	a := newAuthenticator(t, testConfig(), Options{})
	for _, tt := range credentialCases {
		r := request(tt.headers...)
		Strip(r.Header, nil)
		if got := identified(t, a, r); got != "denied: missing" {
			t.Errorf("%s: after Strip %s, want denied: missing", tt.name, got)
		}
	}
}
