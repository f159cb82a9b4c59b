package form

import (
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
)

// boundary is that of the forms that clients send here.
const boundary = "client-boundary"

const contentType = "multipart/form-data; boundary=" + boundary

// field and file are parts as a client writes them.
func field(name, value string) string {
	return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

func file(name, filename, content string) string {
	return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"; filename=\"" + filename +
		"\"\r\nContent-Type: audio/mpeg\r\n\r\n" + content + "\r\n"
}

// formOf is a whole form of the parts.
func formOf(parts ...string) string { return strings.Join(parts, "") + "--" + boundary + "--\r\n" }

// upload is a form such as the SDKs send.
func upload(content string) string {
	return formOf(field("model", "whisper-1"), field("response_format", "json"), file("file", "speech.mp3", content))
}

// read reads a form that is good, and closes it with the test.
func read(t testing.TB, text string, o Options) *Form {
	t.Helper()
	f, err := Read(strings.NewReader(text), contentType, o)
	if err != nil {
		t.Fatalf("the form is refused: %v", err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return f
}

// part is what a backend reads of a part.
type part struct{ name, filename, contentType, content string }

// parts is what a backend reads of a body.
func parts(t testing.TB, f *Form, b Body) []part {
	t.Helper()
	text := textOf(t, b)
	if int64(len(text)) != b.Size() {
		t.Errorf("a body of %d bytes says that it has %d", len(text), b.Size())
	}
	_, parameters, err := mime.ParseMediaType(f.ContentType())
	if err != nil {
		t.Fatalf("content type %q: %v", f.ContentType(), err)
	}
	var all []part
	for from := multipart.NewReader(strings.NewReader(text), parameters["boundary"]); ; {
		p, err := from.NextRawPart()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("the backend cannot read %q: %v", text, err)
		}
		content, err := io.ReadAll(p)
		if err != nil {
			t.Fatalf("the backend cannot read %q: %v", text, err)
		}
		all = append(all, part{p.FormName(), p.FileName(), p.Header.Get("Content-Type"), string(content)})
	}
}

// textOf is all of a body.
func textOf(t testing.TB, b Body) string {
	t.Helper()
	from := b.NewReader()
	defer from.Close()
	text, err := io.ReadAll(from)
	if err != nil {
		t.Fatalf("reading the body: %v", err)
	}
	return string(text)
}
