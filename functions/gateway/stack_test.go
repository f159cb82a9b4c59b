//go:build !race

package gateway_test

import (
	"io"
	"net/http"
	"runtime/debug"
	"testing"
	"unsafe"

	"spillway/functions/app"
	"spillway/tests/rig"
)

// stackMark is an address on the stack of the goroutine that calls it.
//
//go:noinline
func stackMark() uintptr {
	var here byte
	return uintptr(unsafe.Pointer(&here))
}

// grow makes the stack as large as the test needs it, so that it stays where it is.
//
//go:noinline
func grow(n int) byte {
	var room [64 << 10]byte
	room[n] = 1
	return room[n/2]
}

// streaming answers with a stream, and notes how deep the stack is when it is read on.
type streaming struct {
	*instant
	deepest uintptr // the lowest address seen
}

func (s *streaming) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.instant.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(&reading{answer.Body, s})
	return answer, nil
}

type reading struct {
	io.Reader
	to *streaming
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p[:min(len(p), 500)])
	r.to.deepest = stackMark() // of the last read, by which the answer has long begun
	return n, err
}

// While an answer streams, little of the stack of its goroutine is in use, from the host
// to the read from the backend. The runtime halves a stack of which less than a quarter
// is used: below 4 KiB, of which the server and the connection to the backend need half,
// an open stream costs a stack of 8 KiB, else one of 16 KiB.
func TestOpenStreamUsesLittleStack(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection may move the stack
	backend := &streaming{instant: instantStream()}
	a := newApp(t, limited(""), app.Options{Transport: backend})
	call := rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Flow."}]}`}
	request := call.Request(t.Context())
	used := make(chan uintptr)
	go func() {
		grow(1)
		host := stackMark()
		a.ServeHTTP(&sink{http.Header{}}, request)
		used <- host - backend.deepest
	}()
	const most = 2 << 10
	if got := <-used; got == 0 || got > most {
		t.Errorf("%d bytes of the stack are in use, want at most %d", got, most)
	} else {
		t.Logf("%d bytes of the stack are in use", got)
	}
}
