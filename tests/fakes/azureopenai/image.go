package azureopenai

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"strings"
)

// imageAsked is what is special to a request for pictures.
type imageAsked struct {
	size, quality, format, background, style string
	url                                      bool
	partial, tokens                          int64 // of one picture
}

// billsTokens says whether a model that makes or reads pictures or sound is billed by tokens:
// the older ones are by the piece.
func billsTokens(model string) bool { return strings.HasPrefix(model, "gpt-") }

// What a picture costs beside its own tokens.
const (
	tokensOfInputImage   = 323
	tokensOfPartialImage = 100
)

// imageTokens are the tokens of one picture, by quality: of a square, and of
// another shape.
var imageTokens = map[string][2]int64{"low": {272, 400}, "medium": {1056, 1568}, "high": {4160, 6208}}

// parseImage reads a request for pictures, or for a change to some.
func (r *request) parseImage(model string, in input) (problem *serviceError) {
	r.image = &imageAsked{}
	most := int64(10)
	if model == "dall-e-3" {
		most = 1
	}
	steps := []func() *serviceError{
		func() *serviceError { return r.parseImagePrompt(model, in) },
		func() *serviceError { return r.parseImageForm(model, in.fields) },
		func() (problem *serviceError) { r.n, problem = in.integer("n", 1, most, 1); return problem },
		func() *serviceError { return r.parseImageStream(model, in.fields) },
	}
	for _, step := range steps {
		if problem := step(); problem != nil {
			return problem
		}
	}
	shape := 0
	if sides := strings.Split(r.image.size, "x"); len(sides) == 2 && sides[0] != sides[1] {
		shape = 1
	}
	if billsTokens(model) {
		r.image.tokens = imageTokens[r.image.quality][shape] + r.image.partial*tokensOfPartialImage
	}
	return nil
}

func (r *request) parseImagePrompt(model string, in input) *serviceError {
	if r.operation != ImageGenerations {
		var pictures int64
		for _, file := range in.files {
			if file.field == "image" || strings.HasPrefix(file.field, "image[") {
				pictures++
			}
		}
		if pictures == 0 {
			return missing("image")
		}
		if billsTokens(model) {
			r.extra += pictures * tokensOfInputImage
		}
	}
	text, problem := in.text("prompt")
	if problem != nil {
		return problem
	}
	if text == "" && r.operation != ImageVariations {
		return missing("prompt")
	}
	r.texts = []string{text}
	if billsTokens(model) {
		r.inputs = []prompt{{text: text, tokens: CountTokens(text)}}
	}
	return nil
}

// parseImageForm reads how the pictures are to be.
func (r *request) parseImageForm(model string, f fields) *serviceError {
	asked := r.image
	sizes, qualities := []string{"1024x1024", "1024x1536", "1536x1024", "auto"}, []string{"low", "medium", "high", "auto"}
	switch model {
	case "dall-e-2":
		sizes, qualities = []string{"256x256", "512x512", "1024x1024"}, []string{"standard"}
	case "dall-e-3":
		sizes, qualities = []string{"1024x1024", "1792x1024", "1024x1792"}, []string{"standard", "hd"}
	}
	members := []struct {
		name, assumed string
		into          *string
		values        []string
	}{
		{"size", "1024x1024", &asked.size, sizes},
		{"quality", qualities[0], &asked.quality, qualities},
		{"output_format", "png", &asked.format, []string{"png", "jpeg", "webp"}},
		{"background", "opaque", &asked.background, []string{"transparent", "opaque", "auto"}},
		{"style", "vivid", &asked.style, []string{"vivid", "natural"}},
	}
	for _, m := range members {
		text, problem := f.text(m.name, m.values...)
		if problem != nil {
			return problem
		}
		if *m.into = text; text == "" || text == "auto" {
			*m.into = m.assumed
		}
	}
	if !f.has("response_format") {
		asked.url = !billsTokens(model)
		return nil
	}
	if billsTokens(model) {
		return invalid("response_format", "unknown_parameter", "Unknown parameter: 'response_format'.")
	}
	form, problem := f.text("response_format", "url", "b64_json")
	asked.url = form == "url"
	return problem
}

func (r *request) parseImageStream(model string, f fields) (problem *serviceError) {
	if r.stream, problem = f.boolean("stream"); problem != nil {
		return problem
	}
	if r.image.partial, problem = f.integer("partial_images", 0, 3, 0); problem != nil {
		return problem
	}
	switch {
	case r.stream && !billsTokens(model):
		return invalid("stream", "unsupported_parameter", "Streaming is not supported with this model.")
	case r.stream && r.n > 1:
		return invalid("n", "invalid_value", "Streaming is only supported with n=1.")
	case r.image.partial > 0 && !r.stream:
		return invalid("partial_images", "invalid_parameter_combination", "The 'partial_images' parameter is only allowed when 'stream' is enabled.")
	}
	return nil
}

