package openai

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestErrorWrite(t *testing.T) {
	for _, c := range []struct {
		err    *Error
		body   string
		header map[string]string // "" for absent
	}{
		{&Error{Status: 400, Message: "a\"\\\n\x00é<&>\xff"}, `{"error":{"message":"a\"\\\u000a\u0000é<&>` + "\uFFFD" + `","type":null,"param":null,"code":null}}`,
			map[string]string{"Retry-After": "", "Retry-After-Ms": "", "X-Should-Retry": ""}},
		{InvalidRequest("n", "m"), `{"error":{"message":"m","type":"invalid_request_error","param":"n","code":null}}`, nil},
		{RateLimited("tokens", "m", time.Nanosecond), `{"error":{"message":"m","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, map[string]string{"Retry-After": "1", "Retry-After-Ms": "1"}},
		{RateLimited("requests", "m", 6*time.Second), `{"error":{"message":"m","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, map[string]string{"Retry-After": "6", "Retry-After-Ms": "6000"}},
		{RateLimited("tokens", "m", 6*time.Second+time.Microsecond), `{"error":{"message":"m","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, map[string]string{"Retry-After": "7", "Retry-After-Ms": "6001"}},
		{RateLimited("tokens", "m", -time.Second), `{"error":{"message":"m","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, map[string]string{"Retry-After": "", "Retry-After-Ms": ""}},
		{MethodNotAllowed("PUT", "GET", "DELETE"), `{"error":{"message":"Not allowed to PUT here. Use GET or DELETE.","type":"invalid_request_error","param":null,"code":"method_not_supported"}}`, map[string]string{"Allow": "GET, DELETE"}},
		{NotImplemented("m"), `{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"not_implemented"}}`, map[string]string{"Allow": "", "X-Should-Retry": "false"}},
		{QuotaExceeded("m", time.Hour), `{"error":{"message":"m","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, map[string]string{"Retry-After": "3600", "X-Should-Retry": "false"}},
	} {
		w := httptest.NewRecorder()
		c.err.Write(w)
		if w.Code != c.err.Status || w.Body.String() != c.body {
			t.Errorf("%v:\n got %d %s\nwant %s", c.err, w.Code, w.Body, c.body)
		}
		if !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%v: %s %s", c.err, w.Header().Get("Content-Type"), w.Body)
		}
		for name, want := range c.header {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%v: %s is %q, want %q", c.err, name, got, want)
			}
		}
	}
}

func TestErrorEvent(t *testing.T) {
	raw := Interrupted().Event()
	ev, n := NextEvent(raw)
	if n != len(raw) {
		t.Fatalf("%q is not one event", raw)
	}
	if c := ParseChunk(ChatCompletions, ev); c.Kind != Failure || c.Err.Message != Interrupted().Message || c.Err.Code != Interrupted().Code {
		t.Errorf("%q is read as %+v, want Kind %v, Err.Message %v, Err.Code %v", raw, c, Failure, Interrupted().Message, Interrupted().Code)
	}
}

func TestConstructors(t *testing.T) {
	for _, c := range []struct {
		err    *Error
		status int
		code   string
		parts  string
	}{
		{Unauthorized(), 401, "invalid_api_key", "api-key"},
		{ModelNotFound("gpt-5", nil), 404, "model_not_found", "'gpt-5' does not exist or you do not have access to it."},
		{ModelNotFound("x", []string{"b", "a"}), 404, "model_not_found", "Available: a, b."},
		{ModelNotFound("x", strings.Split("l k j i h g f e d c b a", " ")), 404, "model_not_found", "a, b, c, d, e, f, g, h, i, j, …."},
		{ModelNotFound("evil\n\x1b[31m"+strings.Repeat("z", 300), nil), 404, "model_not_found", `'evil\u000a\u001b[31mzzz`},
		{UnknownURL("GET", "/v1/x"), 404, "unknown_url", "GET /v1/x"},
		{MethodNotAllowed("PUT", "POST"), 405, "method_not_supported", "PUT"},
		{NotImplemented("no websockets"), 501, "not_implemented", "no websockets"},
		{TooLarge(1000), 413, "request_too_large", "1000 bytes"},
		{Overloaded(time.Second), 503, "service_unavailable", "No backend"},
		{Internal(), 500, "internal_error", "server had an error"},
		{Interrupted(), 502, "stream_interrupted", "broke off"},
	} {
		if c.err.Status != c.status || c.err.Code != c.code || !strings.Contains(c.err.Message, c.parts) || len(c.err.Message) > 500 {
			t.Errorf("%+v, want %d %s %s", *c.err, c.status, c.code, c.parts)
		}
		if text := c.err.Error(); !strings.Contains(text, c.code) || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("%q", text)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{"": "", "gpt-4o é漢": "gpt-4o é漢", "a\nb": `a\u000ab`, "\xff\xc3(": `\xff\xc3(`, "\uFFFD": "\uFFFD", "\u202e": `\u202e`, "a\u0000": `a\u0000`,
		strings.Repeat("é", 101): strings.Repeat("é", 100) + "…", strings.Repeat("a", 100): strings.Repeat("a", 100)} {
		if got := Printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestParseError(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   Error
	}{
		{429, `{"error":{"code":"429","message":"Requests have exceeded token rate limit. Please retry after 6 seconds."}}`, Error{Status: 429, Message: "Requests have exceeded token rate limit. Please retry after 6 seconds.", Code: "429"}},
		{429, `{"error":{"code":429,"message":"m"}}`, Error{Status: 429, Message: "m", Code: "429"}},
		{404, `{"error":{"type":"invalid_request_error","code":"DeploymentNotFound","message":"m"}}`, Error{Status: 404, Message: "m", Type: "invalid_request_error", Code: "DeploymentNotFound"}},
		{400, `{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`, Error{Status: 400, Message: "filtered", Param: "prompt", Code: "content_filter"}},
		{401, `{ "statusCode": 401, "message": "Access denied" }`, Error{Status: 401, Message: "Access denied"}},
		{400, `{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}`, Error{Status: 400, Message: "m", Type: "BadRequestError", Code: "400"}},
		{422, `{"detail":"no"}`, Error{Status: 422, Message: "no"}},
		{422, `{"detail":[{"loc":["body"]}],"message":{"x":1},"code":true}`, Error{Status: 422, Message: "The backend answered 422 Unprocessable Entity."}},
		{500, `{"error":"x"}`, Error{Status: 500, Message: "x"}},
		{500, `{"error":null,"message":"m"}`, Error{Status: 500, Message: "m"}},
		{500, `{"error":[]}`, Error{Status: 500, Message: "The backend answered 500 Internal Server Error."}},
		{502, `<html>Bad gateway</html>`, Error{Status: 502, Message: "The backend answered 502 Bad Gateway."}},
		{599, ``, Error{Status: 599, Message: "The backend answered 599."}},
		{503, `{"error":{"message":"` + strings.Repeat("x", maxErrorBody) + `"}}`, Error{Status: 503, Message: "The backend answered 503 Service Unavailable."}},
		{0, `{"error":{"status":"408","code":"x"}}`, Error{Status: 408, Message: "The backend reported an error.", Code: "x"}},
		{0, `{"error":{"code":"content_filter"}}`, Error{Status: 400, Message: "The backend reported an error.", Code: "content_filter"}},
		{0, `{"error":{"type":"invalid_request_error","code":"12"}}`, Error{Status: 400, Message: "The backend reported an error.", Type: "invalid_request_error", Code: "12"}},
		{0, `{"code":"server_error","message":"m"}`, Error{Status: 500, Message: "m", Code: "server_error"}},
		{0, `{"code":"failed_to_download_image","message":"m"}`, Error{Status: 400, Message: "m", Code: "failed_to_download_image"}},
		{0, `{"error":{"type":"x"}}`, Error{Message: "The backend reported an error.", Type: "x"}},
	} {
		if got := ParseError(c.status, []byte(c.body)); *got != c.want {
			t.Errorf("%d %.100s:\n got %+v\nwant %+v", c.status, c.body, *got, c.want)
		}
	}
}

func FuzzParseError(f *testing.F) {
	f.Fuzz(func(t *testing.T, status uint16, body []byte) {
		e := ParseError(int(status), body)
		if e.Message == "" || status != 0 && e.Status != int(status) {
			t.Fatalf("%q: %+v", body, e)
		}
		event := e.Event()
		again := ParseError(int(status), event[len("data: "):])
		if !json.Valid(event[len("data: "):]) || utf8.ValidString(e.Message) && again.Message != e.Message {
			t.Fatalf("%q: %+v is written as %s", body, e, event)
		}
	})
}
