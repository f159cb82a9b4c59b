package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"spillway/shared/telemetry"
)

// sink keeps each write, and blocks or fails on demand.
type sink struct {
	mu     sync.Mutex
	writes []string
	fails  error
	gate   chan struct{} // nil: open
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return 0, s.fails
	}
	s.writes = append(s.writes, string(p))
	return len(p), nil
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.writes)
}

func (s *sink) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.SplitAfter(strings.TrimSuffix(strings.Join(s.writes, ""), "\n"), "\n")
}

// pass lets so much virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// Lines wait for 100 ms from the first of them, and go out in one write.
func TestBatchAfterItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := new(sink)
		log := telemetry.NewLogger(telemetry.NewBatch(to))
		for round := 1; round <= 3; round++ {
			log.Info().Msg("one")
			pass(60 * time.Millisecond)
			log.Info().Msg("two")
			pass(39 * time.Millisecond)
			if synctest.Wait(); to.count() != round-1 {
				t.Fatalf("%d writes 99 ms after the first line of round %d, want %d", to.count(), round, round-1)
			}
			pass(time.Millisecond)
			if synctest.Wait(); to.count() != round || strings.Count(to.writes[round-1], "\n") != 2 {
				t.Fatalf("%q are the writes after round %d, want two lines more", to.writes, round)
			}
			pass(time.Second)
		}
	})
}

// A warning and what is worse is written before the call returns, behind the lines that
// wait. Levels below it wait.
func TestBatchOfLevels(t *testing.T) {
	for level := zerolog.TraceLevel; level <= zerolog.NoLevel; level++ {
		t.Run(level.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to := new(sink)
				b := telemetry.NewBatch(to)
				_, _ = b.WriteLevel(zerolog.InfoLevel, []byte("waits\n"))
				_, _ = b.WriteLevel(level, []byte("line\n"))
				want := 0
				if level >= zerolog.WarnLevel {
					want = 1
				}
				if to.count() != want {
					t.Errorf("%d writes at once, want %d", to.count(), want)
				}
				pass(time.Second)
				if synctest.Wait(); to.count() != 1 || to.writes[0] != "waits\nline\n" {
					t.Errorf("%q are the writes, want one of both lines", to.writes)
				}
			})
		})
	}
}

// A batch of 64 KiB is written whole by whoever has filled it; a line that is longer
// than that, too.
func TestBatchThatIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := new(sink)
		b := telemetry.NewBatch(to)
		line := []byte(strings.Repeat("x", 1023) + "\n")
		for i := range 64 {
			if to.count() != 0 {
				t.Fatalf("%d writes after %d KiB, want none", to.count(), i)
			}
			_, _ = b.WriteLevel(zerolog.InfoLevel, line)
		}
		if to.count() != 1 || len(to.writes[0]) != 64<<10 {
			t.Fatalf("%d writes after 64 KiB, want one of all of it", to.count())
		}
		_, _ = b.WriteLevel(zerolog.InfoLevel, bytes.Repeat(line, 1024))
		if to.count() != 2 || len(to.writes[1]) != 1<<20 {
			t.Fatalf("%d writes after a line of 1 MiB, want two", to.count())
		}
		pass(time.Second)
		if synctest.Wait(); to.count() != 2 {
			t.Errorf("%d writes in the end, want two: nothing was left", to.count())
		}
	})
}

// Flush writes what waits, and nothing where nothing waits.
func TestBatchFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := new(sink)
		b := telemetry.NewBatch(to)
		if err := b.Flush(); err != nil || to.count() != 0 {
			t.Errorf("flushing nothing: %d writes, error %v, want 0", to.count(), err)
		}
		_, _ = b.WriteLevel(zerolog.InfoLevel, []byte("last words\n"))
		if err := b.Flush(); err != nil || to.count() != 1 {
			t.Errorf("flushing one line: %d writes, error %v, want 1", to.count(), err)
		}
	})
}

// While the sink takes nothing, whoever fills a batch waits until it does, and no line
// is dropped.
func TestBatchWaitsForItsSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &sink{gate: make(chan struct{})}
		b := telemetry.NewBatch(to)
		line := []byte(strings.Repeat("x", 1023) + "\n")
		const most = 64
		taken := 0
		go func() {
			for range 2 * most {
				_, _ = b.WriteLevel(zerolog.InfoLevel, line)
				taken++
			}
		}()
		if synctest.Wait(); taken >= most {
			t.Errorf("%d KiB were taken while the sink was blocked, want less than %d", taken, most)
		}
		close(to.gate)
		if synctest.Wait(); taken != 2*most || to.count() != 2 {
			t.Errorf("%d KiB were taken in %d writes in the end, want %d in 2", taken, to.count(), 2*most)
		}
	})
}

// However many log at once, each line is written once, and those of one goroutine are in
// their order.
func TestBatchOfManyWriters(t *testing.T) {
	const writers, each = 8, 2000
	to := new(sink)
	b := telemetry.NewBatch(to)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				level := zerolog.InfoLevel
				if i%100 == 0 {
					level = zerolog.WarnLevel
				}
				if _, err := b.WriteLevel(level, fmt.Appendf(nil, "%d %d %s\n", w, i, strings.Repeat("x", 200))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	next := make(map[int]int)
	for _, line := range to.lines() {
		var w, i int
		if _, err := fmt.Sscanf(line, "%d %d", &w, &i); err != nil || i != next[w] {
			t.Fatalf("writer %d: line %.20q, want its number %d: %v", w, line, next[w], err)
		}
		next[w]++
	}
	for w := range writers {
		if next[w] != each {
			t.Errorf("writer %d: %d lines, want %d", w, next[w], each)
		}
	}
}

// A write that fails is told to whoever has brought it about: the timer's, to whoever
// logs next.
func TestBatchTellsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("the disk is full")
		to := &sink{fails: full}
		b := telemetry.NewBatch(to)
		if _, err := b.WriteLevel(zerolog.ErrorLevel, []byte("urgent\n")); !errors.Is(err, full) {
			t.Errorf("an urgent line: error %v, want %v", err, full)
		}
		if _, err := b.WriteLevel(zerolog.InfoLevel, []byte("waits\n")); err != nil {
			t.Errorf("a line that waits: error %v", err)
		}
		pass(time.Second)
		synctest.Wait()
		if _, err := b.WriteLevel(zerolog.InfoLevel, []byte("next\n")); !errors.Is(err, full) {
			t.Errorf("the line after the timer's write: error %v, want %v", err, full)
		}
		if _, err := b.WriteLevel(zerolog.InfoLevel, []byte("and on\n")); err != nil {
			t.Errorf("the line after it: error %v, want none: it was told", err)
		}
	})
}
