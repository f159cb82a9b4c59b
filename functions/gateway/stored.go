package gateway

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"spillway/shared/auth"
	"spillway/shared/lease"
	"spillway/shared/objects"
	"spillway/shared/openai"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// storedKind is what an operation is about, where that is something that one backend
// keeps: a response, a file, a batch. Such operations generate nothing, so they are counted
// as requests and take no tokens, and there is only one backend that can serve them.
func storedKind(op openai.Operation) (kind objects.Kind, stored bool) {
	switch op {
	case openai.GetResponse, openai.DeleteResponse, openai.CancelResponse, openai.InputItems:
		return objects.Response, true
	case openai.UploadFile, openai.ListFiles, openai.GetFile, openai.DeleteFile, openai.FileContent:
		return objects.File, true
	case openai.CreateBatch, openai.ListBatches, openai.GetBatch, openai.CancelBatch:
		return objects.Batch, true
	}
	return "", false
}

// storedNames are the kinds as messages name them.
var storedNames = map[objects.Kind]string{objects.Response: "Response", objects.File: "File", objects.Batch: "Batch"}

// errand is one request about something stored, on its way.
type errand struct {
	*visit
	kind    objects.Kind
	object  objects.Object // what the path names; zero where it names none
	backend *upstream.Backend
	body    upstream.Body // nil: none
	header  http.Header
	query   url.Values // the client's, without credentials and api-version
}

// serveStored serves a request about something stored.
func (g *Gateway) serveStored(w *response, r *http.Request, from *visit, kind objects.Kind) *openai.Error {
	ctx := g.bound(r.Context(), from)
	defer unbind(from.space)
	v := errand{visit: from, kind: kind, header: forwardable(r.Header)}
	v.query, _ = url.ParseQuery(v.route.Query) // what cannot be read is left out
	auth.Strip(nil, v.query)
	if refused := g.locate(ctx, &v); refused != nil {
		return refused
	}
	if refused := v.contradicted(); refused != nil {
		return refused
	}
	release, refused := g.bring(ctx, w, r, &v)
	if refused != nil {
		return refused
	}
	defer release()
	hold, refused := g.reserveRequest(ctx, v.consumer, v.object.Model)
	if refused != nil {
		return refused
	}
	defer hold.cancel()
	v.record.Model, v.record.Pool = v.object.Model, v.object.Pool
	result, refused := g.ask(ctx, &v)
	if refused != nil {
		return refused
	}
	defer result.Close()
	hold.settle(usage.Tokens{}) // it has counted as a request
	g.answerStored(ctx, w, &v, result)
	return nil
}

// locate finds the backend that keeps what the request is about.
func (g *Gateway) locate(ctx context.Context, v *errand) *openai.Error {
	if v.route.ID != "" {
		object, found, err := g.Objects.Get(ctx, v.consumer.Name, v.kind, v.route.ID)
		switch {
		case err != nil:
			return unreadable()
		case !found:
			return notFound(storedNames[v.kind], v.route.ID)
		}
		v.object, v.backend = object, g.Backends[object.Backend]
		if v.backend == nil { // taken out of the configuration
			return away(storedNames[v.kind], object.Backend, 0)
		}
		return nil
	}
	v.backend = v.consumer.Files
	if v.backend == nil {
		e := openai.InvalidRequest("", "No backend of the pools that you may use keeps files and batches.")
		e.Code = "files_not_available"
		return e
	}
	return nil
}

// contradicted tells whether the client's own headers rule out the one backend that
// can serve.
func (v *errand) contradicted() *openai.Error {
	switch chosen := v.asked.backend; {
	case chosen != "" && chosen != v.backend.Name:
		return badControl(controlBackend, "this is kept by "+v.backend.Name)
	case slices.Contains(v.asked.exclude, v.backend.Name):
		return badControl(controlExclude, "this is kept by "+v.backend.Name)
	}
	return nil
}

// bring reads the request's body, and checks what it refers to.
func (g *Gateway) bring(ctx context.Context, w *response, r *http.Request, v *errand) (release func(), refused *openai.Error) {
	switch v.route.Operation.BodyKind() {
	case openai.BodyForm:
		f, refused := g.takeForm(w, r)
		if refused != nil {
			return nil, refused
		}
		v.body = f.Body("")
		v.header.Set("Content-Type", f.ContentType())
		return func() { _ = f.Close() }, nil
	case openai.BodyJSON:
		body, refused := g.readBody(w, r)
		if refused != nil {
			return nil, refused
		}
		wire := &body.wire
		refused = wire.Parse(v.route.Operation, body.bytes)
		if refused == nil {
			refused = g.ownsInput(ctx, v.consumer, body.bytes)
		}
		if refused != nil {
			body.release()
			return nil, refused
		}
		v.body = wire.Body(openai.Patch{})
		return func() { wire.Release(body.release) }, nil
	default:
		return func() {}, nil
	}
}

// reserveRequest takes one request from those limits of the consumer that count
// requests. Its tokens are not touched.
func (g *Gateway) reserveRequest(ctx context.Context, c *Consumer, model string) (*hold, *openai.Error) {
	h := &hold{consumer: c}
	for _, limit := range c.limits(nil, model) {
		if !limit.Requests {
			continue
		}
		reservation, verdict := g.insist(ctx, limit, 1, g.Clock.Read())
		if !verdict.OK() && !c.Shadow {
			h.cancel()
			if verdict.Outcome == lease.Canceled {
				return nil, g.ended(ctx)
			}
			return nil, g.overLimit(limit, 1, verdict)
		}
		h.limits, h.reservations = append(h.limits, limit), append(h.reservations, reservation)
	}
	return h, nil
}

