package console

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"spillway/shared/auth"
	"spillway/shared/config"
	"spillway/shared/consumers"
	"spillway/shared/openai"
)

// Directory keeps the consumers of the table; *consumers.Directory is one.
type Directory interface {
	Get(ctx context.Context, name string) (consumers.Entry, error)
	List(ctx context.Context) iter.Seq2[consumers.Entry, error]
	Put(ctx context.Context, change consumers.Change) (consumers.Entry, error)
	Remove(ctx context.Context, change consumers.Change) error
}

const (
	// consumersRetry is when to try again what the table did not answer.
	consumersRetry = 5 * time.Second
	// changeTries is how often a change is made anew that another one has overtaken.
	changeTries = 4
)

// consumers answers under /spillway/consumers, to admins only:
//
//	GET    /spillway/consumers                     all of the table, in any order
//	GET    /spillway/consumers/{name}              one
//	PUT    /spillway/consumers/{name}              adds it, or replaces its definition
//	DELETE /spillway/consumers/{name}              removes it
//	POST   /spillway/consumers/{name}/keys         gives it one more key
//	DELETE /spillway/consumers/{name}/keys/{hash}  takes a key from it, by the beginning of its hash
//
// The body of PUT is the definition, as an item of consumers in the file has it, in
// JSON or YAML. A definition without keys keeps those that the consumer has; a new
// consumer that has no keys and no entra is given a key, which is in the answer,
// once. Every answer with a consumer has an ETag; If-Match and If-None-Match: *
// make a change conditional.
func (c *Console) consumers(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !c.admitAdmin(w, r) {
		return
	}
	parts, ok := consumersPath(r.URL)
	switch {
	case ok && len(parts) == 0:
		if allow(w, r, http.MethodGet, http.MethodHead) {
			c.listConsumers(w, r)
		}
	case ok && len(parts) == 1:
		c.oneConsumer(w, r, parts[0])
	case ok && len(parts) == 2 && parts[1] == "keys":
		if allow(w, r, http.MethodPost) {
			c.addKey(w, r, parts[0])
		}
	case ok && len(parts) == 3 && parts[1] == "keys":
		if allow(w, r, http.MethodDelete) {
			c.dropKey(w, r, parts[0], parts[2])
		}
	default:
		openai.UnknownURL(r.Method, r.URL.Path).Write(w)
	}
}

// consumersPath are the parts of a path below /spillway/consumers; false if one of
// them is empty.
func consumersPath(u *url.URL) (parts []string, ok bool) {
	rest := strings.TrimPrefix(u.EscapedPath(), "/spillway/consumers")
	if rest == "" {
		return nil, true
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		text, err := url.PathUnescape(part)
		if err != nil || text == "" {
			return nil, false
		}
		parts = append(parts, text)
	}
	return parts, true
}

func (c *Console) oneConsumer(w http.ResponseWriter, r *http.Request, name string) {
	if !allow(w, r, http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete) {
		return
	}
	switch r.Method {
	case http.MethodPut:
		c.putConsumer(w, r, name)
	case http.MethodDelete:
		c.removeConsumer(w, r, name)
	default:
		entry, err := c.Consumers.Get(r.Context(), name)
		if err != nil {
			consumersError(err).Write(w)
			return
		}
		writeConsumer(w, r, http.StatusOK, entry, "")
	}
}

// putConsumer adds a consumer or replaces its definition.
func (c *Console) putConsumer(w http.ResponseWriter, r *http.Request, name string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, config.MaxConsumerText))
	switch tooLarge := new(http.MaxBytesError); {
	case errors.As(err, &tooLarge):
		openai.TooLarge(tooLarge.Limit).Write(w)
		return
	case err != nil:
		openai.InvalidRequest("", "The body could not be read to its end.").Write(w)
		return
	case strings.TrimSpace(string(body)) == "":
		openai.InvalidRequest("", "The body must be the definition of the consumer, in JSON or YAML; {} is one without limits.").Write(w)
		return
	}
	c.change(w, r, name, func(entry consumers.Entry) (consumer config.Consumer, key string, err error) {
		draft, err := consumers.ParseDraft(body)
		if err != nil {
			return consumer, "", &consumers.InvalidError{Err: err}
		}
		if !draft.Has("keys") {
			key, err = provideKeys(draft, entry.Consumer)
		}
		if err == nil {
			consumer, err = draft.Parse(name)
		}
		return consumer, key, err
	})
}

