package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestBadBodies(t *testing.T) {
	hello := `"messages":[{"role":"user","content":"Hello!"}]`
	with := func(members string) string { return `{"model":"gpt-4o",` + hello + `,` + members + `}` }
	deep := func(n int) string {
		return with(`"x":` + strings.Repeat("[", n) + strings.Repeat("]", n))
	}
	tests := []struct {
		name   string
		body   string
		status int
		code   string
		param  string
	}{
		{name: "empty", body: ``},
		{name: "white space", body: " \r\n\t"},
		{name: "not JSON", body: `model=gpt-4o&messages=Hello`},
		{name: "NULs", body: strings.Repeat("\x00", 100)},
		{name: "an array", body: `[{"model":"gpt-4o"}]`},
		{name: "a text", body: `"gpt-4o"`},
		{name: "null", body: `null`},
		{name: "half an object", body: `{"model":"gpt-4o","messages":[{"role":"user","content":"Hel`},
		{name: "two objects", body: `{"model":"gpt-4o"}{"model":"gpt-4o"}`},
		{name: "a comma too many", body: `{"model":"gpt-4o",` + hello + `,}`},
		{name: "a number that is none", body: with(`"temperature":01`)},
		{name: "NaN", body: with(`"temperature":NaN`)},
		{name: "a byte order mark", body: "\xef\xbb\xbf" + with(`"n":1`)},
		{name: "bytes that are not UTF-8", body: with(`"user":"` + "\xff\xfe" + `"`)},
		{name: "half a surrogate pair as bytes", body: with(`"user":"` + "\xed\xa0\x80" + `"`)},
		{name: "a control character in a text", body: with("\"user\":\"a\nb\"")},
		{name: "nested 1,001 deep", body: deep(1001)},
		{name: "nested 10,000 deep", body: deep(10_000)},
		{name: "objects nested 10,000 deep", body: strings.Repeat(`{"x":`, 10_000)},

		{name: "no model", body: `{` + hello + `}`, param: "model"},
		{name: "model null", body: `{"model":null,` + hello + `}`, param: "model"},
		{name: "model empty", body: `{"model":"",` + hello + `}`, param: "model"},
		{name: "model a number", body: `{"model":4,` + hello + `}`, code: "invalid_type", param: "model"},
		{name: "model an object", body: `{"model":{"name":"gpt-4o"},` + hello + `}`, code: "invalid_type", param: "model"},
		{name: "model of 10 KB", body: `{"model":"` + strings.Repeat("g", 10<<10) + `",` + hello + `}`, param: "model"},
		{name: "model with a NUL", body: `{"model":"gpt-4o\u0000",` + hello + `}`, param: "model"},
		{name: "model with a line end", body: `{"model":"gpt-4o\r\nx-evil: 1",` + hello + `}`, param: "model"},
		{name: "model twice", body: `{"model":"gpt-4o",` + hello + `,"model":"gpt-4o-mini"}`, param: "model"},
		{name: "model twice, once escaped", body: `{"model":"gpt-4o",` + hello + `,"m\u006fdel":"gpt-4o-mini"}`, param: "model"},
		{name: "model in another case", body: `{"Model":"gpt-4o",` + hello + `}`, param: "Model"},
		{name: "stream twice", body: with(`"stream":false,"stream":true`), param: "stream"},
		{name: "max_tokens twice", body: with(`"max_tokens":1,"max_tokens":1000000`), param: "max_tokens"},

		{name: "model unknown", body: `{"model":"gpt-99",` + hello + `}`, status: 404, code: "model_not_found", param: "model"},
		{name: "model with a slash", body: `{"model":"a/b",` + hello + `}`, status: 404, code: "model_not_found", param: "model"},
		{name: "model that climbs", body: `{"model":"../gpt-4o",` + hello + `}`, status: 404, code: "model_not_found", param: "model"},
		{name: "model in escapes of a URL", body: `{"model":"gpt-4o%2f..%2f",` + hello + `}`, status: 404, code: "model_not_found", param: "model"},

		{name: "stream a text", body: with(`"stream":"true"`), code: "invalid_type", param: "stream"},
		{name: "messages a text", body: `{"model":"gpt-4o","messages":"Hello!"}`, code: "invalid_type", param: "messages"},
		{name: "stream_options a list", body: with(`"stream":true,"stream_options":[]`), code: "invalid_type", param: "stream_options"},
		{name: "include_usage a number", body: with(`"stream":true,"stream_options":{"include_usage":1}`), code: "invalid_type", param: "stream_options.include_usage"},
		{name: "max_tokens a text", body: with(`"max_tokens":"20"`), code: "invalid_type", param: "max_tokens"},
		{name: "max_tokens negative", body: with(`"max_tokens":-1`), code: "integer_below_min_value", param: "max_tokens"},
		{name: "max_tokens with a fraction", body: with(`"max_tokens":1.5`), code: "invalid_type", param: "max_tokens"},
		{name: "max_tokens huge", body: with(`"max_tokens":99999999999999999999`), code: "integer_above_max_value", param: "max_tokens"},
		{name: "max_tokens infinite", body: with(`"max_tokens":1e999`), code: "integer_above_max_value", param: "max_tokens"},
		{name: "max_tokens of many digits", body: with(`"max_tokens":1` + strings.Repeat("0", 10_000)), code: "invalid_type", param: "max_tokens"},
		{name: "max_completion_tokens negative", body: with(`"max_completion_tokens":-9223372036854775808`), code: "integer_below_min_value", param: "max_completion_tokens"},
		{name: "n of a billion", body: with(`"n":1e9`), code: "integer_above_max_value", param: "n"},
		{name: "n zero", body: with(`"n":0`), code: "integer_below_min_value", param: "n"},
	}
	s := besiege(t, patience)
	s.unmoved(t, func() {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				for _, d := range dialects {
					if d == classic && test.param == "model" {
						continue // there the path says it
					}
					got := s.refused(t, s.send(t, call{path: d.path("gpt-4o", "chat/completions"), key: callerKey, from: d, body: test.body}), max(test.status, 400))
					if got.Code != test.code || got.Param != test.param {
						t.Errorf("%s: code %q for %q, want %q for %q: %s", d, got.Code, got.Param, test.code, test.param, got.Message)
					}
				}
			})
		}
	})
}

