package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"

	"spillway/functions/app"
	"spillway/shared/server"
	"spillway/tests/race"
	"spillway/tests/rig"
)

// listen serves a handler until the test ends.
func listen(t *testing.T, handler http.Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(&http.Server{Handler: handler})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
	})
	return l.Addr().String()
}

// stacks is the memory of all goroutines' stacks, and of those that are free.
func stacks() int64 {
	all := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(all)
	return int64(all[0].Value.Uint64())
}

// settledStacks is stacks after a collection, which leaves no free ones.
func settledStacks() int64 {
	runtime.GC()
	return stacks()
}

// A usual request gets along with a stack of 8 KiB, and its connection keeps that while it
// waits for the next one. With a little more it was 16 KiB, of which each collection took
// half away, so that the next request of each connection had to get it back, copied frame by
// frame: that took more time than the rest of the collection.
func TestStackOfARequest(t *testing.T) {
	if race.Enabled {
		t.Skip("frames are larger under the race detector")
	}
	const answer = `{"id":"c1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hi."},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`
	backend := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	gateway := listen(t, rig.NewWith(t, strings.NewReplacer("ptu.test", backend, "payg.test", backend, "1000", "100000000", "60", "1000000").Replace(ordinary), app.Options{}))

	request := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", gateway, len(chat), chat)
	ask := func(c net.Conn) {
		_, _ = io.WriteString(c, request)
		got, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(got.Body); string(body) != answer || err != nil {
			t.Fatalf("got %s %s, %v", got.Status, body, err)
		}
	}
	open := func() net.Conn {
		c, err := net.Dial("tcp", gateway)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		ask(c)
		return c
	}
	open() // The first request goes deeper: what all need is made once.
	const connections, each = 128, 8 << 10
	before := settledStacks()
	var clients []net.Conn
	for range connections {
		clients = append(clients, open())
	}
	held := settledStacks() - before
	if most := int64(connections * each * 11 / 10); held > most {
		t.Errorf("%d connections have %d bytes of stack, more than %d", connections, held, most)
	}
	for _, c := range clients {
		ask(c)
	}
	if got := stacks() - before - held; got > connections*each/8 {
		t.Errorf("after a collection %d requests have taken %d bytes of stack", connections, got)
	}
}
