package config

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// withHeaders is a case of a backend with headers, on line 10.
func withHeaders(name, headers string, want ...string) problemCase {
	return problemCase{name, "name: payg", "name: payg\n    headers: " + headers, want}
}

// Fixed headers have their canonical names, and values that may be secrets.
func TestHeaders(t *testing.T) {
	const text = `&h { x-contoso-team: "${CONTOSO_TEAM}", Ocp-Apim-Subscription-Key: "a b" }`
	backend := parse(t, strings.Replace(minimal, "deployments", "headers: "+text+", deployments", 1)).Backends[0]
	want := http.Header{"X-Contoso-Team": {variables["CONTOSO_TEAM"]}, "Ocp-Apim-Subscription-Key": {"a b"}}
	if got := backend.Headers.Reveal(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	backend = parse(t, strings.Replace(minimal, "deployments", "headers: {}, deployments", 1)).Backends[0]
	if got := backend.Headers.Reveal(); got != nil {
		t.Errorf("an empty mapping: got %v, want none", got)
	}
}

// A header that the gateway has a say in is refused, with the reason.
func TestHeaderProblems(t *testing.T) {
	runProblemCases(t, []problemCase{
		withHeaders("of a connection", "{ TE: trailers }",
			`gateway.yaml:10: backends[1].headers.TE: belongs to one connection, and the gateway has connections of its own; remove it`),
		withHeaders("a credential", "{ authorization: hush }",
			`gateway.yaml:10: backends[1].headers.authorization: is the credential of the gateway at this backend; write it under auth`),
		withHeaders("another credential", "{ API-KEY: hush }",
			`gateway.yaml:10: backends[1].headers.API-KEY: is the credential of the gateway at this backend; write it under auth`),
		withHeaders("the host", "{ host: contoso.com }",
			`gateway.yaml:10: backends[1].headers.host: is the host of the endpoint; write another endpoint`),
		withHeaders("about the body", "{ content-type: text/plain }",
			`gateway.yaml:10: backends[1].headers.content-type: describes the body, which each request has its own of; remove it`),
		withHeaders("about the answer", "{ Accept-Encoding: gzip }",
			`gateway.yaml:10: backends[1].headers.Accept-Encoding: is written by the gateway, which has to read the answers; remove it`),
		withHeaders("of one request", "{ Idempotency-Key: once }",
			`gateway.yaml:10: backends[1].headers.Idempotency-Key: tells one request from all others, and would make them the same; remove it`),
		withHeaders("of the gateway", "{ X-Spillway-Backend: payg }",
			`gateway.yaml:10: backends[1].headers.X-Spillway-Backend: is a header of the gateway itself, and is never sent on; give it another name`),
		withHeaders("no name of a header", "{ \"x y\": z }",
			`gateway.yaml:10: backends[1].headers.x y: is not the name of a header: 1 to 64 letters, digits and . _ -; correct it`),
		withHeaders("a secret in the place of a name", "{ hush-0123456789abcdef0123456789abcdef: \"\" }",
			`gateway.yaml:10: backends[1].headers.…: the value is empty; give it a value, or remove the key`),
		withHeaders("twice", "{ x-team: a, X-Team: b }",
			`gateway.yaml:10: backends[1].headers.X-Team: the header X-Team is written twice; case does not matter in it; remove one of the two`),
		withHeaders("twice the same", "{ x-team: a, x-team: b }",
			`gateway.yaml:10: backends[1].headers.x-team: the key is written twice, first on line 10; remove one of the two`),
		withHeaders("a value of several lines", "{ x-team: \"${LINES}\" }",
			`gateway.yaml:10: backends[1].headers.x-team: the value holds a line break or another character that cannot be printed; remove it`),
		withHeaders("a value beyond ASCII", "{ x-team: hush-ü }",
			`gateway.yaml:10: backends[1].headers.x-team: the value has characters beyond ASCII, which not every server reads alike; write it in ASCII`),
		withHeaders("no value", "{ x-team: }",
			`gateway.yaml:10: backends[1].headers.x-team: has no value; give it one, or remove the key`),
		withHeaders("a number", "{ x-team: 5 }",
			`gateway.yaml:10: backends[1].headers.x-team: wants a text, has a whole number; put it in quotes`),
		withHeaders("no mapping", "[hush]",
			`gateway.yaml:10: backends[1].headers: wants keys and values, has a list`),
	})
}
