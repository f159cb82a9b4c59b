package azureopenai

import (
	"encoding/json"
	"slices"
	"strconv"
)

// responseEvent is one event of a response's stream.
type responseEvent struct {
	name      string
	data      json.RawMessage // without its sequence number
	tokens    int64           // generated since the event before
	reasoning bool            // the tokens are hidden ones
}

// encode is the event as it is sent. Its members begin with the type and the
// sequence number.
func (v responseEvent) encode(number int64) []byte {
	out := append([]byte("event: "), v.name...)
	out = append(out, "\ndata: {\"type\":\""...)
	out = append(out, v.name...)
	out = append(out, "\",\"sequence_number\":"...)
	out = strconv.AppendInt(out, number, 10)
	out = append(out, ',')
	out = append(out, v.data[1:]...)
	return append(out, "\n\n"...)
}

// endEvent is the event that ends the stream of a response.
func endEvent(final responseObject) responseEvent {
	return responseEvent{name: "response." + final.Status, data: mustJSON(map[string]any{"response": final})}
}

// timeline is all that a stream tells of a response: it follows from the response
// in its last state.
func (c *composed) timeline() []responseEvent {
	if c.told != nil {
		return c.told
	}
	w := eventWriter{dice: c.dice, size: c.chunk}
	begun := c.final
	begun.Status, begun.CompletedAt, begun.IncompleteDetails, begun.Output, begun.Usage = statusInProgress, nil, nil, []outputItem{}, nil
	if begun.Background {
		queued := begun
		queued.Status = statusQueued
		w.response("response.created", queued)
		w.response("response.queued", queued)
	} else {
		w.response("response.created", begun)
	}
	w.response("response.in_progress", begun)
	for i, item := range c.final.Output {
		w.output = i
		switch item.Type {
		case "reasoning":
			w.reasoning(item, c.final.Usage.OutputDetails.ReasoningTokens)
		case "function_call":
			w.call(item)
		default:
			w.message(item)
		}
	}
	c.told = append(w.events, endEvent(c.final))
	return c.told
}

// breakOff ends the timeline after a number of events in another state.
func (c *composed) breakOff(after int, state responseObject) {
	c.told = append(slices.Clip(c.timeline()[:after]), endEvent(state))
}

// eventWriter makes the events of a response.
type eventWriter struct {
	dice   dice
	size   int // tokens of one delta
	events []responseEvent
	output int // number of the item
}

func (w *eventWriter) add(name string, tokens int64, data any) {
	w.events = append(w.events, responseEvent{name: name, data: mustJSON(data), tokens: tokens})
}

func (w *eventWriter) response(name string, state responseObject) {
	w.add(name, 0, map[string]any{"response": state})
}

// place is where an event belongs.
type place struct {
	ItemID       string `json:"item_id"`
	OutputIndex  int    `json:"output_index"`
	ContentIndex *int   `json:"content_index,omitempty"`
	SummaryIndex *int   `json:"summary_index,omitempty"`
}

type itemEvent struct {
	OutputIndex int        `json:"output_index"`
	Item        outputItem `json:"item"`
}

// partEvent is any event about a part of an item or a piece of its text.
type partEvent struct {
	place
	Part        any        `json:"part,omitempty"`
	Delta       *string    `json:"delta,omitempty"`
	Text        *string    `json:"text,omitempty"`
	Arguments   *string    `json:"arguments,omitempty"`
	Logprobs    []struct{} `json:"logprobs,omitzero"`
	Obfuscation string     `json:"obfuscation,omitempty"`
}

// reasoning tells of the item of the hidden tokens.
func (w *eventWriter) reasoning(item outputItem, tokens int64) {
	begun := item
	begun.Summary = []summaryPart{}
	w.add("response.output_item.added", 0, itemEvent{w.output, begun})
	for i, part := range item.Summary {
		at := place{ItemID: item.ID, OutputIndex: w.output, SummaryIndex: &i}
		w.add("response.reasoning_summary_part.added", 0, partEvent{place: at, Part: summaryPart{part.Type, ""}})
		for _, word := range splitTokens(part.Text) {
			w.add("response.reasoning_summary_text.delta", 0, partEvent{place: at, Delta: &word, Obfuscation: w.padding()})
		}
		w.add("response.reasoning_summary_text.done", 0, partEvent{place: at, Text: &part.Text})
		w.add("response.reasoning_summary_part.done", 0, partEvent{place: at, Part: part})
	}
	w.add("response.output_item.done", tokens, itemEvent{w.output, item})
	w.events[len(w.events)-1].reasoning = true
}

func (w *eventWriter) message(item outputItem) {
	begun := item
	begun.Status, begun.Content = statusInProgress, []outputPart{}
	w.add("response.output_item.added", 0, itemEvent{w.output, begun})
	for i, part := range item.Content {
		at := place{ItemID: item.ID, OutputIndex: w.output, ContentIndex: &i}
		w.add("response.content_part.added", 0, partEvent{place: at, Part: textPart("")})
		w.deltas("response.output_text.delta", at, part.Text, []struct{}{})
		w.add("response.output_text.done", 0, partEvent{place: at, Text: &part.Text, Logprobs: []struct{}{}})
		w.add("response.content_part.done", 0, partEvent{place: at, Part: part})
	}
	w.add("response.output_item.done", 0, itemEvent{w.output, item})
}

func (w *eventWriter) call(item outputItem) {
	none, begun := "", item
	begun.Status, begun.Arguments = statusInProgress, &none
	at := place{ItemID: item.ID, OutputIndex: w.output}
	w.add("response.output_item.added", 0, itemEvent{w.output, begun})
	w.deltas("response.function_call_arguments.delta", at, *item.Arguments, nil)
	w.add("response.function_call_arguments.done", 0, partEvent{place: at, Arguments: item.Arguments})
	w.add("response.output_item.done", 0, itemEvent{w.output, item})
}

// deltas makes an event of each few tokens of a text.
func (w *eventWriter) deltas(name string, at place, text string, logprobs []struct{}) {
	for part := range slices.Chunk(splitTokens(text), w.size) {
		delta := choice{tokens: part}.text()
		w.add(name, int64(len(part)), partEvent{place: at, Delta: &delta, Logprobs: logprobs, Obfuscation: w.padding()})
	}
}

// padding hides the length of a delta, unless the client does not want it.
func (w *eventWriter) padding() string {
	if w.dice.Rand == nil {
		return ""
	}
	return w.dice.name(1 + w.dice.IntN(12))
}
