package azureopenai_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"

	"spillway/tests/fakes/azureopenai"
)

// TestOfficialClientStudio: the official client understands everything that is
// not a chat as well, in each dialect.
func TestOfficialClientStudio(t *testing.T) {
	s := studio(func(o *azureopenai.Options) { o.Key = "k" })
	for name, client := range officialClients(t, s, "2025-04-01-preview") {
		t.Run(name, func(t *testing.T) {
			respond(t, client)
			respondInBackground(t, client)
			draw(t, client)
			speakAndHear(t, client)
			moderateAndList(t, client)
			runBatch(t, client)
		})
	}
	check(t, s, 0)
}

func respond(t *testing.T, client openai.Client) {
	params := responses.ResponseNewParams{Model: "gpt-4o", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Hello!")}}
	whole, err := client.Responses.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if azureopenai.CountTokens(whole.OutputText()) != 5 || whole.Status != "completed" || whole.Usage.InputTokens != 8 || whole.Usage.OutputTokens != 5 {
		t.Errorf("response %s", whole.RawJSON())
	}
	stream := client.Responses.NewStreaming(t.Context(), params)
	var text strings.Builder
	var last responses.ResponseStreamEventUnion
	for stream.Next() {
		last = stream.Current()
		if delta, ok := last.AsAny().(responses.ResponseTextDeltaEvent); ok {
			text.WriteString(delta.Delta)
		}
	}
	done, ok := last.AsAny().(responses.ResponseCompletedEvent)
	if err := stream.Err(); err != nil || !ok || done.Response.OutputText() != text.String() {
		t.Errorf("stream ends with %v, %q", err, last.Type)
	}
	params.PreviousResponseID = openai.String(done.Response.ID)
	if next, err := client.Responses.New(t.Context(), params); err != nil || next.Usage.InputTokens <= 8 {
		t.Errorf("the next response: %v", err)
	}
	items, err := client.Responses.InputItems.List(t.Context(), done.Response.ID, responses.InputItemListParams{})
	if err != nil || len(items.Data) != 1 || items.Data[0].Type != "message" {
		t.Errorf("items %v, %v", items, err)
	}
	if err := client.Responses.Delete(t.Context(), done.Response.ID); err != nil {
		t.Errorf("deleting: %v", err)
	}
	var problem *openai.Error
	if _, err := client.Responses.Get(t.Context(), done.Response.ID, responses.ResponseGetParams{}); !errors.As(err, &problem) || problem.StatusCode != 404 {
		t.Errorf("after that: %v", err)
	}
	if _, err := client.Responses.New(t.Context(), params); !errors.As(err, &problem) || problem.Code != "previous_response_not_found" {
		t.Errorf("a response after it: %v", err)
	}
}

func respondInBackground(t *testing.T, client openai.Client) {
	params := responses.ResponseNewParams{Model: "gpt-4o", Background: openai.Bool(true), Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Hello!")}}
	made, err := client.Responses.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Responses.Get(t.Context(), made.ID, responses.ResponseGetParams{})
	if err != nil || made.Status != "queued" || got.Status != "completed" || got.Usage.OutputTokens != 5 {
		t.Errorf("made %s, got %v, %v", made.Status, got, err)
	}
	// The client writes "stream" into a body, where the service does not look for it.
	stream := client.Responses.GetStreaming(t.Context(), made.ID, responses.ResponseGetParams{StartingAfter: openai.Int(2)}, option.WithQuery("stream", "true"))
	var events int
	for stream.Next() {
		events++
	}
	if err := stream.Err(); err != nil || events < 5 {
		t.Errorf("%d events, %v, want at least 5", events, err)
	}
	var problem *openai.Error
	if _, err := client.Responses.Cancel(t.Context(), made.ID); !errors.As(err, &problem) || problem.StatusCode != 400 {
		t.Errorf("canceling it: %v", err)
	}
}

func draw(t *testing.T, client openai.Client) {
	params := openai.ImageGenerateParams{Model: "gpt-image-1", Prompt: "a lake", Quality: "low"}
	drawn, err := client.Images.Generate(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	checkPicture(t, drawn.Data[0].B64JSON)
	if drawn.Usage.OutputTokens != 272 {
		t.Errorf("usage %+v", drawn.Usage)
	}
	params.PartialImages = openai.Int(1)
	stream := client.Images.GenerateStreaming(t.Context(), params)
	var last openai.ImageGenStreamEventUnion
	for stream.Next() {
		last = stream.Current()
	}
	if err := stream.Err(); err != nil || last.Type != "image_generation.completed" || last.Usage.OutputTokens != 372 {
		t.Errorf("stream ends with %v, %q", err, last.Type)
	}
	picture := openai.File(strings.NewReader("picture"), "a.png", "image/png")
	edited, err := client.Images.Edit(t.Context(), openai.ImageEditParams{Model: "gpt-image-1", Prompt: "a lake", Image: openai.ImageEditParamsImageUnion{OfFileArray: []io.Reader{picture}}})
	if err != nil || edited.Usage.InputTokensDetails.ImageTokens != 323 {
		t.Errorf("edited %v, want Usage.InputTokensDetails.ImageTokens 323, %v", edited, err)
	}
	var other openai.ImagesResponse
	err = client.Post(t.Context(), "images/variations", openai.ImageNewVariationParams{Model: "dall-e-3", Image: strings.NewReader("picture")}, &other)
	if err != nil || other.Data[0].URL == "" {
		t.Errorf("variation %v, %v", other, err)
	}
}

func speakAndHear(t *testing.T, client openai.Client) {
	sound, err := client.Audio.Speech.New(t.Context(), openai.AudioSpeechNewParams{Model: "tts-1", Input: "Hello!", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")}})
	if err != nil {
		t.Fatal(err)
	}
	defer sound.Body.Close()
	spoken, err := io.ReadAll(sound.Body)
	if err != nil || len(spoken) != 960 || sound.Header.Get("Content-Type") != "audio/mpeg" {
		t.Errorf("%d bytes, %v", len(spoken), err)
	}
	file := func() io.Reader { return openai.File(bytes.NewReader(spoken), "a.mp3", "audio/mpeg") }
	params := openai.AudioTranscriptionNewParams{Model: "gpt-4o-transcribe", File: file()}
	heard, err := client.Audio.Transcriptions.New(t.Context(), params)
	if err != nil || azureopenai.CountTokens(heard.Text) != 5 || heard.Usage.OutputTokens != 5 {
		t.Errorf("heard %v, %v", heard, err)
	}
	params.File = file()
	stream := client.Audio.Transcriptions.NewStreaming(t.Context(), params)
	var last openai.TranscriptionStreamEventUnion
	for stream.Next() {
		last = stream.Current()
	}
	if err := stream.Err(); err != nil || last.Type != "transcript.text.done" || last.Usage.OutputTokens != 5 {
		t.Errorf("stream ends with %v, %q", err, last.Type)
	}
	var translated openai.Translation
	err = client.Post(t.Context(), "audio/translations", openai.AudioTranslationNewParams{Model: "whisper-1", File: file()}, &translated)
	if err != nil || azureopenai.CountTokens(translated.Text) != 5 {
		t.Errorf("translated %v, %v", translated, err)
	}
}

func moderateAndList(t *testing.T, client openai.Client) {
	judged, err := client.Moderations.New(t.Context(), openai.ModerationNewParams{Model: "omni-moderation-latest", Input: openai.ModerationNewParamsInputUnion{OfString: openai.String("fine")}})
	if err != nil || len(judged.Results) != 1 || judged.Results[0].Flagged {
		t.Errorf("judged %v, %v", judged, err)
	}
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) != 9 || models.Data[0].ID != "gpt-4o" {
		t.Errorf("models %v, %v", models, err)
	}
	if model, err := client.Models.Get(t.Context(), "whisper-1"); err != nil || model.ID != "whisper-1" {
		t.Errorf("model %v, want ID %q, %v", model, "whisper-1", err)
	}
}

func runBatch(t *testing.T, client openai.Client) {
	file, err := client.Files.New(t.Context(), openai.FileNewParams{Purpose: openai.FilePurposeBatch, File: openai.File(strings.NewReader(twoLines), "in.jsonl", "application/jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	made, err := client.Batches.New(t.Context(), openai.BatchNewParams{InputFileID: file.ID, Endpoint: openai.BatchNewParamsEndpointV1ChatCompletions, CompletionWindow: "24h"})
	if err != nil {
		t.Fatal(err)
	}
	done, err := client.Batches.Get(t.Context(), made.ID)
	if err != nil || made.Status != "validating" || done.Status != "completed" || done.RequestCounts.Completed != 1 || done.Usage.OutputTokens != 5 {
		t.Fatalf("made %v, got %v, %v", made, done, err)
	}
	content, err := client.Files.Content(t.Context(), done.OutputFileID)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Body.Close()
	if out, err := io.ReadAll(content.Body); err != nil || !strings.Contains(string(out), `"custom_id":"a"`) {
		t.Errorf("output %s, %v", out, err)
	}
	var batches, files int
	for pager := client.Batches.ListAutoPaging(t.Context(), openai.BatchListParams{Limit: openai.Int(1)}); pager.Next(); {
		batches++
	}
	for pager := client.Files.ListAutoPaging(t.Context(), openai.FileListParams{Limit: openai.Int(1), Purpose: openai.String("batch")}); pager.Next(); {
		files++
	}
	if batches == 0 || files == 0 {
		t.Errorf("%d batches, %d files", batches, files)
	}
	if deleted, err := client.Files.Delete(t.Context(), file.ID); err != nil || !deleted.Deleted {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	var problem *openai.Error
	if _, err := client.Batches.Cancel(t.Context(), made.ID, option.WithMaxRetries(0)); !errors.As(err, &problem) || problem.StatusCode != 409 {
		t.Errorf("canceling it: %v", err)
	}
}
