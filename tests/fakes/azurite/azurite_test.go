package azurite

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"spillway/shared/store"
	"spillway/shared/store/aztable"
)

// All tests of a process share one emulator, and the last one takes it down.
func TestOneEmulatorForAll(t *testing.T) {
	var address string
	t.Run("users", func(t *testing.T) {
		first := Start(t)
		address = tableAddress(t, first)
		t.Run("nested", func(t *testing.T) {
			if second := Start(t); second != first {
				t.Errorf("two emulators: %s and %s", first, second)
			}
		})
		wantListening(t, address, true)
	})
	if address == "" {
		t.Skip("the emulator was not started")
	}
	wantListening(t, address, false)
}

// What a stopped emulator had acknowledged is there again when it comes back,
// even what was written by many while it was being stopped.
func TestRowsSurviveARestart(t *testing.T) {
	emulator := Run(t)
	connection := emulator.Connection()
	address := tableAddress(t, connection)
	s := open(t, connection)
	etags := make(map[string]string)
	for round := range 3 {
		first := make(chan struct{})
		acknowledged := write(s, round, first)
		<-first
		emulator.Stop()
		wantListening(t, address, false)
		if _, err := s.Get(t.Context(), store.Key{Partition: "p", Row: "r"}); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("get while it is stopped: %v", err)
		}
		written := acknowledged()
		if len(written) < 8 {
			t.Fatalf("void: %d rows were written, want at least 8", len(written))
		}
		for row, etag := range written {
			etags[row] = etag
		}
		emulator.Start()
		if now := emulator.Connection(); now != connection {
			t.Fatalf("connection %s, was %s", now, connection)
		}
		for row, etag := range etags {
			got, err := s.Get(t.Context(), store.Key{Partition: "p", Row: row})
			if err != nil || got.ETag != etag {
				t.Fatalf("round %d, row %s: ETag %q, %v; want %q", round, row, got.ETag, err, etag)
			}
		}
	}
}

// write has eight writers insert rows until the store refuses; first is closed
// when each has written one. The function it returns waits for their end and
// returns the ETags of the acknowledged rows.
func write(s store.Store, round int, first chan struct{}) func() map[string]string {
	var mu sync.Mutex
	etags := make(map[string]string)
	var started, all sync.WaitGroup
	for writer := range 8 {
		started.Add(1)
		all.Go(func() {
			for n := 0; ; n++ {
				row := fmt.Sprintf("%d-%d-%d", round, writer, n)
				etag, err := s.Insert(context.Background(), store.Key{Partition: "p", Row: row}, nil)
				if n == 0 {
					started.Done()
				}
				if err != nil {
					return
				}
				mu.Lock()
				etags[row] = etag
				mu.Unlock()
			}
		})
	}
	go func() {
		started.Wait()
		close(first)
	}()
	return func() map[string]string {
		all.Wait()
		return etags
	}
}

func open(t *testing.T, connection string) store.Store {
	t.Helper()
	s, err := aztable.Open(t.Context(), aztable.Options{Connection: connection, Table: "restart"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantListening(t *testing.T, address string, want bool) {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err == nil {
		connection.Close()
	}
	if listening := err == nil; listening != want {
		t.Fatalf("listening on %s: %v, want %v", address, listening, want)
	}
}

func tableAddress(t *testing.T, connection string) string {
	t.Helper()
	for part := range strings.SplitSeq(connection, ";") {
		if endpoint, ok := strings.CutPrefix(part, "TableEndpoint="); ok {
			u, err := url.Parse(endpoint)
			if err != nil {
				t.Fatal(err)
			}
			return u.Host
		}
	}
	t.Fatalf("no endpoint in %s", connection)
	return ""
}

// The lock file must install from whatever registry a machine is set up for.
func TestLockFileNamesNoRegistry(t *testing.T) {
	content, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`"resolved"|\.tgz`).Find(content); found != nil {
		t.Errorf("package-lock.json holds %s", found)
	}
	if !regexp.MustCompile(`"node_modules/azurite": \{\s+"version": "3\.35\.0"`).Match(content) {
		t.Error("package-lock.json does not pin azurite 3.35.0")
	}
}