type imagesBody struct {
	Created             int64          `json:"created"`
	Data                []imageData    `json:"data"`
	Background          string         `json:"background,omitempty"`
	OutputFormat        string         `json:"output_format,omitempty"`
	Quality             string         `json:"quality,omitempty"`
	Size                string         `json:"size,omitempty"`
	Usage               *imageUsage    `json:"usage,omitempty"`
	PromptFilterResults *filterResults `json:"prompt_filter_results,omitempty"`
}

type imageData struct {
	B64JSON              string         `json:"b64_json,omitempty"`
	URL                  string         `json:"url,omitempty"`
	RevisedPrompt        string         `json:"revised_prompt,omitempty"`
	ContentFilterResults *filterResults `json:"content_filter_results,omitempty"`
}

type imageUsage struct {
	InputTokens  int64        `json:"input_tokens"`
	InputDetails imageDetails `json:"input_tokens_details"`
	OutputTokens int64        `json:"output_tokens"`
	TotalTokens  int64        `json:"total_tokens"`
}

type imageDetails struct {
	ImageTokens int64 `json:"image_tokens"`
	TextTokens  int64 `json:"text_tokens"`
}

// imageEvent is an event of a picture in the making.
type imageEvent struct {
	B64JSON      string      `json:"b64_json"`
	Background   string      `json:"background"`
	CreatedAt    int64       `json:"created_at"`
	OutputFormat string      `json:"output_format"`
	Quality      string      `json:"quality"`
	Size         string      `json:"size"`
	Index        *int64      `json:"partial_image_index,omitempty"`
	Usage        *imageUsage `json:"usage,omitempty"`
}

// makeImages answers with pictures, whole or in the making.
func (e *exchange) makeImages() error {
	asked, tokens := e.request.image, e.request.image.tokens*e.request.n
	usage := &imageUsage{e.prompt, imageDetails{e.request.extra, e.prompt - e.request.extra}, tokens, e.prompt + tokens}
	if e.request.stream {
		return e.streamImage(usage)
	}
	body := imagesBody{Created: e.server.today().Unix()}
	for range e.request.n {
		body.Data = append(body.Data, e.imageData())
	}
	if billsTokens(e.deployment.Model) {
		body.Background, body.OutputFormat, body.Quality, body.Size, body.Usage = asked.background, asked.format, asked.quality, asked.size, usage
	} else {
		body.PromptFilterResults = e.choiceFilter()
	}
	if err := e.pass(tokens, asked.tokens); err != nil {
		return err
	}
	return e.writeBody(body)
}

func (e *exchange) imageData() imageData {
	var data imageData
	if e.request.image.url {
		data.URL = "https://images.contoso.example/" + e.dice.hex(32) + ".png"
	} else {
		data.B64JSON = base64.StdEncoding.EncodeToString(e.dice.picture(e.deployment.Output.Bytes))
	}
	if e.deployment.Model == "dall-e-3" {
		data.RevisedPrompt = "A picture of this: " + e.request.texts[0]
	}
	if !billsTokens(e.deployment.Model) {
		data.ContentFilterResults = e.choiceFilter()
	}
	return data
}

func (e *exchange) streamImage(usage *imageUsage) error {
	asked, family := e.request.image, "image_generation"
	if e.request.operation != ImageGenerations {
		family = "image_edit"
	}
	event := imageEvent{Background: asked.background, CreatedAt: e.server.today().Unix(), OutputFormat: asked.format, Quality: asked.quality, Size: asked.size}
	var events []timedEvent
	for i := range asked.partial {
		event.Index = &i
		event.B64JSON = base64.StdEncoding.EncodeToString(e.dice.picture(e.deployment.Output.Bytes))
		events = append(events, namedEvent(family+".partial_image", event, tokensOfPartialImage))
	}
	event.Index, event.Usage = nil, usage
	event.B64JSON = base64.StdEncoding.EncodeToString(e.dice.picture(e.deployment.Output.Bytes))
	events = append(events, namedEvent(family+".completed", event, usage.OutputTokens-asked.partial*tokensOfPartialImage))
	return e.play(events, func() {})
}

// picture is a PNG of noise of at least so many bytes.
func (d dice) picture(size int64) []byte {
	noise := image.NewGray(image.Rect(0, 0, 8, 8))
	for x := range 8 {
		for y := range 8 {
			noise.SetGray(x, y, color.Gray{Y: uint8(d.IntN(256))})
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, noise); err != nil {
		panic(err) // Cannot happen: a buffer takes everything.
	}
	// What comes after a picture's end is no part of it.
	return append(out.Bytes(), d.noise(size-int64(out.Len()))...)
}

// noise are n random bytes.
func (d dice) noise(n int64) []byte {
	b := make([]byte, max(n, 0))
	for i := range b {
		b[i] = byte(d.Uint32())
	}
	return b
}
