package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"spillway/shared/store"
	"spillway/shared/store/aztable"
	"spillway/tests/fakes/azurite"
)

// The program says a connection string that works, listens on three ports, and
// frees them in the end.
func TestRun(t *testing.T) {
	if os.Getenv(azurite.SkipVariable) == "1" {
		t.Skip(azurite.SkipVariable)
	}
	port := freePorts(t)
	ctx, stop := context.WithCancel(t.Context())
	said, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-port", fmt.Sprint(port)}, out)
		ended <- err
		_ = out.CloseWithError(fmt.Errorf("ended: %v", err)) // Never fails.
	}()
	connection := awaitConnection(t, said)
	s, err := aztable.Open(t.Context(), aztable.Options{Connection: connection, Table: "program"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Insert(t.Context(), store.Key{Partition: "p", Row: "r"}, nil); err != nil {
		t.Fatal(err)
	}
	for p := port; p < port+3; p++ {
		wantListening(t, p, true)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	for p := port; p < port+3; p++ {
		wantListening(t, p, false)
	}
}

var quoted = regexp.MustCompile(`connection: "(.*?)"`)

// awaitConnection reads what the program says until it has said everything.
func awaitConnection(t *testing.T, said io.Reader) string {
	t.Helper()
	var all strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(all.String(), "AzureWebJobsStorage=") {
		n, err := said.Read(buffer)
		all.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v\n%s", err, all.String())
		}
	}
	m := quoted.FindStringSubmatch(all.String())
	if m == nil {
		t.Fatalf("no connection string in %s", all.String())
	}
	return m[1]
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-port", "x"}, {"start"}} { // The first one is told on stderr, too.
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// freePorts finds three free ports in a row.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		first := 20000 + rand.IntN(12000)
		free := true
		for port := first; port < first+3 && free; port++ {
			listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if free = err == nil; free {
				free = listener.Close() == nil
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

func wantListening(t *testing.T, port int, want bool) {
	t.Helper()
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		connection.Close()
	}
	if listening := err == nil; listening != want {
		t.Errorf("listening on %d: %v, want %v", port, listening, want)
	}
}
