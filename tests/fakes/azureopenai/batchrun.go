package azureopenai

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
)

// batchLine is one request of a batch.
type batchLine struct {
	CustomID string          `json:"custom_id"`
	Method   string          `json:"method"`
	URL      string          `json:"url"`
	Body     json.RawMessage `json:"body"`
}

// batchResult is what came of it.
type batchResult struct {
	ID       string         `json:"id"`
	CustomID string         `json:"custom_id"`
	Response *batchResponse `json:"response"`
	Error    any            `json:"error"`
}

type batchResponse struct {
	StatusCode int    `json:"status_code"`
	RequestID  string `json:"request_id"`
	Body       any    `json:"body"`
}

// rawJSON is JSON that is made already.
type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

func firstLine(content []byte) []byte {
	line, _, _ := bytes.Cut(content, []byte("\n"))
	return line
}

// lines are the lines of a batch's file that are not empty.
func (b *storedBatch) lines(s *Server) [][]byte {
	file, _ := s.store.files.get(b.InputFileID) // A file that is gone has no lines.
	var lines [][]byte
	for line := range bytes.Lines(file.content) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

// validate checks the form of all lines. It needs store.mu.
func (b *storedBatch) validate(s *Server) bool {
	found := batchErrors{Object: "list"}
	add := func(at int, code, message string) {
		line := int64(at + 1)
		found.Data = append(found.Data, batchError{Code: code, Message: message, Line: &line})
	}
	lines, seen := b.lines(s), map[string]bool{}
	for i, raw := range lines {
		var line batchLine
		switch {
		case json.Unmarshal(raw, &line) != nil:
			add(i, "invalid_json_line", "This line is not parseable as valid JSON.")
		case line.CustomID == "":
			add(i, "missing_required_parameter", "Missing required parameter: 'custom_id'.")
		case seen[line.CustomID]:
			add(i, "duplicate_custom_id", "The custom_id for this request is a duplicate of another request.")
		case line.Method != http.MethodPost:
			add(i, "invalid_method", "Invalid value for 'method': expected 'POST'.")
		case batchURL(line.URL) != batchURL(b.Endpoint):
			add(i, "mismatched_endpoint", "The URL provided for this request does not match the batch endpoint.")
		}
		seen[line.CustomID] = true
	}
	if len(lines) == 0 {
		found.Data = append(found.Data, batchError{Code: "empty_file", Message: "The input file is empty. Please ensure that the batch contains at least one request."})
	}
	if len(found.Data) > 0 {
		b.Errors = &found
		return false
	}
	b.RequestCounts.Total = int64(len(lines))
	return true
}

// run answers all lines and keeps the answers as files. It needs store.mu.
func (b *storedBatch) run(s *Server) {
	var done, failed bytes.Buffer
	b.Usage = &responseUsage{}
	for i, raw := range b.lines(s) {
		var line batchLine
		_ = json.Unmarshal(raw, &line) // Checked by validate.
		e := &exchange{server: s, route: b.work.route, number: b.work.number}
		e.dice = newDice(s.options.Seed, slices.Concat(b.work.identity, raw), int64(i))
		result := batchResult{ID: "batch_req_" + e.dice.name(24), CustomID: line.CustomID}
		body, problem := e.batchAnswer(line)
		out := &done
		result.Response = &batchResponse{StatusCode: http.StatusOK, RequestID: e.dice.uuid(), Body: body}
		if problem != nil {
			out = &failed
			result.Response.StatusCode, result.Response.Body = problem.status, rawJSON(problem.body())
			b.RequestCounts.Failed++
		} else {
			b.RequestCounts.Completed++
			b.Usage.InputTokens += e.prompt
			b.Usage.OutputTokens += e.generated
			b.Usage.OutputDetails.ReasoningTokens += e.reasoning()
			b.Model = e.deployment.Model
		}
		out.Write(mustJSON(result))
		out.WriteByte('\n')
	}
	b.Usage.TotalTokens = b.Usage.InputTokens + b.Usage.OutputTokens
	b.OutputFileID = b.keepResults(s, "output", done.Bytes())
	b.ErrorFileID = b.keepResults(s, "error", failed.Bytes())
}

// keepResults keeps a file of results; nil if there are none.
func (b *storedBatch) keepResults(s *Server, kind string, content []byte) *string {
	if len(content) == 0 {
		return nil
	}
	file := storedFile{fileObject{ID: b.work.fileID(), Object: "file", Bytes: int64(len(content)), CreatedAt: s.today().Unix(),
		Filename: b.ID + "_" + kind + ".jsonl", Purpose: "batch_output", Status: "processed"}, content}
	s.store.files.put(file.ID, file, s.options.Kept)
	return &file.ID
}

// batchAnswer is the body of the answer to one line of a batch.
func (e *exchange) batchAnswer(line batchLine) (any, *serviceError) {
	f, problem := parseFields(line.Body)
	if problem != nil {
		return nil, problem
	}
	name, problem := f.model()
	if problem != nil {
		return nil, problem
	}
	if e.deployment = e.server.deployments[name]; e.deployment == nil {
		return nil, unknownDeployment(e.route.dialect, name)
	}
	operation := Operation(batchURL(line.URL))
	e.route.endpoint = &endpoint{operation: operation}
	if e.request, problem = parseRequest(e.route, e.deployment.Model, input{fields: f}); problem != nil {
		return nil, problem
	}
	if e.request.stream {
		return nil, invalid("stream", "unsupported_parameter", "Streaming is not supported in a batch.")
	}
	e.prompt = e.request.promptTokens()
	switch operation {
	case Embeddings:
		return e.embeddingBody(), nil
	case Responses:
		answer := e.composeResponse()
		e.generated = answer.tokens
		return answer.final, nil
	}
	answer := e.compose()
	e.generated = e.total(answer)
	return e.answerBody(answer), nil
}
