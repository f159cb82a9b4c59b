package openai

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// show writes events down for comparison.
func show(events []Event) string {
	var b strings.Builder
	for _, ev := range events {
		fmt.Fprintf(&b, "%q %q %q\n", ev.Raw, ev.Name, ev.Data)
	}
	return b.String()
}

// events reads a stream that arrives in two pieces, cut at a byte, and then ends.
func events(t *testing.T, stream []byte, cut int) []Event {
	t.Helper()
	var list []Event
	start, end := 0, cut
	for {
		ev, n := NextEvent(stream[start:end])
		switch {
		case n > 0:
			if !bytes.Equal(ev.Raw, stream[start:start+n]) {
				t.Fatalf("raw is %q, want %q", ev.Raw, stream[start:start+n])
			}
			list = append(list, ev)
			start += n
		case end < len(stream):
			end = len(stream)
		default:
			if ev, ok := LastEvent(stream[start:]); ok {
				list = append(list, ev)
			}
			return list
		}
	}
}

// referenceEvents reads a whole stream as the HTML standard says, with simple means.
func referenceEvents(stream []byte) string {
	var b strings.Builder
	text := strings.ReplaceAll(strings.ReplaceAll(string(stream), "\r\n", "\n"), "\r", "\n")
	for text != "" {
		text = strings.TrimPrefix(text, "\uFEFF")
		var name, data string
		any := false
		for done := false; !done && text != ""; {
			line, rest, ended := strings.Cut(text, "\n")
			text = rest
			done = ended && line == ""
			field, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case field == "data" && any:
				data += "\n" + value
			case field == "data":
				data, any = value, true
			case field == "event":
				name = value
			}
		}
		fmt.Fprintf(&b, "%q %q\n", name, data)
	}
	return b.String()
}

// checkEvents reads a stream whole and cut in two, compares it with the reference, and returns the events.
func checkEvents(t *testing.T, stream []byte, cuts ...int) []Event {
	t.Helper()
	whole := events(t, stream, len(stream))
	var raw []byte
	var b strings.Builder
	for _, ev := range whole {
		raw = append(raw, ev.Raw...)
		fmt.Fprintf(&b, "%q %q\n", ev.Name, ev.Data)
	}
	if !bytes.Equal(raw, stream) {
		t.Errorf("%q: the events are %q in all", stream, raw)
	}
	if got, want := b.String(), referenceEvents(stream); got != want {
		t.Errorf("%q:\n got %s\nwant %s", stream, got, want)
	}
	for _, cut := range cuts {
		if got, want := show(events(t, stream, cut)), show(whole); got != want {
			t.Errorf("%q cut at %d:\n got %s\nwant %s", stream, cut, got, want)
		}
	}
	return whole
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		stream string
		want   string // name|data of each event
	}{
		{"", ""},
		{"data: {}\n\ndata: [DONE]\n\n", "|{}, |[DONE]"},
		{"data: {}\r\n\r\ndata: [DONE]\r\n\r\n", "|{}, |[DONE]"},
		{"data: {}\r\rdata: [DONE]\r\r", "|{}, |[DONE]"},
		{"data: 1\n\r\ndata: 2\r\n\rdata: 3\r\n\n", "|1, |2, |3"},
		{"data:{}\n\n", "|{}"},
		{"data:  {}\n\n", "| {}"},
		{"event: error\ndata: {\"error\":{}}\n\n", "error|{\"error\":{}}"},
		{"data: a\ndata: b\ndata\n\n", "|a\nb\n"},
		{"data\ndata: b\n\n", "|\nb"},
		{": keep-alive\n\n", "|"},
		{":\n\n: x\ndata: 1\n\n", "|, |1"},
		{"id: 7\nretry: 10\nfoo\ndata: 1\n\n", "|1"},
		{"\n\ndata: 1\n\n", "|, |, |1"},
		{"\uFEFFdata: 1\n\ndata: 2\n\n", "|1, |2"},
		{"\uFEFF\n\n", "|, |"},
		{"data: 1\n\ndata: cut", "|1, |cut"},
		{"data: 1\n", "|1"},
		{"data: 1\n\r", "|1"},
		{"data: 1\r\r", "|1"},
		{"data: 1\r", "|1"},
		{"\uFEFF", "|"},
		{"data: a:b: c\n\n", "|a:b: c"},
		{"Data: 1\n\n", "|"},
	} {
		stream := []byte(c.stream)
		cuts := make([]int, len(stream)+1)
		for i := range cuts {
			cuts[i] = i
		}
		var got []string
		for _, ev := range checkEvents(t, stream, cuts...) {
			got = append(got, string(ev.Name)+"|"+string(ev.Data))
		}
		if got := strings.Join(got, ", "); got != c.want {
			t.Errorf("%q: %q, want %q", c.stream, got, c.want)
		}
	}
}

// A CR at the end of what has arrived may be half a CRLF: whoever takes it for the blank line sends the LF on as an event
// of its own, and differently for each way the bytes are cut.
func TestEventWaitsForTheByteBehindACarriageReturn(t *testing.T) {
	if _, n := NextEvent([]byte("data: 1\r\n\r")); n != 0 {
		t.Errorf("an event of %d bytes, want 0", n)
	}
	for _, next := range []string{"\n", "d", "\r"} {
		stream := "data: 1\r\n\r" + next
		want := len(stream)
		if next != "\n" {
			want--
		}
		if ev, n := NextEvent([]byte(stream)); n != want || string(ev.Data) != "1" {
			t.Errorf("%q: %d bytes, data %q", stream, n, ev.Data)
		}
	}
}

func TestNextEventDoesNotAllocate(t *testing.T) {
	stream := []byte("event: x\ndata: " + contentChunk + "\n\n")
	if n := testing.AllocsPerRun(100, func() { NextEvent(stream) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzNextEvent(f *testing.F) {
	f.Fuzz(func(t *testing.T, stream []byte, cut uint16) {
		checkEvents(t, stream, int(cut)%(len(stream)+1))
	})
}
