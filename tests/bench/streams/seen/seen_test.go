package seen

import (
	"testing"
	"time"
)

// A stream ends well with [DONE] and nothing after it; the time to the first event is
// of those that do.
func TestStreams(t *testing.T) {
	event := "data: {}"
	for _, test := range []struct {
		name   string
		lines  []string
		err    string
		errors int
		events int64
	}{
		{"a whole stream", []string{event, "", event, "", "data: [DONE]", ""}, "", 0, 2},
		{"comments and fields are no events", []string{": hello", "event: x", event, "data: [DONE]"}, "", 0, 1},
		{"cut", []string{event}, "it ended without [DONE]", 1, 1},
		{"an event after the end", []string{event, "data: [DONE]", event}, "an event after the end", 1, 1},
		{"nothing", nil, "it ended without [DONE]", 1, 0},
	} {
		var s Stream
		for i, line := range test.lines {
			s.Line(line, time.Duration(i+1)*time.Second)
		}
		got := Of([]Stream{s}, time.Second)
		if got.Why != test.err || got.Errors != test.errors || got.Events != test.events || got.Streams != 1 {
			t.Errorf("%s: got %+v, want %d errors (%q) and %d events", test.name, got, test.errors, test.err, test.events)
		}
	}
}

func TestTimesToTheFirstEvent(t *testing.T) {
	var all []Stream
	for i := range 100 {
		all = append(all, Stream{Events: 1, Done: true, First: time.Duration(100-i) * time.Millisecond})
	}
	all = append(all, Stream{Err: "refused", First: time.Hour})
	got := Of(all, 2*time.Second)
	if got.Median != 0.051 || got.P99 != 0.1 || got.Errors != 1 || got.Why != "refused" || got.Seconds != 2 {
		t.Errorf("got %+v", got)
	}
}
