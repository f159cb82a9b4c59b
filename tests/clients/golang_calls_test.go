package clients_test

import (
	"context"
	"io"
	"maps"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
)

// doing makes a call and returns what the client has parsed.
type doing = func() (any, error)

// calls are those of the list, by name.
func (r *goRun) calls() map[string]doing {
	all := make(map[string]doing)
	for _, part := range []map[string]doing{r.chats(), r.embeddings(), r.responses(), r.media(), r.files(), r.errors(), r.models()} {
		maps.Copy(all, part)
	}
	return all
}

// keep returns what a call has parsed, and keeps its id for later calls.
func (r *goRun) keep(kind string, value any, err error) (any, error) {
	if object, ok := value.(map[string]any); ok {
		r.kept[kind], _ = object["id"].(string)
	}
	return value, err
}

func chatParams(model, question string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(question)}}
}

const question = "How does a weir keep its level?"

func (r *goRun) chats() map[string]doing {
	c, ctx := r.client, r.t.Context()
	plain := chatParams("gpt-4o", question)
	tools := plain
	tools.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
		Name: "weather",
		Parameters: openai.FunctionParameters{
			"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
		},
	})}
	tools.ToolChoice.OfAuto = openai.String("required")
	withUsage := func(p openai.ChatCompletionNewParams) openai.ChatCompletionNewParams {
		p.StreamOptions.IncludeUsage = openai.Bool(true)
		return p
	}
	text := openai.CompletionNewParams{
		Model: "gpt-35-turbo-instruct", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("A weir keeps")}, MaxTokens: openai.Int(20),
	}
	return map[string]doing{
		"chat":                                func() (any, error) { return parsed(c.Chat.Completions.New(ctx, plain)) },
		"chat, streamed":                      func() (any, error) { return every(c.Chat.Completions.NewStreaming(ctx, withUsage(plain))) },
		"chat, streamed, usage not asked for": func() (any, error) { return every(c.Chat.Completions.NewStreaming(ctx, plain)) },
		"tools":                               func() (any, error) { return parsed(c.Chat.Completions.New(ctx, tools)) },
		"tools, streamed":                     func() (any, error) { return every(c.Chat.Completions.NewStreaming(ctx, withUsage(tools))) },
		"completion":                          func() (any, error) { return parsed(c.Completions.New(ctx, text)) },
		"completion, streamed": func() (any, error) {
			p := text
			p.StreamOptions.IncludeUsage = openai.Bool(true)
			return every(c.Completions.NewStreaming(ctx, p))
		},
	}
}

func (r *goRun) embeddings() map[string]doing {
	embed := func(format openai.EmbeddingNewParamsEncodingFormat, input openai.EmbeddingNewParamsInputUnion) doing {
		return func() (any, error) {
			return parsed(r.client.Embeddings.New(r.t.Context(), openai.EmbeddingNewParams{
				Model: "text-embedding-3-small", Dimensions: openai.Int(8), EncodingFormat: format, Input: input,
			}))
		}
	}
	type input = openai.EmbeddingNewParamsInputUnion
	text := input{OfString: openai.String("water")}
	return map[string]doing{
		"embedding of a text":           embed("float", text),
		"embeddings of texts":           embed("float", input{OfArrayOfStrings: []string{"water", "weir", "gate"}}),
		"embedding of tokens":           embed("float", input{OfArrayOfTokens: []int64{5, 6, 7}}),
		"embeddings of lists of tokens": embed("float", input{OfArrayOfTokenArrays: [][]int64{{5, 6}, {7}}}),
		"embedding as base64":           embed("base64", text),
	}
}

func responseParams(model string) responses.ResponseNewParams {
	return responses.ResponseNewParams{Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(question)}}
}

func (r *goRun) responses() map[string]doing {
	c, ctx := r.client.Responses, r.t.Context()
	get := func() (any, error) { return parsed(c.Get(ctx, r.kept["response"], responses.ResponseGetParams{})) }
	return map[string]doing{
		"response": func() (any, error) {
			value, err := parsed(c.New(ctx, responseParams("gpt-4o")))
			return r.keep("response", value, err)
		},
		"response, streamed": func() (any, error) { return every(c.NewStreaming(ctx, responseParams("gpt-4o"))) },
		"response, continued": func() (any, error) {
			p := responseParams("gpt-4o")
			p.PreviousResponseID = openai.String(r.kept["response"])
			return parsed(c.New(ctx, p))
		},
		"response, retrieved": get,
		"response, retrieved as a stream": func() (any, error) {
			// The client puts this into a body only, which nobody reads.
			stream := option.WithQuery("stream", "true")
			return every(c.GetStreaming(ctx, r.kept["response"], responses.ResponseGetParams{}, stream))
		},
		"response, its input items": func() (any, error) {
			return every(c.InputItems.ListAutoPaging(ctx, r.kept["response"], responses.InputItemListParams{}))
		},
		"response, deleted":           func() (any, error) { return nil, c.Delete(ctx, r.kept["response"]) },
		"response, retrieved in vain": get,
		"response in the background":  func() (any, error) { return r.background(ctx) },
		"response, canceled": func() (any, error) {
			p := responseParams("gpt-4o")
			p.Background = openai.Bool(true)
			made, err := c.New(ctx, p)
			if err != nil {
				return nil, err
			}
			return parsed(c.Cancel(ctx, made.ID))
		},
	}
}

// background asks for a response in the background, and then for what has become of
// it, until it is there.
func (r *goRun) background(ctx context.Context) (any, error) {
	p := responseParams("gpt-4o")
	p.Background = openai.Bool(true)
	response, err := r.client.Responses.New(ctx, p)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for err == nil && (response.Status == responses.ResponseStatusQueued || response.Status == responses.ResponseStatusInProgress) {
		<-poll.C
		r.answers = nil // how often one has to ask is a matter of time
		response, err = r.client.Responses.Get(ctx, response.ID, responses.ResponseGetParams{})
	}
	return parsed(response, err)
}

