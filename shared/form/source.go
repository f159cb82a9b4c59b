package form

import (
	"errors"
	"fmt"
	"io"
)

var errHeader = errors.New("the header of a part is too long")

// source is the body on its way to the parser, which by itself bounds neither the
// whole nor, tightly enough, the header of a part.
type source struct {
	body   io.Reader
	max    int64 // 0: any
	read   int64
	header int    // how much may still come of a header; −1: not in one
	last   byte   // the last one read
	ended  bool   // the body has
	tail   string // what is still to be added to it
	short  bool   // the parser has asked for more than there is
	failed error  // why the body could not be read, nil if it could
}

// inHeader starts to count up to most bytes.
func (s *source) inHeader(most int) { s.header = most }

func (s *source) inContent() { s.header = -1 }

// Read implements io.Reader. Behind the body's end it adds the line end that the
// closing boundary may lack, and then fails: the parser takes a plain io.EOF in
// the middle of a header for the end of the form.
func (s *source) Read(p []byte) (int, error) {
	switch {
	case s.failed != nil:
		return 0, s.failed
	case s.ended:
		return s.beyond(p)
	case s.header == 0:
		return 0, errHeader
	case s.header > 0:
		p = p[:min(len(p), s.header)]
	}
	n, err := s.fromBody(p)
	if s.header > 0 {
		s.header -= n
	}
	if n > 0 {
		s.last = p[n-1]
	}
	if err == io.EOF {
		s.ended, s.tail, err = true, lineEnd(s.last), nil
	}
	return n, err
}

// beyond is Read behind the body's end.
func (s *source) beyond(p []byte) (int, error) {
	s.short = true
	if s.tail == "" {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, s.tail)
	s.tail = s.tail[n:]
	return n, nil
}

// lineEnd is what a line whose last byte is given lacks of its end.
func lineEnd(last byte) string {
	switch last {
	case '\n':
		return ""
	case '\r':
		return "\n"
	default:
		return "\r\n"
	}
}

// fromBody reads from the body itself.
func (s *source) fromBody(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if s.read += int64(n); s.max > 0 && s.read > s.max {
		s.failed = fmt.Errorf("%w: it is longer than %d bytes", ErrTooLarge, s.max)
	} else if err == io.ErrUnexpectedEOF {
		s.failed = ErrCut
	} else if err != nil && err != io.EOF {
		s.failed = err
	}
	if s.failed != nil {
		return 0, s.failed
	}
	return n, err
}

// judge tells what an error of the parser means. Its text is not passed on, for it
// may quote the body.
func (s *source) judge(err error) error {
	switch {
	case s.failed != nil:
		return s.failed
	case s.short:
		return ErrCut
	case errors.Is(err, errHeader):
		return malformed("the header of a part is too long")
	default:
		return malformed("its parts cannot be told apart")
	}
}

// drain reads what follows the closing boundary, which means nothing.
func (s *source) drain() error {
	buf := make([]byte, 512)
	for !s.ended {
		switch _, err := s.fromBody(buf); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

var _ io.Reader = (*source)(nil)
