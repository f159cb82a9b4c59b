package upstream

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"spillway/shared/openai"
)

const errorEvent = `data: {"error":`

func TestUsageChunkIsDroppedOnlyIfTheClientDidNotAsk(t *testing.T) {
	for _, drop := range []bool{true, false} {
		client, backend := serve(t, events(preamble, delta("Hi."), finish, usageOnly, done))
		call := stream()
		call.DropUsage = drop
		r := client.Do(t.Context(), backend, call)
		text, d := relayed(r)
		want := preamble + delta("Hi.") + finish + usageOnly + done
		if drop {
			want = preamble + delta("Hi.") + finish + done
		}
		if text != want || d.Bytes != int64(len(want)) || d.Err != nil {
			t.Errorf("drop %t: the client gets %q: %+v", drop, text, d)
		}
		checkUsage(t, d, usageOfAnswer)
		r.Close()
	}
}

// Where we have asked for the usage, the service says in each chunk that it has none
// yet. The client gets the chunks as it had got them by itself, however they are cut,
// and who has asked gets all.
func TestNullUsageIsTakenOut(t *testing.T) {
	const end = "}]}\n\n"
	asked := func(event string) string { return strings.Replace(event, end, `}],"usage":null}`+"\n\n", 1) }
	text := delta(`a,\"usage\":null`) + delta("b") + finish
	sent := preamble + asked(delta(`a,\"usage\":null`)) + asked(delta("b")) + asked(finish) + usageOnly + done
	for _, size := range []int{1, 7, 100, 4096} {
		for _, drop := range []bool{true, false} {
			call := stream()
			call.DropUsage = drop
			client := New(Options{Transport: eventStream(&pieces{text: sent, size: size})})
			r := client.Do(t.Context(), backendAt(t, "http://backend.test"), call)
			want := sent
			if drop {
				want = preamble + text + done
			}
			if got, d := relayed(r); got != want || d.Usage != usageOfAnswer {
				t.Errorf("pieces of %d, drop %t: the client gets %q, want %q", size, drop, got, want)
			}
			r.Close()
		}
	}
}

// All that came in one read goes out in one write and one flush, without what is
// dropped from the middle.
func TestOneWriteAndOneFlushPerRead(t *testing.T) {
	step := make(chan struct{})
	client, backend := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, piece := range []string{delta("a"), delta("b") + usageOnly + delta("c"), finish + done} {
			_, _ = io.WriteString(w, piece)
			w.(http.Flusher).Flush()
			<-step
		}
	})
	call := stream()
	call.DropUsage = true
	r := client.Do(t.Context(), backend, call)
	defer r.Close()
	var written []string
	flushed := 0
	d := r.Relay(writer(func(p []byte) (int, error) {
		written = append(written, string(p))
		return len(p), nil
	}), func() error {
		flushed++
		step <- struct{}{}
		return nil
	})
	want := []string{delta("a"), delta("b") + delta("c"), finish + done}
	if fmt.Sprint(written) != fmt.Sprint(want) || flushed != len(want) || d.Err != nil {
		t.Errorf("%d flushes, writes %q: %+v", flushed, written, d)
	}
}

type writer func([]byte) (int, error)

func (f writer) Write(p []byte) (int, error) { return f(p) }

// However the network cuts a stream, the client gets the same whole events.
func TestEventsPassWholeHoweverTheyAreCut(t *testing.T) {
	whole := preamble + delta("Grüße") + ": ping\n\n" + delta(strings.Repeat("x", 9000)) + finish + usageOnly + done
	for _, size := range []int{1, 2, 3, 7, 100, 4096, 1 << 20} {
		for _, lineEnd := range []string{"\n", "\r\n", "\r"} {
			source := strings.ReplaceAll(whole, "\n", lineEnd)
			r := streamOf(t, &pieces{text: source, size: size})
			var seen strings.Builder
			d := r.Relay(writer(func(p []byte) (int, error) {
				if end := lineEnd + lineEnd; !strings.HasSuffix(string(p), end) && !strings.HasSuffix(string(p), "\r\n\r") {
					t.Errorf("a write ends inside of an event: %q", p[max(0, len(p)-20):])
				}
				return seen.Write(p)
			}), nil)
			if want := strings.ReplaceAll(source, strings.ReplaceAll(usageOnly, "\n", lineEnd), ""); seen.String() != want || d.Err != nil {
				t.Errorf("pieces of %d, line end %q: %v, got %d bytes, want %d", size, lineEnd, d.Err, seen.Len(), len(want))
			}
			checkUsage(t, d, usageOfAnswer)
			r.Close()
		}
	}
}

// pieces is a body that comes in pieces of the given size, and then ends.
type pieces struct {
	text string
	size int
	end  error // nil: io.EOF
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		if p.end != nil {
			return 0, p.end
		}
		return 0, io.EOF
	}
	n := copy(b, p.text[:min(p.size, len(p.text))])
	p.text = p.text[n:]
	return n, nil
}

