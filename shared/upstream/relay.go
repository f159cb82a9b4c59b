package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"spillway/shared/openai"
)

const (
	// maxEvent is the longest event that is inspected. Longer ones pass as they
	// come.
	maxEvent = 1 << 20
	// maxText is how much of the generated text is kept for counting.
	maxText = 64 << 10
	// firstText is the room that a stream begins with: most need little more, and
	// thousands are open at a time.
	firstText = 512
	// doneWait is how long the end of a stream's body is awaited after its last event:
	// it saves the connection, and the client needs nothing more.
	doneWait = time.Second
)

var (
	errRelayed    = errors.New("upstream: the answer has been relayed already")
	errUnfinished = errors.New("the stream ended without its last event")
)

// Relay copies the answer to the client. Of a stream it passes whole events,
// with one write and one flush per read from the backend; it reads on only when
// the client has taken what there was. A nil flush flushes nothing.
//
// It is for results whose outcome is OK or ClientFault, and may be called once.
func (r *Result) Relay(w io.Writer, flush func() error) Delivery {
	s := relay{r: r, w: w, flush: flush, d: Delivery{Usage: r.Usage, HasUsage: r.HasUsage, ObjectStatus: r.ObjectStatus}}
	if r.relayed {
		s.d.Err = errRelayed
		return s.d
	}
	r.relayed = true
	switch {
	case r.body == nil:
		s.flush = nil
		s.send(r.held())
	case r.Stream && !r.Unread:
		s.events()
	default:
		s.bytes()
	}
	r.release()
	return s.d
}

// relay is one answer on its way to the client.
type relay struct {
	r     *Result
	w     io.Writer
	flush func() error
	d     Delivery

	text     []byte     // generated, while no usage is known
	done     bool       // [DONE] has been seen, or an event after which nothing comes
	complete bool       // the last chunk says why the output ended, or what it cost
	failed   bool       // the backend has sent an error event
	long     *longEvent // an event too long to hold that is passing; nil: none
}

// send writes p to the client, and returns false if the client is gone.
func (s *relay) send(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	n, err := s.w.Write(p)
	s.d.Bytes += int64(n)
	if err == nil && s.flush != nil {
		if err = s.flush(); errors.Is(err, errors.ErrUnsupported) {
			err = nil // a host whose writes need no flush
		}
	}
	if err != nil {
		s.gone(err)
		return false
	}
	return true
}

func (s *relay) gone(err error) {
	s.d.ClientGone = true
	s.stop(ReasonCanceled, err)
}

func (s *relay) stop(reason string, err error) {
	s.d.Reason, s.d.Err = reason, &Error{Reason: reason, Err: scrub(err)}
}

// bytes passes an answer that is not inspected as a stream.
func (s *relay) bytes() {
	r := s.r
	var scanner openai.AnswerScanner
	if r.buf == nil {
		r.buf = r.client.buffers.take(largeBuffer)
	}
	if isJSON(mediaType(r.Header)) && !r.Stream {
		s.flush = nil // nobody reads half an object
	}
	for {
		if r.object {
			_, _ = scanner.Write(r.held())
		}
		if !s.send(r.held()) {
			break
		}
		r.filled = 0
		if r.readErr != nil {
			break
		}
		r.watchNext()
		r.readSome()
		r.rest()
	}
	if r.object {
		s.d.Usage, s.d.HasUsage = scanner.Usage()
		s.d.ObjectStatus = scanner.Status()
	}
	if r.readErr != nil && r.readErr != io.EOF && s.d.Err == nil {
		s.broke(r.readErr)
	}
}

// events passes a stream.
func (s *relay) events() {
	r := s.r
	for {
		kept, used := s.pass()
		if !s.send(r.held()[:kept]) {
			break
		}
		r.discardFront(used)
		if r.readErr != nil {
			s.end()
			break
		}
		if s.long == nil && r.filled >= maxEvent {
			s.long = &longEvent{op: r.op}
			continue
		}
		s.read()
	}
	if !s.d.HasUsage {
		s.d.Text = s.text
	}
}

// read reads on. After the last event there is little to come.
func (s *relay) read() {
	if !s.done {
		s.r.readMore(maxEvent)
		return
	}
	s.r.expect(time.Now(), min(doneWait, s.r.client.options.StreamIdle))
	if s.r.filled == len(*s.r.buf) {
		s.r.discardFront(s.r.filled)
	}
	s.r.readSome()
	s.r.rest()
}

