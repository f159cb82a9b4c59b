package azureopenai

import (
	"net/http"
	"time"
)

// timedEvent is an event of a stream whose events are known beforehand.
type timedEvent struct {
	bytes  []byte
	tokens int64 // generated since the event before
	hidden bool  // they take their time one by one
}

// dataEvent is an event that has no name; its type is the first member.
func dataEvent(kind string, members any, tokens int64) timedEvent {
	out := append([]byte("data: {\"type\":\""), kind...)
	out = append(append(out, `",`...), mustJSON(members)[1:]...)
	return timedEvent{bytes: append(out, "\n\n"...), tokens: tokens}
}

// namedEvent is an event whose name is its type.
func namedEvent(kind string, members any, tokens int64) timedEvent {
	event := dataEvent(kind, members, tokens)
	event.bytes = append([]byte("event: "+kind+"\n"), event.bytes...)
	return event
}

// play writes events while the answer is generated. It calls done before the
// client can have the last one.
func (e *exchange) play(events []timedEvent, done func()) error {
	latency := e.deployment.Latency
	if err := e.sleep(e.dice.jitter(latency.FirstByte, latency.Jitter)); err != nil {
		return err
	}
	e.beginStream()
	for i, event := range events {
		if event.hidden {
			if err := e.reason(); err != nil {
				return err
			}
		} else if err := e.sleep(e.dice.jitter(time.Duration(event.tokens)*latency.PerToken, latency.Jitter)); err != nil {
			return err
		}
		if err := e.betweenTokens(); err != nil {
			return err
		}
		if !event.hidden {
			e.generated += event.tokens
		}
		if i == len(events)-1 {
			e.last = true
			done()
		}
		if err := e.send(event.bytes); err != nil {
			return err
		}
	}
	return nil
}

// beginStream sends the headers of an event stream.
func (e *exchange) beginStream() {
	h := e.w.Header()
	e.setHeaders(h, time.Now())
	h.Set("Content-Type", contentType(true))
	e.server.recorder.update(e.recorded, func(r *Recorded) { r.Status = http.StatusOK })
	e.w.WriteHeader(http.StatusOK)
	e.flush()
}
