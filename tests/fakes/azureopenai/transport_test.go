package azureopenai_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

func TestHosts(t *testing.T) {
	a, b := one(azureopenai.Deployment{}), one(azureopenai.Deployment{})
	client := &http.Client{Transport: azureopenai.Hosts(map[string]*azureopenai.Server{"a.example": a, "b.example:8080": b})}
	for url, status := range map[string]int{"https://a.example": 200, "http://b.example:8080": 200, "http://b.example": 0} {
		resp, err := client.Post(url+chatPath, "application/json", strings.NewReader(hello))
		var unknown *net.DNSError
		if status == 0 {
			if !errors.As(err, &unknown) {
				t.Errorf("%s: %v", url, err)
			}
			continue
		}
		if err != nil || resp.StatusCode != status {
			t.Fatalf("%s: %v", url, err)
		}
		resp.Body.Close()
	}
	if len(a.Requests()) != 1 || len(b.Requests()) != 1 {
		t.Errorf("a got %d, b got %d, want 1, 1", len(a.Requests()), len(b.Requests()))
	}
}

// breaking is a request body that fails half way.
type breaking struct{ closed bool }

func (b *breaking) Read(p []byte) (int, error) { return 0, errors.New("the caller's disk broke") }
func (b *breaking) Close() error               { b.closed = true; return nil }

func TestBrokenRequestBody(t *testing.T) {
	s := one(azureopenai.Deployment{})
	body := &breaking{}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://fake"+chatPath, body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RoundTripper().RoundTrip(r); !errors.Is(err, io.EOF) {
		t.Errorf("error %v", err)
	}
	if s.Stats()["gpt-4o"].Requests != 0 {
		t.Error("a request that never came was counted")
	}
}

// TestCountedWhenAnswered: a client that has its answer finds it counted, over
// a socket too; tests would be flaky otherwise.
func TestCountedWhenAnswered(t *testing.T) {
	s := one(exactly(5))
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for i := range int64(100) {
		resp, err := client.Post(l.URL+chatPath, "application/json", strings.NewReader([]string{hello, streamed}[i%2]))
		if err != nil {
			t.Fatal(err)
		}
		var text []byte
		for part := make([]byte, 512); !strings.Contains(string(text), "[DONE]") && int64(len(text)) != resp.ContentLength; {
			n, err := resp.Body.Read(part)
			if text = append(text, part[:n]...); err != nil {
				break
			}
		}
		stats, last := s.Stats()["gpt-4o"], s.Events()
		if stats.Accepted != i+1 || stats.CompletionTokens != 5*(i+1) || stats.InFlight != 0 || last[len(last)-1].Kind != azureopenai.EventFinished {
			t.Fatalf("request %d: %+v, last event %+v", i, stats, last[len(last)-1])
		}
		resp.Body.Close()
	}
}

// TestContentLength: plain answers have one in memory as on a socket, streams
// have none.
func TestContentLength(t *testing.T) {
	s := one(exactly(5))
	resp := send(t, s, chatPath, hello)
	if body := read(t, resp); int64(len(body)) != resp.ContentLength || resp.TransferEncoding != nil {
		t.Errorf("%d bytes, Content-Length %d", len(body), resp.ContentLength)
	}
	stream := send(t, s, chatPath, streamed)
	if stream.ContentLength != -1 || len(stream.TransferEncoding) != 1 || stream.Proto != "HTTP/1.1" || stream.Request == nil {
		t.Errorf("stream %+v", stream)
	}
	if body := read(t, stream); !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Errorf("stream ends with %q", body)
	}
}
