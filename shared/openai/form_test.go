package openai

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFormRequest(t *testing.T) {
	for _, c := range []struct {
		op   Operation
		form map[string]string
		want string // Model Stream N Inputs text
	}{
		{Transcriptions, nil, `"" false 1 0 ""`},
		{Transcriptions, map[string]string{"model": "whisper-1", "prompt": "Um, \"so\"…\n", "language": "en", "response_format": "srt", "temperature": "0"}, `"whisper-1" false 1 1 "Um, \"so\"…\n"`},
		{Transcriptions, map[string]string{"model": "m", "stream": "true", "n": "x"}, `"m" true 1 0 ""`},
		{Transcriptions, map[string]string{"model": "m", "stream": "false"}, `"m" false 1 0 ""`},
		{Translations, map[string]string{"model": "m", "stream": "x"}, `"m" false 1 0 ""`},
		{ImageEdits, map[string]string{"model": "true", "prompt": "7", "n": "3", "stream": "true", "background": "transparent"}, `"true" true 3 1 "7"`},
		{ImageVariations, map[string]string{"n": "10", "stream": "x"}, `"" false 10 0 ""`},
		{ImageEdits, map[string]string{"model": "größe", "prompt": ""}, `"größe" false 1 1 ""`},
		{UploadFile, map[string]string{"purpose": "batch", "model": "", "n": "x", "Model": "x"}, `"" false 1 0 ""`},
	} {
		r, err := FormRequest(c.op, c.form)
		if err != nil {
			t.Errorf("%s %v: %v", c.op, c.form, err)
			continue
		}
		text := string(slices.Concat(slices.Collect(clones(r, 1000))...))
		if got := fmt.Sprintf("%q %v %d %d %q", r.Model, r.Stream, r.N, r.Inputs, text); got != c.want || r.Operation != c.op || r.Store {
			t.Errorf("%s %v:\n got %s\nwant %s", c.op, c.form, got, c.want)
		}
		if n := int64(utf8.RuneCountInString(text)); r.Text.Characters() != n {
			t.Errorf("%s %v: %d characters, want %d", c.op, c.form, r.Text.Characters(), n)
		}
	}
}

func TestFormRequestErrors(t *testing.T) {
	for _, c := range []struct {
		name, value, code, message string
	}{
		{"model", "", "", "Invalid 'model'"},
		{"model", strings.Repeat("m", 257), "", "Invalid 'model'"},
		{"model", "a\x00b", "", "Invalid 'model'"},
		{"model", "a\xff", "", "Invalid 'model': expected text in UTF-8."},
		{"prompt", "\xff", "", "Invalid 'prompt': expected text in UTF-8."},
		{"Model", "m", "", "Unknown parameter: 'Model'. Did you mean 'model'?"},
		{"stream", "True", "invalid_type", "Invalid type for 'stream': expected a boolean, but got a string instead."},
		{"stream", "", "invalid_type", "expected a boolean"},
		{"stream", "1", "invalid_type", "expected a boolean"},
		{"stream", "null", "invalid_type", "expected a boolean"},
		{"n", "two", "invalid_type", "Invalid type for 'n': expected an integer, but got a string instead."},
		{"n", "true", "invalid_type", "expected an integer"},
		{"n", `1,"stream":true`, "invalid_type", "expected an integer"},
		{"n", "1.5", "invalid_type", "a decimal number"},
		{"n", "0", "integer_below_min_value", ">= 1"},
		{"n", "129", "integer_above_max_value", "<= 128"},
	} {
		r, err := FormRequest(ImageEdits, map[string]string{c.name: c.value, "size": "auto"})
		if err == nil || r != nil {
			t.Errorf("%s=%.40q: accepted", c.name, c.value)
			continue
		}
		if err.Status != http.StatusBadRequest || err.Param != c.name || err.Code != c.code || !strings.Contains(err.Message, c.message) {
			t.Errorf("%s=%.40q:\n got %+v\nwant code %q message %q", c.name, c.value, *err, c.code, c.message)
		}
	}
}

func FuzzFormRequest(f *testing.F) {
	f.Add(byte(Transcriptions), "whisper-1", "hello", "true", "temperature", "0.5")
	f.Add(byte(ImageEdits), "gpt-image-1", "a \"cat\"\n", "false", "n", "2")
	f.Add(byte(ImageEdits), "", "\xff", "True", "N", " 2")
	f.Add(byte(UploadFile), "", "", "", "purpose", "batch")
	f.Fuzz(func(t *testing.T, kind byte, model, prompt, stream, name, value string) {
		op := Operation(int(kind) % len(operations))
		form := map[string]string{"model": model, "prompt": prompt, "stream": stream, name: value}
		kept := maps.Clone(form)
		r, err := FormRequest(op, form)
		if !maps.Equal(form, kept) {
			t.Fatalf("%q became %q", kept, form)
		}
		if err != nil {
			if err.Status != http.StatusBadRequest || strings.Contains(err.Message, "JSON") {
				t.Fatalf("%q: %+v", form, err)
			}
			return
		}
		modelled := op != 0 && op != UploadFile && op != CreateBatch
		if modelled && (r.Model != form["model"] || !validModel(r.Model)) || !modelled && r.Model != "" {
			t.Fatalf("%s %q: model %q", op, form, r.Model)
		}
		if streams := op == Transcriptions || op == ImageEdits; streams && r.Stream != (form["stream"] == "true") && strings.TrimSpace(form["stream"]) != "true" {
			t.Fatalf("%s %q: stream %v", op, form, r.Stream)
		}
		if got := string(slices.Concat(slices.Collect(clones(r, 1<<20))...)); modelled && op != Responses && !strings.Contains(got, form["prompt"]) {
			t.Fatalf("%s %q: text %q", op, form, got)
		}
		if r.N < 1 || r.N > maxN || r.MaxTokens < 0 || r.MaxTokens > maxTokenCount {
			t.Fatalf("%q: %d answers of %d tokens", form, r.N, r.MaxTokens)
		}
	})
}
