package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/upstream/wire"
)

// hang blocks a backend until its client is gone, as seen by the backend.
func hang(r *http.Request) { <-r.Context().Done() }

func TestTimeoutsBeforeTheAnswerIsGood(t *testing.T) {
	head := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Content-Length", "1000")
			if contentType == "text/event-stream" {
				w.Header().Del("Content-Length")
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			w.(http.Flusher).Flush()
			hang(r)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		stream  bool
		within  time.Duration
		outcome Outcome
		reason  string
		after   time.Duration
	}{
		{"no headers", func(_ http.ResponseWriter, r *http.Request) { hang(r) }, false, 0, Failed, ReasonHeaders, 120 * time.Second},
		{"no headers in a trial", func(_ http.ResponseWriter, r *http.Request) { hang(r) }, false, 7 * time.Second, Failed, ReasonHeaders, 7 * time.Second},
		{"stream without a first event", head(200, "text/event-stream", ""), true, 0, Failed, ReasonIdle, 60 * time.Second},
		{"stream without a first event in a trial", head(200, "text/event-stream", ""), true, 7 * time.Second, Failed, ReasonIdle, 7 * time.Second},
		{"stream with nothing but the prompt filter", head(200, "text/event-stream", preamble), true, 0, Failed, ReasonIdle, 60 * time.Second},
		{"plain answer that stops", head(200, "application/json", `{"id":`), false, 0, Failed, ReasonIdle, 60 * time.Second},
		{"fault of the client that stops", head(400, "application/json", `{"error":`), false, 0, Failed, ReasonIdle, 60 * time.Second},
		{"404 that stops", head(404, "application/json", `{"error":`), false, 0, Failed, ReasonIdle, 60 * time.Second},
		{"429 whose body stops", head(429, "application/json", `{"error":`), false, 0, Throttled, "status_429", faultWait},
		{"503 whose body stops", head(503, "application/json", ""), false, 0, Failed, "status_503", faultWait},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				client, backend, stop := servePipe(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
					test.handler(w, r)
					close(ended)
				})
				defer stop()
				call := chat()
				call.Stream, call.Within = test.stream, test.within
				start := time.Now()
				r := client.Do(t.Context(), backend, call)
				defer r.Close()
				checkResult(t, r)
				if r.Outcome != test.outcome || r.Reason != test.reason || !r.Sent {
					t.Errorf("got %v, %q, sent %t, want %v, %q, true: %v", r.Outcome, r.Reason, r.Sent, test.outcome, test.reason, r.Err)
				}
				if after := time.Since(start); after != test.after {
					t.Errorf("after %v, want %v", after, test.after)
				}
				<-ended // the backend has seen the end
			})
		})
	}
}

func TestDialThatHangs(t *testing.T) {
	for connect, reason := range map[time.Duration]string{5 * time.Second: ReasonDial, 50 * time.Second: ReasonHeaders} {
		synctest.Test(t, func(t *testing.T) {
			dialed := make(chan struct{})
			settings := transportSettings(connect, nil)
			settings.DialContext = func(context.Context, string, string) (net.Conn, error) {
				defer close(dialed)
				<-time.After(connect)
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
			}
			client := New(Options{Transport: wire.New(settings), ResponseHeaders: 30 * time.Second})
			r := client.Do(t.Context(), backendAt(t, "http://backend.test"), chat())
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != Failed || r.Reason != reason || r.Sent {
				t.Errorf("got %v, %q, sent %t, want %v, %q, false: %v", r.Outcome, r.Reason, r.Sent, Failed, reason, r.Err)
			}
			<-dialed
		})
	}
}

func TestStreamThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, stop := servePipe(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			events(delta("a"))(w, r)
			<-time.After(59 * time.Second) // as slow as is allowed
			events(delta("b"))(w, r)
			hang(r)
		})
		defer stop()
		start := time.Now()
		r := client.Do(t.Context(), backend, stream())
		defer r.Close()
		text, d := relayed(r)
		if !strings.HasPrefix(text, delta("a")+delta("b")+errorEvent) || d.Reason != ReasonIdle || !d.Truncated || d.ClientGone {
			t.Errorf("the client gets %q: %+v", text, d)
		}
		if after := time.Since(start); after != 119*time.Second {
			t.Errorf("after %v, want %v", after, 119*time.Second)
		}
	})
}

// A client that takes a minute for each event is not the backend's fault.
func TestSlowClientIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, stop := servePipe(t, Options{}, events(delta("a"), delta("b"), delta("c"), finish+done))
		defer stop()
		r := client.Do(t.Context(), backend, stream())
		defer r.Close()
		d := r.Relay(writer(func(p []byte) (int, error) {
			<-time.After(10 * time.Minute)
			return len(p), nil
		}), nil)
		if d.Err != nil || d.Truncated {
			t.Errorf("delivery %+v", d)
		}
	})
}

