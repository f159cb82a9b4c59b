// Command streams drives a server with event streams, in a process of its own.
//
//	streams --url http://127.0.0.1:1234/v1/chat/completions --body file --count 100 [--over 1s] [--header "Name: value"]…
//
// It opens the streams at equal distances of time and reads each to its end. When all
// have their first event it prints "open"; at the end it prints what it has seen, as
// JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"spillway/tests/bench/files"
	"spillway/tests/bench/post"
	"spillway/tests/bench/streams/seen"
)

func main() {
	files.Raise()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "streams:", err)
		os.Exit(1)
	}
}

// generator opens streams.
type generator struct {
	post.Request // the same for all
	count        int
	over         time.Duration

	begun  atomic.Int64 // streams that have their first event, or never will
	opened chan struct{}
}

func run(args []string) error {
	g := generator{opened: make(chan struct{})}
	flags := flag.NewFlagSet("streams", flag.ContinueOnError)
	described := post.Define(flags)
	flags.IntVar(&g.count, "count", 100, "streams")
	flags.DurationVar(&g.over, "over", time.Second, "the time in which they are opened")
	if err := flags.Parse(args); err != nil {
		return err
	}
	request, err := described.Request()
	if err != nil {
		return err
	}
	g.Request = request
	return json.NewEncoder(os.Stdout).Encode(g.drive())
}

// drive opens all streams and waits for their ends.
func (g *generator) drive() seen.Seen {
	all := make([]seen.Stream, g.count)
	var group sync.WaitGroup
	began := time.Now()
	for i := range all {
		pauseUntil(began.Add(g.over * time.Duration(i) / time.Duration(g.count)))
		group.Go(func() { all[i] = g.stream() })
	}
	go func() {
		<-g.opened
		fmt.Println("open")
	}()
	group.Wait()
	return seen.Of(all, time.Since(began))
}

func pauseUntil(t time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), t)
	defer cancel()
	<-ctx.Done()
}

// stream is the life of one stream.
func (g *generator) stream() (s seen.Stream) {
	first := sync.OnceFunc(func() {
		if g.begun.Add(1) == int64(g.count) {
			close(g.opened)
		}
	})
	defer first()
	connection, err := net.Dial("tcp", g.Address)
	if err != nil {
		return seen.Stream{Err: err.Error()}
	}
	defer connection.Close()
	began := time.Now()
	if _, err := connection.Write(g.Bytes); err != nil {
		return seen.Stream{Err: err.Error()}
	}
	const room = 1 << 10 // thousands are open at a time
	answer, err := http.ReadResponse(bufio.NewReaderSize(connection, room), nil)
	if err != nil {
		return seen.Stream{Err: err.Error()}
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return seen.Stream{Err: answer.Status}
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(make([]byte, 0, room), 64<<10)
	for lines.Scan() {
		s.Line(lines.Text(), time.Since(began))
		if s.Events == 1 {
			first()
		}
	}
	if err := lines.Err(); err != nil {
		s.Err = err.Error()
	}
	return s
}
