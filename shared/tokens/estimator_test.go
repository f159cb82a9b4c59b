package tokens

import (
	"math"
	"slices"
	"sync"
	"testing"

	"spillway/shared/openai"
)

// The Estimator's promise: after 100 answers, 95 of 100 estimates are within
// 15 % of the truth, and 99 of 100 truths within the bounds, though the texts
// learned from never come again.
func TestEstimatesAfter100Answers(t *testing.T) {
	for _, encoding := range []encodingName{o200k, cl100k} {
		for seed := range uint64(2) {
			c := newCorpus(t, encoding, seed)
			c.half = 1
			e := New("gpt-4o")
			var errors []float64
			byKind := map[string][]float64{}
			inside, width := 0, 0.0
			for i := range 600 {
				if i == 100 {
					c.half = 2
				}
				p := c.next()
				estimate := e.Estimate("gpt-4o", p.request)
				checkOrder(t, estimate)
				if i >= 100 {
					off := math.Abs(float64(estimate.Prompt-p.usage.Prompt)) / float64(p.usage.Prompt)
					errors = append(errors, off)
					byKind[p.kind] = append(byKind[p.kind], off)
					width += float64(estimate.High-estimate.Low) / float64(estimate.Prompt) / 500
					if estimate.Low <= p.usage.Prompt && p.usage.Prompt <= estimate.High {
						inside++
					}
				}
				e.Learn("gpt-4o", estimate, p.usage)
			}
			t.Logf("%s seed %d: error p50 %.3f p95 %.3f p99 %.3f; %d of %d within bounds %.2f wide",
				encoding, seed, quantile(errors, 0.5), quantile(errors, 0.95), quantile(errors, 0.99), inside, len(errors), width)
			for kind, errors := range byKind {
				t.Logf("  %-13s n %3d  p50 %.3f p95 %.3f", kind, len(errors), quantile(errors, 0.5), quantile(errors, 0.95))
			}
			if p95 := quantile(errors, 0.95); p95 > 0.15 {
				t.Errorf("%s seed %d: p95 error %.3f, want ≤ 0.15", encoding, seed, p95)
			}
			if inside < len(errors)*99/100 {
				t.Errorf("%s seed %d: %d of %d within bounds, want 99 %%", encoding, seed, inside, len(errors))
			}
			if width > 0.8 {
				t.Errorf("%s seed %d: bounds are %.2f wide, want at most 0.8: wider ones decide nothing", encoding, seed, width)
			}
		}
	}
}

func TestStartValues(t *testing.T) {
	english := "It is this reservation before sending that ends the overshoot under parallel load. "
	tests := []struct {
		name      string
		request   *openai.Request
		low, high int64
	}{
		{"English: 4 characters per token", ask(t, repeat(english, 4000)), 900, 1100},
		{"CJK: 1.2 characters per token", ask(t, repeat("额度在每个整分钟重新计算", 1200*3)), 950, 1050},
		{"text that was not seen", &openai.Request{Operation: openai.ChatCompletions, N: 1, Text: openai.Text{ASCII: 4000}}, 950, 1050},
		{"one empty message", ask(t, ""), 7, 7},
		{"an image", &openai.Request{Operation: openai.ChatCompletions, N: 1, Images: 1}, 765, 765},
		{"tokens are exact", &openai.Request{Operation: openai.Embeddings, N: 1, Inputs: 1, PromptTokens: 1234}, 1234, 1234},
		{"nothing", &openai.Request{}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := New().Estimate("gpt-4o", tt.request)
			checkOrder(t, got)
			if got.Prompt < tt.low || got.Prompt > tt.high {
				t.Errorf("Prompt = %d, want %d … %d", got.Prompt, tt.low, tt.high)
			}
		})
	}
}

func TestHostileUsageCannotDriveTheEstimateAway(t *testing.T) {
	c := newCorpus(t, o200k, 7)
	var prompts []prompt
	for range 250 {
		prompts = append(prompts, c.next())
	}
	for _, tt := range []struct {
		name  string
		usage openai.Usage
	}{
		{"zero", openai.Usage{}},
		{"negative", openai.Usage{Prompt: -5, Completion: -5}},
		{"lowest", openai.Usage{Prompt: math.MinInt64, Completion: math.MinInt64}},
		{"one", openai.Usage{Prompt: 1, Completion: 1}},
		{"a million", openai.Usage{Prompt: 1e6, Completion: 1e6}},
		{"highest", openai.Usage{Prompt: math.MaxInt64, Completion: math.MaxInt64, Total: math.MaxInt64}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := New("gpt-4o")
			for i := range 3000 {
				p := prompts[i%len(prompts)]
				start := New().Estimate("gpt-4o", p.request)
				estimate := e.Estimate("gpt-4o", p.request)
				checkOrder(t, estimate)
				if ratio := float64(estimate.Prompt) / float64(start.Prompt); ratio < 0.25 || ratio > 5 {
					t.Fatalf("the estimate became %d, at the start it was %d", estimate.Prompt, start.Prompt)
				}
				if estimate.Output < 1 || estimate.Output > maxOutput {
					t.Fatalf("Output = %d", estimate.Output)
				}
				e.Learn("gpt-4o", estimate, tt.usage)
			}
			var errors []float64
			for i := range 1000 {
				p := prompts[i%len(prompts)]
				estimate := e.Estimate("gpt-4o", p.request)
				if i >= 500 {
					errors = append(errors, math.Abs(float64(estimate.Prompt-p.usage.Prompt))/float64(p.usage.Prompt))
				}
				e.Learn("gpt-4o", estimate, p.usage)
			}
			if p95 := quantile(errors, 0.95); p95 > 0.15 {
				t.Errorf("after 500 honest answers the p95 error is %.3f, want ≤ 0.15", p95)
			}
		})
	}
}

