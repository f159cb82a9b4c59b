package azureopenai_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

const (
	speechPath = "/openai/deployments/gpt-4o-mini-tts/audio/speech?api-version=2025-04-01-preview"
	hearPath   = "/openai/deployments/gpt-4o-transcribe/audio/transcriptions?api-version=2024-10-21"
	whisper    = "/openai/deployments/whisper-1/audio/transcriptions?api-version=2024-10-21"
	voiced     = `{"input":"Hello!","voice":"alloy"}`
)

// Speech is sound as it comes, of the type that was asked for.
func TestSpeech(t *testing.T) {
	s := studio(func(o *azureopenai.Options) { o.Output.Bytes = 10_000 })
	for body, want := range map[string]string{voiced: "audio/mpeg", `{"input":"Hello!","voice":{"id":"voice_1"},"response_format":"wav"}`: "audio/wav"} {
		resp := call(t, s, "POST", speechPath, body)
		sound := read(t, resp)
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != want || len(sound) != 10_000 || resp.ContentLength != -1 {
			t.Errorf("%s: status %d, %d bytes of %q", body, resp.StatusCode, len(sound), got)
		}
	}
	if stats := s.Stats()["gpt-4o-mini-tts"]; stats.PromptTokens != 4 || stats.CompletionTokens != 8 {
		t.Errorf("statistics %+v, want PromptTokens 4, CompletionTokens 8", stats)
	}
}

// Speech as events is the same sound, and tells its usage.
func TestSpeechStream(t *testing.T) {
	s := studio(func(o *azureopenai.Options) { o.Output.Bytes = 10_000 })
	all := typedEvents(t, call(t, s, "POST", speechPath, strings.Replace(voiced, "}", `,"stream_format":"sse"}`, 1)).Body)
	if got, want := typesOf(all), []string{"speech.audio.delta", "speech.audio.done"}; !slices.Equal(got, want) || len(all) != 4 {
		t.Errorf("%d events %q, want 4: %q", len(all), got, want)
	}
	var size int
	for _, event := range all[:3] {
		part, err := base64.StdEncoding.DecodeString(event["audio"].(string))
		if err != nil {
			t.Error(err)
		}
		size += len(part)
	}
	if usage := all[3]["usage"]; size != 10_000 || at(usage, "input_tokens") != 2.0 || at(usage, "output_tokens") != 4.0 || at(usage, "total_tokens") != 6.0 {
		t.Errorf("%d bytes, usage %v", size, usage)
	}
}

// Sound that is cut breaks the connection.
func TestSpeechIsCut(t *testing.T) {
	s := studio()
	s.Inject(azureopenai.Fault{Kind: azureopenai.FaultCut, Bytes: 100})
	got, err := io.ReadAll(call(t, s, "POST", speechPath, voiced).Body)
	if len(got) != 100 || err == nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A transcription comes in the format that was asked for. The usage is in tokens,
// of the older model in seconds.
func TestTranscription(t *testing.T) {
	s := studio()
	sound := "@a.mp3=" + strings.Repeat("x", 40_000) // three seconds
	tests := []struct {
		path, format, content, start string
	}{
		{hearPath, "json", "application/json", `{"text":"`},
		{hearPath, "text", "text/plain; charset=utf-8", ""},
		{whisper, "srt", "text/plain; charset=utf-8", "1\n00:00:00,000 --> 00:00:03,000\n"},
		{whisper, "vtt", "text/plain; charset=utf-8", "WEBVTT\n\n00:00:00.000 --> 00:00:03.000\n"},
		{whisper, "verbose_json", "application/json", `{"task":"transcribe","language":"english","duration":3,"text":"`},
	}
	for _, test := range tests {
		resp := sendForm(t, s, test.path, "file", sound, "response_format", test.format, "prompt", "Hello!")
		body := read(t, resp)
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != test.content || !strings.HasPrefix(body, test.start) {
			t.Errorf("%s: status %d, %q: %s", test.format, resp.StatusCode, got, body)
		}
	}
	heard := object(t, read(t, sendForm(t, s, hearPath, "file", sound, "prompt", "Hello!")))
	if usage := heard["usage"]; at(usage, "type") != "tokens" || at(usage, "input_tokens") != 32.0 || at(usage, "input_token_details", "audio_tokens") != 30.0 || at(usage, "output_tokens") != 5.0 {
		t.Errorf("usage %v", usage)
	}
	words := object(t, read(t, sendForm(t, s, whisper, "file", sound, "response_format", "verbose_json", "timestamp_granularities[]", "word")))
	if usage := words["usage"]; at(usage, "type") != "duration" || at(usage, "seconds") != 3.0 || at(words, "words", 4, "end") != 3.0 {
		t.Errorf("answer %v", words)
	}
	translated := object(t, read(t, sendForm(t, s, "/v1/audio/translations", "file", sound, "model", "whisper-1")))
	if text, _ := translated["text"].(string); azureopenai.CountTokens(text) != 5 || len(translated) != 1 {
		t.Errorf("translation %v", translated)
	}
	if stats := s.Stats()["gpt-4o-transcribe"]; stats.PromptTokens != 96 || stats.CompletionTokens != 15 {
		t.Errorf("statistics %+v, want PromptTokens 96, CompletionTokens 15", stats)
	}
}

// A streamed transcription comes in deltas, and its last event has all of it.
func TestTranscriptionStream(t *testing.T) {
	s := studio()
	resp := sendForm(t, s, hearPath, "file", "@a.wav=sound", "stream", "true")
	all := typedEvents(t, resp.Body)
	var text strings.Builder
	for _, event := range all {
		delta, _ := event["delta"].(string)
		text.WriteString(delta)
	}
	last := all[len(all)-1]
	if got, want := typesOf(all), []string{"transcript.text.delta", "transcript.text.done"}; !slices.Equal(got, want) || last["text"] != text.String() || at(last, "usage", "output_tokens") != 5.0 {
		t.Errorf("events %q of %q, in the end %v", got, text.String(), last)
	}
	if stats := s.Stats()["gpt-4o-transcribe"]; stats.Streams != 1 || stats.CompletionTokens != 5 {
		t.Errorf("statistics %+v, want Streams 1, CompletionTokens 5", stats)
	}
	if resp := sendForm(t, s, whisper, "file", "@a.wav=sound", "stream", "true"); resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the older model streams: %q, want %q", resp.Header.Get("Content-Type"), "application/json")
	}
}

