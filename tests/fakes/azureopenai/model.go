package azureopenai

import (
	"fmt"
	"net/http"
)

// modelsSince is the time from which the models are said to be there.
const modelsSince = 1722902400

// azureModel is a model as the classic dialect shows it.
type azureModel struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Status       string          `json:"status"`
	CreatedAt    int64           `json:"created_at"`
	UpdatedAt    int64           `json:"updated_at"`
	Lifecycle    string          `json:"lifecycle_status"`
	Capabilities map[string]bool `json:"capabilities"`
}

// openAIModel is a model as the other dialects show it.
type openAIModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// models are those that the dialect shows: Azure's the models behind the
// deployments, OpenAI's the names that a request gives.
func (e *exchange) models() []listed {
	var all []listed
	seen := map[string]bool{}
	for _, d := range e.server.options.Deployments {
		id := d.Model
		if e.route.dialect == openAI {
			id = d.Name
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		if e.route.dialect != classic {
			owner := "system"
			if e.route.dialect.azure() {
				owner = "azure-openai"
			}
			all = append(all, listed{id, openAIModel{id, "model", modelsSince, owner}})
			continue
		}
		kind := kindOf(d.Model)
		all = append(all, listed{id, azureModel{ID: id, Object: "model", Status: "succeeded", CreatedAt: modelsSince, UpdatedAt: modelsSince,
			Lifecycle: "generally-available", Capabilities: map[string]bool{"fine_tune": false, "inference": true,
				"completion": kind == textModel, "chat_completion": kind == textModel, "embeddings": kind == embeddingModel}}})
	}
	return all
}

func (e *exchange) listModels() error {
	data := []any{}
	for _, model := range e.models() {
		data = append(data, model.value)
	}
	return e.writeBody(map[string]any{"object": "list", "data": data})
}

func (e *exchange) getModel() error {
	for _, model := range e.models() {
		if model.id == e.route.id {
			return e.writeBody(model.value)
		}
	}
	if e.route.dialect == classic {
		return notFound()
	}
	return &serviceError{status: http.StatusNotFound, typ: "invalid_request_error", param: "model", code: "model_not_found",
		message: fmt.Sprintf("The model '%s' does not exist", e.route.id)}
}
