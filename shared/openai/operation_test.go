package openai

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
)

// everyOperation says of each operation how it is called in each dialect: the paths with the model m-1 and the id id_1.
// AzureV1 has the paths of OpenAI behind another prefix.
var everyOperation = []struct {
	op      Operation
	method  string
	azure   string // behind /openai/
	openai  string // behind /v1/
	name    string
	body    BodyKind
	inBody  string // the dialects that name the model in the body
	version string // that Azure gets where nobody names one
}{
	{ChatCompletions, "POST", "deployments/m-1/chat/completions", "chat/completions", "chat", BodyJSON, "azure-v1 openai", "2024-10-21"},
	{Completions, "POST", "deployments/m-1/completions", "completions", "text_completion", BodyJSON, "azure-v1 openai", "2024-10-21"},
	{Embeddings, "POST", "deployments/m-1/embeddings", "embeddings", "embeddings", BodyJSON, "azure-v1 openai", "2024-10-21"},
	{Responses, "POST", "responses", "responses", "responses", BodyJSON, "azure azure-v1 openai", "2025-04-01-preview"},
	{ImageGenerations, "POST", "deployments/m-1/images/generations", "images/generations", "image_generation", BodyJSON, "azure-v1 openai", "2024-10-21"},
	{ImageEdits, "POST", "deployments/m-1/images/edits", "images/edits", "image_edit", BodyForm, "azure-v1 openai", "2025-04-01-preview"},
	{ImageVariations, "POST", "images/variations", "images/variations", "image_variation", BodyForm, "azure azure-v1 openai", "2025-04-01-preview"},
	{Speech, "POST", "deployments/m-1/audio/speech", "audio/speech", "speech", BodyJSON, "azure-v1 openai", "2025-04-01-preview"},
	{Transcriptions, "POST", "deployments/m-1/audio/transcriptions", "audio/transcriptions", "transcription", BodyForm, "azure-v1 openai", "2024-10-21"},
	{Translations, "POST", "deployments/m-1/audio/translations", "audio/translations", "translation", BodyForm, "azure-v1 openai", "2024-10-21"},
	{Moderations, "POST", "moderations", "moderations", "moderation", BodyJSON, "azure azure-v1 openai", "2024-10-21"},
	{GetResponse, "GET", "responses/id_1", "responses/id_1", "get_response", BodyNone, "", "2025-04-01-preview"},
	{DeleteResponse, "DELETE", "responses/id_1", "responses/id_1", "delete_response", BodyNone, "", "2025-04-01-preview"},
	{CancelResponse, "POST", "responses/id_1/cancel", "responses/id_1/cancel", "cancel_response", BodyNone, "", "2025-04-01-preview"},
	{InputItems, "GET", "responses/id_1/input_items", "responses/id_1/input_items", "list_input_items", BodyNone, "", "2025-04-01-preview"},
	{ListModels, "GET", "models", "models", "list_models", BodyNone, "", "2024-10-21"},
	{GetModel, "GET", "models/m-1", "models/m-1", "get_model", BodyNone, "", "2024-10-21"},
	{UploadFile, "POST", "files", "files", "upload_file", BodyForm, "", "2024-10-21"},
	{ListFiles, "GET", "files", "files", "list_files", BodyNone, "", "2024-10-21"},
	{GetFile, "GET", "files/id_1", "files/id_1", "get_file", BodyNone, "", "2024-10-21"},
	{DeleteFile, "DELETE", "files/id_1", "files/id_1", "delete_file", BodyNone, "", "2024-10-21"},
	{FileContent, "GET", "files/id_1/content", "files/id_1/content", "get_file_content", BodyNone, "", "2024-10-21"},
	{CreateBatch, "POST", "batches", "batches", "create_batch", BodyJSON, "", "2024-10-21"},
	{ListBatches, "GET", "batches", "batches", "list_batches", BodyNone, "", "2024-10-21"},
	{GetBatch, "GET", "batches/id_1", "batches/id_1", "get_batch", BodyNone, "", "2024-10-21"},
	{CancelBatch, "POST", "batches/id_1/cancel", "batches/id_1/cancel", "cancel_batch", BodyNone, "", "2024-10-21"},
}

// A client of any dialect reaches a backend of any other, with every operation.
func TestEveryOperationBetweenEveryTwoDialects(t *testing.T) {
	for i, c := range everyOperation {
		if want := Operation(i + 1); c.op != want {
			t.Fatalf("row %d is of operation %d, want %d", i, c.op, want)
		}
		paths := map[Dialect]string{Azure: "/openai/" + c.azure, AzureV1: "/openai/v1/" + c.openai, OpenAI: "/v1/" + c.openai}
		for client, address := range paths {
			route, err := ParseRoute(c.method, mustURL(t, address+"?limit=2"))
			want := Route{Operation: c.op, Dialect: client, Query: "limit=2"}
			if strings.Contains(address, "m-1") {
				want.Model = "m-1"
			}
			if strings.Contains(address, "id_1") {
				want.ID = "id_1"
			}
			if err != nil || route != want {
				t.Errorf("%s %s:\n got %+v, %v\nwant %+v", c.method, address, route, err, want)
			}
			for backend, path := range paths {
				to := URL(mustURL(t, "https://contoso.com"), backend, Target{c.op, "m-1", route.ID, route.APIVersion, route.Query})
				query := "limit=2"
				if backend == Azure {
					query = "api-version=" + c.version + "&limit=2"
				}
				if want := "https://contoso.com" + path + "?" + query; to.String() != want {
					t.Errorf("from %s to %s:\n got %s\nwant %s", client, backend, to, want)
				}
			}
		}
	}
	if n := len(operations) - 1; n != len(everyOperation) {
		t.Errorf("%d operations are listed, want %d", len(everyOperation), n)
	}
}