func TestBadPaths(t *testing.T) {
	chat := "/chat/completions?api-version=" + apiVersion
	tests := []struct {
		name   string
		method string // default: POST
		path   string
		status int // default: 404
	}{
		{name: "nothing there", path: "/no/such/path"},
		{name: "root", path: "/"},
		{name: "an operation that is not served", path: "/v1/fine_tuning/jobs"},
		{name: "a path too long", path: "/v1/chat/completions/more"},
		{name: "a slash too many", path: "/v1/chat/completions/"},
		{name: "two slashes", path: "//v1/chat/completions"},
		{name: "another case", path: "/V1/Chat/Completions"},
		{name: "dots on the way", path: "/v1/../v1/chat/completions"},
		{name: "escaped dots on the way", path: "/v1/%2e%2e/v1/chat/completions"},
		{name: "an escaped operation", path: "/v1/chat%2fcompletions"},
		{name: "no deployment", path: "/openai/deployments//chat/completions"},
		{name: "deployment with a slash", path: "/openai/deployments/a/b" + chat},
		{name: "deployment with an escaped slash", path: "/openai/deployments/a%2fb" + chat},
		{name: "deployment with a backslash", path: "/openai/deployments/a%5cb" + chat},
		{name: "deployment of dots", path: "/openai/deployments/.." + chat},
		{name: "deployment of escaped dots", path: "/openai/deployments/%2e%2e" + chat},
		{name: "deployment with a NUL", path: "/openai/deployments/gpt-4o%00" + chat},
		{name: "deployment with a line end", path: "/openai/deployments/gpt-4o%0d%0ax-evil:%201" + chat},
		{name: "deployment that is not UTF-8", path: "/openai/deployments/%ff%fe" + chat},
		{name: "deployment of 10 KB", path: "/openai/deployments/" + strings.Repeat("g", 10<<10) + chat},
		{name: "deployment unknown", path: "/openai/deployments/gpt-99" + chat},
		{name: "deployment escaped twice", path: "/openai/deployments/gpt%252d4o" + chat},
		{name: "a wild api-version", path: "/openai/deployments/gpt-4o/chat/completions?api-version=%0d%0ax:1"},
		{name: "of ours, unknown", path: "/spillway/no-such-page"},
		{name: "of ours, climbing", path: "/spillway/../v1/chat/completions"},
		{name: "the timer of a Functions host", path: "/maintenance"},
		{name: "GET", method: http.MethodGet, path: "/v1/chat/completions", status: 405},
		{name: "PUT", method: http.MethodPut, path: "/openai/deployments/gpt-4o" + chat, status: 405},
		{name: "DELETE", method: http.MethodDelete, path: "/openai/v1/embeddings", status: 405},
		{name: "a method nobody knows", method: "BREW", path: "/v1/chat/completions", status: 405},
	}
	s := besiege(t, patience)
	s.unmoved(t, func() {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				method := test.method
				if method == "" {
					method = http.MethodPost
				}
				body := chatBody("gpt-4o")
				got := s.raw(t, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: spillway\r\nApi-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
					method, test.path, callerKey, len(body), body))
				want := test.status
				if want == 0 {
					want = http.StatusNotFound
				}
				s.refused(t, got, want)
			})
		}
	})
}