func TestOutput(t *testing.T) {
	free := &openai.Request{Operation: openai.ChatCompletions, N: 1}
	free3 := &openai.Request{Operation: openai.ChatCompletions, N: 3}
	limited := func(tokens, n int64) *openai.Request {
		return &openai.Request{Operation: openai.ChatCompletions, HasMaxTokens: true, MaxTokens: tokens, N: n}
	}
	t.Run("the client's maximum for each answer", func(t *testing.T) {
		for _, tt := range []struct{ tokens, n, want int64 }{
			{100, 1, 100}, {100, 3, 300}, {0, 1, 0}, {1 << 31, 128, 1 << 38},
			{math.MaxInt64, 128, math.MaxInt64}, {-1, -1, 0},
		} {
			got := New().Estimate("gpt-4o", limited(tt.tokens, tt.n))
			if got.Output != tt.want || got.Total() < got.Output {
				t.Errorf("max %d × %d: Output = %d, Total = %d, want %d", tt.tokens, tt.n, got.Output, got.Total(), tt.want)
			}
		}
	})
	t.Run("without a maximum, the mean of such answers", func(t *testing.T) {
		e := New("gpt-4o")
		for i := range 400 {
			e.Learn("gpt-4o", e.Estimate("gpt-4o", free), openai.Usage{Prompt: 10, Completion: 50 + 100*int64(i%2)})
			e.Learn("gpt-4o", e.Estimate("gpt-4o", limited(5, 1)), openai.Usage{Prompt: 10, Completion: 5})
		}
		if got := e.Estimate("gpt-4o", free).Output; got < 90 || got > 110 {
			t.Errorf("Output = %d, want about 100", got)
		}
		if got := e.Estimate("gpt-4o", free3).Output; got < 270 || got > 330 {
			t.Errorf("three answers: Output = %d, want about 300", got)
		}
	})
	t.Run("none for embeddings", func(t *testing.T) {
		r := &openai.Request{Operation: openai.Embeddings, N: 1, Inputs: 1, Text: openai.Text{ASCII: 400}}
		if got := New().Estimate("text-embedding-3-small", r).Output; got != 0 {
			t.Errorf("Output = %d, want 0", got)
		}
	})
}

func TestImagesAreLearnedApartFromText(t *testing.T) {
	e := New("gpt-4o")
	r := &openai.Request{Operation: openai.ChatCompletions, N: 1, Images: 2, Text: openai.Text{ASCII: 400}}
	text := &openai.Request{Operation: openai.ChatCompletions, N: 1, Text: openai.Text{ASCII: 400}}
	before := e.Estimate("gpt-4o", text).Prompt
	for range 100 {
		e.Learn("gpt-4o", e.Estimate("gpt-4o", r), openai.Usage{Prompt: 100 + 2*300})
	}
	if got := e.Estimate("gpt-4o", r).Prompt; got < 690 || got > 710 {
		t.Errorf("Prompt = %d, want about 700", got)
	}
	if got := e.Estimate("gpt-4o", text).Prompt; got != before {
		t.Errorf("text alone went from %d to %d", before, got)
	}
}

func TestModelsLearnApartAndUnknownOnesShare(t *testing.T) {
	e := New("gpt-4o", "gpt-4")
	r := ask(t, repeat("a few plain words for everyone to count ", 4000))
	start := e.Estimate("gpt-4", r).Prompt
	for range 50 {
		e.Learn("gpt-4o", e.Estimate("gpt-4o", r), openai.Usage{Prompt: 2000})
		e.Learn("mystery-1", e.Estimate("mystery-1", r), openai.Usage{Prompt: 700})
	}
	got := map[string]int64{}
	for _, model := range []string{"gpt-4o", "GPT-4o", "gpt-4", "mystery-1", "mystery-2", ""} {
		got[model] = e.Estimate(model, r).Prompt
	}
	if got["gpt-4o"] < 1900 || got["gpt-4o"] != got["GPT-4o"] {
		t.Errorf("gpt-4o = %d, GPT-4o = %d, want about 2000 both", got["gpt-4o"], got["GPT-4o"])
	}
	if got["gpt-4"] != start {
		t.Errorf("gpt-4 learned from others: %d, was %d", got["gpt-4"], start)
	}
	if got["mystery-1"] > 800 || got["mystery-1"] != got["mystery-2"] || got["mystery-2"] != got[""] {
		t.Errorf("unknown models: %v, want about 700 for each", got)
	}
	if len(e.models) != 2 {
		t.Errorf("the Estimator grew to %d models, want 2", len(e.models))
	}
}

