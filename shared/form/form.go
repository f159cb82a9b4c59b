// Package form takes multipart/form-data bodies, the uploads of audio, images and
// files: it reads one to its end with bounded memory, tells its fields, and
// gives it out again any number of times, with the model's name changed.
//
// What is given out is not what came in, but the same parts written anew: under a
// fresh boundary that no content can imitate, and with only those headers that
// the standard knows. So a backend cannot read another form than was read here,
// whatever its parser makes of odd input.
package form

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"sync"
	"sync/atomic"
)

// The errors of Read, to be told apart by errors.Is. All but the last are the
// client's fault, and their texts may be shown to it.
var (
	// ErrNotForm is a Content-Type other than multipart/form-data, or one without
	// a sound boundary.
	ErrNotForm = errors.New("the body is not multipart/form-data with a boundary")
	// ErrMalformed is a body that is no such form, or whose model is in doubt.
	ErrMalformed = errors.New("the form is malformed")
	// ErrCut is a body that ended before the form's closing boundary.
	ErrCut = errors.New("the form ended before its closing boundary")
	// ErrTooLarge is a body of more than Options.Max bytes, or with more than 1 MiB
	// of fields.
	ErrTooLarge = errors.New("the form is too large")
	// ErrTooManyParts is a form of more than 1,000 parts.
	ErrTooManyParts = errors.New("the form has more than 1,000 parts")
	// ErrDisk means that there is no room for the body. What it wraps names paths:
	// it is for logs, and not for clients.
	ErrDisk = errors.New("the form could not be kept")
)

// modelField is the field that names the model.
const modelField = "model"

// Form is a form that has been read. It is safe for concurrent use.
type Form struct {
	fields   map[string]string
	boundary string
	kept     *spool
	model    span // of the model's value in kept
	hasModel bool

	holds atomic.Int64 // the owner's and one for each open reader
}

// span is a range of bytes.
type span struct{ start, end int64 }

// Fields are the values of the fields that are no files: the first of each name,
// of those up to 64 KiB. The map must not be changed.
func (f *Form) Fields() map[string]string { return f.fields }

// ContentType is the Content-Type of every Body of the form.
func (f *Form) ContentType() string { return "multipart/form-data; boundary=" + f.boundary }

// Close gives up the form. Its memory and its file are freed with the last reader
// of its bodies; the error is that of removing the file, if this is the moment.
// It must be called once, and NewReader not after it.
func (f *Form) Close() error { return f.drop() }

// drop gives up one hold.
func (f *Form) drop() error {
	if f.holds.Add(-1) > 0 {
		return nil
	}
	return f.kept.remove()
}

// Body is the form's body with the field "model" set to the given name: replaced,
// or put in front where the form has none. An empty name leaves it as it is. The
// name must hold no line break.
func (f *Form) Body(model string) Body {
	b := Body{form: f, replaced: f.model}
	switch {
	case model == "":
		b.replaced = span{}
	case f.hasModel:
		b.text = []byte(model)
	default:
		b.text = fieldInFront(f.boundary, model)
	}
	return b
}

// fieldInFront is the part that names the model, up to the boundary that begins
// the next part.
func fieldInFront(boundary, model string) []byte {
	var text bytes.Buffer
	w := multipart.NewWriter(&text)
	_ = w.SetBoundary(boundary) // a Writer has made it
	_ = w.WriteField(modelField, model)
	text.WriteString("\r\n")
	return text.Bytes()
}

// Body is a form's body as one backend gets it. It is a value, safe for concurrent
// use; the zero value is empty.
type Body struct {
	form     *Form
	replaced span   // of what is kept
	text     []byte // in its place
}

// Size is the body's length in bytes.
func (b Body) Size() int64 {
	if b.form == nil {
		return 0
	}
	return b.form.kept.size - (b.replaced.end - b.replaced.start) + int64(len(b.text))
}

// NewReader returns a reader of the whole body, independent of all others. Until it
// is closed the form keeps its bytes. Reading and closing at the same time is
// allowed: once Close has returned nothing is read any more, and Read fails with
// http.ErrBodyReadAfterClose.
func (b Body) NewReader() io.ReadCloser {
	if b.form == nil {
		return http.NoBody
	}
	b.form.holds.Add(1)
	kept := b.form.kept
	return &reader{form: b.form, rest: io.MultiReader(
		io.NewSectionReader(kept, 0, b.replaced.start),
		bytes.NewReader(b.text),
		io.NewSectionReader(kept, b.replaced.end, kept.size-b.replaced.end),
	)}
}

// reader reads a body.
type reader struct {
	form *Form

	mu     sync.Mutex
	rest   io.Reader // guarded by mu
	closed bool      // guarded by mu
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return r.rest.Read(p)
}

// Close implements io.Closer. It waits for a Read under way; calls after the first
// do nothing.
func (r *reader) Close() error {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.mu.Unlock()
	if closed {
		return nil
	}
	return r.form.drop()
}

var _ io.ReadCloser = (*reader)(nil)
