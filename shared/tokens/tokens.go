// Package tokens tells how many tokens a request will take: an Estimator that
// learns from the usage of answers and never tokenizes, the charge of Azure's
// own rate limiter, and a Counter that counts with tiktoken where a decision
// depends on the exact number.
package tokens

import (
	"math"

	"spillway/shared/openai"
)

// Estimate is what a request is expected to take, in tokens. Its numbers are
// never negative. It also remembers the request's measures, so that
// Estimator.Learn needs neither the request nor its body any more.
type Estimate struct {
	// Prompt is the expected number of prompt tokens.
	Prompt int64
	// Output is what the answers may take: the client's maximum for each
	// answer, or the learned mean where the client set none. 0 for embeddings.
	Output int64
	// Low and High bound the prompt: Low ≤ Prompt ≤ High, and once the model's
	// answers have been learned from, the true number lies between them for at
	// least 99 of 100 requests of the same kind.
	Low, High int64

	measures measures
}

// Total returns Prompt + Output, at most math.MaxInt64.
func (e Estimate) Total() int64 { return add(e.Prompt, e.Output) }

// AzureCharge returns what the rate limiter of Azure OpenAI takes for a request
// on arrival, in tokens, at least 1: the characters of the prompt ÷ 4, rounded
// up, plus the maximum output times the number of answers. Nothing is taken for
// an output without a maximum, and nothing for images and tools. Tokens given
// as arrays count as they are. (Azure OpenAI, "Manage quota", and the
// x-ratelimit-remaining-tokens of recorded answers.)
func AzureCharge(r *openai.Request) int64 {
	prompt := add(ceilDiv(max(r.Text.Characters(), 0), 4), max(r.PromptTokens, 0))
	return max(add(prompt, requestedOutput(r)), 1)
}

// requestedOutput is the largest output the client allowed, 0 if it set no
// maximum.
func requestedOutput(r *openai.Request) int64 {
	if !r.HasMaxTokens {
		return 0
	}
	return mul(max(r.MaxTokens, 0), max(r.N, 1))
}

// add, mul and ceil stop at math.MaxInt64 instead of overflowing. Their
// arguments are not negative.

func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func mul(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64/a {
		return math.MaxInt64
	}
	return a * b
}

func ceil(f float64) int64 {
	if f >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(math.Ceil(f))
}

func ceilDiv(a, b int64) int64 {
	return a/b + min(a%b, 1)
}
