package fleet

import (
	"context"
	"net/http"

	"spillway/functions/app"
	"spillway/shared/store"
	"spillway/shared/usage"
)

// Tamper makes a world wrong in a way that the judge must see. The zero value
// leaves it as it is.
type Tamper struct {
	// Factor is what the limits in the configuration are multiplied by.
	Factor int64
	// Deaf: no instance learns the table's time.
	Deaf bool
	// NoTimer: the timer never runs. That is no wrong; it is for pairs of runs.
	NoTimer bool
	// Keeps: instances that end give nothing back.
	Keeps bool
	// Store is put between an instance and the table.
	Store func(instance int, inner store.Store) store.Store
	// Before is put before the door through which the judge sees an instance's calls
	// to the backends.
	Before func(inner http.RoundTripper) http.RoundTripper
	// Handler is put between an instance and its clients.
	Handler func(instance int, inner http.Handler) http.Handler
	// Records changes what an instance has recorded.
	Records func([]usage.Record) []usage.Record
}

func (t *Tamper) store(i *instance, l store.Store) store.Store {
	if t.Store == nil {
		return l
	}
	return t.Store(i.index, l)
}

func (t *Tamper) transport(d *door) http.RoundTripper {
	if t.Before != nil {
		return t.Before(d)
	}
	return d
}

func (t *Tamper) handler(i *instance, h http.Handler) http.Handler {
	if t.Handler == nil {
		return h
	}
	return t.Handler(i.index, h)
}

func (t *Tamper) records(records []usage.Record) []usage.Record {
	if t.Records == nil {
		return records
	}
	return t.Records(records)
}

func (t *Tamper) close(a *app.App, ctx context.Context) {
	if !t.Keeps {
		a.Close(ctx)
	}
}
