package form

import (
	"cmp"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"os"
	"strings"
)

// Options are how a form is kept. The zero value is usable.
type Options struct {
	// Memory is how many bytes are kept in memory; the rest goes to a file.
	// Default 1 MiB.
	Memory int64
	// Max is the longest body that is read, in bytes; 0: any.
	Max int64
	// Folder is where the file is made. Default os.TempDir().
	Folder string
}

const (
	maxBoundary = 70 // as RFC 2046 says
	maxParts    = 1000
	// maxHeader is how long the header of a part may be, what stands before the
	// first part included.
	maxHeader = 32 << 10
	// maxField is the longest field that Fields tells, and maxFields bounds the
	// memory of all of them.
	maxField  = 64 << 10
	maxFields = 1 << 20
	// copySize is more than what multipart.Reader gives at a time.
	copySize = 8 << 10
)

// Read takes a body to its end. It is kept as it comes, so that a large one needs
// no more memory than a small one. The errors are those above, and those of
// reading the body as they are. The Form must be closed.
func Read(body io.Reader, contentType string, o Options) (*Form, error) {
	kind, parameters, err := mime.ParseMediaType(contentType)
	boundary := parameters["boundary"]
	if err != nil || kind != "multipart/form-data" || boundary == "" || len(boundary) > maxBoundary {
		return nil, ErrNotForm
	}
	kept := &spool{limit: cmp.Or(max(o.Memory, 0), 1<<20), folder: cmp.Or(o.Folder, os.TempDir())}
	from := &source{body: body, max: o.Max}
	f := &Form{fields: make(map[string]string), kept: kept}
	f.holds.Store(1)
	if err := f.read(from, boundary); err != nil {
		_ = kept.remove() // err says more
		return nil, err
	}
	return f, nil
}

// read takes the parts from a source, and writes them again under a boundary of
// its own.
func (f *Form) read(from *source, boundary string) error {
	parts := multipart.NewReader(from, boundary)
	out := multipart.NewWriter(f.kept)
	f.boundary = out.Boundary()
	c := copier{form: f, from: from, out: out, buf: make([]byte, copySize)}
	for count := 0; ; count++ {
		from.inHeader(maxHeader)
		part, err := parts.NextRawPart()
		from.inContent()
		switch {
		case err == io.EOF && count == 0:
			return malformed("it has no parts")
		case err == io.EOF:
			return cmp.Or(out.Close(), f.kept.flush(), from.drain())
		case err != nil:
			return from.judge(err)
		case count == maxParts:
			return ErrTooManyParts
		}
		if err := c.copy(part); err != nil {
			return err
		}
	}
}

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// copier copies parts.
type copier struct {
	form  *Form
	from  *source
	out   *multipart.Writer
	buf   []byte
	told  int // bytes of the names and values of Fields
	value []byte
}

// copy writes one part again, and learns from it if it is a field.
func (c *copier) copy(part *multipart.Part) error {
	head, err := parseHead(part.Header)
	if err != nil {
		return err
	}
	isModel := strings.EqualFold(head.name, modelField)
	if isModel {
		if err := c.checkModel(head); err != nil {
			return err
		}
	}
	to, err := c.out.CreatePart(head.header())
	if err != nil {
		return err
	}
	start := c.form.kept.size
	c.value = c.value[:0]
	long, err := c.content(to, part, head.file)
	if err != nil {
		return err
	}
	switch {
	case isModel && long:
		return malformed("its model is too long")
	case isModel:
		c.form.model, c.form.hasModel = span{start, c.form.kept.size}, true
	}
	if head.file || long {
		return nil
	}
	return c.tell(head.name)
}

// checkModel refuses whatever could make a backend see another model than the one
// that is seen here.
func (c *copier) checkModel(head head) error {
	switch {
	case head.name != modelField:
		return malformed("the name of the field model is in lower case")
	case c.form.hasModel:
		return malformed("it has more than one model")
	case head.file:
		return malformed("its model is a file")
	default:
		return nil
	}
}

// content copies the content of a part. That of a field is in c.value then, unless
// it is too long.
func (c *copier) content(to io.Writer, part *multipart.Part, file bool) (long bool, err error) {
	for {
		n, err := part.Read(c.buf)
		if _, failed := to.Write(c.buf[:n]); failed != nil {
			return false, failed
		}
		if long = long || len(c.value)+n > maxField; !file && !long {
			c.value = append(c.value, c.buf[:n]...)
		}
		if err == io.EOF {
			return long, nil
		}
		if err != nil {
			return false, c.from.judge(err)
		}
	}
}

// tell notes a field. One of a name that has been told already is not needed.
func (c *copier) tell(name string) error {
	if _, told := c.form.fields[name]; told {
		return nil
	}
	if c.told += len(name) + len(c.value); c.told > maxFields {
		return fmt.Errorf("%w: its fields are longer than 1 MiB", ErrTooLarge)
	}
	c.form.fields[name] = string(c.value)
	return nil
}

// head is what the header of a part says.
type head struct {
	name        string
	file        bool // it has a filename, which may be empty
	filename    string
	contentType string
	encoding    string // its Content-Transfer-Encoding, of a file
}

// parseHead reads the header of a part. RFC 7578 knows no fields but these.
func parseHead(header textproto.MIMEHeader) (head, error) {
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Disposition"))
	if err != nil || kind != "form-data" || parameters["name"] == "" {
		return head{}, malformed("a part has no name")
	}
	h := head{name: parameters["name"], contentType: header.Get("Content-Type"), encoding: header.Get("Content-Transfer-Encoding")}
	h.filename, h.file = parameters["filename"]
	for _, text := range []string{h.name, h.filename, h.contentType, h.encoding} {
		if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return head{}, malformed("the header of a part has a control character")
		}
	}
	switch strings.ToLower(h.encoding) {
	case "", "7bit", "8bit", "binary":
		h.encoding = "" // as it stands
	default:
		if !h.file {
			return head{}, malformed("a field is encoded")
		}
	}
	return h, nil
}

// escaper writes a quoted parameter, as browsers and mime/multipart do.
var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// header is the part's header, written anew.
func (h head) header() textproto.MIMEHeader {
	disposition := `form-data; name="` + escaper.Replace(h.name) + `"`
	if h.file {
		disposition += `; filename="` + escaper.Replace(h.filename) + `"`
	}
	header := textproto.MIMEHeader{"Content-Disposition": {disposition}}
	if h.contentType != "" {
		header["Content-Type"] = []string{h.contentType}
	}
	if h.encoding != "" {
		header["Content-Transfer-Encoding"] = []string{h.encoding}
	}
	return header
}
