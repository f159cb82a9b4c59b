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
	errNoOutput  = errors.New("the answer ended without any output")
	errBadEvent  = errors.New("an event of the stream is not JSON")
	errTooLong   = errors.New("the answer is longer than what is read of it")
)

// receive judges the answer.
func (r *Result) receive(response *http.Response, wantStream bool) {
	r.Unread, r.announced = packed(response.Header), response.ContentLength
	outcome := byStatus(r.Status)
	switch {
	case r.Status == http.StatusNotFound, outcome == ClientFault:
		r.receiveFault(response.ContentLength)
	case outcome != OK:
		r.discard(outcome)
	case r.Unread:
		// Nothing can be known of it, so nothing is gained by waiting.
		r.Stream = wantStream
		r.rest()
		r.committed()
	default:
		r.receiveGood(response.ContentLength, wantStream)
	}
}

func packed(h http.Header) bool {
	encoding := first(h, "Content-Encoding")
	return encoding != "" && !strings.EqualFold(encoding, "identity")
}

// receiveGood reads a 2xx as far as is needed to trust it.
func (r *Result) receiveGood(length int64, wantStream bool) {
	kind := mediaType(r.Header)
	media := answersWithMedia(r.op)
	switch {
	case r.op == openai.FileContent:
		r.receivePlain(length, false) // whatever the file holds, a page or an error even
	case kind == "text/event-stream", kind == "" && wantStream:
		r.receiveStream()
	case kind == "text/html", wantStream && !media && !isJSON(kind):
		r.fail(Failed, ReasonContentType, errNotEvents)
	case r.op == openai.Speech && !isJSON(kind):
		r.receiveSound()
	default:
		r.receivePlain(length, isJSON(kind) || kind == "" && !media)
	}
}

// answersWithMedia tells the operations that may answer with something else than
// JSON, also if they were asked for a stream and the model has none: with sound, or
// with text and subtitles.
func answersWithMedia(op openai.Operation) bool {
	return op == openai.Speech || op == openai.Transcriptions || op == openai.Translations
}

// mayBeEmpty tells the operations whose answer may have no body.
func mayBeEmpty(op openai.Operation) bool {
	switch op {
	case openai.DeleteResponse, openai.CancelResponse, openai.DeleteFile, openai.CancelBatch:
		return true
	}
	return false
}

// mediaType is the Content-Type without its parameters.
func mediaType(h http.Header) string {
	switch value := first(h, "Content-Type"); value {
	case "application/json", "text/event-stream": // nearly always
		return value
	default:
		kind, _, _ := mime.ParseMediaType(value)
		return kind
	}
}

func isJSON(kind string) bool {
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

// discard ends an attempt whose answer nobody will see. A short body is read, to
// learn the reason and to keep the connection.
func (r *Result) discard(outcome Outcome) {
	r.expect(time.Now(), faultWait)
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
	if r.Status == http.StatusNotFound && notFound(r.op, r.Fault, r.clientsVersion) == Broken {
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
	whole := err == nil
	r.object = object && (r.filled > 0 || !mayBeEmpty(r.op))
	if r.object && !looksLikeObject(r.held(), whole) {
		r.fail(Failed, ReasonMalformed, errNotJSON)
		return
	}
	if r.object && whole {
		if fault := faultInside(r.held()); fault != nil {
			r.failInside(fault, bytes.Clone(r.held()))
			return
		}
	}
	if r.object {
		r.learn(whole)
	}
	r.ready(whole)
}

// learn takes what an object tells of itself.
func (r *Result) learn(whole bool) {
	var scanner openai.AnswerScanner
	_, _ = scanner.Write(r.held())
	r.ObjectID, r.ObjectStatus = scanner.ID(), scanner.Status()
	if whole {
		r.Usage, r.HasUsage = scanner.Usage()
	}
}

// receiveSound reads the beginning of an answer that may be played while it comes.
func (r *Result) receiveSound() {
	r.buf = r.client.buffers.take(largeBuffer)
	for r.filled == 0 && r.readErr == nil {
		r.readMore(largeBuffer)
	}
	switch {
	case r.readErr != nil && r.readErr != io.EOF:
		r.fail(r.interrupted(r.readErr, ReasonReset))
	case r.filled == 0:
		r.fail(Failed, ReasonEmpty, errNoOutput)
	default:
		r.ready(r.readErr == io.EOF)
	}
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
// client's, body is what the client gets, under the status that it stands for. It is
// the Result's from then on.
func (r *Result) failInside(fault *openai.Error, body []byte) {
	r.Fault = fault
	outcome, status := byFault(fault)
	r.Status = status
	if outcome != ClientFault {
		r.fail(outcome, ReasonStream, nil)
		return
	}
	r.Outcome, r.Reason, r.Err = ClientFault, ReasonStream, &Error{Reason: ReasonStream}
	r.Stream = false
	r.Header = r.Header.Clone()
	r.Header.Set("Content-Type", "application/json")
	r.client.buffers.give(r.buf)
	r.buf, r.filled = &body, len(body)
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
		if chunk.ID != "" {
			r.ObjectID, r.ObjectStatus = chunk.ID, chunk.Status
		}
		switch chunk.Kind {
		case openai.Empty, openai.Preamble:
		case openai.Failure:
			if !r.fails(&chunk) {
				r.begun()
				return
			}
			r.failInside(chunk.Err, r.faultBody(chunk.Err, ev.Data))
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

// fails tells whether a chunk means that the attempt has failed. That a response has
// failed which was asked for later is only what became of it.
func (r *Result) fails(c *openai.Chunk) bool {
	return c.Kind == openai.Failure && !(c.Last && r.op == openai.GetResponse)
}

// faultBody is the error of a stream as the body of a plain answer. An event of choices
// that is an error has that form; an event with a type has not.
func (r *Result) faultBody(fault *openai.Error, data []byte) []byte {
	if streamsChoices(r.op) {
		return bytes.Clone(data)
	}
	return bytes.TrimSpace(bytes.TrimPrefix(fault.Event(), []byte("data:")))
}

// streamsChoices tells the operations whose streams are of choices, and end with
// [DONE]. Those of others are of events with types, one of which is the last.
func streamsChoices(op openai.Operation) bool {
	return op == openai.ChatCompletions || op == openai.Completions
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
	if r.Status == http.StatusNoContent {
		delete(r.Header, "Content-Length") // as RFC 9110, section 8.6, says
		return
	}
	if r.announced != int64(r.filled) || r.Header["Content-Length"] == nil {
		r.Header["Content-Length"] = []string{strconv.Itoa(r.filled)}
	}
}