func (p *pieces) Close() error { return nil }

// streamOf is the result of a stream whose body is given, with DropUsage.
func streamOf(t testing.TB, body io.ReadCloser) *Result {
	t.Helper()
	client := New(Options{Transport: eventStream(body)})
	call := stream()
	call.DropUsage = true
	r := client.Do(t.Context(), backendAt(t, "http://backend.test"), call)
	if r.Outcome != OK {
		t.Fatalf("got %v, want %v, %q: %v", r.Outcome, OK, r.Reason, r.Err)
	}
	return r
}

// eventStream answers every request with the same stream.
func eventStream(body io.ReadCloser) http.RoundTripper {
	return roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body, ContentLength: -1,
		}, nil
	})
}

func TestStreamThatBreaks(t *testing.T) {
	lost := errors.New("connection reset")
	tests := []struct {
		name   string
		body   string
		end    error
		reason string // "" for a good end
		text   string // what the client gets before the error event
	}{
		{"ends with [DONE]", delta("a") + finish + done, nil, "", delta("a") + finish + done},
		{"lost after [DONE]", delta("a") + done, lost, "", delta("a") + done},
		{"ends after the finish reason", delta("a") + finish, nil, "", delta("a") + finish},
		{"ends after the usage", delta("a") + usageOnly, nil, "", delta("a")},
		{"[DONE] without a blank line", delta("a") + "data: [DONE]\n", nil, "", delta("a") + "data: [DONE]\n\n\n"},
		{"ends in the middle", delta("a") + delta("b"), nil, ReasonCut, delta("a") + delta("b")},
		{"ends inside of an event", delta("a") + `data: {"cho`, nil, ReasonCut, delta("a")},
		{"lost after the first event", delta("a"), lost, ReasonReset, delta("a")},
		{"lost inside of an event", delta("a") + `data: {"cho`, lost, ReasonReset, delta("a")},
		{"cut", delta("a"), io.ErrUnexpectedEOF, ReasonCut, delta("a")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := streamOf(t, &pieces{text: test.body, size: 4096, end: test.end})
			defer r.Close()
			text, d := relayed(r)
			rest, found := strings.CutPrefix(text, test.text)
			if !found {
				t.Fatalf("the client gets %q", text)
			}
			broke := test.reason != ""
			if broke != strings.HasPrefix(rest, errorEvent) || broke != strings.HasSuffix(rest, "\n\n") || !broke && rest != "" {
				t.Errorf("at the end the client gets %q", rest)
			}
			if d.Reason != test.reason || (d.Err != nil) != broke || d.Truncated != broke || d.ClientGone {
				t.Errorf("delivery %+v", d)
			}
			if d.Bytes != int64(len(text)) {
				t.Errorf("%d bytes counted, %d written", d.Bytes, len(text))
			}
		})
	}
}

// The real thing: a connection cut after the first byte of the answer.
func TestStreamCutOnTheWire(t *testing.T) {
	first := delta("Hi.")
	backend := rawBackend(t, func(c net.Conn) {
		readRequest(c)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(first), first)
	})
	client := New(Options{})
	r := client.Do(t.Context(), backend, stream())
	defer r.Close()
	text, d := relayed(r)
	if !strings.HasPrefix(text, first+errorEvent) || d.Reason != ReasonCut || !d.Truncated || string(d.Text) != "Hi." {
		t.Errorf("the client gets %q: %+v", text, d)
	}
}

// A body longer than the events that are inspected passes as it comes, and what
// follows it is inspected again.
func TestEventTooLongToHold(t *testing.T) {
	long := delta(strings.Repeat("y", 3*maxEvent))
	whole := delta("a") + long + delta("b") + finish + usageOnly + done
	for _, size := range []int{1000, 32 << 10, 8 << 20} {
		for _, lineEnd := range []string{"\n", "\r\n"} {
			source := strings.ReplaceAll(whole, "\n", lineEnd)
			r := streamOf(t, &pieces{text: source, size: size})
			largest := 0
			var seen strings.Builder
			d := r.Relay(writer(func(p []byte) (int, error) {
				largest = max(largest, len(*r.buf))
				return seen.Write(p)
			}), nil)
			if want := strings.Replace(source, strings.ReplaceAll(usageOnly, "\n", lineEnd), "", 1); seen.String() != want || d.Err != nil {
				t.Errorf("pieces of %d: %v, got %d bytes, want %d", size, d.Err, seen.Len(), len(want))
			}
			if largest > maxEvent {
				t.Errorf("a buffer of %d bytes, want at most %d", largest, maxEvent)
			}
			checkUsage(t, d, usageOfAnswer)
			r.Close()
		}
	}
}

