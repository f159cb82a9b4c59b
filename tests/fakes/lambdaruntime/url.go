package lambdaruntime

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// streamType is the content type of an answer to a Function URL: the status and the
// headers as JSON, eight zero bytes, and the body.
const streamType = "application/vnd.awslambda.http-integration-response"

const (
	maxRequest = 6 << 20 // of an event in bytes
	maxPrelude = 64 << 10
	urlID      = "abcdefghijklmnopqrstuvwxyz012345"
)

// ServeHTTP is the function's URL in the mode RESPONSE_STREAM: a request becomes an
// event, and the answer comes back as the program sends it. A client that leaves does
// not end the call. A call beside another is refused with 429, as with a reserved
// concurrency of one.
func (e *Environment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, `{"Message":"Request Entity Too Large"}`, http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		return
	}
	event, err := URLEvent(r, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply, err := e.Invoke(r.Context(), event)
	switch {
	case errors.Is(err, ErrBusy):
		http.Error(w, `{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Message":"Rate Exceeded."}`, http.StatusTooManyRequests)
		return
	case err != nil:
		w.Header().Set("X-Amzn-ErrorType", "InternalServerErrorException")
		http.Error(w, `{"Message":"Internal Server Error"}`, http.StatusBadGateway)
		return
	}
	defer reply.Body.Close() // to its end, whether the client reads or not
	reader := bufio.NewReader(reply.Body)
	if err := e.sendPrelude(w, reply.ContentType, reader); err != nil {
		e.mu.Lock()
		e.violations = append(e.violations, err.Error())
		e.mu.Unlock()
		http.Error(w, `{"Message":"Internal Server Error"}`, http.StatusBadGateway)
		return
	}
	length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	if err := relay(w, reader, length); err != nil {
		panic(http.ErrAbortHandler) // the answer must not look complete
	}
}

// relay sends each part as it comes. It returns the error of the source; that of the
// client is its own business. Where the length is known, -1 else, a client knows by
// the last byte that the answer is whole, and may call again at once: it gets that
// byte when the program has ended the answer, too.
func relay(w http.ResponseWriter, from *bufio.Reader, length int64) error {
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if length -= int64(n); length == 0 && err == nil {
			_, err = from.Peek(1)
		}
		if n > 0 {
			if _, gone := w.Write(buffer[:n]); gone != nil {
				return nil
			}
			_ = flush.Flush()
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// prelude is what an answer begins with.
type prelude struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Cookies    []string          `json:"cookies"`
}

// sendPrelude reads the status and the headers, and sends them.
func (e *Environment) sendPrelude(w http.ResponseWriter, contentType string, from *bufio.Reader) error {
	if contentType != streamType {
		return fmt.Errorf("a Function URL is answered by %q", contentType)
	}
	p, err := readPrelude(from)
	if err != nil {
		return fmt.Errorf("the prelude of an answer: %w", err)
	}
	for name, value := range p.Headers {
		w.Header().Set(name, value)
	}
	for _, cookie := range p.Cookies {
		w.Header().Add("Set-Cookie", cookie)
	}
	w.WriteHeader(p.StatusCode)
	return nil
}

// readPrelude reads up to the end of the eight zero bytes.
func readPrelude(from io.ByteReader) (*prelude, error) {
	end := make([]byte, 8)
	var text []byte
	for !bytes.HasSuffix(text, end) {
		c, err := from.ReadByte()
		if err != nil {
			return nil, err
		}
		if text = append(text, c); len(text) > maxPrelude {
			return nil, errors.New("it has no end")
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimSuffix(text, end)))
	decoder.DisallowUnknownFields()
	p := new(prelude)
	if err := decoder.Decode(p); err != nil {
		return nil, err
	}
	if decoder.More() || p.StatusCode < 200 || p.StatusCode > 599 {
		return nil, fmt.Errorf("it is %q", text)
	}
	return p, nil
}

// URLEvent is the event that a Function URL makes of a request, payload format 2.0.
func URLEvent(r *http.Request, body []byte) ([]byte, error) {
	domain := urlID + ".lambda-url." + region + ".on.aws"
	source, _, _ := net.SplitHostPort(r.RemoteAddr)
	headers := map[string]string{
		"host": domain, "x-forwarded-for": source, "x-forwarded-port": "443", "x-forwarded-proto": "https",
		"x-amzn-trace-id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700", "x-amzn-tls-version": "TLSv1.3",
	}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if len(body) > 0 {
		headers["content-length"] = fmt.Sprint(len(body))
	}
	query := map[string]string{}
	for name, values := range r.URL.Query() {
		query[name] = strings.Join(values, ",")
	}
	now := time.Now().UTC()
	event := map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": r.URL.EscapedPath(), "rawQueryString": r.URL.RawQuery,
		"headers": headers, "queryStringParameters": query,
		"requestContext": map[string]any{
			"accountId": "anonymous", "apiId": urlID, "domainName": domain, "domainPrefix": urlID,
			"http": map[string]any{
				"method": r.Method, "path": r.URL.Path, "protocol": "HTTP/1.1", "sourceIp": source, "userAgent": r.UserAgent(),
			},
			"requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599", "routeKey": "$default", "stage": "$default",
			"time": now.Format("02/Jan/2006:15:04:05 -0700"), "timeEpoch": now.UnixMilli(),
		},
		"isBase64Encoded": false,
	}
	if len(body) > 0 {
		if isText(r.Header.Get("Content-Type")) {
			event["body"] = string(body)
		} else {
			event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
		}
	}
	return json.Marshal(event)
}

// isText tells the content types whose bodies are put into an event as they are.
func isText(contentType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	kind = strings.TrimSpace(kind)
	return strings.HasPrefix(kind, "text/") || kind == "application/json" || kind == "application/xml" || kind == "application/javascript"
}

var _ http.Handler = (*Environment)(nil)
