package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
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

// history is what was seen from outside of the gateways: at the clients, at the
// backends' doors, at the table and in the logs.
type history struct {
	mu       sync.Mutex
	seq      int64               // guarded by mu, as all below
	requests []*request          // by clients
	byID     map[string]*request // the same
	attempts []*attempt          // at the backends' doors, by number
	writes   []write             // that were applied to the table
	lines    []line              // of the logs
	strays   []usage.Record      // of no request
	rebuffs  []rebuff            // writes that met a conflict
}

// request is a call of a client.
type request struct {
	Request
	id       string
	instance int // who got it; -1: nobody

	sent    mark // by the client
	entered mark // the gateway was called
	first   mark // first byte at the client
	left    mark // the client gave up
	done    mark // the gateway's handler returned
	lost    bool // its instance crashed

	status   int
	aborted  bool // the handler cut the connection
	header   http.Header
	answer   []byte // of an error
	attempts []*attempt
	records  []usage.Record
}

// attempt is one call of a gateway to a backend.
type attempt struct {
	number   int
	instance int
	backend  int
	request  *request // nil: a probe
	asked    mark     // the gateway called its transport
	sent     mark     // it went out; later than asked only if the instance froze
	ended    mark     // headers or an error came back
	status   int      // 0: no answer
	form     string   // how a 429 said when to come back
	// What the backend says of it; see collect.
	arrived, accepted bool
	charge            int64
	generated         int64
}

// write is a write that was applied to the table.
type write struct {
	mark
	key           store.Key
	before, after store.Columns // before is nil for a new row
	instance      int
	sent          time.Time // by the gateway; it had decided what to write at that instant
	heard         bool      // the gateway got its answer
}

// rebuff is a write that met a conflict.
type rebuff struct {
	at       time.Time
	instance int
}

// line is a line of a log that tells an event.
type line struct {
	mark
	instance   int
	Event      string    `json:"event"`
	Deployment string    `json:"deployment"`
	Reason     string    `json:"reason"`
	Limit      string    `json:"limit"`
	Units      int64     `json:"units"`
	Until      time.Time `json:"until"`
}

func newHistory() *history {
	return &history{byID: make(map[string]*request)}
}

// mark notes that something happens now. It needs mu.
func (h *history) mark() mark {
	h.seq++
	return mark{time.Now(), h.seq}
}

// note takes a mark.
func (h *history) note(m *mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*m = h.mark()
}

// enter notes a call of a client.
func (h *history) enter(r *request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.id = "fleet-" + strconv.Itoa(len(h.requests))
	h.requests = append(h.requests, r)
	h.byID[r.id] = r
	r.sent = h.mark()
}

// ask notes that a gateway calls a backend.
func (h *history) ask(a *attempt, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.number = len(h.attempts)
	h.attempts = append(h.attempts, a)
	a.asked = h.mark()
	if a.request = h.byID[id]; a.request != nil {
		a.request.attempts = append(a.request.attempts, a)
	}
}

// diary is the log of one instance.
type diary struct {
	history  *history
	instance *instance
}

var eventKey = []byte(`"event":`)

// Write implements io.Writer. It takes one line at a time.
func (d diary) Write(p []byte) (int, error) {
	if !bytes.Contains(p, eventKey) || d.instance.gone() {
		return len(p), nil
	}
	l := line{instance: d.instance.index}
	if err := json.Unmarshal(p, &l); err != nil {
		panic(fmt.Sprintf("the log has a line that is no JSON: %v: %s", err, p))
	}
	h := d.history
	h.mu.Lock()
	defer h.mu.Unlock()
	l.mark = h.mark()
	h.lines = append(h.lines, l)
	return len(p), nil
}

// take files the records that an instance has left.
func (h *history) take(records []usage.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range records {
		if r := h.byID[records[i].RequestID]; r != nil {
			r.records = append(r.records, records[i])
		} else {
			h.strays = append(h.strays, records[i])
		}
	}
}
