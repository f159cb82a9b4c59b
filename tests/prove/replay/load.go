package replay

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"

	"spillway/tests/fakes/azureopenai"
)

// request is one request of a user.
type request struct {
	id     string
	body   []byte
	charge int64
}

// requests are what a user sends, without end: the same for every gateway.
func (s Scenario) requests(user int, seed uint64) iter.Seq[request] {
	return func(yield func(request) bool) {
		random := rand.New(rand.NewPCG(seed, uint64(user)))
		for n := 1; ; n++ {
			charge := s.Low + random.Int64N(s.High-s.Low+1)
			// Between a tenth and a quarter of the charge is the prompt. Characters that
			// do not fill a token count as one.
			prompt := charge/10 + random.Int64N(charge/4-charge/10+1)
			body := encode(text(random, 4*prompt-random.Int64N(4)), charge-prompt)
			if !yield(request{id: fmt.Sprintf("u%d-%d", user, n), body: body, charge: charge}) {
				return
			}
		}
	}
}

// encode is a chat request.
func encode(prompt string, maxTokens int64) []byte {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	body, err := json.Marshal(struct {
		Messages  []message `json:"messages"`
		MaxTokens int64     `json:"max_tokens"`
	}{[]message{{"user", prompt}}, maxTokens})
	if err != nil {
		panic(err) // strings and integers can always be encoded
	}
	return body
}

var words = strings.Fields(`the river rose after a night of rain and spilled over its lower bank into fields
	that had been left empty for it while the mill upstream kept turning at full power`)

// text is random words of n characters in all.
func text(random *rand.Rand, n int64) string {
	var b strings.Builder
	for int64(b.Len()) < n {
		b.WriteString(words[random.IntN(len(words))])
		b.WriteByte(' ')
	}
	return b.String()[:n]
}

// charge is what the simulated limiters book for a request.
func charge(body []byte) (int64, error) {
	return azureopenai.Charge(azureopenai.ChatCompletions, body)
}
