package openai

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
)

func TestBodyReaders(t *testing.T) {
	const want = `{"model":"b","z":1}`
	b := parse(t, ChatCompletions, `{"model":"a","z":1}`).Body(Patch{Model: "b"})
	for range 3 {
		if err := iotest.TestReader(b.NewReader(), []byte(want)); err != nil {
			t.Error(err)
		}
	}
	first, second := b.NewReader(), b.NewReader()
	if n, err := first.Read(make([]byte, 5)); n != 5 || err != nil {
		t.Errorf("read %d, want 5, %v", n, err)
	}
	if data, err := io.ReadAll(second); string(data) != want || err != nil {
		t.Errorf("second reader: %q, %v", data, err)
	}
	_ = first.Close()
	if _, err := first.Read(make([]byte, 5)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("read after close: %v", err)
	}
}

// The bytes must not be used again while a transport may still read them: free comes after the owner and all readers have let go,
// whoever is last, and only once.
func TestReleaseWaitsForReaders(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps string // r: release, 1 and 2: close a reader
		after int    // free is called by this step
	}{
		{"owner last", "12r", 2}, {"owner first", "r12", 2}, {"owner between", "1r2", 2}, {"closed twice", "1112r", 4}, {"closed twice after", "r1112", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := parse(t, ChatCompletions, `{"model":"a"}`)
			one, two := r.Body(Patch{}).NewReader(), r.Body(Patch{Model: "b"}).NewReader()
			freed := 0
			for i, step := range c.steps {
				switch step {
				case 'r':
					r.Release(func() { freed++ })
				case '1':
					_ = one.Close()
				case '2':
					_ = two.Close()
				}
				if want := map[bool]int{true: 1}[i >= c.after]; freed != want {
					t.Errorf("freed %d times after step %d, want %d", freed, i, want)
				}
			}
		})
	}
	parse(t, ChatCompletions, `{}`).Release(nil)
}

// Run with -race: readers read and close at once, as HTTP/2 transports do, while the owner lets go and the bytes are overwritten.
func TestReleasedBytesAreNotReadAnyMore(t *testing.T) {
	for range 50 {
		body := chatBody(4<<10, prose)
		r, err := ParseRequest(ChatCompletions, body)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		var freed atomic.Int32
		for range 4 {
			reader := r.Body(Patch{Model: "b"}).NewReader()
			group.Go(func() { _, _ = io.Copy(io.Discard, reader) })
			group.Go(func() { _ = reader.Close() })
		}
		r.Release(func() {
			freed.Add(1)
			clear(body)
		})
		group.Wait()
		if freed.Load() != 1 {
			t.Fatalf("freed %d times, want 1", freed.Load())
		}
	}
}

func TestBodyOfNoRequest(t *testing.T) {
	b := &Body{Segments: [][]byte{[]byte("ab"), []byte("c")}, Length: 3}
	if got := string(contents(t, b)); got != "abc" {
		t.Errorf("read %q, want %q", got, "abc")
	}
}
