package tokens

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"spillway/shared/openai"
)

func TestEncodingOfAModel(t *testing.T) {
	tests := []struct {
		encoding string
		known    bool
		models   []string
	}{
		{"o200k_base", true, []string{"gpt-5", "gpt-5-nano", "gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-nano",
			"gpt-4.5-preview", "o1", "o1-mini", "o3-pro", "o4-mini", "gpt-oss-120b", "GPT-4o", "ft:gpt-4o-mini:contoso::x"}},
		{"cl100k_base", true, []string{"gpt-4", "gpt-4-32k", "gpt-4-turbo", "gpt-35-turbo", "gpt-35-turbo-16k", "gpt-3.5-turbo",
			"gpt-3.5-turbo-instruct", "text-embedding-3-large", "text-embedding-ada-002", "davinci-002"}},
		{"p50k_base", true, []string{"text-davinci-003", "davinci", "code-cushman-001"}},
		{"o200k_base", false, []string{"", "o", "ft:", "gpt-", "mistral-large", "my-gpt-4o"}},
	}
	for _, tt := range tests {
		for _, model := range tt.models {
			if name, known := Encoding(model); name != tt.encoding || known != tt.known {
				t.Errorf("Encoding(%q) = %s, %v, want %s, %v", model, name, known, tt.encoding, tt.known)
			}
		}
	}
}

func TestCountIsTiktokensOwn(t *testing.T) {
	for model, encoding := range map[string]encodingName{"gpt-4o": o200k, "gpt-4": cl100k, "text-davinci-003": p50k} {
		c := newCorpus(t, encoding, 3)
		for kind := range c.paragraphs {
			for n := 1; n <= 20; n += 3 {
				text := c.text(kind, n)
				want := int64(len(c.bpe.EncodeOrdinary(text)))
				got, exact := shared.Count(model, []byte(text))
				if !exact || got != want {
					t.Errorf("%s, %d paragraphs of %s: %d (exact %v), tiktoken counts %d", model, n, kind, got, exact, want)
				}
			}
		}
	}
}

func TestCountIsNotExactForUnknownModels(t *testing.T) {
	bpe := reference(t, o200k)
	const text = "The vocabulary of this model is anyone's guess."
	got, exact := shared.Count("mystery", []byte(text))
	if exact || got != int64(len(bpe.EncodeOrdinary(text))) {
		t.Errorf("Count = %d, %v, want the count of o200k_base, not exact", got, exact)
	}
}

func TestSpecialTokensAreText(t *testing.T) {
	ready(t, o200k)
	for _, text := range []string{"<|endoftext|>", "<|im_start|>system<|im_sep|>", "<|endofprompt|>", "<|fim_prefix|>"} {
		if got, exact := shared.Count("gpt-4o", []byte(text)); got < 3 || !exact {
			t.Errorf("Count(%q) = %d, %v, want the tokens of its characters", text, got, exact)
		}
	}
}

// Before the vocabulary is there, the answer is an estimate, at once.
func TestCountBeforeTheVocabularyIsBuilt(t *testing.T) {
	c := NewCounter()
	for _, e := range c.encodings {
		e.start.Do(func() {}) // the build has begun and does not end
	}
	tests := []struct {
		text      string
		low, high int64
	}{
		{repeat("some plain words ", 4000), 900, 1100},
		{repeat("some plain words ", 4_000_000), 900_000, 1_100_000},
		{repeat("重新计算", 1200*3), 900, 1100},
		{"!", 1, 1},
		{"\xff\xfe", 0, 2},
	}
	for _, tt := range tests {
		got, exact := c.Count("gpt-4o", []byte(tt.text))
		if exact || got < tt.low || got > tt.high {
			t.Errorf("Count of %d bytes = %d, %v, want %d … %d, not exact", len(tt.text), got, exact, tt.low, tt.high)
		}
	}
	if got, exact := c.Count("gpt-4o", nil); got != 0 || !exact {
		t.Errorf("Count of nothing = %d, %v, want 0, true", got, exact)
	}
}

