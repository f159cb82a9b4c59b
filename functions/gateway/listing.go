package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"spillway/shared/objects"
	"spillway/shared/openai"
)

// maxListing bounds a list that is read whole, in bytes. Files have short entries, and
// the services send at most 10,000 of them.
const maxListing = 16 << 20

// listing is a page of a list, as the API writes it. What is not known here stays as
// it came.
type listing map[string]json.RawMessage

// ownPart takes out of a list what is not the consumer's: all consumers of a backend
// share one account there. A page may so be shorter than was asked for; has_more and
// the last id still lead to the next one.
func (g *Gateway) ownPart(ctx context.Context, v *errand, text []byte) ([]byte, *openai.Error) {
	own := make(map[string]bool)
	for object, err := range g.Objects.List(ctx, v.consumer.Name, v.kind) {
		if err != nil {
			return nil, unreadable()
		}
		own[object.ID] = object.Backend == v.backend.Name
	}
	var page listing
	var data []json.RawMessage
	if json.Unmarshal(text, &page) != nil || json.Unmarshal(page["data"], &data) != nil {
		return nil, openai.Internal()
	}
	kept := make([]json.RawMessage, 0, len(data))
	for _, entry := range data {
		var named struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(entry, &named) == nil && own[named.ID] {
			kept = append(kept, entry)
		}
	}
	if len(kept) < len(data) {
		delete(page, "first_id") // that of another's
	}
	var err error
	if page["data"], err = json.Marshal(kept); err != nil {
		return nil, openai.Internal()
	}
	amended, err := json.Marshal(page)
	if err != nil {
		return nil, openai.Internal()
	}
	return amended, nil
}

// claimOutputs remembers the files that a batch of the consumer has made.
func (g *Gateway) claimOutputs(ctx context.Context, v *errand, text []byte) {
	var batch struct {
		Output string `json:"output_file_id"`
		Error  string `json:"error_file_id"`
	}
	if json.Unmarshal(text, &batch) != nil {
		return
	}
	for _, id := range []string{batch.Output, batch.Error} {
		if id == "" {
			continue
		}
		if _, known, err := g.Objects.Get(ctx, v.consumer.Name, objects.File, id); err == nil && known {
			continue
		}
		g.keep(ctx, v.made(id, objects.File, g.Clock.Now()))
	}
}

// ownsInput checks that the file which a batch is to work on is the consumer's.
func (g *Gateway) ownsInput(ctx context.Context, c *Consumer, body []byte) *openai.Error {
	const member = "input_file_id"
	id, err := textMember(body, member)
	if err != nil {
		return openai.InvalidRequest(member, "Invalid 'input_file_id': "+err.Error()+".")
	}
	_, found, err := g.Objects.Get(ctx, c.Name, objects.File, id)
	switch {
	case err != nil:
		return unreadable()
	case !found:
		e := notFound("File", id)
		e.Param = member
		return e
	}
	return nil
}

// textMember is a member of a JSON object that must be there once and be a text: a
// gateway and a backend must not read different ones.
func textMember(object []byte, name string) (string, error) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if _, err := decoder.Token(); err != nil {
		return "", errors.New("the body is no object")
	}
	var text *string
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return "", errors.New("the body cannot be read")
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return "", errors.New("the body cannot be read")
		}
		if member, _ := key.(string); !strings.EqualFold(member, name) {
			continue
		}
		var got string
		if text != nil || key != name || json.Unmarshal(value, &got) != nil {
			return "", errors.New("it must be given once, as a string")
		}
		text = &got
	}
	if text == nil || *text == "" {
		return "", errors.New("it is missing")
	}
	return *text, nil
}

// boundedWriter writes no more than so many bytes.
type boundedWriter struct {
	to   *bytes.Buffer
	left int
}

var errTooLong = errors.New("gateway: the answer is too long")

// Write writes all of p, or fails.
func (b *boundedWriter) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errTooLong
	}
	return b.to.Write(p)
}