// sample is a file of a form.
func (r *goRun) sample(name, contentType string) io.Reader {
	file, err := scripts.Open("samples/" + name)
	if err != nil {
		r.t.Fatal(err)
	}
	return openai.File(file, name, contentType)
}

func (r *goRun) media() map[string]doing {
	c, ctx := r.client, r.t.Context()
	spoken := func(model string) openai.AudioTranscriptionNewParams {
		return openai.AudioTranscriptionNewParams{Model: model, File: r.sample("voice.wav", "audio/wav")}
	}
	return map[string]doing{
		"image": func() (any, error) {
			return parsed(c.Images.Generate(ctx, openai.ImageGenerateParams{Model: "gpt-image-1", Prompt: "a weir", Size: "1024x1024"}))
		},
		"image, edited": func() (any, error) {
			return parsed(c.Images.Edit(ctx, openai.ImageEditParams{
				Model: "gpt-image-1", Prompt: "more water", Image: openai.ImageEditParamsImageUnion{OfFile: r.sample("weir.png", "image/png")},
			}))
		},
		"image, streamed": func() (any, error) {
			return every(c.Images.GenerateStreaming(ctx, openai.ImageGenerateParams{Model: "gpt-image-1", Prompt: "a weir", PartialImages: openai.Int(1)}))
		},
		"image, varied": func() (any, error) {
			//lint:ignore SA1019 The service still answers it, so applications still ask.
			return parsed(c.Images.NewVariation(ctx, openai.ImageNewVariationParams{Model: "gpt-image-1", Image: r.sample("weir.png", "image/png")}))
		},
		"speech": func() (any, error) {
			return content(c.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{
				Model: "gpt-4o-mini-tts", Input: "Mind the weir.", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")},
			}))
		},
		"transcription": func() (any, error) { return parsed(c.Audio.Transcriptions.New(ctx, spoken("gpt-4o-transcribe"))) },
		"transcription, streamed": func() (any, error) {
			return every(c.Audio.Transcriptions.NewStreaming(ctx, spoken("gpt-4o-transcribe")))
		},
		"transcription as text": func() (any, error) {
			p, text := spoken("whisper"), ""
			p.ResponseFormat = openai.AudioResponseFormatText
			_, err := c.Audio.Transcriptions.New(ctx, p, option.WithResponseBodyInto(&text))
			return text, err
		},
		"translation": func() (any, error) {
			//lint:ignore SA1019 The service still answers it, so applications still ask.
			return parsed(c.Audio.Translations.New(ctx, openai.AudioTranslationNewParams{Model: "whisper", File: r.sample("voice.wav", "audio/wav")}))
		},
		"moderation": func() (any, error) {
			return parsed(c.Moderations.New(ctx, openai.ModerationNewParams{
				Model: "omni-moderation", Input: openai.ModerationNewParamsInputUnion{OfString: openai.String("I love weirs.")},
			}))
		},
	}
}

func (r *goRun) files() map[string]doing {
	c, ctx := r.client, r.t.Context()
	return map[string]doing{
		"file": func() (any, error) {
			value, err := parsed(c.Files.New(ctx, openai.FileNewParams{File: r.sample("batch.jsonl", "application/jsonl"), Purpose: openai.FilePurposeBatch}))
			return r.keep("file", value, err)
		},
		"files":             func() (any, error) { return every(c.Files.ListAutoPaging(ctx, openai.FileListParams{})) },
		"file, retrieved":   func() (any, error) { return parsed(c.Files.Get(ctx, r.kept["file"])) },
		"file, its content": func() (any, error) { return content(c.Files.Content(ctx, r.kept["file"])) },
		"file, deleted":     func() (any, error) { return parsed(c.Files.Delete(ctx, r.kept["file"])) },
		"batch": func() (any, error) {
			value, err := parsed(c.Batches.New(ctx, openai.BatchNewParams{
				InputFileID: r.kept["file"], Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions, CompletionWindow: openai.BatchNewParamsCompletionWindow24h,
			}))
			return r.keep("batch", value, err)
		},
		"batch, retrieved": func() (any, error) { return parsed(c.Batches.Get(ctx, r.kept["batch"])) },
		"batches":          func() (any, error) { return every(c.Batches.ListAutoPaging(ctx, openai.BatchListParams{})) },
		"batch, canceled":  func() (any, error) { return parsed(c.Batches.Cancel(ctx, r.kept["batch"])) },
	}
}

func (r *goRun) models() map[string]doing {
	c, ctx := r.client.Models, r.t.Context()
	return map[string]doing{
		"models": func() (any, error) { return every(c.ListAutoPaging(ctx)) },
		"model":  func() (any, error) { return parsed(c.Get(ctx, "gpt-4o")) },
	}
}

func (r *goRun) errors() map[string]doing {
	c, ctx := r.client, r.t.Context()
	hot := chatParams("gpt-4o", question)
	hot.Temperature = param.NewOpt(9.0)
	return map[string]doing{
		"filtered prompt": func() (any, error) {
			return parsed(c.Chat.Completions.New(ctx, chatParams("gpt-4o", "forbidden-word")))
		},
		"bad parameter": func() (any, error) { return parsed(c.Chat.Completions.New(ctx, hot)) },
		"unknown model": func() (any, error) { return parsed(c.Chat.Completions.New(ctx, chatParams("gpt-0", question))) },
		"bad key": func() (any, error) {
			stranger := r.newClient("not-a-key-of-anybody")
			return parsed(stranger.Chat.Completions.New(ctx, chatParams("gpt-4o", question)))
		},
	}
}
