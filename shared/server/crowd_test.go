package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// onNetwork starts a Server on the loopback interface. The test fails if it leaves
// a goroutine behind.
func onNetwork(t testing.TB, s service) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = s.Serve(l)
		close(ended)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
		eventually(t, "no goroutine of a connection is left", func() bool {
			buf := make([]byte, 4<<20)
			return !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "/server.(*conn)")
		})
	})
	return l.Addr().String()
}

// eventually polls until the condition holds: the system tells nobody when it has
// closed a connection.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// crowdHandler answers with the path and the body that it has read: at once, in
// parts with or without a pause, or never.
func crowdHandler(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	switch r.URL.RawQuery {
	case "endless":
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	case "slow":
		select {
		case <-time.After(2*watchAfter + time.Millisecond):
		case <-r.Context().Done():
			return
		}
	case "parts":
		_, _ = io.WriteString(w, r.URL.Path)
		w.(http.Flusher).Flush()
		_, _ = w.Write(body)
		return
	}
	_, _ = io.WriteString(w, r.URL.Path)
	_, _ = w.Write(body)
}

// Many clients at once get their own answers, while others leave in the middle,
// pipeline their requests, or ask for what is left to net/http.
func TestManyAtOnce(t *testing.T) {
	address := onNetwork(t, New(settings(http.HandlerFunc(crowdHandler))))
	var clients sync.WaitGroup
	for number := range 24 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(number)))
			for visit := range 12 {
				if err := call(address, fmt.Sprintf("/%d-%d", number, visit), random); err != nil {
					t.Errorf("client %d, visit %d: %v", number, visit, err)
				}
			}
		})
	}
	clients.Wait()
}

// call opens a connection for some requests, and leaves now and then before the
// end.
func call(address, name string, random *rand.Rand) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for i := range 8 {
		body := bytes.Repeat([]byte{byte('a' + random.IntN(26))}, 1<<random.IntN(16))
		path := fmt.Sprintf("%s-%d", name, i)
		how := []string{"whole", "parts", "slow", "whole", "parts", "slow", "endless"}[random.IntN(7)]
		extra := ""
		if random.IntN(40) == 0 {
			extra = "Connection: x\r\n"
		}
		text := fmt.Sprintf("POST %s?%s HTTP/1.1\r\nHost: contoso.test\r\n%sContent-Length: %d\r\n\r\n%s", path, how, extra, len(body), body)
		second := random.IntN(3) == 0 && how != "endless"
		if second {
			text += strings.Replace(text, path, path+"-again", 1)
		}
		if random.IntN(12) == 0 {
			_, _ = io.WriteString(c, text[:random.IntN(len(text))])
			return nil // leaves while it sends
		}
		go func() { _, _ = io.WriteString(c, text) }()
		if how == "endless" || random.IntN(12) == 0 {
			_, _ = r.Peek(1 + random.IntN(60))
			return nil // leaves while it is answered
		}
		if err := expect(r, path+string(body)); err != nil {
			return err
		}
		if second {
			if err := expect(r, path+"-again"+string(body)); err != nil {
				return err
			}
		}
	}
	return nil
}

// expect reads an answer, and compares its body.
func expect(r *bufio.Reader, want string) error {
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(answer.Body)
	if err != nil || string(got) != want {
		return fmt.Errorf("got %.60q of %d bytes, %v; want %.60q of %d", got, len(got), err, want, len(want))
	}
	return nil
}