func TestWarmBuildsWhatTheModelsNeed(t *testing.T) {
	c := NewCounter()
	<-c.Warm("text-davinci-003")
	if _, exact := c.Count("text-davinci-003", []byte("ready")); !exact {
		t.Error("p50k_base is not ready after Warm")
	}
	select {
	case <-c.encodings[o200k].built:
		t.Error("o200k_base was built though no model needs it")
	default:
	}
}

// Texts that make tiktoken quadratic. None may reach it in long pieces, nor more
// than the cap in all, and the result must still be right.
func TestUnbrokenTexts(t *testing.T) {
	bpe := reference(t, o200k)
	for name, unit := range unbroken {
		t.Run(name, func(t *testing.T) {
			const length = 100_000
			text := repeat(unit, length)
			// The count of a periodic text grows evenly, so a run that tiktoken can take tells it.
			short := repeat(unit, 4000)
			want := float64(len(bpe.EncodeOrdinary(short))) / float64(len(short)) * float64(len(text))

			log := &recorder{tokenizer: shared.encodings[o200k].bpe}
			got, _ := countText(log, []byte(text))
			if log.longest > pieceBytes || log.total > exactBytes {
				t.Errorf("%d bytes in pieces of up to %d reached the tokenizer, want ≤ %d and ≤ %d", log.total, log.longest, exactBytes, pieceBytes)
			}
			off := (float64(got) - want) / want
			t.Logf("%d tokens, reference %.0f, error %+.3f", got, want, off)
			if off < -0.1 || off > 0.1 {
				t.Errorf("%d tokens, reference %.0f: error %+.3f, want ± 0.1", got, want, off)
			}
		})
	}
}

var unbroken = map[string]string{
	"letters":         "a",
	"capitals":        "A",
	"spaces":          " ",
	"tabs":            "\t",
	"line feeds":      "\n",
	"digits":          "7",
	"dashes":          "-",
	"CJK":             "中",
	"rare CJK":        "龘靐齉",
	"combining marks": "e\u0301",
	"marks alone":     "\u0301",
	"emoji":           "😀",
	"joined emoji":    "👩‍👩‍👧",
	"slashes":         "!\n/\n",
	"NUL":             "\x00",
	"base64":          "Q29udGVudCBvZiBhIGZpbGUgdGhhdCB3YXMgcGFzdGVk",
	"words":           "word ",
	"line separators": "\u2028",
	"mixed case":      "aA",
	"beyond the BMP":  "\U00020000",
}

// A long document whose kinds of text follow one another is not judged by its
// beginning.
func TestLongTextIsSampledAllOver(t *testing.T) {
	c := newCorpus(t, o200k, 11)
	var parts []string
	want := 0
	for _, kind := range []string{"english", "chinese", "json", "code"} {
		for range 60 {
			text := c.text(kind, 2) + "\n"
			parts = append(parts, text)
			want += len(c.bpe.EncodeOrdinary(text))
		}
	}
	text := strings.Join(parts, "")
	got, exact := shared.Count("gpt-4o", []byte(text))
	if off := float64(got)/float64(want) - 1; exact || off < -0.1 || off > 0.1 {
		t.Errorf("%d bytes: %d tokens (exact %v), tiktoken counts %d: error %+.3f", len(text), got, exact, want, off)
	}
}

