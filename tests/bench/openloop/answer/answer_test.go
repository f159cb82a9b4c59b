package answer

import (
	"errors"
	"testing"
)

const good = "HTTP/1.1 200 OK\r\nServer: test\r\ncontent-length: 2\r\nX: y\r\n\r\n{}"

func TestStatus(t *testing.T) {
	for _, test := range []struct {
		name, bytes string
		want        int
		err         error
	}{
		{"whole", good, 200, nil},
		{"whole, refused", "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", 429, nil},
		{"nothing yet", "", 0, nil},
		{"no end of the header yet", "HTTP/1.1 200 OK\r\nContent-Len", 0, nil},
		{"no end of the body yet", good[:len(good)-1], 0, nil},
		{"more than one", good + "H", 0, ErrTooMuch},
		{"without a length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, ErrNoLength},
		{"a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", 0, ErrNoLength},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 0, ErrNoLength},
		{"another protocol", "SSH-2.0 200\r\n\r\n", 0, ErrNotHTTP},
		{"no status", "HTTP/1.1 2\r\n\r\n", 0, ErrNotHTTP},
		{"a status that is none", "HTTP/1.1 two\r\n\r\n", 0, ErrNotHTTP},
	} {
		if got, err := Status([]byte(test.bytes)); got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: got %d, %v; want %d, %v", test.name, got, err, test.want, test.err)
		}
	}
}

// Each answer is looked at when some of it has come: that must not feed the collector.
func TestStatusTakesNoMemory(t *testing.T) {
	b := []byte(good)
	if got := testing.AllocsPerRun(100, func() { _, _ = Status(b) }); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

// Whatever comes, an answer that is whole was not whole before its last byte.
func FuzzStatus(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		status, err := Status(b)
		if status == 0 {
			return
		}
		if err != nil || status < 100 || status > 999 {
			t.Errorf("%q gives %d, %v", b, status, err)
		}
		if before, err := Status(b[:len(b)-1]); before != 0 {
			t.Errorf("%q gives %d, %v without its last byte", b, before, err)
		}
	})
}
