package azureopenai

import (
	"net/http"
	"strings"
)

// Operation is what a request asks for. Its value is the end of the path, with
// the method before it where that is not POST.
type Operation string

// The operations served.
const (
	ChatCompletions  Operation = "chat/completions"
	Completions      Operation = "completions"
	Embeddings       Operation = "embeddings"
	Responses        Operation = "responses"
	ImageGenerations Operation = "images/generations"
	ImageEdits       Operation = "images/edits"
	ImageVariations  Operation = "images/variations"
	Speech           Operation = "audio/speech"
	Transcriptions   Operation = "audio/transcriptions"
	Translations     Operation = "audio/translations"
	Moderations      Operation = "moderations"
	GetResponse      Operation = "GET responses/{id}"
	DeleteResponse   Operation = "DELETE responses/{id}"
	CancelResponse   Operation = "responses/{id}/cancel"
	InputItems       Operation = "GET responses/{id}/input_items"
	ListModels       Operation = "GET models"
	GetModel         Operation = "GET models/{id}"
	UploadFile       Operation = "files"
	ListFiles        Operation = "GET files"
	GetFile          Operation = "GET files/{id}"
	DeleteFile       Operation = "DELETE files/{id}"
	FileContent      Operation = "GET files/{id}/content"
	CreateBatch      Operation = "batches"
	ListBatches      Operation = "GET batches"
	GetBatch         Operation = "GET batches/{id}"
	CancelBatch      Operation = "batches/{id}/cancel"
)

// bodyKind is what a request carries.
type bodyKind uint8

const (
	noBody bodyKind = iota // a body is not read
	jsonBody
	formBody
)

// endpoint is how an operation is reached.
type endpoint struct {
	operation Operation
	method    string
	path      string // its end; {id} stands for one segment
	body      bodyKind
	deployed  bool   // the classic path is below /deployments/{name}/
	stored    bool   // it is about what the resource keeps, not about a model
	since     string // date of the first api-version that has it; "": all
	preview   bool   // no version without "preview" has it
	log       string // its name in the text of a 429
}

const get, post, remove = http.MethodGet, http.MethodPost, http.MethodDelete

var endpoints = []endpoint{
	{operation: ChatCompletions, method: post, path: "chat/completions", body: jsonBody, deployed: true, log: "ChatCompletions_Create"},
	{operation: Completions, method: post, path: "completions", body: jsonBody, deployed: true, log: "Completions_Create"},
	{operation: Embeddings, method: post, path: "embeddings", body: jsonBody, deployed: true, log: "Embeddings_Create"},
	{operation: Responses, method: post, path: "responses", body: jsonBody, since: "2025-03-01", log: "Responses_Create"},
	{operation: ImageGenerations, method: post, path: "images/generations", body: jsonBody, deployed: true, since: "2023-12-01", log: "ImageGenerations_Create"},
	{operation: ImageEdits, method: post, path: "images/edits", body: formBody, deployed: true, since: "2025-04-01", log: "ImageEdits_Create"},
	{operation: ImageVariations, method: post, path: "images/variations", body: formBody, deployed: true, since: "2025-04-01", log: "ImageVariations_Create"},
	// The official clients do not write the deployment into this path.
	{operation: ImageVariations, method: post, path: "images/variations", body: formBody, since: "2025-04-01", log: "ImageVariations_Create"},
	{operation: Speech, method: post, path: "audio/speech", body: jsonBody, deployed: true, since: "2024-02-15", preview: true, log: "Speech_Create"},
	{operation: Transcriptions, method: post, path: "audio/transcriptions", body: formBody, deployed: true, since: "2023-09-01", log: "Transcriptions_Create"},
	{operation: Translations, method: post, path: "audio/translations", body: formBody, deployed: true, since: "2023-09-01", log: "Translations_Create"},
	{operation: Moderations, method: post, path: "moderations", body: jsonBody, log: "Moderations_Create"},
	{operation: GetResponse, method: get, path: "responses/{id}", stored: true, since: "2025-03-01", log: "Responses_Get"},
	{operation: DeleteResponse, method: remove, path: "responses/{id}", stored: true, since: "2025-03-01", log: "Responses_Delete"},
	{operation: CancelResponse, method: post, path: "responses/{id}/cancel", stored: true, since: "2025-03-01", log: "Responses_Cancel"},
	{operation: InputItems, method: get, path: "responses/{id}/input_items", stored: true, since: "2025-03-01", log: "Responses_ListInputItems"},
	{operation: ListModels, method: get, path: "models", stored: true, log: "Models_List"},
	{operation: GetModel, method: get, path: "models/{id}", stored: true, log: "Models_Get"},
	{operation: UploadFile, method: post, path: "files", body: formBody, stored: true, log: "Files_Upload"},
	{operation: ListFiles, method: get, path: "files", stored: true, log: "Files_List"},
	{operation: GetFile, method: get, path: "files/{id}", stored: true, log: "Files_Get"},
	{operation: DeleteFile, method: remove, path: "files/{id}", stored: true, log: "Files_Delete"},
	{operation: FileContent, method: get, path: "files/{id}/content", stored: true, log: "Files_GetContent"},
	{operation: CreateBatch, method: post, path: "batches", body: jsonBody, stored: true, since: "2024-07-01", log: "Batch_Create"},
	{operation: ListBatches, method: get, path: "batches", stored: true, since: "2024-07-01", log: "Batch_List"},
	{operation: GetBatch, method: get, path: "batches/{id}", stored: true, since: "2024-07-01", log: "Batch_Get"},
	{operation: CancelBatch, method: post, path: "batches/{id}/cancel", stored: true, since: "2024-07-01", log: "Batch_Cancel"},
}

// tooOld is the error of a classic api-version that does not have the
// operation yet, or nil.
func (r route) tooOld() *serviceError {
	if r.dialect != classic {
		return nil
	}
	dated := before(r.apiVersion, "9999-01-01")
	if !before(r.apiVersion, r.since) && !(r.preview && dated && !strings.HasSuffix(r.apiVersion, "preview")) {
		return nil
	}
	if strings.HasPrefix(r.path, "responses") {
		return &serviceError{status: http.StatusBadRequest, code: "BadRequest",
			message: "Azure OpenAI Responses API is enabled only for api-version 2025-03-01-preview and later"}
	}
	return notFound()
}

func notFound() *serviceError {
	return &serviceError{status: http.StatusNotFound, code: "404", message: "Resource not found"}
}

// modelKind is what a model is made for, by its name.
type modelKind uint8

const (
	textModel modelKind = iota
	embeddingModel
	imageModel
	speechModel
	transcriptionModel
	moderationModel
)

var modelKinds = []struct {
	part string
	kind modelKind
}{
	{"embedding", embeddingModel}, {"dall-e", imageModel}, {"image", imageModel}, {"tts", speechModel},
	{"whisper", transcriptionModel}, {"transcribe", transcriptionModel}, {"moderation", moderationModel},
}

func kindOf(model string) modelKind {
	for _, known := range modelKinds {
		if strings.Contains(model, known.part) {
			return known.kind
		}
	}
	return textModel
}

// needs is the kind of model that can do the operation.
func (o Operation) needs() modelKind {
	switch o {
	case Embeddings:
		return embeddingModel
	case ImageGenerations, ImageEdits, ImageVariations:
		return imageModel
	case Speech:
		return speechModel
	case Transcriptions, Translations:
		return transcriptionModel
	case Moderations:
		return moderationModel
	}
	return textModel
}
