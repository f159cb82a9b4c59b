package azureopenai

import (
	"encoding/json"
	"hash/crc32"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// reply is an answer before it is written: its tokens and its usage.
type reply struct {
	id      string
	created int64
	choices []choice
	extra   int64 // tokens of best_of candidates that are not sent
	steps   int64 // tokens of the longest candidate: they set the time
}

type choice struct {
	tokens []string
	finish string
	callID string
}

func (c choice) text() string { return strings.Join(c.tokens, "") }

// longestFill bounds answers that are as long as the request allows.
const longestFill = 100_000

// defaultCompletion is the maximum of a completion that sets none.
const defaultCompletion = 16

// compose makes up the answer.
func (e *exchange) compose() reply {
	req, out := e.request, e.deployment.Output
	answer := reply{created: e.server.today().Unix(), id: "chatcmpl-" + e.dice.name(29)}
	limit := int64(math.MaxInt64)
	switch {
	case req.hasMaximum:
		limit = req.maximum
	case req.operation == Completions:
		answer.id = "cmpl-" + e.dice.name(29)
		limit = defaultCompletion
	}
	reasoning := min(out.Reasoning, limit)
	for i := range req.candidates {
		c := e.candidate(limit - reasoning)
		answer.steps = max(answer.steps, int64(len(c.tokens)))
		if i < req.n {
			answer.choices = append(answer.choices, c)
		} else {
			answer.extra += int64(len(c.tokens))
		}
	}
	return answer
}

// candidate makes one choice of at most room tokens.
func (e *exchange) candidate(room int64) choice {
	req, out := e.request, e.deployment.Output
	length := e.dice.length(out)
	if out.Fill && req.hasMaximum {
		length = min(room, longestFill)
	}
	var c choice
	switch {
	case req.toolCall:
		c.callID = "call_" + e.dice.name(24)
		c.tokens, c.finish = splitTokens(e.dice.jsonText(req.parameters, 3)), "tool_calls"
		if req.legacyCall {
			c.finish = "function_call"
		}
	case req.jsonAnswer:
		c.tokens, c.finish = splitTokens(e.dice.jsonText(req.schema, length-6)), "stop"
	default:
		c.tokens, c.finish = e.dice.prose(min(length, max(room, 0))), "stop"
		if length > room {
			c.finish = "length"
		}
	}
	if int64(len(c.tokens)) > room {
		c.tokens, c.finish = c.tokens[:room], "length"
	}
	return c
}

type usage struct {
	PromptTokens      int64              `json:"prompt_tokens"`
	CompletionTokens  *int64             `json:"completion_tokens,omitempty"`
	TotalTokens       int64              `json:"total_tokens"`
	PromptDetails     *promptDetails     `json:"prompt_tokens_details,omitempty"`
	CompletionDetails *completionDetails `json:"completion_tokens_details,omitempty"`
}

type promptDetails struct {
	AudioTokens  int64 `json:"audio_tokens"`
	CachedTokens int64 `json:"cached_tokens"`
}

type completionDetails struct {
	AcceptedPredictionTokens int64 `json:"accepted_prediction_tokens"`
	AudioTokens              int64 `json:"audio_tokens"`
	ReasoningTokens          int64 `json:"reasoning_tokens"`
	RejectedPredictionTokens int64 `json:"rejected_prediction_tokens"`
}

// usage is the true use of the answer as far as it was generated.
func (e *exchange) usage() *usage {
	u := &usage{PromptTokens: e.prompt, TotalTokens: e.prompt}
	if e.request.operation == Embeddings {
		return u
	}
	n := e.generated
	u.CompletionTokens, u.TotalTokens = &n, e.prompt+n
	if e.request.operation == ChatCompletions {
		u.PromptDetails = &promptDetails{CachedTokens: e.cached}
		u.CompletionDetails = &completionDetails{ReasoningTokens: e.reasoning()}
	}
	return u
}

// reasoning is how many hidden tokens come before the texts, in all choices.
func (e *exchange) reasoning() int64 {
	if e.request.operation.needs() != textModel {
		return 0
	}
	n := e.deployment.Output.Reasoning
	if e.request.hasMaximum {
		n = min(n, e.request.maximum)
	}
	return n * e.request.candidates
}

type severity struct {
	Filtered bool   `json:"filtered"`
	Severity string `json:"severity"`
}

type filterResults struct {
	Hate     severity `json:"hate"`
	SelfHarm severity `json:"self_harm"`
	Sexual   severity `json:"sexual"`
	Violence severity `json:"violence"`
}

type promptFilter struct {
	PromptIndex          int           `json:"prompt_index"`
	ContentFilterResults filterResults `json:"content_filter_results"`
}

var safe = filterResults{severity{false, "safe"}, severity{false, "safe"}, severity{false, "safe"}, severity{false, "safe"}}

// filters are the results of the prompt's content filter, on Azure only.
func (e *exchange) filters() []promptFilter {
	if !e.route.dialect.azure() {
		return nil
	}
	return []promptFilter{{0, safe}}
}

func (e *exchange) choiceFilter() *filterResults {
	if !e.route.dialect.azure() {
		return nil
	}
	return &safe
}

type answerBody struct {
	ID                  string         `json:"id"`
	Object              string         `json:"object"`
	Created             int64          `json:"created"`
	Model               string         `json:"model"`
	Choices             []any          `json:"choices"`
	Usage               *usage         `json:"usage"`
	SystemFingerprint   string         `json:"system_fingerprint,omitempty"`
	PromptFilterResults []promptFilter `json:"prompt_filter_results,omitempty"`
}

type messageChoice struct {
	Index                int            `json:"index"`
	Message              message        `json:"message"`
	Logprobs             *struct{}      `json:"logprobs"`
	FinishReason         string         `json:"finish_reason"`
	ContentFilterResults *filterResults `json:"content_filter_results,omitempty"`
}

type message struct {
	Role         string     `json:"role"`
	Content      *string    `json:"content"`
	Refusal      *string    `json:"refusal"`
	ToolCalls    []toolCall `json:"tool_calls,omitempty"`
	FunctionCall *calledFn  `json:"function_call,omitempty"`
}

type toolCall struct {
	Index    *int     `json:"index,omitempty"`
	ID       string   `json:"id,omitempty"`
	Type     string   `json:"type,omitempty"`
	Function calledFn `json:"function"`
}

type calledFn struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

type textChoice struct {
	Text                 string         `json:"text"`
	Index                int            `json:"index"`
	Logprobs             *struct{}      `json:"logprobs"`
	FinishReason         *string        `json:"finish_reason"`
	ContentFilterResults *filterResults `json:"content_filter_results,omitempty"`
}

// fingerprint is fixed for a model.
func (e *exchange) fingerprint() string {
	return "fp_" + strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(e.deployment.Model)))|1<<32, 16)
}