// pass inspects the whole events that are held. It moves what the client gets of
// them to the front, and returns their length and the length of what is done
// with.
func (s *relay) pass() (kept, used int) {
	data := s.r.held()
	if s.long != nil {
		if used = s.long.pass(data); used < 0 {
			return len(data), len(data)
		}
		s.learn(s.long.chunk())
		s.long, kept = nil, used
	}
	for used < len(data) {
		ev, n := s.r.nextEvent(used)
		if n == 0 {
			break
		}
		switch gap, wanted := s.inspect(ev); {
		case !wanted:
		case kept == used && gap.end == 0:
			kept += n
		default:
			kept += copy(data[kept:], data[used:used+gap.start])
			kept += copy(data[kept:], data[used+gap.end:used+n])
		}
		used += n
	}
	return kept, used
}

// gap is a range of an event that the client does not get; the zero gap is none.
type gap struct{ start, end int }

// inspect learns from an event, and tells whether the client gets it, and without what.
func (s *relay) inspect(ev openai.Event) (gap, bool) {
	chunk := openai.ParseChunk(s.r.op, ev)
	s.learn(&chunk)
	if chunk.Kind == openai.Content {
		s.complete = s.complete || streamsChoices(s.r.op) && finishes(ev.Data)
		if !s.d.HasUsage && chunk.Text.Characters() > 0 {
			s.collect(&chunk, ev.Data)
		}
	}
	if !s.r.dropUsage {
		return gap{}, true
	}
	return unasked(ev, chunk.NullUsage), chunk.Kind != openai.UsageOnly
}

// unasked is where an event says that it has no usage, as its data has it: we have
// asked for usage, and the client has not.
func unasked(ev openai.Event, inData [2]int) gap {
	if inData[1] == 0 {
		return gap{}
	}
	at := bytes.Index(ev.Raw, ev.Data)
	if at < 0 { // of several lines
		return gap{}
	}
	return gap{at + inData[0], at + inData[1]}
}

// learn takes what an event is and what it tells, but for its text.
func (s *relay) learn(chunk *openai.Chunk) {
	if chunk.HasUsage {
		s.d.Usage, s.d.HasUsage = chunk.Usage, true
	}
	if chunk.Status != "" {
		s.d.ObjectStatus = chunk.Status
	}
	switch chunk.Kind {
	case openai.Content:
		s.complete = chunk.Last
	case openai.UsageOnly:
		s.complete = true
	case openai.Done:
		s.done = true
	case openai.Failure:
		s.failed = s.failed || s.r.fails(chunk)
	}
	s.done = s.done || chunk.Last && !hasMoreAnswers(s.r.op)
}

// hasMoreAnswers tells the operations whose stream may tell of several answers, each
// of which has a last event.
func hasMoreAnswers(op openai.Operation) bool {
	return op == openai.ImageGenerations || op == openai.ImageEdits
}

var blankLine = []byte("\n\n")

// finishes tells whether a chunk says why the output ended. A quote inside of
// generated text is written \", so that text cannot look like this.
func finishes(data []byte) bool {
	key := []byte(`"finish_reason":`)
	for {
		i := bytes.Index(data, key)
		if i < 0 {
			return false
		}
		data = bytes.TrimLeft(data[i+len(key):], " ")
		if len(data) > 0 && data[0] == '"' {
			return true
		}
	}
}

// collect keeps the text of a chunk, and counts what there is no room for.
func (s *relay) collect(chunk *openai.Chunk, data []byte) {
	if s.text == nil {
		s.text = make([]byte, 0, firstText)
	}
	size, before := chunk.Text, len(s.text)
	if before < maxText {
		s.text = chunk.AppendText(s.text, data, maxText)
		if len(s.text) <= maxText-utf8.UTFMax {
			return
		}
		for _, c := range string(s.text[before:]) {
			if c < utf8.RuneSelf {
				size.ASCII--
			} else {
				size.Other--
			}
		}
	}
	s.d.Beyond.ASCII += max(0, size.ASCII)
	s.d.Beyond.Other += max(0, size.Other)
}

// end judges how the stream has ended, and tells the client if it broke.
func (s *relay) end() {
	r := s.r
	switch {
	case s.failed:
		s.d.Truncated = true
		s.stop(ReasonStream, nil)
		return
	case s.done, r.readErr == io.EOF && s.complete && s.long == nil:
		if r.unended {
			s.send(blankLine)
		}
		return
	case r.readErr == io.EOF:
		s.broke(errUnfinished)
	default:
		s.broke(r.readErr)
	}
	if s.d.ClientGone {
		return
	}
	if s.long != nil || r.unended {
		s.send(blankLine) // ends the event that broke off
	}
	s.send(openai.Interrupted().Event())
}

// broke notes that the backend's answer broke off.
func (s *relay) broke(err error) {
	otherwise := ReasonReset
	if err == errUnfinished {
		otherwise = ReasonCut
	}
	outcome, reason, cause := s.r.interrupted(err, otherwise)
	s.stop(reason, cause)
	s.d.Truncated = true
	s.d.ClientGone = outcome == Canceled && !errors.Is(cause, context.DeadlineExceeded)
}