// Requests about sound that the service refuses.
func TestAudioErrors(t *testing.T) {
	s := studio()
	forms := []struct {
		name, path  string
		pairs       []string
		status      int
		code, param any
	}{
		{"no file", hearPath, []string{"prompt", "x"}, 400, "missing_required_parameter", "file"},
		{"no model, v1", "/openai/v1/audio/transcriptions", []string{"file", "@a.mp3=x"}, 400, nil, nil},
		{"unknown ending", hearPath, []string{"file", "@a.txt=x"}, 400, nil, "file"},
		{"empty file", hearPath, []string{"file", "@a.mp3="}, 400, nil, "file"},
		{"unknown format", hearPath, []string{"file", "@a.mp3=x", "response_format", "song"}, 400, "invalid_value", "response_format"},
		{"format of the older model", hearPath, []string{"file", "@a.mp3=x", "response_format", "srt"}, 400, "unsupported_value", "response_format"},
		{"translation by the newer model", "/v1/audio/translations", []string{"file", "@a.mp3=x", "model", "gpt-4o-transcribe"}, 400, "OperationNotSupported", nil},
		{"too large", whisper, []string{"file", "@a.mp3=" + strings.Repeat("x", 25<<20+1)}, 413, nil, nil},
	}
	for _, test := range forms {
		t.Run(test.name, func(t *testing.T) {
			resp := sendForm(t, s, test.path, test.pairs...)
			problem := object(t, read(t, resp))["error"]
			if resp.StatusCode != test.status || at(problem, "code") != test.code || at(problem, "param") != test.param {
				t.Errorf("status %d, %v; want %d, %v, %v", resp.StatusCode, problem, test.status, test.code, test.param)
			}
		})
	}
	speech := []struct {
		name, path, body string
		status           int
		code, param      any
	}{
		{"no text", speechPath, `{"voice":"alloy"}`, 400, "missing_required_parameter", "input"},
		{"no voice", speechPath, `{"input":"x"}`, 400, "missing_required_parameter", "voice"},
		{"unknown voice", speechPath, `{"input":"x","voice":"bear"}`, 400, "invalid_value", "voice"},
		{"too long", speechPath, `{"voice":"alloy","input":"` + strings.Repeat("x", 4097) + `"}`, 400, "string_too_long", "input"},
		{"too fast", speechPath, `{"voice":"alloy","input":"x","speed":5}`, 400, "decimal_out_of_range", "speed"},
		{"events of the older model", "/v1/audio/speech", `{"model":"tts-1","voice":"alloy","input":"x","stream_format":"sse"}`, 400, "unsupported_value", "stream_format"},
		{"GA api-version", strings.Replace(speechPath, "2025-04-01-preview", "2024-10-21", 1), voiced, 404, "404", nil},
	}
	for _, test := range speech {
		t.Run(test.name, func(t *testing.T) {
			status, problem := refused(t, s, http.MethodPost, test.path, test.body)
			if status != test.status || problem["code"] != test.code || problem["param"] != test.param {
				t.Errorf("status %d, %v; want %d, %v, %v", status, problem, test.status, test.code, test.param)
			}
		})
	}
}

// A body that is not the form it says is refused, and so is one of another type.
func TestForms(t *testing.T) {
	s := studio()
	body, content := form(t, "model", "whisper-1", "file", "@a.mp3=sound")
	v1, openai := "/openai/v1/audio/transcriptions", "/v1/audio/transcriptions"
	tests := []struct {
		name, path, body, content string
		status                    int
	}{
		{"good", v1, body, content, 200},
		{"cut", v1, body[:len(body)-30], content, 400},
		{"no boundary", v1, body, "multipart/form-data", 400},
		{"another boundary", v1, body, "multipart/form-data; boundary=x", 400},
		{"empty", v1, "", content, 400},
		{"JSON, Azure", v1, `{"model":"whisper-1"}`, "application/json", 415},
		{"JSON, OpenAI", openai, `{"model":"whisper-1"}`, "application/json", 400},
		{"no type", openai, body, "", 400},
		{"a form for JSON", "/openai/v1/images/generations", body, content, 415},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			resp := call(t, s, http.MethodPost, test.path, test.body, "Content-Type", test.content)
			if text := read(t, resp); resp.StatusCode != test.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, test.status, text)
			}
		})
	}
}

// FuzzForm: whatever a form holds, the answer is an error or a transcription.
func FuzzForm(f *testing.F) {
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\nsound\r\n--b--\r\n")
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1e9\r\n--b--\r\n")
	f.Add("multipart/form-data", "")
	f.Fuzz(func(t *testing.T, content, body string) {
		s := studio()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://fake"+hearPath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", content)
		resp, err := s.RoundTripper().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.ReadAll(resp.Body); err != nil || !slices.Contains([]int{200, 400, 415}, resp.StatusCode) {
			t.Fatalf("status %d, %v", resp.StatusCode, err)
		}
	})
}
