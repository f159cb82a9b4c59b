package sim

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"spillway/shared/store"
	"spillway/shared/usage"
)

// mark is a moment: when it was, and its place in the order of what happened at
// the same instant. The zero mark never was.
type mark struct {
	at  time.Time
	seq int64
}

func (m mark) happened() bool { return m.seq > 0 }

// history is what was seen from outside of the gateway: at the clients, at the
// backends' doors and at the store.
type history struct {
	mu       sync.Mutex
	seq      int64               // guarded by mu
	requests []*request          // guarded by mu
	byID     map[string]*request // guarded by mu
	strays   []usage.Record      // guarded by mu; of no request
	stranded []stranded          // guarded by mu
	rebuffs  []rebuff            // guarded by mu
}

// request is one call of a client.
type request struct {
	id       string
	consumer int
	call     Call
	probe    bool

	entered mark // the gateway was called
	refused mark // it answered 429 or 503
	left    mark // the client gave up
	done    mark // the gateway's handler returned

	status   int
	aborted  bool // the handler cut the connection
	header   http.Header
	body     []byte // of an error
	room     []bool // at refused: whether each backend would take it, by its own limiter
	attempts []*attempt
	records  []usage.Record
	hits     []exchange // what backends made of it
}

// attempt is one call of the gateway to a backend.
type attempt struct {
	member     int
	start, end mark // sent; answered, by headers or by an error
	status     int  // 0: no answer
	dial       bool // the connection was refused
	injected   bool // the answer was bent by a trouble
	until      time.Time
}

// exchange is what a backend says that it did.
type exchange struct {
	member    int
	number    int64
	generated int64
	finished  bool
}

// stranded are units of a limit whose grant the gateway may never have heard of.
type stranded struct {
	partition string
	window    time.Time
	units     int64
}

// rebuff is a write that met a conflict.
type rebuff struct {
	partition string
	at        time.Time
}

func newHistory() *history {
	return &history{byID: make(map[string]*request)}
}

// mark notes that something happens now. It needs mu.
func (h *history) mark() mark {
	h.seq++
	return mark{time.Now(), h.seq}
}

// enter notes a call.
func (h *history) enter(r *request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.id = "sim-" + strconv.Itoa(len(h.requests))
	h.requests = append(h.requests, r)
	h.byID[r.id] = r
	r.entered = h.mark()
}

// note takes a mark.
func (h *history) note(m *mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*m = h.mark()
}

// record takes a usage record.
func (h *history) record(record *usage.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.byID[record.RequestID]
	if r == nil {
		h.strays = append(h.strays, *record)
		return
	}
	r.records = append(r.records, *record)
}

// doors is the way to the backends, watched.
type doors struct {
	history *history
	members map[string]int // by host
	inner   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (d *doors) RoundTrip(r *http.Request) (*http.Response, error) {
	h := d.history
	a := &attempt{member: d.members[r.URL.Host]}
	h.mu.Lock()
	if from := h.byID[r.Header.Get(headerID)]; from != nil {
		from.attempts = append(from.attempts, a)
	}
	a.start = h.mark()
	h.mu.Unlock()
	response, err := d.inner.RoundTrip(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	a.end = h.mark()
	if err != nil {
		a.dial = isDial(err)
		return nil, err
	}
	a.status = response.StatusCode
	a.injected = response.Header.Get(headerFault) != ""
	if a.status == http.StatusTooManyRequests {
		a.until = a.end.at.Add(min(waiting(response.Header), maxRetryAfter))
	}
	return response, nil
}

// waiting is how long a 429 asks for.
func waiting(h http.Header) time.Duration {
	for name, unit := range map[string]time.Duration{"retry-after-ms": time.Millisecond, "retry-after": time.Second} {
		if name == "retry-after" && h.Get("retry-after-ms") != "" {
			continue
		}
		if n, err := strconv.ParseFloat(h.Get(name), 64); err == nil {
			return time.Duration(math.Round(n * float64(unit)))
		}
	}
	return defaultThrottle
}

// archive is the store, watched.
type archive struct {
	store.Store             // what the gateway is given
	inner       store.Store // what is true
	history     *history
}

// Insert implements store.Store.
func (a *archive) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	before := a.truth(key)
	etag, err := a.Store.Insert(ctx, key, columns)
	a.judge(key, before, columns, err)
	return etag, err
}

// Replace implements store.Store.
func (a *archive) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	before := a.truth(key)
	etag, err := a.Store.Replace(ctx, key, columns, etag)
	a.judge(key, before, columns, err)
	return etag, err
}

func (a *archive) truth(key store.Key) store.Columns {
	row, err := a.inner.Get(context.Background(), key)
	if err != nil {
		return nil
	}
	return row.Columns
}

// judge notes a conflict, and the units that a write takes whose answer was lost.
func (a *archive) judge(key store.Key, before, after store.Columns, err error) {
	h := a.history
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil, errors.Is(err, store.ErrUnavailable):
		return
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
		h.rebuffs = append(h.rebuffs, rebuff{key.Partition, time.Now()})
		return
	}
	units := func(columns store.Columns, name string) int64 {
		n, _ := columns[name].(int64)
		return n
	}
	window := units(after, "Window")
	granted, next := units(after, "Granted"), units(after, "NextGranted")
	if units(before, "Window") == window {
		granted -= units(before, "Granted")
		next -= units(before, "NextGranted")
	}
	length := time.Minute
	if strings.Contains(key.Partition, "!10s!") {
		length = 10 * time.Second
	}
	start := time.Unix(window, 0)
	h.stranded = append(h.stranded,
		stranded{key.Partition, start, granted}, stranded{key.Partition, start.Add(length), next})
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

var (
	_ http.RoundTripper = (*doors)(nil)
	_ store.Store       = (*archive)(nil)
)
