package gateway_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"spillway/functions/app"
	"spillway/tests/rig"
)

// timed is a client of whose connection the deadlines for writing are noted.
type timed struct {
	sink
	written   int
	deadlines []bool // true: set, false: taken away
	early     bool   // something was written without a deadline
}

func (c *timed) Write(p []byte) (int, error) {
	c.written += len(p)
	c.early = c.early || len(c.deadlines) == 0
	return c.sink.Write(p)
}

func (c *timed) SetWriteDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, !t.IsZero())
	return nil
}

// A client that reads no more must not hold its backend for ever: an answer is written
// with a deadline, which is taken away for the connection's next request.
func TestAnswersAreWrittenInTime(t *testing.T) {
	long := instantPlain()
	long.body = strings.Replace(long.body, "The flow", strings.Repeat("The flow ", 300), 1)
	long.header.Set("Content-Length", strconv.Itoa(len(long.body)))
	for _, test := range []struct {
		name    string
		backend *instant
		stream  string
	}{
		{"short", instantPlain(), "false"},
		{"long", long, "false"},
		{"stream", instantStream(), "true"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newApp(t, limited(""), app.Options{Transport: test.backend})
			call := rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: `{"model":"gpt-4o","stream":` + test.stream + `,"messages":[{"role":"user","content":"Flow."}]}`}
			client := &timed{sink: sink{http.Header{}}}
			a.ServeHTTP(client, call.Request(t.Context()))
			if client.written == 0 {
				t.Fatal("nothing was written: the run is void")
			}
			if client.early {
				t.Error("it was written without a deadline")
			}
			if got := client.deadlines; len(got) != 2 || !got[0] || got[1] {
				t.Errorf("the deadlines set (true) and taken away are %v, want [true false]", got)
			}
		})
	}
}
