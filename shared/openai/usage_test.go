package openai

import "testing"

func TestParseUsage(t *testing.T) {
	for _, c := range []struct {
		json string
		want Usage
	}{
		{`{"prompt_tokens":8,"completion_tokens":271,"total_tokens":279}`, Usage{Prompt: 8, Completion: 271, Total: 279}},
		{` {"prompt_tokens":8,"total_tokens":8} `, Usage{Prompt: 8, Total: 8}},
		{`{"prompt_tokens":8,"completion_tokens":2}`, Usage{Prompt: 8, Completion: 2, Total: 10}},
		{`{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":192,"accepted_prediction_tokens":0}}`,
			Usage{2006, 300, 2306, 1920, 192}},
		{`{"input_tokens":36,"input_tokens_details":{"cached_tokens":3},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":123}`, Usage{36, 87, 123, 3, 5}},
		{`{"prompt_tokens":8,"completion_tokens":null,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}`, Usage{Prompt: 8, Total: 8}},
		{`{"prompt_tokens":8,"prompt_tokens_details":{"cached_tokens":9}}`, Usage{Prompt: 8, Total: 8, Cached: 8}},
		{`{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`, Usage{}},
		{`{"x":{"prompt_tokens":5},"total_tokens":3}`, Usage{Total: 3}},
	} {
		if got, ok := ParseUsage([]byte(c.json)); !ok || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.json, got, ok, c.want)
		}
	}
	for _, text := range []string{``, `{}`, `null`, `[]`, `7`, `"x"`, `{"x":1}`, `{"prompt_tokens":null}`, `{"prompt_tokens":"8"}`, `{"prompt_tokens":-1}`, `{"prompt_tokens":1.5}`, `{"prompt_tokens":1e3}`,
		`{"prompt_tokens":8,"completion_tokens":-1}`, `{"prompt_tokens":99999999999999999999}`, `{"prompt_tokens":1099511627777}`, `{"prompt_tokens":8,"prompt_tokens_details":{"cached_tokens":-1}}`,
		`{"prompt_tokens":8`, `{"prompt_tokens":8}x`, `{"prompt_tokens":8,}`} {
		if got, ok := ParseUsage([]byte(text)); ok || got != (Usage{}) {
			t.Errorf("%s: taken for %+v", text, got)
		}
	}
}
