package azureopenai

import (
	"encoding/json"
	"net/http"
	"time"
)

// chunk is one event of a stream. Usage is null on all but the last one when
// the client asked for it, and absent otherwise.
type chunk struct {
	ID                  string          `json:"id"`
	Object              string          `json:"object"`
	Created             int64           `json:"created"`
	Model               string          `json:"model"`
	SystemFingerprint   *string         `json:"system_fingerprint,omitempty"`
	Choices             []any           `json:"choices"`
	Usage               json.RawMessage `json:"usage,omitempty"`
	PromptFilterResults []promptFilter  `json:"prompt_filter_results,omitempty"`
	Obfuscation         string          `json:"obfuscation,omitempty"`
}

type deltaChoice struct {
	Index                int            `json:"index"`
	Delta                delta          `json:"delta"`
	Logprobs             *struct{}      `json:"logprobs"`
	FinishReason         *string        `json:"finish_reason"`
	ContentFilterResults map[string]any `json:"content_filter_results,omitempty"`
}

type delta struct {
	Role         string          `json:"role,omitempty"`
	Content      json.RawMessage `json:"content,omitempty"` // null, a string, or absent
	Refusal      json.RawMessage `json:"refusal,omitempty"`
	ToolCalls    []toolCall      `json:"tool_calls,omitempty"`
	FunctionCall *calledFn       `json:"function_call,omitempty"`
}

func contentType(stream bool) string {
	if stream {
		return "text/event-stream; charset=utf-8"
	}
	return "application/json"
}

// stream writes an answer as server-sent events while it is generated.
func (e *exchange) stream(answer reply) error {
	latency := e.deployment.Latency
	if err := e.sleep(e.dice.jitter(latency.FirstByte, latency.Jitter)); err != nil {
		return err
	}
	e.beginStream()
	if err := e.preamble(answer); err != nil {
		return err
	}
	if err := e.reason(); err != nil {
		return err
	}
	if err := e.deltas(answer); err != nil {
		return err
	}
	if e.request.usage {
		last := e.chunk(answer)
		last.Usage = mustJSON(e.usage())
		if err := e.event(last); err != nil {
			return err
		}
	}
	e.last = true
	return e.send([]byte("data: [DONE]\n\n"))
}

// chunk is an event without choices.
func (e *exchange) chunk(answer reply) chunk {
	fingerprint := e.fingerprint()
	c := chunk{ID: answer.id, Object: "chat.completion.chunk", Created: answer.created, Model: e.deployment.Model,
		SystemFingerprint: &fingerprint, Choices: []any{}}
	if e.request.operation == Completions {
		c.Object = "text_completion"
	}
	if e.request.usage {
		c.Usage = json.RawMessage("null")
	}
	return c
}

// preamble sends the prompt's filter results (Azure) and the roles.
func (e *exchange) preamble(answer reply) error {
	if e.route.dialect.azure() {
		first := chunk{Choices: []any{}, PromptFilterResults: e.filters()}
		if e.request.usage {
			first.Usage = json.RawMessage("null")
		}
		if err := e.event(first); err != nil {
			return err
		}
	}
	if e.request.operation == Completions {
		return nil
	}
	for i, c := range answer.choices {
		d := delta{Role: "assistant", Content: json.RawMessage(`""`), Refusal: json.RawMessage("null")}
		switch {
		case e.request.toolCall && e.request.legacyCall:
			d.Content, d.FunctionCall = json.RawMessage("null"), &calledFn{Name: e.request.function}
		case e.request.toolCall:
			zero := 0
			d.Content = json.RawMessage("null")
			d.ToolCalls = []toolCall{{Index: &zero, ID: c.callID, Type: "function", Function: calledFn{Name: e.request.function}}}
		}
		if err := e.deltaEvent(answer, i, d, nil); err != nil {
			return err
		}
	}
	return nil
}

// reason lets the time of the hidden tokens pass, one by one.
func (e *exchange) reason() error {
	latency := e.deployment.Latency
	for range e.reasoning() / e.request.candidates {
		if err := e.sleep(e.dice.jitter(latency.PerToken, latency.Jitter)); err != nil {
			return err
		}
		e.generated += e.request.candidates
	}
	return nil
}

// deltas sends the texts, the choices taking turns.
func (e *exchange) deltas(answer reply) error {
	latency, size := e.deployment.Latency, int(e.deployment.Output.ChunkTokens)
	for at := 0; ; at += size {
		active := false
		for i, c := range answer.choices {
			if at >= len(c.tokens) {
				continue
			}
			if !active {
				active = true
				span := time.Duration(min(size, int(answer.steps)-at)) * latency.PerToken
				if err := e.sleep(e.dice.jitter(span, latency.Jitter)); err != nil {
					return err
				}
			}
			if err := e.betweenTokens(); err != nil {
				return err
			}
			part := c.tokens[at:min(at+size, len(c.tokens))]
			e.generated += int64(len(part))
			if err := e.textEvent(answer, i, choice{tokens: part}.text()); err != nil {
				return err
			}
		}
		if !active {
			break
		}
	}
	if err := e.betweenTokens(); err != nil {
		return err
	}
	e.generated += answer.extra
	for i, c := range answer.choices {
		if err := e.finishEvent(answer, i, c.finish); err != nil {
			return err
		}
	}
	return nil
}

