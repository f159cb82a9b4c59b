package upstream

import (
	"strings"
	"testing"

	"spillway/shared/openai"
)

// Whatever a backend sends as a stream: nothing panics, nothing is invented, and
// the client gets the same whether the bytes come one by one or all at once.
func FuzzRelay(f *testing.F) {
	f.Add(preamble+delta("Hi.")+finish+usageOnly+done, false)
	f.Add(strings.ReplaceAll(delta("Hi.")+usageOnly+done, "\n", "\r\n"), false)
	f.Add(strings.Replace(delta("Hi."), "}]}", "}],\"usage\":null}", 1)+strings.Replace(delta("x"), "}]}", "}] , \"usage\" : null}", 1)+usageOnly+done, true)
	f.Add(delta("Hi.")+"data: {", true)
	f.Add("\ufeff: ping\r\r"+delta("Hi."), true)
	f.Add(delta("a")+"event: error\ndata: {}\n\n"+"\n\n\r\n\r", false)
	f.Fuzz(func(t *testing.T, source string, drop bool) {
		checkRelay(t, source, Call{Operation: openai.ChatCompletions, Deployment: "d", Body: bodyOf("{}"), Stream: true, DropUsage: drop})
	})
}

// The same for streams of events with types.
func FuzzRelayTyped(f *testing.F) {
	f.Add(created+added+word("Hi.")+completed, false)
	f.Add(created+word("Hi.")+failedBy("server_error")+done, false)
	f.Add(strings.ReplaceAll(created+word("Hi.")+completed, "\n", "\r\n"), true)
	f.Add(typed("error", `,"code":"invalid_prompt"`), true)
	f.Fuzz(func(t *testing.T, source string, stored bool) {
		call := typedCall(openai.Responses)
		if stored {
			call.Operation = openai.GetResponse
		}
		checkRelay(t, source, call)
	})
}

// checkRelay relays a stream in two ways, and compares.
func checkRelay(t *testing.T, source string, call Call) {
	t.Helper()
	var texts [2]string
	var deliveries [2]Delivery
	for i, size := range []int{1, 1 << 20} {
		r := New(Options{Transport: eventStream(&pieces{text: source, size: size})}).Do(t.Context(), backendAt(t, "http://backend.test"), call)
		checkResult(t, r)
		if r.Outcome == OK {
			texts[i], deliveries[i] = relayed(r)
			deliveries[i].Text, deliveries[i].Err = nil, nil
		} else {
			texts[i] = r.Reason
		}
		if r.Outcome == OK && !call.DropUsage && !strings.HasPrefix(source, ofBackend(texts[i], deliveries[i])) {
			t.Errorf("invented: %q of %q", texts[i], source)
		}
		r.Close()
	}
	a, b := deliveries[0], deliveries[1]
	if texts[0] != texts[1] || a.Usage != b.Usage || a.Truncated != b.Truncated || a.ObjectStatus != b.ObjectStatus {
		t.Errorf("byte by byte %q %+v\nat once %q %+v", texts[0], a, texts[1], b)
	}
}

// ofBackend is the part of what a client got that came from the backend: not the
// error event and the blank line that may have been added at the end.
func ofBackend(text string, d Delivery) string {
	if own := strings.LastIndex(text, errorEvent); d.Truncated && own >= 0 {
		text = text[:own]
	}
	return strings.TrimRight(text, "\n")
}

// The end of a long event is found where the scanner of whole events finds it.
func FuzzLineEnd(f *testing.F) {
	f.Add("data: x\n\nrest", 3)
	f.Add("data: x\r\n\r\nrest", 9)
	f.Add("data: x\r\rrest", 8)
	f.Fuzz(func(t *testing.T, source string, cut int) {
		if strings.HasPrefix(source, "\ufeff") {
			return // has a meaning at the start of a stream only
		}
		cut = min(max(cut, 0), len(source))
		_, want := openai.NextEvent([]byte(source))
		var l lineEnd
		got := l.find([]byte(source[:cut]))
		if got < 0 {
			if got = l.find([]byte(source[cut:])); got >= 0 {
				got += cut
			}
		}
		// A final CR may be half of a CRLF: the one waits, the other does not.
		if want == 0 && got >= 0 && got == len(source) && strings.HasSuffix(source, "\r") {
			return
		}
		if want > 0 && got == want-1 && source[got] == '\n' {
			return // the second half of the CRLF opens the next piece
		}
		if want == 0 {
			want = -1
		}
		if got != want {
			t.Errorf("%q cut at %d: %d, want %d", source, cut, got, want)
		}
	})
}
