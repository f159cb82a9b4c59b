// Package answer tells when an answer of HTTP/1.1 is whole, without memory of its own:
// a generator reads many thousand a second.
package answer

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Why bytes are no answer that a generator can take.
var (
	ErrNotHTTP  = errors.New("it is no answer of HTTP/1.1")
	ErrNoLength = errors.New("the answer has no Content-Length")
	ErrTooMuch  = errors.New("there is more than the answer")
)

var (
	version = []byte("HTTP/1.1 ")
	lineEnd = []byte("\r\n")
	headEnd = []byte("\r\n\r\n")
	length  = []byte("Content-Length")
)

// Status returns the status of the answer that b holds, or 0 if more of it is still to
// come. Answers have a Content-Length, and one must have ended before the next begins.
func Status(b []byte) (status int, err error) {
	head, body, ended := bytes.Cut(b, headEnd)
	if !ended {
		return 0, nil
	}
	first, fields, _ := bytes.Cut(head, lineEnd)
	if status, err = statusOf(first); err != nil {
		return 0, err
	}
	size, err := lengthOf(fields)
	switch {
	case err != nil:
		return 0, err
	case len(body) > size:
		return 0, fmt.Errorf("%w: %d bytes", ErrTooMuch, len(body)-size)
	case len(body) < size:
		return 0, nil
	}
	return status, nil
}

// statusOf reads the first line.
func statusOf(line []byte) (int, error) {
	const digits = 3
	code, ok := bytes.CutPrefix(line, version)
	if !ok || len(code) < digits {
		return 0, fmt.Errorf("%w: %.100q", ErrNotHTTP, line)
	}
	status, err := strconv.Atoi(string(code[:digits]))
	if err != nil || status < 100 {
		return 0, fmt.Errorf("%w: %.100q", ErrNotHTTP, line)
	}
	return status, nil
}

// lengthOf finds the length of the body among the header's fields.
func lengthOf(fields []byte) (int, error) {
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, lineEnd)
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !bytes.EqualFold(name, length) {
			continue
		}
		n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%w: %.100q", ErrNoLength, line)
		}
		return n, nil
	}
	return 0, ErrNoLength
}