func TestEventTooLongToHoldBreaksOff(t *testing.T) {
	r := streamOf(t, &pieces{text: delta("a") + "data: " + strings.Repeat("y", 2*maxEvent), size: 32 << 10})
	defer r.Close()
	text, d := relayed(r)
	if i := strings.LastIndex(text, "y\n\n"+errorEvent); i < 2*maxEvent || d.Reason != ReasonCut {
		t.Errorf("the client gets %q at the end: %+v", text[len(text)-200:], d)
	}
}

func TestTextIsKeptWhileNoUsageIsKnown(t *testing.T) {
	text := strings.Repeat("word ", 5000) // 25,000 bytes
	tests := []struct {
		name   string
		events []string
		kept   int
		beyond openai.Text
	}{
		{"short", []string{delta("Grüße, "), delta("Welt"), finish, done}, len("Grüße, Welt"), openai.Text{}},
		{"64 KiB", []string{delta(text), delta(text), delta(text), delta("ä"), finish, done}, maxText, openai.Text{ASCII: 75000 - maxText, Other: 1}},
		{"usage at once", []string{strings.Replace(delta("Hi."), `}]}`, `}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`, 1), delta("more"), finish, done}, 0, openai.Text{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := streamOf(t, &pieces{text: strings.Join(test.events, ""), size: 1000})
			defer r.Close()
			_, d := relayed(r)
			if len(d.Text) != test.kept || d.Beyond != test.beyond || d.Err != nil {
				t.Errorf("%d bytes kept, beyond %+v, want %d, %+v: %+v", len(d.Text), d.Beyond, test.kept, test.beyond, d.Err)
			}
		})
	}
}

// An error that the backend reports after its first event is the client's to
// see as it is, and counts as a broken stream.
func TestErrorEventInTheMiddle(t *testing.T) {
	const failure = `data: {"error":{"message":"boom"}}` + "\n\n"
	r := streamOf(t, &pieces{text: delta("a") + failure, size: 4096})
	defer r.Close()
	text, d := relayed(r)
	if text != delta("a")+failure || d.Reason != ReasonStream || !d.Truncated || d.ClientGone {
		t.Errorf("the client gets %q: %+v", text, d)
	}
}

func TestClientThatIsGone(t *testing.T) {
	gone := errors.New("broken pipe")
	for _, where := range []string{"write", "flush"} {
		t.Run(where, func(t *testing.T) {
			left := make(chan struct{})
			client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
				events(delta("a"))(w, r)
				<-r.Context().Done()
				close(left)
			})
			r := client.Do(t.Context(), backend, stream())
			d := r.Relay(writer(func(p []byte) (int, error) {
				if where == "write" {
					return 0, gone
				}
				return len(p), nil
			}), func() error { return gone })
			if !d.ClientGone || d.Truncated || !errors.Is(d.Err, gone) || string(d.Text) != "a" {
				t.Errorf("delivery %+v", d)
			}
			select {
			case <-left: // before Close: the backend's work ends at once
			case <-time.After(10 * time.Second):
				t.Error("the backend goes on")
			}
			r.Close()
		})
	}
}

// A host whose writes need no flush (a Lambda function) says that it has none.
func TestFlushThatIsNotSupported(t *testing.T) {
	r := streamOf(t, &pieces{text: delta("a") + done, size: 4096})
	defer r.Close()
	d := r.Relay(io.Discard, func() error { return http.ErrNotSupported })
	if d.Err != nil || d.ClientGone {
		t.Errorf("delivery %+v", d)
	}
}

// Nothing is read from the backend before the client has taken what there was.
func TestSlowClientHoldsTheBackendUp(t *testing.T) {
	body := &countingReader{}
	r := streamOf(t, body)
	defer r.Close()
	taken := 0
	d := r.Relay(writer(func(p []byte) (int, error) {
		taken += len(p)
		if ahead := body.given - taken; ahead > smallBuffer {
			t.Errorf("%d bytes are held for the client, want at most %d", ahead, smallBuffer)
		}
		return len(p), nil
	}), nil)
	if d.Err != nil || taken != body.given {
		t.Errorf("%d of %d bytes: %v", taken, body.given, d.Err)
	}
}

// countingReader is a stream that comes faster than anyone reads it.
type countingReader struct{ given, events int }

func (c *countingReader) Read(p []byte) (int, error) {
	if c.events == 10_000 {
		n := copy(p, done)
		c.given += n
		return n, io.EOF
	}
	n := 0
	for event := delta("x"); len(p)-n >= len(event) && c.events < 10_000; c.events++ {
		n += copy(p[n:], event)
	}
	c.given += n
	return n, nil
}

func (c *countingReader) Close() error { return nil }

func TestRelayOnce(t *testing.T) {
	client, backend := serve(t, answer(200, "application/json", chatAnswer))
	r := client.Do(t.Context(), backend, chat())
	defer r.Close()
	relayed(r)
	if text, d := relayed(r); text != "" || !errors.Is(d.Err, errRelayed) {
		t.Errorf("the second time the client gets %q: %v", text, d.Err)
	}
}
