package upstream

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// A plain answer that is too long to be read whole first, and breaks off: the
// gateway is told, and has to cut the client's connection.
func TestLongPlainAnswerCutOnTheWire(t *testing.T) {
	body := `{"data":"` + strings.Repeat("x", 300<<10)
	backend := rawBackend(t, func(c net.Conn) {
		readRequest(c)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", 400<<10, body)
	})
	client := New(Options{})
	r := client.Do(t.Context(), backend, chat())
	defer r.Close()
	if r.Outcome != OK || r.Header.Get("Content-Length") != strconv.Itoa(400<<10) {
		t.Fatalf("got %v, %v", r.Outcome, r.Header)
	}
	text, d := relayed(r)
	if text != body || d.Reason != ReasonCut || !d.Truncated || d.ClientGone {
		t.Errorf("the client gets %d bytes: %v", len(text), d.Err)
	}
}

func TestPlainAnswersOfEachLength(t *testing.T) {
	const tail = `","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`
	for _, length := range []int{100, smallBuffer - 1, smallBuffer, largeBuffer, maxWhole - 1, maxWhole, maxWhole + 1, 3 << 20} {
		for _, chunked := range []bool{false, true} {
			body := `{"data":"` + strings.Repeat("x", length-9-len(tail)) + tail
			client, backend := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if !chunked {
					w.Header().Set("Content-Length", strconv.Itoa(length))
				}
				_, _ = io.WriteString(w, body[:50])
				w.(http.Flusher).Flush()
				_, _ = io.WriteString(w, body[50:])
			})
			r := client.Do(t.Context(), backend, chat())
			checkResult(t, r)
			whole := r.body == nil
			if r.Outcome != OK || whole != r.HasUsage || length < maxWhole && !whole || length > maxWhole && whole {
				t.Errorf("%d bytes: %v, whole %t, usage %t", length, r.Outcome, whole, r.HasUsage)
			}
			if got := r.Header.Get("Content-Length"); got != strconv.Itoa(length) && (whole || !chunked) {
				t.Errorf("%d bytes: Content-Length %q", length, got)
			}
			text, d := relayed(r)
			if text != body || d.Err != nil || d.Bytes != int64(length) {
				t.Errorf("%d bytes: got %d: %+v", length, len(text), d)
			}
			checkUsage(t, d, usageOfAnswer)
			r.Close()
		}
	}
}
