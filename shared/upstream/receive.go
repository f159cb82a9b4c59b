package upstream

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"spillway/shared/openai"
)

const (
	// maxWhole is the largest answer that is read whole before it is relayed.
	maxWhole = 256 << 10
	// maxHeld and maxHeldEvents bound what is held back of a stream that has not
	// had any output yet.
	maxHeld       = 256 << 10
	maxHeldEvents = 64
	// maxFaultBody is how much of the body of an answer that will not be relayed
	// is read, and faultWait how long: another attempt is waiting.
	maxFaultBody = 64 << 10
	faultWait    = 500 * time.Millisecond
)

var (
	errNotJSON   = errors.New("the answer is not a JSON object")
	errNotEvents = errors.New("the answer is not an event stream")
	errNoOutput  = errors.New("the stream ended without any output")
	errBadEvent  = errors.New("an event of the stream is not JSON")
	errTooLong   = errors.New("the answer is longer than what is read of it")
)

// receive judges the answer.
func (r *Result) receive(response *http.Response, wantStream bool) {
	r.Unread = packed(response.Header)
	outcome := byStatus(r.Status)
	switch {
	case r.Status == http.StatusNotFound, outcome == ClientFault:
		r.receiveFault(response.ContentLength)
	case outcome != OK:
		r.discard(outcome)
	case r.Unread:
		// Nothing can be known of it, so nothing is gained by waiting.
		r.Stream = wantStream
		r.committed()
	default:
		r.receiveGood(response.ContentLength, wantStream)
	}
}

func packed(h http.Header) bool {
	encoding := h.Get("Content-Encoding")
	return encoding != "" && !strings.EqualFold(encoding, "identity")
}

// receiveGood reads a 2xx as far as is needed to trust it.
func (r *Result) receiveGood(length int64, wantStream bool) {
	kind := mediaType(r.Header)
	switch {
	case kind == "text/event-stream", kind == "" && wantStream:
		r.receiveStream()
	case kind == "text/html", wantStream && !isJSON(kind):
		r.fail(Failed, ReasonContentType, errNotEvents)
	default:
		r.receivePlain(length, kind == "" || isJSON(kind))
	}
}

// mediaType is the Content-Type without its parameters.
func mediaType(h http.Header) string {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind
}