func TestEstimatorIsSafeForConcurrentUse(t *testing.T) {
	e := New("gpt-4o")
	r := ask(t, repeat("shared by many goroutines ", 1000))
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 200 {
				estimate := e.Estimate("gpt-4o", r)
				checkOrder(t, estimate)
				e.Learn("gpt-4o", estimate, openai.Usage{Prompt: 200 + int64(i), Completion: 10})
			}
		})
	}
	wait.Wait()
}

func TestAzureCharge(t *testing.T) {
	tests := []struct {
		name    string
		request *openai.Request
		want    int64
	}{
		{"6 characters cost 2, as recorded", &openai.Request{Text: openai.Text{ASCII: 6}, Messages: 1, N: 1}, 2},
		{"8 characters cost 2", &openai.Request{Text: openai.Text{ASCII: 8}, N: 1}, 2},
		{"characters, not bytes", &openai.Request{Text: openai.Text{ASCII: 2, Other: 10}, N: 1}, 3},
		{"maximum × answers", &openai.Request{Text: openai.Text{ASCII: 6}, HasMaxTokens: true, MaxTokens: 50, N: 3}, 152},
		{"nothing for an output without a maximum", &openai.Request{Text: openai.Text{ASCII: 4}, N: 5}, 1},
		{"tools and images are free", &openai.Request{Text: openai.Text{ASCII: 4}, Extra: 9000, Images: 3, N: 1}, 1},
		{"token arrays", &openai.Request{PromptTokens: 77, Inputs: 1, N: 1}, 77},
		{"never nothing", &openai.Request{}, 1},
		{"no overflow", &openai.Request{Text: openai.Text{ASCII: math.MaxInt64}, PromptTokens: math.MaxInt64, HasMaxTokens: true, MaxTokens: math.MaxInt64, N: 128}, math.MaxInt64},
		{"nonsense", &openai.Request{Text: openai.Text{ASCII: -9}, PromptTokens: -9, HasMaxTokens: true, MaxTokens: -9, N: -9}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := AzureCharge(tt.request); got != tt.want {
				t.Errorf("AzureCharge = %d, want %d", got, tt.want)
			}
		})
	}
}

// FuzzLearn: whatever a client asks and a backend reports, estimates stay in
// order and finite.
func FuzzLearn(f *testing.F) {
	f.Add(int64(400), int64(0), int64(0), int64(1), int64(0), int64(105), int64(30))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt32), int64(9), int64(math.MaxInt64), int64(math.MaxInt64))
	f.Add(int64(-1), int64(-1), int64(-1), int64(-1), int64(-1), int64(math.MinInt64), int64(-1))
	f.Fuzz(func(t *testing.T, ascii, other, extra, messages, images, prompt, completion int64) {
		e := New("gpt-4o")
		r := &openai.Request{
			Operation: openai.ChatCompletions, N: 1, Text: openai.Text{ASCII: ascii, Other: other},
			Extra: extra, Messages: int(messages), Images: int(images),
		}
		for range 20 {
			estimate := e.Estimate("gpt-4o", r)
			checkOrder(t, estimate)
			e.Learn("gpt-4o", estimate, openai.Usage{Prompt: prompt, Completion: completion})
		}
		e.model("gpt-4o").check(t)
	})
}

// check asserts that no weight has left its bounds.
func (m *model) check(t *testing.T) {
	t.Helper()
	for f, w := range m.current.Load().weights {
		if !(w >= prior[f].low && w <= prior[f].high) {
			t.Errorf("weight %d is %v, outside %v … %v", f, w, prior[f].low, prior[f].high)
		}
	}
}

// checkOrder asserts what holds for every estimate.
func checkOrder(t *testing.T, e Estimate) {
	t.Helper()
	if e.Low < 0 || e.Low > e.Prompt || e.Prompt > e.High || e.Output < 0 || e.Total() < e.Prompt {
		t.Fatalf("%+v, want 0 ≤ Low ≤ Prompt ≤ High and 0 ≤ Output", e)
	}
}

func ask(t testing.TB, text string) *openai.Request {
	return parse(t, chat{Model: "gpt-4o", Messages: []map[string]any{{"role": "user", "content": text}}})
}

func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1))]
}
