package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/tests/fakes/azurite"
)

// Instances that take the time to be two minutes later, or earlier, than it is
// are followed or follow, for the row is the clock: no window of a row is overdrawn.
// Its window moves on when an instance whose clock is ahead next writes it, which may be
// seconds after the edge of the backend; until then the others are granted, in the
// backend's window, what the row has left of its own. To the unit that much, and no
// more, may be sent beyond the limit; nothing, once the row is used up before the edge.
//
// The backends refuse nothing of that: breakers would tell each other until when, by
// clocks that are minutes apart, and leave whole windows to nobody.
func TestClocksTwoMinutesOff(t *testing.T) {
	needsFleet(t)
	const ahead, exact = 2 * time.Minute, 2
	storage := azurite.Start(t)
	watched := &witness{ahead: ahead}
	f := startFleet(t, fleetOptions{instances: 2, storage: watched.stand(t, storage, 0), generous: true})
	f.edge, f.witness = time.Second, watched // a Date tells no less than a second
	for _, by := range []time.Duration{ahead, -ahead} {
		odd := f.join(t, map[string]string{"STORAGE": watched.stand(t, storage, by)})
		// It has to learn the time before it is asked to count.
		odd.awaitEvent(t, "it knows the table", func(e event) bool { return e.Event == "state_ready" })
	}
	l := f.load(t, false, "metered", "paced")
	settled := time.Now().Truncate(slice).Add(slice)
	f.awaitExact(t, exact, settled.Add(2*slice))
	all := l.stop()
	allGood(t, all)
	recorded(t, all)
	f.exact(t, func(start, _ time.Time) bool { return !start.Before(settled) })
	for _, l := range []limiter{metered, paced} {
		h := f.history(l)
		for _, w := range h.windows {
			t.Logf("%s in the window at %s: sent %d of %d, %d surely of this window, %d requests refused; %d granted of an older window by its row",
				l.name, w.start.UTC().Format("15:04:05"), w.all, l.most, w.surely, w.refused, h.late(w.start))
		}
	}
}

// witness stands between instances and their table and keeps what is written to the
// rows of limits. It is safe for concurrent use.
type witness struct {
	ahead time.Duration // the rows' windows are so much later than those of the backends

	mu     sync.Mutex
	writes []write // guarded by mu
}

// write is a row of a limit as it was written.
type write struct {
	grants
	row string // what the service calls it
}

// of are the writes of a limit's row so far.
func (w *witness) of(l limiter) []grants {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := []grants{}
	for _, one := range w.writes {
		if strings.Contains(one.row, strings.ReplaceAll(l.key, "/", ".2F")) {
			all = append(all, one.grants)
		}
	}
	slices.SortStableFunc(all, func(a, b grants) int { return a.at.Compare(b.at) })
	return all
}

// written is the key by which a call to the table carries its body.
type writtenKey struct{}

// stand returns the connection string of tables behind the witness, whose answers tell
// a time that is off. A call that an instance gives up is carried out nevertheless, so
// that what was written is known.
func (w *witness) stand(t *testing.T, connection string, by time.Duration) string {
	t.Helper()
	target, err := url.Parse(endpointOf(connection))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0), // it complains of calls that are given up
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
			body, _ := io.ReadAll(r.In.Body) // a part of it is no entity, and the service says so
			r.Out.Body = io.NopCloser(bytes.NewReader(body))
			r.Out = r.Out.WithContext(context.WithValue(context.WithoutCancel(r.Out.Context()), writtenKey{}, body))
		},
		ModifyResponse: func(r *http.Response) error {
			if body, _ := r.Request.Context().Value(writtenKey{}).([]byte); len(body) > 0 && r.StatusCode < 300 {
				w.keep(r.Request.URL.Path, body)
			}
			// The emulator tells the time that it last looked at the clock: under load a second ago,
			// by which who believes it would go on with the lease of a window that is over.
			r.Header.Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
			return nil
		},
	})
	t.Cleanup(server.Close)
	return strings.Replace(connection, endpointOf(connection), server.URL+target.Path, 1)
}

// keep keeps what was written, if it is the row of a limit.
func (w *witness) keep(path string, body []byte) {
	var row struct {
		PartitionKey string
		Window       int64 `json:",string"`
		Granted      int64 `json:",string"`
		NextGranted  int64 `json:",string"`
	}
	if json.Unmarshal(body, &row) != nil || row.Window == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, write{
		grants: grants{at: time.Now(), window: time.Unix(row.Window, 0), granted: row.Granted, next: row.NextGranted},
		row:    path + row.PartitionKey,
	})
}
