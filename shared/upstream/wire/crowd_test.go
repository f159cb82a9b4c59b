package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// echo answers with the request's name and body, in one piece, in chunks, or
// without end.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, _ = io.WriteString(w, r.URL.Path)
	if r.URL.RawQuery != "whole" {
		w.(http.Flusher).Flush()
	}
	_, _ = w.Write(body)
	if r.URL.RawQuery == "endless" {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// starts are the two kinds of servers.
var starts = map[string]func(http.Handler) *httptest.Server{"in clear": httptest.NewServer, "TLS": httptest.NewTLSServer}

// Many callers at once get their own answers, while others leave in the middle.
func TestManyAtOnce(t *testing.T) {
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			server := start(http.HandlerFunc(echo))
			t.Cleanup(server.Close)
			transport := newTransport(t, func(s *http.Transport) {
				if server.TLS != nil {
					trusting(server)(s)
				}
			})
			var callers sync.WaitGroup
			for caller := range 16 {
				callers.Go(func() {
					random := rand.New(rand.NewPCG(1, uint64(caller)))
					for i := range 40 {
						exchangeOne(t, transport, server.URL, fmt.Sprintf("/%d-%d", caller, i), random)
					}
				})
			}
			callers.Wait()
		})
	}
}

// exchangeOne sends a request and checks its answer, or leaves before its end.
func exchangeOne(t *testing.T, transport *Transport, url, path string, random *rand.Rand) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := bytes.Repeat([]byte{byte('a' + random.IntN(26))}, 1<<random.IntN(17))
	how := []string{"whole", "chunked", "endless", "canceled"}[random.IntN(4)]
	r := request(ctx, t, "POST", url+path+"?"+how, string(sent))
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	defer response.Body.Close()
	got := make([]byte, len(path)+len(sent))
	switch how {
	case "canceled":
		cancel()
		rest, _ := io.ReadAll(response.Body)
		if whole := path + string(sent); !strings.HasPrefix(whole, string(rest)) {
			t.Errorf("%s: the beginning is %.40q", path, rest)
		}
	case "endless":
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != path+string(sent) {
			t.Errorf("%s: %.40q, %v", path, got, err)
		}
	default:
		if got, err = io.ReadAll(response.Body); err != nil || string(got) != path+string(sent) {
			t.Errorf("%s: %.40q, %v", path, got, err)
		}
	}
}