func isJSON(kind string) bool {
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

// discard ends an attempt whose answer nobody will see. A short body is read, to
// learn the reason and to keep the connection.
func (r *Result) discard(outcome Outcome) {
	r.expect(faultWait)
	if err := r.readUpTo(maxFaultBody); err == nil && !r.Unread {
		r.Fault = parseFault(r.Status, r.held())
	}
	r.fail(outcome, statusReason(r.Status), nil)
}

// receiveFault reads a 4xx that may be the client's.
func (r *Result) receiveFault(length int64) {
	err := r.readWhole(length)
	if err != nil && !errors.Is(err, errTooLong) {
		r.fail(r.interrupted(err, ReasonReset))
		return
	}
	if !r.Unread {
		r.Fault = parseFault(r.Status, r.held())
	}
	if r.Status == http.StatusNotFound && notFound(r.Fault) == Broken {
		r.fail(Broken, statusReason(r.Status), nil)
		return
	}
	r.Outcome, r.Reason = ClientFault, statusReason(r.Status)
	if r.dropUsage && r.Status == http.StatusBadRequest && refusesStreamOptions(r.Fault) {
		r.Reason = ReasonStreamOptions
	}
	r.Err = &Error{Reason: r.Reason}
	r.ready(err == nil)
}

// receivePlain reads an answer that is no stream.
func (r *Result) receivePlain(length int64, object bool) {
	err := r.readWhole(length)
	if err != nil && !errors.Is(err, errTooLong) {
		r.fail(r.interrupted(err, ReasonReset))
		return
	}
	if whole := err == nil; object && !looksLikeObject(r.held(), whole) {
		r.fail(Failed, ReasonMalformed, errNotJSON)
		return
	}
	if err == nil && object {
		if fault := faultInside(r.held()); fault != nil {
			r.failInside(fault, r.held())
			return
		}
		var scanner openai.UsageScanner
		_, _ = scanner.Write(r.held())
		r.Usage, r.HasUsage = scanner.Usage()
	}
	r.ready(err == nil)
}

// looksLikeObject tells whether an answer begins (and ends, if it is whole) as a
// JSON object does. It tells a broken backend from one that answers; it is not a
// validation.
func looksLikeObject(answer []byte, whole bool) bool {
	answer = bytes.TrimSpace(answer)
	return len(answer) >= 2 && answer[0] == '{' && (!whole || answer[len(answer)-1] == '}')
}

// faultInside returns the error of a 200 that is an error object.
func faultInside(answer []byte) *openai.Error {
	inner := bytes.TrimLeft(bytes.TrimLeft(answer, " \t\r\n")[1:], " \t\r\n")
	if !bytes.HasPrefix(inner, []byte(`"error"`)) {
		return nil
	}
	if value := bytes.TrimLeft(inner[len(`"error"`):], " \t\r\n:"); bytes.HasPrefix(value, []byte("null")) {
		return nil
	}
	return openai.ParseError(0, answer)
}

// failInside ends an attempt with an error that came inside a 200. If it is the
// client's, body is what the client gets, under the status that it stands for.
func (r *Result) failInside(fault *openai.Error, body []byte) {
	r.Fault = fault
	outcome, status := byFault(fault)
	r.Status = status
	if outcome != ClientFault {
		r.fail(outcome, ReasonStream, nil)
		return
	}
	kept := bytes.Clone(body)
	r.Outcome, r.Reason, r.Err = ClientFault, ReasonStream, &Error{Reason: ReasonStream}
	r.Stream = false
	r.Header = r.Header.Clone()
	r.Header.Set("Content-Type", "application/json")
	r.client.buffers.give(r.buf)
	r.buf, r.filled = &kept, len(kept)
	r.ready(true)
}

// receiveStream reads a stream until its first good event. What comes before it,
// Azure's results of the prompt filter and comments, is held back.
func (r *Result) receiveStream() {
	r.Stream = true
	r.buf = r.client.buffers.take(smallBuffer)
	seen, events := 0, 0
	for events < maxHeldEvents && seen < maxHeld {
		ev, n := r.nextEvent(seen)
		if n == 0 {
			if r.readErr != nil {
				r.endedEarly(seen)
				return
			}
			if r.filled >= maxHeld {
				break // one event, longer than what may be held back
			}
			r.readMore(maxHeld)
			continue
		}
		chunk := openai.ParseChunk(r.op, ev)
		switch chunk.Kind {
		case openai.Empty, openai.Preamble:
		case openai.Failure:
			r.failInside(chunk.Err, ev.Data)
			return
		case openai.Malformed:
			r.fail(Failed, ReasonMalformed, errBadEvent)
			return
		case openai.Done:
			r.fail(Failed, ReasonEmpty, errNoOutput)
			return
		default:
			r.begun()
			return
		}
		seen += n
		events++
	}
	r.begun()
}

// endedEarly judges a stream that ended before its first good event.
func (r *Result) endedEarly(seen int) {
	switch {
	case r.readErr != io.EOF:
		r.fail(r.interrupted(r.readErr, ReasonReset))
	case seen < r.filled:
		r.fail(Failed, ReasonMalformed, errNotEvents)
	default:
		r.fail(Failed, ReasonEmpty, errNoOutput)
	}
}

// begun commits to a stream.
func (r *Result) begun() {
	r.committed()
	r.Header.Del("Content-Length") // events may be taken out or added
}

// ready commits to an answer that is no stream. A whole one needs the backend no
// more.
func (r *Result) ready(whole bool) {
	r.committed()
	if !whole {
		return
	}
	r.release()
	r.Header["Content-Length"] = []string{strconv.Itoa(r.filled)}
}