// plain writes a whole answer at once, when all of it is generated.
func (e *exchange) plain(answer reply) error {
	if err := e.generate(answer); err != nil {
		return err
	}
	return e.writeBody(e.answerBody(answer))
}

// answerBody is a completion as it is answered.
func (e *exchange) answerBody(answer reply) answerBody {
	body := answerBody{ID: answer.id, Object: "chat.completion", Created: answer.created, Model: e.deployment.Model,
		Usage: e.usage(), SystemFingerprint: e.fingerprint(), PromptFilterResults: e.filters()}
	if e.request.operation == Completions {
		body.Object = "text_completion"
	}
	for i, c := range answer.choices {
		body.Choices = append(body.Choices, e.choiceBody(i, c))
	}
	return body
}

func (e *exchange) choiceBody(i int, c choice) any {
	text := c.text()
	if e.request.operation == Completions {
		if e.request.echo && len(e.request.inputs) > 0 {
			text = e.request.inputs[0].text + text
		}
		return textChoice{Text: text, Index: i, FinishReason: &c.finish, ContentFilterResults: e.choiceFilter()}
	}
	m := message{Role: "assistant"}
	switch {
	case e.request.toolCall && e.request.legacyCall:
		m.FunctionCall = &calledFn{Name: e.request.function, Arguments: text}
	case e.request.toolCall:
		m.ToolCalls = []toolCall{{ID: c.callID, Type: "function", Function: calledFn{e.request.function, text}}}
	default:
		m.Content = &text
	}
	return messageChoice{Index: i, Message: m, FinishReason: c.finish, ContentFilterResults: e.choiceFilter()}
}

// generate lets the time of a plain answer pass. If the client leaves, the
// tokens of the time that has passed were generated.
func (e *exchange) generate(answer reply) error {
	return e.pass(e.total(answer), answer.steps+e.reasoning()/e.request.candidates)
}

// total is how many tokens an answer has, those that are not sent included.
func (e *exchange) total(answer reply) int64 {
	total := e.reasoning() + answer.extra
	for _, c := range answer.choices {
		total += int64(len(c.tokens))
	}
	return total
}

// pass lets the time of a number of steps pass, in which that many tokens are
// generated.
func (e *exchange) pass(total, steps int64) error {
	latency := e.deployment.Latency
	if err := e.sleep(e.dice.jitter(latency.FirstByte, latency.Jitter)); err != nil {
		return err
	}
	span := e.dice.jitter(time.Duration(steps)*latency.PerToken, latency.Jitter)
	start := time.Now()
	if err := e.sleep(span); err != nil {
		if span > 0 {
			e.generated = int64(float64(total) * min(1, float64(time.Since(start))/float64(span)))
		}
		return err
	}
	e.generated = total
	return nil
}

// writeBody sends a plain JSON answer, cut or broken if a fault says so.
func (e *exchange) writeBody(v any) error {
	body, err := json.Marshal(v)
	if err != nil { // Cannot happen: the types above hold nothing that fails.
		return statusError(http.StatusInternalServerError, e.route)
	}
	f := e.fault
	if f == nil || f.Kind != FaultBadJSON {
		return e.writeWhole("application/json", body, nil)
	}
	body = body[:len(body)/2]
	if f.Body != "" {
		body = []byte(f.Body)
	}
	return e.writeWhole("application/json", body, errEnded)
}

// writeWhole sends a body of a known length, cut if a fault says so; the outcome
// is how the answer ends then.
func (e *exchange) writeWhole(content string, body []byte, outcome error) (err error) {
	f, h := e.fault, e.w.Header()
	e.setHeaders(h, time.Now())
	h.Set("Content-Type", content)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if f != nil && (f.Kind == FaultCut || f.Kind == FaultHangAfterHeaders) {
		if body, err = e.writePart(body); err != nil {
			return err
		}
	}
	e.conclude(outcome)
	if _, err := e.w.Write(body); err != nil {
		return errCanceled
	}
	return outcome
}

// writePart sends the first bytes and acts out a cut (an error) or a hang;
// after a hang that ended it returns what is left to send.
func (e *exchange) writePart(body []byte) ([]byte, error) {
	n := min(e.fault.Bytes, int64(len(body)))
	if n == 0 && e.fault.Kind == FaultCut {
		n = int64(len(body) / 2)
	}
	if _, err := e.w.Write(body[:n]); err != nil {
		return nil, errCanceled
	}
	e.flush()
	if e.fault.Kind == FaultCut {
		return nil, errBroken
	}
	return body[n:], e.hang(e.hit)
}
