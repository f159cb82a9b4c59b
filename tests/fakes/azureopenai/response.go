package azureopenai

import (
	"encoding/json"
	"strings"
)

// The states of a response.
const (
	statusQueued     = "queued"
	statusInProgress = "in_progress"
	statusCompleted  = "completed"
	statusIncomplete = "incomplete"
	statusCancelled  = "cancelled"
	statusFailed     = "failed"
)

// responseObject is a response as it is answered. The members that only repeat
// the request are in echo.
type responseObject struct {
	ID                string             `json:"id"`
	Object            string             `json:"object"`
	CreatedAt         int64              `json:"created_at"`
	CompletedAt       *int64             `json:"completed_at"`
	Status            string             `json:"status"`
	Background        bool               `json:"background"`
	Error             *responseError     `json:"error"`
	IncompleteDetails *incompleteDetails `json:"incomplete_details"`
	Model             string             `json:"model"`
	Output            []outputItem       `json:"output"`
	Usage             *responseUsage     `json:"usage"`
	Store             bool               `json:"store"`

	Instructions       json.RawMessage `json:"instructions"`
	MaxOutputTokens    json.RawMessage `json:"max_output_tokens"`
	Metadata           json.RawMessage `json:"metadata"`
	ParallelToolCalls  json.RawMessage `json:"parallel_tool_calls"`
	PreviousResponseID json.RawMessage `json:"previous_response_id"`
	Reasoning          json.RawMessage `json:"reasoning"`
	ServiceTier        json.RawMessage `json:"service_tier"`
	Temperature        json.RawMessage `json:"temperature"`
	Text               json.RawMessage `json:"text"`
	ToolChoice         json.RawMessage `json:"tool_choice"`
	Tools              json.RawMessage `json:"tools"`
	TopP               json.RawMessage `json:"top_p"`
	Truncation         json.RawMessage `json:"truncation"`
	User               json.RawMessage `json:"user"`
}

type responseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type incompleteDetails struct {
	Reason string `json:"reason"`
}

type responseUsage struct {
	InputTokens        int64         `json:"input_tokens"`
	InputTokensDetails inputDetails  `json:"input_tokens_details"`
	OutputTokens       int64         `json:"output_tokens"`
	OutputDetails      outputDetails `json:"output_tokens_details"`
	TotalTokens        int64         `json:"total_tokens"`
}

type inputDetails struct {
	CachedTokens int64 `json:"cached_tokens"`
}

type outputDetails struct {
	ReasoningTokens int64 `json:"reasoning_tokens"`
}

// outputItem is a message, a function call or a reasoning item.
type outputItem struct {
	ID        string        `json:"id"`
	Type      string        `json:"type"`
	Status    string        `json:"status,omitempty"`
	Role      string        `json:"role,omitempty"`
	Content   []outputPart  `json:"content,omitzero"`
	Summary   []summaryPart `json:"summary,omitzero"`
	Arguments *string       `json:"arguments,omitempty"`
	CallID    string        `json:"call_id,omitempty"`
	Name      string        `json:"name,omitempty"`
}

type outputPart struct {
	Type        string     `json:"type"`
	Text        string     `json:"text"`
	Annotations []struct{} `json:"annotations"`
	Logprobs    []struct{} `json:"logprobs"`
}

type summaryPart struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func textPart(text string) outputPart {
	return outputPart{Type: "output_text", Text: text, Annotations: []struct{}{}, Logprobs: []struct{}{}}
}

// composed is a response before it is written.
type composed struct {
	final  responseObject
	tokens int64           // generated in all
	told   []responseEvent // what a stream tells of it; nil until timeline makes it
	chunk  int             // tokens of one delta
	dice   dice            // of the padding; the zero value: none
}

// orElse is a member of a request, or what the service assumes without it.
func (f fields) orElse(name, assumed string) json.RawMessage {
	if f.has(name) {
		return f[name]
	}
	return json.RawMessage(assumed)
}

