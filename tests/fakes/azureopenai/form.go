package azureopenai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"sort"
	"strconv"
	"strings"
)

// input is a request's body: the members of a JSON object, or the fields of a
// form as if they were such members, and a form's files.
type input struct {
	fields
	files []formFile
	// identity is what answers depend on: of a form the fields and the files, not
	// the boundary, which official clients draw anew for each request.
	identity []byte
}

type formFile struct {
	field, name string
	content     []byte
}

// parseInput reads a body of the kind that the endpoint takes.
func parseInput(rt route, contentType string, body []byte) (input, *serviceError) {
	in := input{identity: body}
	media, params, err := mime.ParseMediaType(contentType)
	switch rt.body {
	case noBody:
		in.identity = []byte(rt.id + "?" + rt.query.Encode())
		return in, nil
	case formBody:
		if err != nil || media != "multipart/form-data" {
			return in, unsupportedContent(rt.dialect, "multipart/form-data", contentType)
		}
		return parseForm(params["boundary"], body)
	}
	// Whatever a client calls the body of the oldest operations, JSON is read.
	lenient := rt.operation == ChatCompletions || rt.operation == Completions || rt.operation == Embeddings
	if contentType != "" && !lenient && (err != nil || media != "application/json") {
		return in, unsupportedContent(rt.dialect, "application/json", contentType)
	}
	var problem *serviceError
	in.fields, problem = parseFields(body)
	return in, problem
}

// parseForm reads the parts of a form. Of repeated fields the last one counts.
func parseForm(boundary string, body []byte) (in input, problem *serviceError) {
	malformed := invalid("", "", "Could not parse multipart form")
	if boundary == "" {
		return in, malformed
	}
	in.fields = fields{}
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return in, malformed
		}
		content, err := io.ReadAll(part)
		if err != nil || part.FormName() == "" {
			return in, malformed
		}
		if _, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
			in.files = append(in.files, formFile{part.FormName(), part.FileName(), content})
			continue
		}
		in.fields[part.FormName()] = formValue(part.FormName(), string(content))
	}
	if len(in.fields) == 0 && len(in.files) == 0 {
		return in, malformed
	}
	in.identity = in.content()
	return in, nil
}

// formNumbers are the fields of a form that are numbers or booleans in JSON.
var formNumbers = map[string]bool{"n": true, "stream": true, "partial_images": true, "temperature": true, "output_compression": true}

// formValue is a form's field as a member of a JSON object.
func formValue(name, value string) json.RawMessage {
	if formNumbers[name] && (value == "true" || value == "false") {
		return json.RawMessage(value)
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil && formNumbers[name] && json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}
	return mustJSON(value)
}

// content is everything that a form says.
func (in input) content() []byte {
	var lines []string
	for name, value := range in.fields {
		lines = append(lines, fmt.Sprintf("%q=%s", name, value))
	}
	sort.Strings(lines)
	for _, file := range in.files {
		lines = append(lines, fmt.Sprintf("%q/%q=%d:%x", file.field, file.name, len(file.content), crc64.Checksum(file.content, polynomial)))
	}
	return []byte(strings.Join(lines, "\n"))
}

// file returns the form's first file with one of the names.
func (in input) file(names ...string) (formFile, bool) {
	for _, f := range in.files {
		for _, name := range names {
			if f.field == name {
				return f, true
			}
		}
	}
	return formFile{}, false
}

// deployment is the name that the request gives; "" where it is about what the
// resource keeps.
func (in input) deployment(rt route) (string, *serviceError) {
	switch {
	case rt.stored:
		return "", nil
	case rt.dialect == classic && rt.deployed:
		return rt.deployment, nil
	case rt.operation == Moderations && !in.has("model"):
		return "omni-moderation-latest", nil
	}
	return in.model()
}

func unsupportedContent(d dialect, want, got string) *serviceError {
	if d.azure() {
		return &serviceError{status: http.StatusUnsupportedMediaType, code: "415", message: "Unsupported Media Type"}
	}
	return invalid("", "unsupported_content_type", "Unsupported content type: '%s'. This API method only accepts '%s' requests, but you specified the header 'Content-Type: %s'. "+
		"Please try again with a supported content type.", got, want, got)
}