// ask sends the request to the backend that keeps what it is about. Nobody else can
// answer it, and the breakers, which stand before what generates, learn nothing of it.
func (g *Gateway) ask(ctx context.Context, v *errand) (*upstream.Result, *openai.Error) {
	if v.span != nil {
		v.span.Attempt(v.header)
	}
	start := g.Clock.Now()
	result := g.Upstream.Do(ctx, v.backend, upstream.Call{
		Operation:  v.route.Operation,
		ID:         v.route.ID,
		Query:      v.query.Encode(),
		APIVersion: v.route.APIVersion,
		Header:     v.header,
		Body:       v.body,
		Stream:     v.route.Streams(),
	})
	v.record.Attempts = append(v.record.Attempts, usage.Attempt{
		Deployment: v.backend.Name + "/" + v.object.Deployment,
		Status:     result.Status,
		Reason:     cmp.Or(result.Reason, "ok"),
		Duration:   g.Clock.Now().Sub(start),
		Region:     v.backend.Region,
	})
	switch result.Outcome {
	case upstream.OK, upstream.ClientFault:
		return result, nil
	case upstream.Canceled:
		result.Close()
		return nil, g.ended(ctx)
	case upstream.Throttled:
		wait := min(cmp.Or(result.RetryAfter, time.Second), g.MaxRetryAfter)
		result.Close()
		return nil, openai.RateLimited("requests", "The backend "+v.backend.Name+", which keeps this, is at capacity. Please try again in "+readable(wait)+".", wait)
	default:
		result.Close()
		return nil, away(storedNames[v.kind], v.backend.Name, 0)
	}
}

// answerStored relays the answer, and remembers what it tells of things stored.
func (g *Gateway) answerStored(ctx context.Context, w *response, v *errand, result *upstream.Result) {
	record := v.record
	record.Backend, record.Deployment = v.backend.Name, v.object.Deployment
	record.Region = cmp.Or(v.backend.Region, regionOf(result.Header))
	record.BackendID, record.Stream = backendID(result.Header), result.Stream
	good := result.Outcome == upstream.OK
	switch {
	case good && result.HasUsage && v.object.Pending:
		g.charge(ctx, v.consumer, v.object, tokensOf(result.Usage), record)
	case good && (v.route.Operation == openai.DeleteResponse || v.route.Operation == openai.DeleteFile):
		_ = g.Objects.Delete(ctx, v.consumer.Name, v.kind, v.route.ID) // it is gone where it counts
	case good && (v.route.Operation == openai.UploadFile || v.route.Operation == openai.CreateBatch) && result.ObjectID != "":
		g.keep(ctx, v.made(result.ObjectID, v.kind, g.Clock.Now()))
	}

	header := w.Header()
	upstream.CopyHeaders(header, result.Header)
	header.Set(headerRequestID, record.RequestID)
	header.Set(headerBackend, v.backend.Name)
	var delivery upstream.Delivery
	if good && v.amends() {
		g.amend(ctx, w, v, result)
	} else {
		w.WriteHeader(result.Status)
		record.FirstByte = w.firstByte()
		delivery = result.Relay(w, v.space.flush)
	}
	if delivery.HasUsage && !result.HasUsage && v.object.Pending {
		g.charge(ctx, v.consumer, v.object, tokensOf(delivery.Usage), record)
	}
	g.explain(w, result, &delivery, record)
}

// made is an object that the request has made.
func (v *errand) made(id string, kind objects.Kind, now time.Time) objects.Object {
	return objects.Object{
		Kind: kind, ID: id, Consumer: v.consumer.Name, Backend: v.backend.Name,
		Created: now, Expires: now.Add(filesKeptFor), Tags: v.asked.tags,
	}
}

// filesKeptFor is how long a file or a batch is remembered. The services keep them
// until they are deleted.
const filesKeptFor = 366 * 24 * time.Hour

// amends tells whether the answer is not the client's as it comes: it lists what is of
// other consumers, too, or names files that have been made meanwhile.
func (v *errand) amends() bool {
	switch v.route.Operation {
	case openai.ListFiles, openai.ListBatches, openai.GetBatch, openai.CancelBatch:
		return true
	}
	return false
}

// amend reads the answer whole, and sends what of it is the consumer's.
func (g *Gateway) amend(ctx context.Context, w *response, v *errand, result *upstream.Result) {
	var whole bytes.Buffer
	delivery := result.Relay(&boundedWriter{to: &whole, left: maxListing}, nil)
	var text []byte
	var refused *openai.Error
	switch {
	case delivery.Err != nil:
		refused = away(storedNames[v.kind], v.backend.Name, 0)
	case v.kind == objects.Batch && v.route.ID != "":
		g.claimOutputs(ctx, v, whole.Bytes())
		text = whole.Bytes()
	default:
		text, refused = g.ownPart(ctx, v, whole.Bytes())
	}
	if refused != nil {
		header := w.Header()
		header.Del("Content-Length")
		g.refuse(w, v.record, refused)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(result.Status)
	v.record.FirstByte = w.firstByte()
	_, _ = w.Write(text) // the client may have left
}