// blankResponse is a response of which nothing is generated yet.
func (e *exchange) blankResponse() responseObject {
	asked := e.request.response
	echo := asked.echo
	return responseObject{ID: "resp_" + e.dice.hex(48), Object: "response", CreatedAt: e.server.today().Unix(), Status: statusInProgress,
		Background: asked.background, Model: e.deployment.Model, Output: []outputItem{}, Store: asked.store,
		Instructions: echo.orElse("instructions", "null"), MaxOutputTokens: echo.orElse("max_output_tokens", "null"),
		Metadata: echo.orElse("metadata", "{}"), ParallelToolCalls: echo.orElse("parallel_tool_calls", "true"),
		PreviousResponseID: echo.orElse("previous_response_id", "null"), Reasoning: echo.orElse("reasoning", `{"effort":null,"summary":null}`),
		ServiceTier: echo.orElse("service_tier", `"default"`), Temperature: echo.orElse("temperature", "1.0"),
		Text: echo.orElse("text", `{"format":{"type":"text"}}`), ToolChoice: echo.orElse("tool_choice", `"auto"`),
		Tools: echo.orElse("tools", "[]"), TopP: echo.orElse("top_p", "1.0"), Truncation: echo.orElse("truncation", `"disabled"`),
		User: echo.orElse("user", "null")}
}

// composeResponse makes up a response.
func (e *exchange) composeResponse() composed {
	final := e.blankResponse()
	reasoning := e.reasoning()
	if reasoning > 0 {
		final.Output = append(final.Output, e.reasoningItem(reasoning))
	}
	room := int64(longestFill)
	if e.request.hasMaximum {
		room = e.request.maximum - reasoning
	}
	c := e.candidate(room)
	if c.finish == "length" {
		final.Status, final.IncompleteDetails = statusIncomplete, &incompleteDetails{"max_output_tokens"}
	} else {
		completed := e.server.today().Unix()
		final.Status, final.CompletedAt = statusCompleted, &completed
	}
	if room > 0 {
		final.Output = append(final.Output, e.answerItem(c, final.Status))
	}
	total := reasoning + int64(len(c.tokens))
	final.Usage = &responseUsage{e.prompt, inputDetails{e.cached}, total, outputDetails{reasoning}, e.prompt + total}
	answer := composed{final: final, tokens: total, chunk: int(e.deployment.Output.ChunkTokens)}
	if !e.request.noPadding {
		answer.dice = newDice(e.server.options.Seed, []byte(final.ID), 0)
	}
	return answer
}

// longestSummary is the most tokens that a summary of the reasoning has.
const longestSummary = 20

// reasoningItem is the item of the hidden tokens, with a summary if one is asked for.
func (e *exchange) reasoningItem(tokens int64) outputItem {
	item := outputItem{ID: "rs_" + e.dice.hex(48), Type: "reasoning", Summary: []summaryPart{}}
	if e.request.response.summary {
		words := e.dice.prose(min(tokens, longestSummary))
		item.Summary = append(item.Summary, summaryPart{"summary_text", choice{tokens: words}.text()})
	}
	return item
}

// answerItem is the message or the function call that the response is for.
func (e *exchange) answerItem(c choice, status string) outputItem {
	text := c.text()
	if e.request.toolCall {
		return outputItem{ID: "fc_" + e.dice.hex(48), Type: "function_call", Status: status, CallID: c.callID, Name: e.request.function, Arguments: &text}
	}
	return outputItem{ID: "msg_" + e.dice.hex(48), Type: "message", Status: status, Role: "assistant", Content: []outputPart{textPart(text)}}
}

// outputText is the text of a response's messages.
func (r responseObject) outputText() string {
	var all strings.Builder
	for _, item := range r.Output {
		for _, part := range item.Content {
			all.WriteString(part.Text)
		}
		if item.Arguments != nil {
			all.WriteString(*item.Arguments)
		}
	}
	return all.String()
}

// respondWith writes a response: whole, as events, or as one that is still to be
// made in the background.
func (e *exchange) respondWith(answer composed) error {
	kept := e.newStored(answer)
	e.failed = func() []byte {
		kept.final = kept.now(statusFailed)
		kept.status = statusFailed
		kept.breakOff(int(e.events), kept.final)
		e.server.keep(kept)
		return kept.told[e.events].encode(e.events)
	}
	switch {
	case e.request.response.background:
		return e.inBackground(kept)
	case e.request.stream:
		return e.playResponse(kept)
	}
	if err := e.pass(answer.tokens, answer.tokens); err != nil {
		return err
	}
	e.server.keep(kept)
	return e.writeBody(answer.final)
}

// playResponse writes the events while the response is generated.
func (e *exchange) playResponse(kept *storedResponse) error {
	told := kept.timeline()
	events := make([]timedEvent, len(told))
	for i, event := range told {
		events[i] = timedEvent{event.encode(int64(i)), event.tokens, event.reasoning}
	}
	return e.play(events, func() { e.server.keep(kept) })
}
