package clients_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	azureclient "github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"
)

// goRun is a run of the list of calls by the official client for Go.
type goRun struct {
	t       testing.TB
	service service
	client  openai.Client
	answers []answer          // of the call that is being made
	kept    map[string]string // ids of what calls have made, by its kind
}

// runGo makes the calls with the official client for Go.
func runGo(t testing.TB, s service) []line {
	t.Helper()
	r := &goRun{t: t, service: s, kept: make(map[string]string)}
	r.client = r.newClient(s.key)
	all := r.calls()
	var lines []line
	for _, name := range s.calls {
		r.answers = nil
		result, err := all[name]()
		l := line{Call: name, Answers: r.answers, Result: result}
		if err != nil {
			l.Result, l.Error = nil, goError(err)
		}
		lines = append(lines, l)
	}
	return lines
}

// newClient makes a client as its documentation tells, which notes each answer.
func (r *goRun) newClient(key string) openai.Client {
	transport := new(http.Transport)
	r.t.Cleanup(transport.CloseIdleConnections)
	options := []option.RequestOption{option.WithHTTPClient(&http.Client{Transport: transport}), option.WithMiddleware(r.note)}
	switch r.service.constructor {
	case azure:
		return openai.NewClient(append(options, azureclient.WithEndpoint(r.service.url, apiVersion), azureclient.WithAPIKey(key), azureclient.WithUnsafeAllowHTTP())...)
	case azureV1:
		return openai.NewClient(append(options, option.WithBaseURL(r.service.url+"/openai/v1/"), option.WithAPIKey(key))...)
	}
	return openai.NewClient(append(options, option.WithBaseURL(r.service.url+"/v1/"), option.WithAPIKey(key))...)
}

func (r *goRun) note(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	response, err := next(req)
	if err == nil {
		a := answer{Status: response.StatusCode, Header: make(map[string]string)}
		for name, values := range response.Header {
			a.Header[strings.ToLower(name)] = strings.Join(values, ", ")
		}
		r.answers = append(r.answers, a)
	}
	return response, err
}

// goError is what the client tells of an error.
func goError(err error) map[string]any {
	var e *openai.Error
	if !errors.As(err, &e) {
		return map[string]any{"class": "other", "message": err.Error()}
	}
	body, err := parsed(e, nil)
	if err != nil {
		body = e.RawJSON()
	}
	return map[string]any{
		"class": "openai.Error", "status": e.StatusCode, "message": e.Message, "code": e.Code, "type": e.Type, "param": e.Param, "body": body,
	}
}

// raw is a value that the client has parsed.
type raw interface{ RawJSON() string }

// parsed is what the client has parsed, as JSON.
func parsed(v raw, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	var value any
	err = json.Unmarshal([]byte(v.RawJSON()), &value)
	return value, err
}

// sequence is a stream of events, or the items of all pages.
type sequence[T any] interface {
	Next() bool
	Current() T
	Err() error
}

// every reads a sequence to its end.
func every[T raw](s sequence[T]) (any, error) {
	if stream, ok := s.(io.Closer); ok {
		defer stream.Close()
	}
	all := []any{}
	for s.Next() {
		value, err := parsed(s.Current(), nil)
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, s.Err()
}

// content is a body that is not JSON.
func content(response *http.Response, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return map[string]any{"bytes": len(body), "sha256": fmt.Sprintf("%x", sha256.Sum256(body))}, err
}
