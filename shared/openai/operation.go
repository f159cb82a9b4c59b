package openai

import "net/http"

// Operation is one kind of call of the API. The zero value is no operation.
type Operation uint8

// The operations a Route can name.
const (
	ChatCompletions Operation = iota + 1
	Completions
	Embeddings
	Responses
	ImageGenerations
	ImageEdits
	ImageVariations
	Speech
	Transcriptions
	Translations
	Moderations
	GetResponse
	DeleteResponse
	CancelResponse
	InputItems
	ListModels
	GetModel
	UploadFile
	ListFiles
	GetFile
	DeleteFile
	FileContent
	CreateBatch
	ListBatches
	GetBatch
	CancelBatch
)

// BodyKind is how the body of an operation's request is written.
type BodyKind uint8

// The kinds of bodies.
const (
	BodyNone BodyKind = iota // there is none
	BodyJSON                 // one JSON object
	BodyForm                 // multipart/form-data
)

// modelPlace is where a request names its model.
type modelPlace uint8

const (
	noModel      modelPlace = iota // it names none, or (GetModel) it is what {id} stands for
	inBody                         // in the body, whatever the dialect
	inDeployment                   // in the path of the dialect Azure, in the body of the others
)

const (
	// stableVersion is the newest dated api-version that is generally available.
	stableVersion = "2024-10-21"
	// previewVersion is the last dated api-version. It has what came after the stable one.
	previewVersion = "2025-04-01-preview"
)

// operations holds what the code knows about each Operation, so that a new one is a new row.
var operations = [...]struct {
	method  string
	path    string // behind the dialect's prefix; {id} stands for a segment
	name    string
	body    BodyKind
	model   modelPlace
	version string // the api-version that Azure gets where nobody names one
}{
	ChatCompletions:  {http.MethodPost, "chat/completions", "chat", BodyJSON, inDeployment, stableVersion},
	Completions:      {http.MethodPost, "completions", "text_completion", BodyJSON, inDeployment, stableVersion},
	Embeddings:       {http.MethodPost, "embeddings", "embeddings", BodyJSON, inDeployment, stableVersion},
	Responses:        {http.MethodPost, "responses", "responses", BodyJSON, inBody, previewVersion},
	ImageGenerations: {http.MethodPost, "images/generations", "image_generation", BodyJSON, inDeployment, stableVersion},
	ImageEdits:       {http.MethodPost, "images/edits", "image_edit", BodyForm, inDeployment, previewVersion},
	ImageVariations:  {http.MethodPost, "images/variations", "image_variation", BodyForm, inBody, previewVersion},
	Speech:           {http.MethodPost, "audio/speech", "speech", BodyJSON, inDeployment, previewVersion},
	Transcriptions:   {http.MethodPost, "audio/transcriptions", "transcription", BodyForm, inDeployment, stableVersion},
	Translations:     {http.MethodPost, "audio/translations", "translation", BodyForm, inDeployment, stableVersion},
	Moderations:      {http.MethodPost, "moderations", "moderation", BodyJSON, inBody, stableVersion},
	GetResponse:      {http.MethodGet, "responses/{id}", "get_response", BodyNone, noModel, previewVersion},
	DeleteResponse:   {http.MethodDelete, "responses/{id}", "delete_response", BodyNone, noModel, previewVersion},
	CancelResponse:   {http.MethodPost, "responses/{id}/cancel", "cancel_response", BodyNone, noModel, previewVersion},
	InputItems:       {http.MethodGet, "responses/{id}/input_items", "list_input_items", BodyNone, noModel, previewVersion},
	ListModels:       {http.MethodGet, "models", "list_models", BodyNone, noModel, stableVersion},
	GetModel:         {http.MethodGet, "models/{id}", "get_model", BodyNone, noModel, stableVersion},
	UploadFile:       {http.MethodPost, "files", "upload_file", BodyForm, noModel, stableVersion},
	ListFiles:        {http.MethodGet, "files", "list_files", BodyNone, noModel, stableVersion},
	GetFile:          {http.MethodGet, "files/{id}", "get_file", BodyNone, noModel, stableVersion},
	DeleteFile:       {http.MethodDelete, "files/{id}", "delete_file", BodyNone, noModel, stableVersion},
	FileContent:      {http.MethodGet, "files/{id}/content", "get_file_content", BodyNone, noModel, stableVersion},
	CreateBatch:      {http.MethodPost, "batches", "create_batch", BodyJSON, noModel, stableVersion},
	ListBatches:      {http.MethodGet, "batches", "list_batches", BodyNone, noModel, stableVersion},
	GetBatch:         {http.MethodGet, "batches/{id}", "get_batch", BodyNone, noModel, stableVersion},
	CancelBatch:      {http.MethodPost, "batches/{id}/cancel", "cancel_batch", BodyNone, noModel, stableVersion},
}

// known tells whether the operation is one of the constants.
func (op Operation) known() bool { return op != 0 && int(op) < len(operations) }

// Path is the operation's path behind the dialect's prefix, with "{id}" where an id stands, such as
// "chat/completions" or "files/{id}/content"; "" for no operation.
func (op Operation) Path() string {
	if !op.known() {
		return ""
	}
	return operations[op].path
}

// Method is the HTTP method of the operation's requests; "" for no operation.
func (op Operation) Method() string {
	if !op.known() {
		return ""
	}
	return operations[op].method
}

// String is the operation's name in logs and metrics. "chat", "text_completion" and "embeddings" are what OpenTelemetry's
// semantic conventions for generative AI (gen_ai.operation.name) call them; for the others they have no name, and
// these are in the same style: "responses", "image_generation", "get_file". "" for no operation.
func (op Operation) String() string {
	if !op.known() {
		return ""
	}
	return operations[op].name
}

// BodyKind tells how the body of the operation's requests is written.
func (op Operation) BodyKind() BodyKind {
	if !op.known() {
		return BodyNone
	}
	return operations[op].body
}

// ModelInBody tells whether a request for the operation names its model in the body under the dialect, so that another
// model is asked for by patching the body. It is false where the path names the model, and where there is none.
func (op Operation) ModelInBody(d Dialect) bool {
	if !op.known() {
		return false
	}
	place := operations[op].model
	return place == inBody || place == inDeployment && d != Azure
}

// DefaultAPIVersion is the api-version sent to an Azure backend when neither the configuration nor the client names
// one: the newest that is generally available, or a preview where that one lacks the operation. "" for no operation.
func (op Operation) DefaultAPIVersion() string {
	if !op.known() {
		return ""
	}
	return operations[op].version
}

// operationSet is a set of operations, one bit each.
type operationSet uint32

// setOf is the set of these operations.
func setOf(ops ...Operation) (s operationSet) {
	for _, op := range ops {
		s |= 1 << op
	}
	return s
}

// has tells whether the operation is in the set.
func (s operationSet) has(op Operation) bool { return s>>op&1 != 0 }

var (
	// textual operations answer with choices of text and know stream_options.include_usage.
	textual = setOf(ChatCompletions, Completions)
	// typed operations stream events that are told apart by their type.
	typed = setOf(Responses, GetResponse, ImageGenerations, ImageEdits, Speech, Transcriptions, Translations)
)
