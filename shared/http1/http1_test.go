package http1_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"spillway/shared/http1"
)

// Only digits are a length: what parsers of numbers take besides may be read otherwise by the other side.
func TestLength(t *testing.T) {
	for value, want := range map[string]int64{"0": 0, "7": 7, "007": 7, "999999999999999999": 999999999999999999} {
		if n, ok := http1.Length(value); n != want || !ok {
			t.Errorf("%q is %d, %t; want %d", value, n, ok, want)
		}
	}
	for _, value := range []string{"", "+7", "-7", " 7", "7 ", "0x7", "1_000", "7,7", "1000000000000000000", "99999999999999999999"} {
		if n, ok := http1.Length(value); ok {
			t.Errorf("%q is %d, want that it is none", value, n)
		}
	}
}

// A body ends with its last byte, and leaves what follows on the connection.
func TestBodyEnds(t *testing.T) {
	connection := bufio.NewReader(strings.NewReader("a bodynext"))
	body := http1.NewBody(connection, 6)
	p := make([]byte, 100)
	if n, err := body.Read(p); string(p[:n]) != "a body" || err != io.EOF {
		t.Errorf("read %q, %v; want the body and its end", p[:n], err)
	}
	if n, err := body.Read(p); n != 0 || err != io.EOF {
		t.Errorf("read %q, %v after the end", p[:n], err)
	}
	if rest, _ := io.ReadAll(connection); string(rest) != "next" {
		t.Errorf("%q is left, want what follows", rest)
	}
}

// A connection that ends within a body is told once; then there is no more.
func TestBodyIsCut(t *testing.T) {
	body := http1.NewBody(bufio.NewReader(strings.NewReader("a bo")), 6)
	if got, err := io.ReadAll(&body); string(got) != "a bo" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v; want what came, and that it was cut", got, err)
	}
	if n, err := body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d bytes, %v after that, want 0, %v", n, err, io.EOF)
	}
}
