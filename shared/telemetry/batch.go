package telemetry

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Batch writes log lines many at a time: one system call for each line would cost a
// busy gateway more than to make the line. Lines of zerolog.WarnLevel and above, and
// all that wait before them, are written at once; others when 64 KiB of them have come
// together, or 100 ms after the first of them. So a process that is killed, or ends by
// a fatal error of the Go runtime, loses at most the lines of its last 100 ms. One that
// ends in order calls Flush.
//
// No line is ever dropped: while the sink takes none, those who log wait as soon as the
// batch is full. That is why it is not zerolog's diode, which overwrites the oldest
// lines when its sink is slow.
//
// It is safe for concurrent use. Make it with NewBatch and give it to NewLogger.
type Batch struct {
	to io.Writer

	mu     sync.Mutex
	lines  []byte      // Whole lines that wait to be written. Guarded by mu.
	due    *time.Timer // Runs while lines wait. Guarded by mu.
	failed error       // Of a write that nobody waited for. Guarded by mu.

	// writing is held while the sink is written to, so that the next lines can be
	// collected meanwhile. It is taken before mu.
	writing sync.Mutex
	spare   []byte // What lines was before the last write. Guarded by writing.
}

// The bounds of what waits: in bytes, and for how long.
const (
	batchSize  = 64 << 10
	batchDelay = 100 * time.Millisecond
)

// NewBatch returns a Batch that writes to w, by one goroutine at a time.
func NewBatch(w io.Writer) *Batch { return &Batch{to: w} }

// WriteLevel takes one line. The error is that of a write which this line, or one
// before it, has brought about.
func (b *Batch) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	urgent := level >= zerolog.WarnLevel
	full, err := b.add(line, urgent)
	if urgent || full {
		err = errors.Join(err, b.Flush())
	}
	return len(line), err
}

// Write takes a line that has no level, and writes it at once.
func (b *Batch) Write(line []byte) (int, error) { return b.WriteLevel(zerolog.NoLevel, line) }

// add appends a line to those that wait, and tells whether they are enough for a write.
// The error is of a write that the timer has made.
func (b *Batch) add(line []byte, urgent bool) (full bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) == 0 && !urgent {
		b.start()
	}
	b.lines = append(b.lines, line...)
	err, b.failed = b.failed, nil
	return len(b.lines) >= batchSize, err
}

// start has the lines written in time. The caller holds mu.
func (b *Batch) start() {
	if b.due != nil {
		b.due.Reset(batchDelay)
		return
	}
	b.due = time.AfterFunc(batchDelay, func() {
		if err := b.Flush(); err != nil {
			b.mu.Lock()
			b.failed = err
			b.mu.Unlock()
		}
	})
}

// Flush writes the lines that wait, and returns when they are written.
func (b *Batch) Flush() error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	lines := b.lines
	b.lines, b.spare = b.spare, nil
	if b.due != nil {
		b.due.Stop()
	}
	b.mu.Unlock()
	if len(lines) == 0 {
		b.spare = lines
		return nil
	}
	_, err := b.to.Write(lines)
	if cap(lines) <= 2*batchSize { // else a very long line has made it so
		b.spare = lines[:0]
	}
	return err
}

var (
	_ zerolog.LevelWriter = (*Batch)(nil)
	_ io.Writer           = (*Batch)(nil)
)
