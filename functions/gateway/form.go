package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"

	"spillway/shared/form"
	"spillway/shared/openai"
)

// readForm reads a multipart body and what it says of the model. Its parts may come in
// any order, the model behind the file, so it is read to its end before it is sent:
// then it can also be sent to another backend when the first one fails.
func (g *Gateway) readForm(v *visit, w *response, r *http.Request) (*request, *openai.Error) {
	f, refused := g.takeForm(w, r)
	if refused != nil {
		return nil, refused
	}
	wire, refused := openai.FormRequest(v.route.Operation, f.Fields())
	var req *request
	if refused == nil {
		req, refused = g.understand(v, r, wire)
	}
	if refused != nil {
		_ = f.Close()
		return nil, refused
	}
	req.form = f
	req.header.Set("Content-Type", f.ContentType())
	return req, nil
}

// takeForm reads a multipart body to its end.
func (g *Gateway) takeForm(w *response, r *http.Request) (*form.Form, *openai.Error) {
	if r.ContentLength > g.MaxBody {
		return nil, openai.TooLarge(g.MaxBody)
	}
	connection := http.NewResponseController(w.ResponseWriter)
	body := &paced{
		from: http.MaxBytesReader(w.ResponseWriter, r.Body, g.MaxBody),
		wait: func() { _ = connection.SetReadDeadline(time.Now().Add(g.BodyIdle)) }, // see readBody
	}
	f, err := form.Read(body, r.Header.Get("Content-Type"), form.Options{Max: g.MaxBody, Folder: g.Folder})
	if err != nil {
		return nil, g.formError(err, body.err)
	}
	_ = connection.SetReadDeadline(time.Time{})
	return f, nil
}

// paced bounds each read of a body, and keeps why reading ended.
type paced struct {
	from io.Reader
	wait func()
	err  error
}

// Read reads on.
func (p *paced) Read(b []byte) (int, error) {
	p.wait()
	n, err := p.from.Read(b)
	if err != nil && err != io.EOF {
		p.err = err
	}
	return n, err
}

// formError is the answer to a form that could not be read: for a fault of its own, of
// the body under it, or of this host's disk.
func (g *Gateway) formError(err, reading error) *openai.Error {
	switch {
	case reading != nil:
		return g.bodyError(reading)
	case errors.Is(err, form.ErrTooLarge):
		return openai.TooLarge(g.MaxBody)
	case errors.Is(err, form.ErrNotForm), errors.Is(err, form.ErrMalformed), errors.Is(err, form.ErrCut), errors.Is(err, form.ErrTooManyParts):
		return openai.InvalidRequest("", "We could not read the form of your request: "+err.Error()+".")
	default:
		g.Fault(err, nil)
		return openai.Overloaded(time.Second)
	}
}
