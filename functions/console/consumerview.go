package console

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"spillway/shared/consumers"
)

// consumerView is a consumer as it is shown. The keys are the beginnings of their
// hashes; the definition, which may be changed and put back, is without them.
type consumerView struct {
	Name       string                     `json:"name"`
	Definition map[string]json.RawMessage `json:"definition,omitempty"`
	Keys       []string                   `json:"keys,omitempty"`
	Key        string                     `json:"key,omitempty"` // A new key, shown once.
	ChangedBy  string                     `json:"changedBy"`
	ChangedAt  time.Time                  `json:"changedAt"`
	Problem    string                     `json:"problem,omitempty"`
}

func viewConsumer(entry consumers.Entry, key string) consumerView {
	view := consumerView{
		Name: entry.Name, Key: key, ChangedBy: entry.By, ChangedAt: entry.At.UTC(), Problem: entry.Problem,
	}
	if entry.Consumer == nil {
		return view
	}
	if json.Unmarshal(entry.Consumer.Encode(), &view.Definition) == nil {
		delete(view.Definition, "name")
		delete(view.Definition, "keys")
	}
	for _, hash := range entry.Consumer.Keys {
		view.Keys = append(view.Keys, hash.String())
	}
	slices.Sort(view.Keys)
	return view
}

func writeConsumer(w http.ResponseWriter, r *http.Request, status int, entry consumers.Entry, key string) {
	w.Header().Set("ETag", entityTag(entry.ETag))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(viewConsumer(entry, key)) // The client has left; nobody is there to be told.
}

// listConsumers writes all consumers as they are read, since there may be many. If
// the table fails on the way, the answer says that it is incomplete.
func (c *Console) listConsumers(w http.ResponseWriter, r *http.Request) {
	encoder := json.NewEncoder(w)
	between := `{"consumers":[`
	begin := func() {
		if between[0] == '{' {
			w.Header().Set("Content-Type", "application/json")
		}
		_, _ = io.WriteString(w, between)
		between = ","
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "application/json")
		return
	}
	for entry, err := range c.Consumers.List(r.Context()) {
		if err != nil && between != "," {
			consumersError(err).Write(w)
			return
		}
		if err != nil {
			_, _ = io.WriteString(w, "],\"incomplete\":true}\n")
			return
		}
		begin()
		if encoder.Encode(viewConsumer(entry, "")) != nil {
			return // The client has left.
		}
	}
	if between != "," {
		begin()
	}
	_, _ = io.WriteString(w, "]}\n")
}