func TestOperations(t *testing.T) {
	for _, c := range everyOperation {
		var inBody []string
		for _, d := range []Dialect{Azure, AzureV1, OpenAI} {
			if c.op.ModelInBody(d) {
				inBody = append(inBody, d.String())
			}
		}
		path := c.openai
		for _, id := range []string{"id_1", "m-1"} {
			path = strings.Replace(path, id, "{id}", 1)
		}
		got := fmt.Sprintf("%s %s %s %d %v %s", c.op.Method(), c.op.Path(), c.op, c.op.BodyKind(), strings.Join(inBody, " "), c.op.DefaultAPIVersion())
		want := fmt.Sprintf("%s %s %s %d %v %s", c.method, path, c.name, c.body, c.inBody, c.version)
		if got != want {
			t.Errorf("operation %d:\n got %s\nwant %s", c.op, got, want)
		}
	}
	for _, op := range []Operation{0, CancelBatch + 1, 64, 255} {
		if cmp.Or(op.Path(), op.Method(), op.String(), op.DefaultAPIVersion()) != "" || op.BodyKind() != BodyNone || op.ModelInBody(OpenAI) || textual.has(op) {
			t.Errorf("operation %d is one", op)
		}
	}
	for d, want := range map[Dialect]string{Azure: "azure", AzureV1: "azure-v1", OpenAI: "openai", 0: ""} {
		if d.String() != want {
			t.Errorf("dialect %d: %q, want %q", d, d, want)
		}
	}
}

func TestURL(t *testing.T) {
	chat := Target{Operation: ChatCompletions, Deployment: "gpt-4o"}
	with := func(t Target, version, query string) Target {
		t.APIVersion, t.Query = version, query
		return t
	}
	for _, c := range []struct {
		endpoint string
		dialect  Dialect
		target   Target
		want     string
	}{
		{"https://contoso.openai.azure.com", Azure, with(chat, "2023-05-15", ""), "https://contoso.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2023-05-15"},
		{"https://contoso.openai.azure.com/", Azure, chat, "https://contoso.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"},
		{"https://contoso.openai.azure.com/openai/", Azure, with(chat, "v&x", "a=b"), "https://contoso.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=v%26x&a=b"},
		{"http://127.0.0.1:8080/base%2Fx/y", Azure, Target{Operation: Embeddings, Deployment: "a/b ?é"}, "http://127.0.0.1:8080/base%2Fx/y/openai/deployments/a%2Fb%20%3F%C3%A9/embeddings?api-version=2024-10-21"},
		{"https://contoso.openai.azure.com/openai", Azure, Target{Operation: CancelResponse, ID: "resp_1"}, "https://contoso.openai.azure.com/openai/responses/resp_1/cancel?api-version=2025-04-01-preview"},
		{"https://contoso.openai.azure.com", AzureV1, chat, "https://contoso.openai.azure.com/openai/v1/chat/completions"},
		{"https://contoso.openai.azure.com/openai/v1/", AzureV1, with(chat, "preview", "a=b"), "https://contoso.openai.azure.com/openai/v1/chat/completions?api-version=preview&a=b"},
		{"https://contoso.openai.azure.com", AzureV1, with(chat, "2024-10-21", "a=b"), "https://contoso.openai.azure.com/openai/v1/chat/completions?a=b"},
		{"https://contoso.com", OpenAI, with(chat, "2024-10-21", ""), "https://contoso.com/v1/chat/completions"},
		{"https://contoso.com/v1", OpenAI, with(chat, "preview", "a=%26"), "https://contoso.com/v1/chat/completions?a=%26"},
		{"https://contoso.com/api/v1/?x=1#y", OpenAI, chat, "https://contoso.com/api/v1/chat/completions"},
		{"https://contoso.com", OpenAI, Target{Operation: GetModel, Deployment: "ft:a b/c"}, "https://contoso.com/v1/models/ft:a%20b%2Fc"},
		{"https://contoso.com/v1", 0, chat, "https://contoso.com"},
		{"https://contoso.com", OpenAI, Target{Operation: FileContent, ID: "../x"}, "https://contoso.com/v1/files/..%2Fx/content"},
	} {
		endpoint := mustURL(t, c.endpoint)
		if got := URL(endpoint, c.dialect, c.target).String(); got != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.endpoint, c.dialect, got, c.want)
		}
		if endpoint.String() != c.endpoint {
			t.Errorf("endpoint became %s", endpoint)
		}
	}
}
