package azureopenai

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// speechAsked is what is special to a request for speech.
type speechAsked struct {
	format string
	tokens int64 // of the sound
}

// longestSpeech is the longest text that is spoken, in characters.
const longestSpeech = 4096

var voices = strings.Fields("alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse")

// speechTypes are the content types of the formats.
var speechTypes = map[string]string{"mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm"}

// speechStarts are the first bytes of the formats.
var speechStarts = map[string]string{"mp3": "ID3\x04\x00", "opus": "OggS\x00\x02", "aac": "\xff\xf1\x50\x80", "flac": "fLaC\x00", "wav": "RIFF\xff\xff\xff\xffWAVEfmt "}

// parseSpeech reads a request for speech.
func (r *request) parseSpeech(model string, f fields) *serviceError {
	text, problem := f.text("input")
	switch length := utf8.RuneCountInString(text); {
	case problem != nil:
		return problem
	case text == "":
		return missing("input")
	case length > longestSpeech:
		return invalid("input", "string_too_long", "Invalid 'input': string too long. Expected a string with maximum length %d, but got a string with length %d instead.", longestSpeech, length)
	}
	if voice, custom := decode[fields](f["voice"]); !custom || !voice.has("id") {
		name, problem := f.text("voice", voices...)
		if problem != nil {
			return problem
		}
		if name == "" {
			return missing("voice")
		}
	}
	if problem := f.decimal("speed", 0.25, 4); problem != nil {
		return problem
	}
	r.speech, r.texts = &speechAsked{}, []string{text}
	if r.speech.format, problem = f.text("response_format", "mp3", "opus", "aac", "flac", "wav", "pcm"); problem != nil {
		return problem
	}
	if r.speech.format == "" {
		r.speech.format = "mp3"
	}
	stream, problem := f.text("stream_format", "sse", "audio")
	if problem != nil {
		return problem
	}
	if r.stream = stream == "sse"; r.stream && !billsTokens(model) {
		return invalid("stream_format", "unsupported_value", "The stream format 'sse' is not supported with this model.")
	}
	if billsTokens(model) {
		r.inputs = []prompt{{text: text, tokens: CountTokens(text)}}
		r.speech.tokens = 2 * CountTokens(text)
	}
	return nil
}

type tokenUsage struct {
	Type         string        `json:"type,omitempty"`
	InputTokens  int64         `json:"input_tokens"`
	InputDetails *audioDetails `json:"input_token_details,omitempty"`
	OutputTokens int64         `json:"output_tokens"`
	TotalTokens  int64         `json:"total_tokens"`
}

type audioDetails struct {
	AudioTokens int64 `json:"audio_tokens"`
	TextTokens  int64 `json:"text_tokens"`
}

// piece is how many bytes of sound are sent at a time.
const piece = 4 << 10

// speak answers with sound: bytes as they come, or events with them.
func (e *exchange) speak() error {
	asked := e.request.speech
	size := e.deployment.Output.Bytes
	if size == 0 {
		size = 480 * CountTokens(e.request.texts[0])
	}
	start := speechStarts[asked.format]
	sound := append([]byte(start), e.dice.noise(size-int64(len(start)))...)
	if e.request.stream {
		return e.speakEvents(sound)
	}
	if err := e.pass(asked.tokens, asked.tokens); err != nil {
		return err
	}
	h := e.w.Header()
	e.setHeaders(h, time.Now())
	h.Set("Content-Type", speechTypes[asked.format])
	e.server.recorder.update(e.recorded, func(r *Recorded) { r.Status = http.StatusOK })
	e.w.WriteHeader(http.StatusOK)
	e.flush()
	if f := e.fault; f != nil && (f.Kind == FaultCut || f.Kind == FaultHangAfterHeaders) {
		var err error
		if sound, err = e.writePart(sound); err != nil {
			return err
		}
	}
	for len(sound) > 0 {
		n := min(piece, len(sound))
		if n == len(sound) {
			e.conclude(nil)
		}
		if _, err := e.w.Write(sound[:n]); err != nil {
			return errCanceled
		}
		e.flush()
		sound = sound[n:]
	}
	return nil
}

func (e *exchange) speakEvents(sound []byte) error {
	tokens := e.request.speech.tokens
	pieces := int64((len(sound) + piece - 1) / piece)
	var events []timedEvent
	for i := range pieces {
		part := sound[i*piece : min((i+1)*piece, int64(len(sound)))]
		events = append(events, dataEvent("speech.audio.delta", map[string]any{"audio": base64.StdEncoding.EncodeToString(part)},
			tokens*(i+1)/pieces-tokens*i/pieces))
	}
	usage := tokenUsage{InputTokens: e.prompt, OutputTokens: tokens, TotalTokens: e.prompt + tokens}
	return e.play(append(events, dataEvent("speech.audio.done", map[string]any{"usage": usage}, 0)), func() {})
}