// Nor is a gateway that takes its time before it relays what it was given.
func TestRelayMayBeginLate(t *testing.T) {
	for _, encoding := range []string{"", "gzip"} {
		synctest.Test(t, func(t *testing.T) {
			client, backend, stop := servePipe(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				if encoding != "" {
					w.Header().Set("Content-Encoding", encoding)
				}
				events(delta("a"), finish+done)(w, r)
			})
			defer stop()
			r := client.Do(t.Context(), backend, stream())
			defer r.Close()
			<-time.After(time.Hour)
			if text, d := relayed(r); text != delta("a")+finish+done || d.Err != nil {
				t.Errorf("encoding %q: the client gets %q, want %q: %+v", encoding, text, delta("a")+finish+done, d)
			}
		})
	}
}

// A plain answer that trickles in is as good as any other.
func TestTricklingBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, stop := servePipe(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for i := range len(chatAnswer) {
				_, _ = io.WriteString(w, chatAnswer[i:i+1])
				w.(http.Flusher).Flush()
				<-time.After(30 * time.Second)
			}
		})
		defer stop()
		r := client.Do(t.Context(), backend, chat())
		defer r.Close()
		checkResult(t, r)
		if text, _ := relayed(r); r.Outcome != OK || text != chatAnswer {
			t.Errorf("got %v, %q, want %v, %q: %v", r.Outcome, text, OK, chatAnswer, r.Err)
		}
	})
}

// After [DONE] the client has all that it needs, whatever the backend does with
// the connection.
func TestStreamIsOverSoonAfterDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, stop := servePipe(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			events(delta("a"), finish, done)(w, r)
			hang(r)
		})
		defer stop()
		start := time.Now()
		r := client.Do(t.Context(), backend, stream())
		defer r.Close()
		text, d := relayed(r)
		if text != delta("a")+finish+done || d.Err != nil || d.Truncated || time.Since(start) != doneWait {
			t.Errorf("after %v the client gets %q: %+v", time.Since(start), text, d)
		}
	})
}

// endTests are the two ways in which a request ends before its answer does, both
// after 9 seconds.
var endTests = []struct {
	name   string
	limit  func(context.Context) (context.Context, context.CancelFunc)
	reason string
	gone   bool
}{
	{"client leaves", func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(9*time.Second, cancel)
		return ctx, cancel
	}, ReasonCanceled, true},
	{"time is up", func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 9*time.Second)
	}, ReasonDeadline, false},
}

func TestEndOfTheRequest(t *testing.T) {
	for _, test := range endTests {
		for phase, first := range map[string]string{"before the headers": "", "before the first event": preamble, "in the middle": delta("a")} {
			t.Run(test.name+" "+phase, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ended := make(chan struct{})
					client, backend, stop := servePipe(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
						if first != "" {
							events(first)(w, r)
						}
						hang(r)
						close(ended)
					})
					defer stop()
					start := time.Now()
					ctx, cancel := test.limit(t.Context())
					defer cancel()
					r := client.Do(ctx, backend, stream())
					defer r.Close()
					checkResult(t, r)
					if first != delta("a") {
						if r.Outcome != Canceled || r.Reason != test.reason || !r.Sent {
							t.Errorf("got %v, %q: %v", r.Outcome, r.Reason, r.Err)
						}
					} else {
						text, d := relayed(r)
						if d.Reason != test.reason || d.ClientGone != test.gone || !d.Truncated || strings.Contains(text, errorEvent) == test.gone {
							t.Errorf("the client gets %q: %+v", text, d)
						}
						if string(d.Text) != "a" {
							t.Errorf("text %q", d.Text)
						}
					}
					if after := time.Since(start); after != 9*time.Second {
						t.Errorf("after %v, want %v", after, 9*time.Second)
					}
					<-ended // the backend has seen it at once
				})
			})
		}
	}
}

// A request that is still being sent when its attempt ends must not touch the
// caller's bytes afterwards: they may serve another request by then.
func TestBodyIsTheCallersAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sending io.Reader
		client := New(Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			sending = r.Body
			_, _ = io.ReadFull(r.Body, make([]byte, 10))
			return nil, errors.New("lost")
		})})
		call := chat()
		r := client.Do(t.Context(), backendAt(t, "http://backend.test"), call)
		r.Close()
		if !r.Sent {
			t.Error("not sent")
		}
		if n, err := sending.Read(make([]byte, 10)); n != 0 || err == nil {
			t.Errorf("read %d bytes more: %v", n, err)
		}
	})
}