func TestPrompt(t *testing.T) {
	c := newCorpus(t, o200k, 5)
	for range 30 {
		p := c.next()
		got, exact := shared.Prompt("gpt-4o", p.request)
		if wantExact := p.kind != "tools"; exact != wantExact {
			t.Errorf("%s: exact %v, want %v", p.kind, exact, wantExact)
		}
		if exact && got != p.usage.Prompt {
			t.Errorf("%s: %d tokens, want %d", p.kind, got, p.usage.Prompt)
		}
	}
	t.Run("recorded answers", func(t *testing.T) {
		hello := ask(t, "Hello!")
		if got, _ := shared.Prompt("gpt-4o", hello); got != 9 {
			t.Errorf("gpt-4o: %d tokens, want 9", got)
		}
		if got, _ := shared.Prompt("gpt-5-nano", hello); got != 8 {
			t.Errorf("gpt-5-nano: %d tokens, want 8", got)
		}
	})
	t.Run("images and tools are estimated", func(t *testing.T) {
		r := &openai.Request{Operation: openai.ChatCompletions, N: 1, Messages: 1, Images: 1, Extra: 400}
		if got, exact := shared.Prompt("gpt-4o", r); got != 4+3+765+100 || exact {
			t.Errorf("%d tokens, exact %v, want 872, not exact", got, exact)
		}
	})
	t.Run("a prompt beyond what is read", func(t *testing.T) {
		text := repeat("The quick brown fox jumps over the lazy dog. ", 3<<20)
		want := float64(len(c.bpe.EncodeOrdinary(text[:45000]))) / 45000 * float64(len(text))
		got, exact := shared.Prompt("gpt-4o", ask(t, text))
		if off := float64(got)/want - 1; exact || off < -0.05 || off > 0.05 {
			t.Errorf("%d tokens (exact %v), want about %.0f", got, exact, want)
		}
	})
	t.Run("many tiny messages", func(t *testing.T) {
		body := chat{Model: "gpt-4o"}
		for range 5000 {
			body.Messages = append(body.Messages, map[string]any{"role": "user", "content": "x"})
		}
		got, exact := shared.Prompt("gpt-4o", parse(t, body))
		if exact || got < 5000*4+500 || got > 5000*5+3 {
			t.Errorf("%d tokens, exact %v", got, exact)
		}
	})
}

func TestCounterIsSafeForConcurrentUse(t *testing.T) {
	bpe := reference(t, o200k)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			text := fmt.Sprintf("Goroutine %d counts its own sentence, again and again.", i)
			want := int64(len(bpe.EncodeOrdinary(text)))
			for range 50 {
				if got, exact := shared.Count("gpt-4o", []byte(text)); got != want || !exact {
					t.Errorf("Count = %d, %v, want %d", got, exact, want)
				}
			}
		})
	}
	wait.Wait()
}

// FuzzCount: no text makes the counter panic or say more tokens than bytes, and
// where it says exact, tiktoken agrees.
func FuzzCount(f *testing.F) {
	for _, unit := range unbroken {
		f.Add("gpt-4o", unit, 700)
	}
	f.Add("gpt-4", "it's <|endoftext|>\xff\xfe\r\n  3.14159", 1)
	f.Add("gpt-4o", "A plain word, its neighbours. Then notSoPlain x1 words' end \n", 9)
	f.Add("davinci", "Über 12345678 Größen,  und ’ne Zeile\n\n", 40)
	f.Fuzz(func(t *testing.T, model, unit string, times int) {
		text := strings.Repeat(unit, min(max(times, 0), 4000/max(len(unit), 1)))
		name, _ := encodingOf(model)
		bpe := reference(t, name)
		log := &recorder{tokenizer: shared.encodings[name].bpe}
		got, exact := countText(log, []byte(text))
		if got < 0 || got > int64(len(text)) || log.longest > pieceBytes {
			t.Fatalf("%d tokens for %d bytes, longest piece %d", got, len(text), log.longest)
		}
		if exact && (!utf8.ValidString(text) || got != int64(len(bpe.EncodeOrdinary(text)))) {
			t.Fatalf("%q: %d tokens, tiktoken counts %d", text, got, len(bpe.EncodeOrdinary(text)))
		}
	})
}

// recorder notes what reaches a tokenizer.
type recorder struct {
	tokenizer
	total, longest int
}

func (r *recorder) EncodeOrdinary(text string) []int {
	r.total += len(text)
	r.longest = max(r.longest, len(text))
	return r.tokenizer.EncodeOrdinary(text)
}

// repeat returns whole units, at most n bytes.
func repeat(unit string, n int) string {
	return strings.Repeat(unit, n/len(unit))
}