// provideKeys gives a definition without keys those that the consumer has, and a new
// one to a consumer that nobody could be otherwise.
func provideKeys(draft *consumers.Draft, present *config.Consumer) (key string, err error) {
	switch {
	case present != nil && len(present.Keys) > 0:
		return "", draft.SetKeys(present.Keys)
	case draft.Has("entra"):
		return "", nil
	}
	key, hash := auth.NewKey()
	return key, draft.Set("keys", []string{hash})
}

// addKey gives the consumer one more key.
func (c *Console) addKey(w http.ResponseWriter, r *http.Request, name string) {
	c.change(w, r, name, func(entry consumers.Entry) (config.Consumer, string, error) {
		if entry.Consumer == nil {
			return config.Consumer{}, "", cmp.Or(unreadable(entry), consumers.ErrNotFound)
		}
		draft, err := consumers.EditDraft(entry.Consumer)
		if err != nil {
			return config.Consumer{}, "", err
		}
		key, hash := auth.NewKey()
		if err := draft.AddKey(hash); err != nil {
			return config.Consumer{}, "", err
		}
		consumer, err := draft.Parse(name)
		return consumer, key, err
	})
}

// dropKey takes a key from the consumer.
func (c *Console) dropKey(w http.ResponseWriter, r *http.Request, name, beginning string) {
	c.change(w, r, name, func(entry consumers.Entry) (config.Consumer, string, error) {
		if entry.Consumer == nil {
			return config.Consumer{}, "", cmp.Or(unreadable(entry), consumers.ErrNotFound)
		}
		consumer := *entry.Consumer
		var err error
		if consumer.Keys, err = consumers.WithoutKey(consumer.Keys, beginning); err != nil {
			return consumer, "", &consumers.InvalidError{Err: err}
		}
		return consumer, "", nil
	})
}

// unreadable is why a consumer's row cannot be read, if there is one.
func unreadable(entry consumers.Entry) error {
	if entry.Problem == "" {
		return nil
	}
	return &consumers.InvalidError{Err: errors.New(entry.Problem)}
}

// change makes a change of what the consumer is now, and answers with what it has
// become. Without a condition of the client's it is made anew if another one came
// first.
func (c *Console) change(w http.ResponseWriter, r *http.Request, name string, next func(consumers.Entry) (consumer config.Consumer, key string, err error)) {
	by, _ := c.Admin(r)
	made, key, added, err := consumers.Entry{}, "", false, error(nil)
	for range changeTries {
		var present consumers.Entry
		if present, err = c.Consumers.Get(r.Context(), name); err != nil && !errors.Is(err, consumers.ErrNotFound) {
			break
		}
		if err = checkConditions(r.Header, present); err != nil {
			break
		}
		change := consumers.Change{By: by, ETag: present.ETag, New: present.ETag == ""}
		if change.Consumer, key, err = next(present); err != nil {
			break
		}
		made, err = c.Consumers.Put(r.Context(), change)
		added = change.New
		if !overtaken(err) || conditional(r.Header) {
			break
		}
	}
	switch {
	case err != nil && conditional(r.Header) && overtaken(err):
		errPrecondition.Write(w)
	case err != nil:
		consumersError(err).Write(w)
	case added:
		writeConsumer(w, r, http.StatusCreated, made, key)
	default:
		writeConsumer(w, r, http.StatusOK, made, key)
	}
}

func (c *Console) removeConsumer(w http.ResponseWriter, r *http.Request, name string) {
	change := consumers.Change{Consumer: config.Consumer{Name: name}}
	change.By, _ = c.Admin(r)
	var err error
	if conditional(r.Header) {
		var present consumers.Entry
		if present, err = c.Consumers.Get(r.Context(), name); err == nil {
			err = checkConditions(r.Header, present)
		}
		change.ETag = present.ETag
	}
	if err == nil {
		err = c.Consumers.Remove(r.Context(), change)
	}
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case conditional(r.Header) && overtaken(err):
		errPrecondition.Write(w)
	default:
		consumersError(err).Write(w)
	}
}

var _ Directory = (*consumers.Directory)(nil)
