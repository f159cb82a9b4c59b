package gateway

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"spillway/shared/openai"
	"spillway/shared/usage"
)

// modelObject is a model as the API lists it. When it was created nobody knows here.
type modelObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func newModelObject(name string) modelObject {
	return modelObject{ID: name, Object: "model", OwnedBy: "spillway"}
}

// models answers what the consumer may use: all of it, or one model.
func (g *Gateway) models(w *response, v *visit) *openai.Error {
	if v.route.Operation == openai.GetModel {
		if _, refused := v.consumer.pool(v.route.Model); refused != nil {
			return refused
		}
		v.record.Model = v.route.Model
		return g.object(w, newModelObject(v.route.Model), v.record)
	}
	all := struct {
		Object string        `json:"object"`
		Data   []modelObject `json:"data"`
	}{"list", make([]modelObject, 0, len(v.consumer.Pools))}
	for _, name := range slices.Sorted(maps.Keys(v.consumer.Pools)) {
		all.Data = append(all.Data, newModelObject(name))
	}
	return g.object(w, all, v.record)
}

// object answers with JSON of our own.
func (g *Gateway) object(w *response, value any, record *usage.Record) *openai.Error {
	text, err := json.Marshal(value)
	if err != nil {
		return openai.Internal()
	}
	header := w.Header()
	header.Set(headerRequestID, record.RequestID)
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(http.StatusOK)
	record.FirstByte = w.firstByte()
	_, _ = w.Write(text) // the client may have left
	return nil
}
