package azureopenai

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

// audioAsked is what is special to a request for a transcription or translation.
type audioAsked struct {
	format  string
	words   bool
	seconds int64 // of the sound
}

// largestAudio is the largest file that is transcribed, in bytes; a second of
// sound is taken to have bytesPerSecond, and the models to read audioRate tokens of it.
const (
	largestAudio   = 25 << 20
	bytesPerSecond = 16_000
	audioRate      = 10
)

var audioEndings = strings.Fields("flac m4a mp3 mp4 mpeg mpga oga ogg wav webm")

// parseAudio reads a request for a transcription or a translation.
func (r *request) parseAudio(model string, in input) *serviceError {
	if r.operation == Translations && billsTokens(model) {
		return notFor(r.operation, model)
	}
	file, ok := in.file("file")
	if !ok {
		return missing("file")
	}
	ending := strings.ToLower(strings.TrimPrefix(path.Ext(file.name), "."))
	switch {
	case len(file.content) > largestAudio:
		return &serviceError{status: 413, typ: "server_error", message: fmt.Sprintf("%d: Maximum content size limit (%d) exceeded (%d bytes read)", 413, largestAudio, len(file.content))}
	case !slices.Contains(audioEndings, ending):
		return invalid("file", "", "Unrecognized file format. Supported formats: ['%s']", strings.Join(audioEndings, "', '"))
	case len(file.content) == 0:
		return invalid("file", "", "Audio file is too short. Minimum audio length is 0.1 seconds.")
	}
	if problem := in.decimal("temperature", 0, 1); problem != nil {
		return problem
	}
	text, problem := in.text("prompt")
	if problem != nil {
		return problem
	}
	r.texts = []string{text}
	r.audio = &audioAsked{seconds: int64(len(file.content)+bytesPerSecond-1) / bytesPerSecond}
	if billsTokens(model) {
		r.inputs = []prompt{{tokens: r.audio.seconds * audioRate}, {text: text, tokens: CountTokens(text)}}
	}
	if problem := r.parseAudioFormat(model, in.fields); problem != nil {
		return problem
	}
	stream, problem := in.boolean("stream")
	r.stream = stream && billsTokens(model) // The older model ignores it.
	return problem
}

func (r *request) parseAudioFormat(model string, f fields) *serviceError {
	form, problem := f.text("response_format", "json", "text", "srt", "verbose_json", "vtt")
	if problem != nil {
		return problem
	}
	if billsTokens(model) && form != "" && form != "json" && form != "text" {
		return invalid("response_format", "unsupported_value", "response_format '%s' is not compatible with model '%s'. Use 'json' or 'text' instead.", form, model)
	}
	if r.audio.format = form; form == "" {
		r.audio.format = "json"
	}
	granularity, _ := f.text("timestamp_granularities[]") // Anything but "word" is the default.
	r.audio.words = granularity == "word"
	return nil
}

type durationUsage struct {
	Type    string `json:"type"`
	Seconds int64  `json:"seconds"`
}

type transcriptBody struct {
	Task     string          `json:"task,omitempty"`
	Language string          `json:"language,omitempty"`
	Duration float64         `json:"duration,omitempty"`
	Text     string          `json:"text"`
	Words    []spokenWord    `json:"words,omitempty"`
	Segments []spokenSegment `json:"segments,omitempty"`
	Usage    any             `json:"usage,omitempty"`
}

type spokenWord struct {
	Word  string  `json:"word"`
	Start float64 `json:"start"`
	End   float64 `json:"end"`
}

type spokenSegment struct {
	ID               int     `json:"id"`
	Seek             int     `json:"seek"`
	Start            float64 `json:"start"`
	End              float64 `json:"end"`
	Text             string  `json:"text"`
	Tokens           []int   `json:"tokens"`
	Temperature      float64 `json:"temperature"`
	AvgLogprob       float64 `json:"avg_logprob"`
	CompressionRatio float64 `json:"compression_ratio"`
	NoSpeechProb     float64 `json:"no_speech_prob"`
}

// transcribe answers with a text.
func (e *exchange) transcribe() error {
	asked := e.request.audio
	tokens := e.dice.prose(e.dice.length(e.deployment.Output))
	text := choice{tokens: tokens}.text()
	generated, usage := int64(0), any(durationUsage{"duration", asked.seconds})
	if billsTokens(e.deployment.Model) {
		generated = int64(len(tokens))
		audio := asked.seconds * audioRate
		usage = tokenUsage{"tokens", e.prompt, &audioDetails{audio, e.prompt - audio}, generated, e.prompt + generated}
	}
	if e.request.stream {
		return e.streamTranscript(tokens, usage)
	}
	if err := e.pass(generated, int64(len(tokens))); err != nil {
		return err
	}
	end := float64(asked.seconds)
	switch asked.format {
	case "text":
		return e.writeText(text + "\n")
	case "srt":
		return e.writeText(fmt.Sprintf("1\n%s --> %s\n%s\n\n\n", timestamp(0, ","), timestamp(end, ","), text))
	case "vtt":
		return e.writeText(fmt.Sprintf("WEBVTT\n\n%s --> %s\n%s\n\n", timestamp(0, "."), timestamp(end, "."), text))
	case "verbose_json":
		return e.writeBody(e.verbose(tokens, usage))
	}
	if e.request.operation == Translations {
		usage = nil
	}
	return e.writeBody(transcriptBody{Text: text, Usage: usage})
}

// verbose is the text with the times of its parts.
func (e *exchange) verbose(tokens []string, usage any) transcriptBody {
	asked := e.request.audio
	end := float64(asked.seconds)
	body := transcriptBody{Task: "transcribe", Language: "english", Duration: end, Text: choice{tokens: tokens}.text(), Usage: usage}
	if e.request.operation == Translations {
		body.Task, body.Usage = "translate", nil
	}
	step := end / float64(max(len(tokens), 1))
	if asked.words {
		for i, token := range tokens {
			body.Words = append(body.Words, spokenWord{strings.TrimSpace(token), round(step * float64(i)), round(step * float64(i+1))})
		}
		return body
	}
	body.Segments = []spokenSegment{{End: end, Text: body.Text, Tokens: []int{50364}, AvgLogprob: -0.25, CompressionRatio: 1.2, NoSpeechProb: 0.01}}
	return body
}

func round(seconds float64) float64 { return math.Round(seconds*100) / 100 }

// timestamp is a time as subtitles write it.
func timestamp(seconds float64, point string) string {
	clock := time.Unix(0, 0).UTC().Add(time.Duration(seconds * float64(time.Second)))
	return clock.Format("15:04:05") + point + clock.Format(".000")[1:]
}

func (e *exchange) writeText(text string) error {
	return e.writeWhole("text/plain; charset=utf-8", []byte(text), nil)
}

func (e *exchange) streamTranscript(tokens []string, usage any) error {
	text, size := choice{tokens: tokens}.text(), int(e.deployment.Output.ChunkTokens)
	var events []timedEvent
	for part := range slices.Chunk(tokens, size) {
		events = append(events, dataEvent("transcript.text.delta", map[string]any{"delta": choice{tokens: part}.text()}, int64(len(part))))
	}
	return e.play(append(events, dataEvent("transcript.text.done", map[string]any{"text": text, "usage": usage}, 0)), func() {})
}
