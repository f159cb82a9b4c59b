package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"spillway/tests/await"
)

// goroutines are those of this package, of its transport and of net/http's client.
func goroutines() string {
	buf := make([]byte, 4<<20)
	var ours []string
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, of := range []string{"net/http.(*persistConn)", "net/http.(*Transport)", "spillway/shared/upstream.(*", "spillway/shared/upstream/wire.(*"} {
			if strings.Contains(stack, of) {
				ours = append(ours, stack)
				break
			}
		}
	}
	return strings.Join(ours, "\n\n")
}

// However an attempt ends, Close leaves nothing behind.
func TestNothingIsLeftBehind(t *testing.T) {
	hangs := func(first string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			events(first)(w, r)
			<-r.Context().Done()
		}
	}
	gone := errors.New("broken pipe")
	use := map[string]func(*Result){
		"not relayed": func(*Result) {},
		"relayed":     func(r *Result) { relayed(r) },
		"client gone": func(r *Result) { r.Relay(writer(func([]byte) (int, error) { return 0, gone }), nil) },
	}
	handlers := map[string]http.HandlerFunc{
		"plain":              answer(200, "application/json", chatAnswer),
		"long":               answer(200, "application/json", `{"data":"`+strings.Repeat("x", 2*maxWhole)+`"}`),
		"stream":             events(delta("a"), finish, done),
		"broken stream":      events(delta("a")),
		"error in a stream":  events(`data: {"error":{}}` + "\n\n"),
		"failed":             answer(503, "text/plain", strings.Repeat("x", 1<<20)),
		"throttled":          answer(429, "text/plain", ""),
		"client's fault":     answer(400, "application/json", `{"error":{}}`),
		"long fault":         answer(400, "application/json", `{"error":"`+strings.Repeat("x", 2*maxWhole)+`"}`),
		"unread":             hangs(""),
		"stream that hangs":  hangs(delta("a")),
		"preamble and hangs": hangs(preamble),
	}
	for name, handler := range handlers {
		for how, end := range use {
			if strings.Contains(name, "hang") && how == "relayed" {
				continue // would wait for the idle timeout
			}
			t.Run(name+" "+how, func(t *testing.T) {
				client, backend := serve(t, handler)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if strings.HasPrefix(name, "preamble") || name == "unread" {
					client.options.StreamIdle = 1 // ends at once
				}
				r := client.Do(ctx, backend, stream())
				end(r)
				r.Close()
				r.Close() // does nothing
				client.CloseIdleConnections()
				await.That(t, "no goroutine of the attempt is left", func() bool { return goroutines() == "" })
				if ctx.Err() == nil && r.life.Err() == nil {
					t.Error("the attempt's context is still open")
				}
			})
		}
	}
}

// The backend's work ends when the client leaves, on a real connection.
func TestBackendSeesTheClientLeave(t *testing.T) {
	left := make(chan struct{})
	client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		events(delta("a"))(w, r)
		<-r.Context().Done()
		close(left)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := client.Do(ctx, backend, stream())
	defer r.Close()
	d := r.Relay(writer(func(p []byte) (int, error) {
		cancel() // the client leaves after the first event
		return len(p), nil
	}), nil)
	if !d.ClientGone || d.Reason != ReasonCanceled || string(d.Text) != "a" {
		t.Errorf("delivery %+v", d)
	}
	await.That(t, "the backend sees the client leave", func() bool {
		select {
		case <-left:
			return true
		default:
			return false
		}
	})
}
