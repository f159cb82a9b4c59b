package script

import (
	"strings"
	"sync"

	"spillway/shared/tokens"
	"spillway/tests/fakes/azureopenai"
)

// Model is the model that all calls ask for.
const Model = "gpt-4o"

// Prompt is a text that calls send as a chat of one message.
type Prompt struct {
	Text       string
	Tokens     int64 // of the whole chat, as the simulated backends count them
	Characters int64
}

// vocabulary are words of one token each, in the simulator's vocabulary and in the
// gateway's alike, so that a count of the gateway's can be told from an estimate.
var vocabulary = strings.Fields("the water of a lake and its level while rain comes than can take more until they go over to other parts")

// Prompts returns one prompt of each length, which is a number of words.
func Prompts(lengths ...int) []Prompt {
	const frame = 6 // tokens of a chat beside its text
	made := make([]Prompt, len(lengths))
	for i, n := range lengths {
		words := make([]string, n)
		for j := range words {
			words[j] = vocabulary[(i+5*j)%len(vocabulary)]
		}
		text := strings.Join(words, " ")
		made[i] = Prompt{Text: text, Tokens: azureopenai.CountTokens(text) + frame, Characters: int64(len(text))}
	}
	return made
}

// Counter counts the tokens of Model. All gateways share it, for its vocabularies
// take long to build; it is to be asked for outside of a bubble first.
var Counter = sync.OnceValue(func() *tokens.Counter {
	c := tokens.NewCounter()
	<-c.Warm(Model)
	return c
})
