package program_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/program"
	"spillway/tests/secrets"
)

// However the bytes arrive, lines are what stands between line ends, and a line
// that is not complete is none yet.
func TestLinesOfAnOutput(t *testing.T) {
	const text = "one\n\ntwo\r\nthree and a half"
	for size := 1; size <= len(text); size++ {
		o := program.NewOutput()
		for part := range slices.Chunk([]byte(text), size) {
			if n, err := o.Write(part); n != len(part) || err != nil {
				t.Fatalf("wrote %d of %d bytes: %v", n, len(part), err)
			}
		}
		if got, want := o.Lines(), []string{"one", "", "two\r"}; !slices.Equal(got, want) {
			t.Errorf("in parts of %d bytes: lines %q, want %q", size, got, want)
		}
		if o.String() != text {
			t.Errorf("in parts of %d bytes: %q, want %q", size, o.String(), text)
		}
	}
}

// A line is found whether it was printed before the wait or comes later; each
// line is looked at once and in order.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := program.NewOutput()
		fmt.Fprint(o, "a\nb\n")
		var looked []string
		found := make(chan string)
		go func() {
			line, err := o.Await(t.Context(), func(line string) bool {
				looked = append(looked, line)
				return line == "d"
			})
			if err != nil {
				t.Error(err)
			}
			found <- line
		}()
		synctest.Wait()
		fmt.Fprint(o, "c\nd")
		synctest.Wait()
		select {
		case line := <-found:
			t.Fatalf("%q was found before it was complete", line)
		default:
		}
		fmt.Fprint(o, "\ne\n")
		if line := <-found; line != "d" || !slices.Equal(looked, []string{"a", "b", "c", "d"}) {
			t.Errorf("found %q after looking at %q", line, looked)
		}
		first, err := o.Await(t.Context(), func(line string) bool { return line > "a" })
		if first != "b" || err != nil {
			t.Errorf("the first line after a is %q, want %q: %v", first, "b", err)
		}
	})
}

// A wait ends when the process does, or when the context does, and says which.
func TestAwaitInVain(t *testing.T) {
	never := func(string) bool { return false }
	synctest.Test(t, func(t *testing.T) {
		o := program.NewOutput()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := o.Await(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("when the time is up: %v", err)
		}
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() {
				if _, err := o.Await(t.Context(), never); !errors.Is(err, program.ErrEnded) {
					t.Errorf("when the process ends: %v", err)
				}
			})
		}
		synctest.Wait()
		fmt.Fprintln(o, "the last words")
		o.End()
		waiting.Wait()
		if line, err := o.Await(t.Context(), func(line string) bool { return line != "" }); line != "the last words" || err != nil {
			t.Errorf("after its end the process has said %q, want %q: %v", line, "the last words", err)
		}
	})
}

// Many may write, look and wait at once.
func TestOutputOfManyWriters(t *testing.T) {
	o := program.NewOutput()
	const writers, each = 8, 200
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for i := range each {
				fmt.Fprintf(o, "line %d\n", i)
			}
		})
	}
	seen := 0
	if _, err := o.Await(t.Context(), func(line string) bool {
		if !strings.HasPrefix(line, "line ") {
			t.Errorf("a line was torn: %q", line)
		}
		seen++
		return seen == writers*each
	}); err != nil {
		t.Error(err)
	}
	group.Wait()
	if n := len(o.Lines()); n != writers*each {
		t.Errorf("%d lines, want %d", n, writers*each)
	}
}

// A process that prints a secret fails the test that it belongs to, in whatever
// parts the line comes.
func TestSecretOfAProcess(t *testing.T) {
	const secret = "a secret that a process prints"
	secrets.Register("the planted one", secret)
	for _, test := range []struct {
		prints []string
		fails  bool
	}{
		{[]string{"an ordinary line\n"}, false},
		{[]string{"it is " + secret[:9], secret[9:] + "\n"}, true},
		{[]string{"and the last words are " + secret}, true},
	} {
		r := &recorder{TB: t}
		o := program.NewOutput().Watch(r)
		for _, part := range test.prints {
			fmt.Fprint(o, part)
		}
		o.End()
		for _, f := range slices.Backward(r.cleanups) {
			f()
		}
		if r.failed != test.fails {
			t.Errorf("%q: the test fails: %t, want %t", test.prints, r.failed, test.fails)
		}
	}
}

// recorder is a test that notes that it failed instead of failing.
type recorder struct {
	testing.TB
	cleanups []func()
	failed   bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Cleanup(f func())      { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(string, ...any) { r.failed = true }
