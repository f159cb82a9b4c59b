//go:build unix

package rawconn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

// pair is the two ends of a connection.
func pair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dialed.Close()
		accepted.Close()
	})
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

// ended are the ways in which reading and writing end. Each brings a connection there.
var ended = []struct {
	name  string
	bring func(t *testing.T, near, far *net.TCPConn)
}{
	{"by the other side", func(t *testing.T, near, far *net.TCPConn) { far.Close() }},
	{"by a reset", func(t *testing.T, near, far *net.TCPConn) {
		_ = far.SetLinger(0)
		far.Close()
		awaitReset(t, near)
	}},
	{"by a deadline", func(t *testing.T, near, far *net.TCPConn) { _ = near.SetDeadline(time.Unix(1, 0)) }},
	{"by closing", func(t *testing.T, near, far *net.TCPConn) { near.Close() }},
}

// awaitReset waits until the reset has come, and leaves it to be read.
func awaitReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var one [1]byte
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		arrived := false
		_ = raw.Write(func(fd uintptr) bool { // always ready: there is room
			_, err := Send(fd, one[:])
			arrived = err != nil
			return true
		})
		if arrived {
			return
		}
	}
	t.Fatal("no reset in 10 s")
}

// Reading and writing end with the errors of package net.
func TestErrorsAreThoseOfPackageNet(t *testing.T) {
	for _, end := range ended {
		for _, operation := range []struct {
			name string
			do   func(net.Conn) (int, error)
		}{
			{"reading", func(c net.Conn) (int, error) { return c.Read(make([]byte, 10)) }},
			{"writing", func(c net.Conn) (int, error) {
				if end.name == "by the other side" {
					return 0, nil // goes on for as long as the other side accepts it
				}
				return c.Write(make([]byte, 10))
			}},
		} {
			t.Run(operation.name+" ended "+end.name, func(t *testing.T) {
				var got [2]string
				for i, wrap := range []func(net.Conn) net.Conn{func(c net.Conn) net.Conn { return c }, New} {
					near, far := pair(t)
					end.bring(t, near, far)
					n, err := operation.do(wrap(near))
					got[i] = describe(n, err, near)
				}
				if got[1] != got[0] {
					t.Errorf("%s; package net: %s", got[1], got[0])
				}
			})
		}
	}
}

// describe tells all that a caller can learn from an error, but for the addresses.
func describe(n int, err error, near *net.TCPConn) string {
	if err == nil || err == io.EOF {
		return fmt.Sprint(n, err)
	}
	var op *net.OpError
	var system *os.SyscallError
	if !errors.As(err, &op) {
		return fmt.Sprintf("%d %T", n, err)
	}
	ours := op.Source.String() == near.LocalAddr().String() && op.Addr.String() == near.RemoteAddr().String()
	return fmt.Sprint(n, op.Op, op.Net, op.Err, ours, op.Timeout(), errors.As(err, &system), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded))
}

// Writes of any length wait until there is room for all of it.
func TestWriteWaitsForRoom(t *testing.T) {
	want := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(want)
	for _, size := range []int{1000, maxRaw, maxRaw + 1, 1 << 20} {
		near, far := pair(t)
		go func() {
			c := New(near)
			defer c.Close()
			for piece := range slices.Chunk(want, size) {
				if n, err := c.Write(piece); err != nil || n != len(piece) {
					t.Errorf("wrote %d of %d: %v", n, len(piece), err)
				}
			}
		}()
		if got, err := io.ReadAll(New(far)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("pieces of %d: got %d bytes (%v), want the %d that were written", size, len(got), err, len(want))
		}
	}
}

// A write that a deadline interrupts tells how much has been written.
func TestInterruptedWriteTellsHowFarItCame(t *testing.T) {
	near, far := pair(t)
	_ = near.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	c, sent := New(near), 0
	piece := make([]byte, maxRaw)
	for {
		n, err := c.Write(piece)
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil || n != len(piece) {
			t.Fatalf("wrote %d, want %d: %v", n, len(piece), err)
		}
	}
	near.Close()
	if got, err := io.Copy(io.Discard, far); err != nil || got != int64(sent) {
		t.Errorf("%d bytes have come (%v), want the %d that were written", got, err, sent)
	}
}

// Closing ends a read that waits.
func TestCloseEndsAWaitingRead(t *testing.T) {
	near, _ := pair(t)
	ended := make(chan error)
	go func() {
		_, err := New(near).Read(make([]byte, 1))
		ended <- err
	}()
	near.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

// What is there can be looked at without taking it, and nothing waits for what is not.
func TestReceiveAndPeekDoNotWait(t *testing.T) {
	near, far := pair(t)
	raw, err := near.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	note := func(n int, err error, p []byte) { got = append(got, fmt.Sprintf("%q %v", p[:n], err)) }
	look := func(fd uintptr) {
		p := make([]byte, 10)
		n, err := Peek(fd, p)
		note(n, err, p)
		n, err = Receive(fd, p)
		note(n, err, p)
	}
	_ = raw.Control(look)
	_, _ = io.WriteString(far, "word")
	awaited := false
	_ = raw.Read(func(fd uintptr) bool { // returns when it has come
		n, err := Peek(fd, make([]byte, 10))
		awaited = err == nil && n == 4
		return awaited
	})
	_ = raw.Control(look)
	want := []string{
		`"" resource temporarily unavailable`, `"" resource temporarily unavailable`,
		`"word" <nil>`, `"word" <nil>`,
	}
	if !awaited || !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A connection that wraps another one may have a Read and a Write of its own, and a pipe
// is not the system's: both stay as they are.
func TestOtherConnectionsStayAsTheyAre(t *testing.T) {
	near, _ := pair(t)
	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	for _, c := range []net.Conn{pipe, struct{ *net.TCPConn }{near}} {
		if New(c) != c {
			t.Errorf("%T is replaced", c)
		}
	}
}
