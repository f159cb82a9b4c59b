package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"spillway/tests/rig"
)

// everythingOn is a configuration with a key, limits of the consumer and of the
// deployment that no benchmark reaches, breakers and accounting.
func everythingOn() string {
	settings := "tokensPerMinute: 1000000000000, requestsPerMinute: 1000000000000, quotas: [{ tokens: 1000000000000, per: month }]"
	return strings.Replace(limited(settings), "tokensPerMinute: 10000 ", "tokensPerMinute: 1000000000000, requestsPerMinute: 1000000000000 ", 1)
}

// benchmarkChat measures a chat of 2 KB as an SDK sends it, without its socket.
func benchmarkChat(b *testing.B, gateway http.Handler, stream bool) {
	b.Helper()
	body := fmt.Sprintf(`{"model":"gpt-4o","max_tokens":100,"stream":%v,"messages":[{"role":"system","content":"You are terse."},{"role":"user","content":%q}]}`,
		stream, strings.Repeat("The flow of water over a weir keeps its level. ", 40))
	call := rig.Call{Path: "/v1/chat/completions", Key: teamKey, Header: map[string]string{"User-Agent": "bench", "Accept": "*/*", "X-Stainless-Lang": "go"}}
	request := call.Request(b.Context())
	request.ContentLength = int64(len(body))
	header := http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		r := *request
		r.Body = io.NopCloser(strings.NewReader(body))
		clear(header)
		gateway.ServeHTTP(&sink{header}, &r)
	}
}
