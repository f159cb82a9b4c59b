package form

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// fileBuffer is how much is written to a file at a time.
const fileBuffer = 64 << 10

// spool keeps bytes: the first ones in memory, the rest in a file. It is written by
// one goroutine, and then, once flushed, read by any number.
type spool struct {
	limit  int64 // of memory
	folder string

	memory []byte
	file   *os.File      // nil while all is in memory
	out    *bufio.Writer // of file, until flush
	size   int64
	failed error // why the file could not be written
}

// Write implements io.Writer. Its errors are ErrDisk.
func (s *spool) Write(p []byte) (int, error) {
	if s.failed != nil {
		return 0, s.failed
	}
	inMemory := min(int64(len(p)), s.limit-int64(len(s.memory)))
	s.toMemory(p[:inMemory])
	if rest := p[inMemory:]; len(rest) > 0 {
		if err := s.toFile(rest); err != nil {
			return 0, s.fail(err)
		}
	}
	s.size += int64(len(p))
	return len(p), nil
}

func (s *spool) fail(err error) error {
	s.failed = fmt.Errorf("%w: %w", ErrDisk, err)
	return s.failed
}

// toMemory grows by doubling: append's steps would be smaller and so more.
func (s *spool) toMemory(p []byte) {
	if need := int64(len(s.memory) + len(p)); need > int64(cap(s.memory)) {
		larger := make([]byte, len(s.memory), min(max(need, 2*int64(cap(s.memory)), 4*copySize), s.limit))
		copy(larger, s.memory)
		s.memory = larger
	}
	s.memory = append(s.memory, p...)
}

func (s *spool) toFile(p []byte) error {
	if s.file == nil {
		file, err := os.CreateTemp(s.folder, "spillway-form-*")
		if err != nil {
			return err
		}
		// Where a system allows it, the name goes now: a process that dies then
		// leaves no file.
		_ = os.Remove(file.Name())
		s.file, s.out = file, bufio.NewWriterSize(file, fileBuffer)
	}
	_, err := s.out.Write(p)
	return err
}

// flush ends the writing.
func (s *spool) flush() error {
	if s.out == nil {
		return nil
	}
	err := s.out.Flush()
	s.out = nil
	if err != nil {
		return s.fail(err)
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (s *spool) ReadAt(p []byte, at int64) (n int, err error) {
	if at < int64(len(s.memory)) {
		n = copy(p, s.memory[at:])
	}
	if n == len(p) {
		return n, nil
	}
	if s.file == nil {
		return n, io.EOF
	}
	m, err := s.file.ReadAt(p[n:], at+int64(n)-int64(len(s.memory)))
	return n + m, err
}

// remove frees the memory and the file. Nothing may be read after it.
func (s *spool) remove() error {
	s.memory = nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if gone := os.Remove(s.file.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

var (
	_ io.Writer   = (*spool)(nil)
	_ io.ReaderAt = (*spool)(nil)
)
