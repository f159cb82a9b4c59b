package azureopenai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// storedFile is a file that the resource keeps.
type storedFile struct {
	fileObject
	content []byte
}

type fileObject struct {
	ID            string  `json:"id"`
	Object        string  `json:"object"`
	Bytes         int64   `json:"bytes"`
	CreatedAt     int64   `json:"created_at"`
	ExpiresAt     *int64  `json:"expires_at,omitempty"`
	Filename      string  `json:"filename"`
	Purpose       string  `json:"purpose"`
	Status        string  `json:"status"`
	StatusDetails *string `json:"status_details"`
}

var purposes = []string{"assistants", "batch", "fine-tune", "vision", "user_data", "evals"}

// parseStored reads a request about what the resource keeps.
func (r *request) parseStored(rt route, in input) *serviceError {
	switch r.operation {
	case GetResponse:
		r.stream = rt.query.Get("stream") == "true"
	case UploadFile:
		return r.parseUpload(in)
	case CreateBatch:
		return r.parseBatch(in.fields)
	}
	return nil
}

// shortestLife and longestLife bound the life of a file, in seconds.
const shortestLife, longestLife = 3600, 2_592_000

func (r *request) parseUpload(in input) *serviceError {
	file, ok := in.file("file")
	if !ok {
		return missing("file")
	}
	purpose, problem := in.text("purpose", purposes...)
	if problem != nil {
		return problem
	}
	if purpose == "" {
		return missing("purpose")
	}
	r.upload = &storedFile{fileObject{Object: "file", Bytes: int64(len(file.content)), Filename: file.name, Purpose: purpose, Status: "processed"}, file.content}
	if text, _ := in.text("expires_after[seconds]"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds < shortestLife || seconds > longestLife {
			return invalid("expires_after.seconds", "invalid_value", "Invalid value for 'expires_after.seconds': expected an integer between %d and %d.", shortestLife, longestLife)
		}
		r.upload.ExpiresAt = &seconds // after the creation; uploadFile adds its time
	}
	return nil
}

// uploadFile keeps a file. One for a batch must be made of lines of JSON.
func (e *exchange) uploadFile() error {
	file := *e.request.upload
	file.ID, file.CreatedAt = e.fileID(), e.server.today().Unix()
	if file.ExpiresAt != nil {
		at := file.CreatedAt + *file.ExpiresAt
		file.ExpiresAt = &at
	}
	if file.Purpose == "batch" && len(file.content) > 0 && !json.Valid(firstLine(file.content)) {
		return invalid("file", "invalid_file_format", "Invalid file format for Batch API. Must be .jsonl")
	}
	s := e.server
	s.store.mu.Lock()
	s.store.files.put(file.ID, file, s.options.Kept)
	s.store.mu.Unlock()
	return e.writeBody(file.fileObject)
}

// fileID makes up the id of a file as the dialect writes it.
func (e *exchange) fileID() string {
	if e.route.dialect.azure() {
		return "file-" + e.dice.hex(32)
	}
	return "file-" + e.dice.name(22)
}

// file returns the file that the path names.
func (e *exchange) file() (storedFile, *serviceError) {
	s := e.server
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if file, ok := s.store.files.get(e.route.id); ok {
		return file, nil
	}
	return storedFile{}, noSuch(e.route.dialect, "File", e.route.id)
}

// noSuch is the error for an unknown file or batch.
func noSuch(d dialect, kind, id string) *serviceError {
	if d.azure() {
		return &serviceError{status: http.StatusNotFound, code: "resourceNotFound", message: fmt.Sprintf("%s with id '%s' was not found.", kind, id)}
	}
	return &serviceError{status: http.StatusNotFound, typ: "invalid_request_error", param: "id", message: fmt.Sprintf("No such %s object: %s", kind, id)}
}

func (e *exchange) getFile() error {
	file, problem := e.file()
	if problem != nil {
		return problem
	}
	return e.writeBody(file.fileObject)
}

func (e *exchange) fileContent() error {
	file, problem := e.file()
	if problem != nil {
		return problem
	}
	e.w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", file.Filename))
	return e.writeWhole("application/octet-stream", file.content, nil)
}

func (e *exchange) deleteFile() error {
	if _, problem := e.file(); problem != nil {
		return problem
	}
	s := e.server
	s.store.mu.Lock()
	s.store.files.remove(e.route.id)
	s.store.mu.Unlock()
	return e.writeBody(map[string]any{"id": e.route.id, "object": "file", "deleted": true})
}

func (e *exchange) listFiles() error {
	purpose := e.route.query.Get("purpose")
	var all []listed
	s := e.server
	s.store.mu.Lock()
	for _, file := range s.store.files.all() {
		if purpose == "" || purpose == file.Purpose {
			all = append(all, listed{file.ID, file.fileObject})
		}
	}
	s.store.mu.Unlock()
	page, problem := listPage(all, e.route.query, 10_000, 10_000, "desc")
	if problem != nil {
		return problem
	}
	return e.writeBody(page)
}