func (e *exchange) textEvent(answer reply, i int, text string) error {
	if e.request.operation == Completions {
		next := e.chunk(answer)
		next.Choices = []any{textChoice{Text: text, Index: i, ContentFilterResults: e.choiceFilter()}}
		return e.event(next)
	}
	var d delta
	switch {
	case e.request.toolCall && e.request.legacyCall:
		d.FunctionCall = &calledFn{Arguments: text}
	case e.request.toolCall:
		zero := 0
		d.ToolCalls = []toolCall{{Index: &zero, Function: calledFn{Arguments: text}}}
	default:
		d.Content = mustJSON(text)
	}
	return e.deltaEvent(answer, i, d, nil)
}

func (e *exchange) finishEvent(answer reply, i int, reason string) error {
	if e.request.operation == Completions {
		next := e.chunk(answer)
		next.Choices = []any{textChoice{Index: i, FinishReason: &reason}}
		return e.event(next)
	}
	return e.deltaEvent(answer, i, delta{}, &reason)
}

func (e *exchange) deltaEvent(answer reply, i int, d delta, finish *string) error {
	next := e.chunk(answer)
	c := deltaChoice{Index: i, Delta: d, FinishReason: finish}
	if e.route.dialect.azure() && d.Content != nil && d.Role == "" {
		c.ContentFilterResults = map[string]any{"hate": safe.Hate, "self_harm": safe.SelfHarm, "sexual": safe.Sexual, "violence": safe.Violence}
	}
	if e.route.dialect != classic && !e.request.noPadding {
		next.Obfuscation = e.dice.name(1 + e.dice.IntN(12))
	}
	next.Choices = []any{c}
	return e.event(next)
}

// mustJSON encodes the strings and structs of this file, which cannot fail.
func mustJSON(v any) json.RawMessage {
	out, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return out
}

func (e *exchange) event(v any) error {
	return e.send(append(append([]byte("data: "), mustJSON(v)...), "\n\n"...))
}

// send writes and flushes one event, or acts out the fault that is due here.
func (e *exchange) send(event []byte) error {
	if e.fault != nil {
		if err := e.disturb(event); err != nil {
			return err
		}
	}
	if e.r.Context().Err() != nil {
		return errCanceled
	}
	if e.last {
		e.conclude(nil)
	}
	if _, err := e.w.Write(event); err != nil {
		return errCanceled
	}
	e.flush()
	e.events++
	e.sent += int64(len(event))
	return nil
}

func (e *exchange) flush() {
	_ = http.NewResponseController(e.w).Flush() // A gone client shows at the next write.
}

// disturb acts out a fault in a stream. It returns nil while it is not due,
// and after a hang that ended.
func (e *exchange) disturb(event []byte) error {
	f := e.fault
	if f.Tokens > 0 {
		return nil // see betweenTokens
	}
	if f.Kind == FaultCut && f.Bytes > 0 {
		if e.sent+int64(len(event)) < f.Bytes {
			return nil
		}
		_, _ = e.w.Write(event[:f.Bytes-e.sent]) // The connection breaks in any case.
		e.flush()
		return errBroken
	}
	if e.events < f.Events {
		return nil
	}
	return e.strike()
}

// betweenTokens acts out a fault that strikes after a number of tokens, before the
// next one is generated.
func (e *exchange) betweenTokens() error {
	if e.fault == nil || e.fault.Tokens == 0 || e.generated < e.fault.Tokens {
		return nil
	}
	return e.strike()
}

// errorEvent is an error in the middle of a stream.
func (e *exchange) errorEvent() string {
	problem := statusError(http.StatusInternalServerError, e.route)
	switch e.request.operation {
	case ChatCompletions, Completions:
		return "data: " + string(problem.body()) + "\n\n"
	case Responses, GetResponse:
		data := mustJSON(map[string]any{"code": problem.typ, "message": problem.message, "param": nil})
		return string(responseEvent{name: "error", data: data}.encode(e.events))
	}
	return "event: error\ndata: {\"type\":\"error\"," + string(problem.body()[1:]) + "\n\n"
}

// strike acts out a fault that is due in a stream.
func (e *exchange) strike() error {
	f, instead := e.fault, ""
	switch f.Kind {
	case FaultCut:
		return errBroken
	case FaultHangAfterHeaders:
		return e.hang(e.hit)
	case FaultStreamError:
		instead = e.errorEvent()
	case FaultResponseFailed:
		if instead = e.errorEvent(); e.failed != nil {
			instead = string(e.failed())
		}
	case FaultMalformedSSE:
		instead = "<html>502 Bad Gateway</html>\r\n\x00\xff{\"choices\":"
	case FaultBadJSON:
		instead = "data: {\"id\":\"chatcmpl-\",\"choices\":[{\"delta\":{\"con\n\n"
	default:
		return nil
	}
	if f.Body != "" {
		instead = f.Body
	}
	e.conclude(errEnded)
	_, _ = e.w.Write([]byte(instead)) // The client may be gone.
	e.flush()
	return errEnded
}
