package lease

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"spillway/shared/quota"
	"spillway/shared/store/memory"
)

func TestNewRejects(t *testing.T) {
	for name, o := range map[string]Options{
		"no store":       {Instance: "a"},
		"no instance":    {Store: memory.New()},
		"long instance":  {Store: memory.New(), Instance: strings.Repeat("a", 129)},
		"bad instance":   {Store: memory.New(), Instance: "\xff"},
		"unknown policy": {Store: memory.New(), Instance: "a", OnUnavailable: Deny + 1},
	} {
		if e, err := New(o); err == nil || e != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestLimitIsShared: the same key and period give the same limit, from any
// goroutine; another period is another limit.
func TestLimitIsShared(t *testing.T) {
	e, err := New(Options{Store: memory.New(), Instance: "a"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := make(map[*Limit]int)
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			for k := range 100 {
				l := e.Limit(fmt.Sprint((k+i*7)%100), 10, quota.Minute)
				mu.Lock()
				seen[l]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(seen) != 100 {
		t.Errorf("%d limits for 100 keys", len(seen))
	}
	for _, n := range seen {
		if n != 16 {
			t.Errorf("a limit was returned %d times, want 16", n)
		}
	}
	if e.Limit("0", 10, quota.Hour) == e.Limit("0", 10, quota.Minute) {
		t.Error("one limit for two periods")
	}
	if l := e.Limit("negative", -5, quota.Hour); l.Amount() != 0 {
		t.Errorf("amount %d, want 0", l.Amount())
	}
	if l := e.Limit("huge", 1<<62, quota.Hour); l.Amount() != quota.MaxUnits {
		t.Errorf("amount %d, want %d", l.Amount(), int64(quota.MaxUnits))
	}
}

// TestLimitIsSmall: a hundred thousand consumers must fit in memory.
func TestLimitIsSmall(t *testing.T) {
	const line = 64 // of a processor's cache
	if size := unsafe.Sizeof(Limit{}); size > 5*line {
		t.Errorf("a Limit takes %d bytes, want at most %d", size, 5*line)
	}
	if size := unsafe.Offsetof(Limit{}.supply); size > 3*line {
		t.Errorf("what a request looks at that the lease covers takes %d bytes of a Limit, want at most %d", size, 3*line)
	}
	if size := unsafe.Offsetof(Limit{}.generation); size > 2*line {
		t.Errorf("what a request looks at that does not reserve takes %d bytes of a Limit, want at most %d", size, 2*line)
	}
	if size := unsafe.Offsetof(Limit{}.ceilings); size > line {
		t.Errorf("what the garbage collector looks at takes %d bytes of a Limit, want at most %d", size, line)
	}
	e, err := New(Options{Store: memory.New(), Instance: "a"})
	if err != nil {
		t.Fatal(err)
	}
	l := e.Limit("k", 10, quota.Minute)
	for n := range int64(3) { // Of nothing, of a first lease, of the next.
		r, _ := l.Reserve(t.Context(), n)
		r.Settle(n)
		l.Headroom()
		l.Status()
		if l.own != nil {
			t.Errorf("a limit of a store in this process holds more than itself after %d requests", n+1)
		}
	}
}

func TestNames(t *testing.T) {
	for text, name := range map[string]fmt.Stringer{
		"allow": Allow, "fairShare": FairShare, "deny": Deny,
		"granted": Granted, "unmetered": Unmetered, "full": Full, "too large": TooLarge,
		"contended": Contended, "refused": Refused, "canceled": Canceled, "unknown": Outcome(99),
	} {
		if name.String() != text {
			t.Errorf("%q, want %q", name, text)
		}
	}
	if got := Policy(99).String(); got != "unknown" {
		t.Errorf("%q, want unknown", got)
	}
}
