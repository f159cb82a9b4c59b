package e2e_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
)

// A throttle that one instance was told of holds for all: once they have heard
// of it nobody asks the backend before its time, whatever the load, and no
// client sees anything of it.
func TestThrottleIsShared(t *testing.T) {
	needsFleet(t)
	f := startFleet(t, fleetOptions{})
	frail := f.backends["frail"]
	const wait = 20 * time.Second
	frail.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: wait, For: wait})
	end := time.Now().Add(wait)
	allGood(t, []sent{f.ask(t.Context(), f.instances[0], "frail", false)})

	// Those that were told nothing learn it while they serve another model.
	l := f.load(t, false, "paced")
	for _, p := range f.instances {
		await.That(t, "every instance knows of the throttle", func() bool { return p.throttled(t, "frail/frail") })
	}
	before := frail.requests()
	storm := f.load(t, false, "frail")
	await.Until(t, end.Add(-time.Second))
	probes := 0
	for _, r := range frail.Requests()[before:] {
		if r.Time.After(end.Add(-time.Second)) {
			continue
		}
		if probes++; !sentAt(r).Equal(r.Time) {
			t.Errorf("a client's request was sent to a backend that had said to wait: %s", r.Body)
		}
	}
	if probes > 3 {
		t.Errorf("the backend was probed %d times within %s, want at most 3", probes, wait)
	}
	await.That(t, "the backend is used again", func() bool { return frail.Stats()["frail"].Accepted > 0 })
	all := storm.stop()
	allGood(t, all)
	allGood(t, l.stop())
	t.Logf("%d requests went elsewhere while the backend was probed %d times", len(all), probes)
}

// throttled tells whether an instance holds a deployment for throttled.
func (p *process) throttled(t *testing.T, deployment string) bool {
	t.Helper()
	for _, d := range (&besieged{process: p}).state(t).Deployments {
		if d["id"] == deployment {
			return d["throttledUntil"] != nil
		}
	}
	return false
}

// Limits that the gateways do not know are met as 429s of the backends. Clients
// see none of them while another backend has room; where none has they are told
// when there will be, and then there is.
func TestStormOf429s(t *testing.T) {
	needsFleet(t)
	const known = 3 * charge // tokens a minute
	f := startFleet(t, fleetOptions{frail: azureopenai.Deployment{TokensPerMinute: known}})
	frail, payg := f.backends["frail"], f.backends["payg"]
	l := f.load(t, false, "frail")
	began := time.Now()
	await.Until(t, began.Add(6*time.Second))
	storm := l.stop()
	allGood(t, storm)
	refused := frail.Stats()["frail"].Rejected429
	// Each instance may learn it by itself, with the requests it had under way;
	// a minute that ends meanwhile brings room and, after it, the same once more.
	if most := int64(2 * len(f.instances) * 8); refused == 0 || refused > most {
		t.Errorf("the backend has refused %d of %d requests, want a few, at most %d", refused, len(storm), most)
	}

	// No room anywhere: the one for long, the other for some seconds.
	const busy = 12 * time.Second
	// The one has said before that it has room again when the minute ends, and until then
	// nobody asks it: a minute that ends sooner than that would be promised rightly.
	if edge := time.Now().Truncate(time.Minute).Add(time.Minute); time.Until(edge) < busy+2*time.Second {
		await.Until(t, edge.Add(2*time.Second))
	}
	room := time.Now().Add(busy)
	var last time.Time
	payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: busy, For: busy})
	frail.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 4 * busy, For: 4 * busy})
	for _, p := range f.instances {
		s := f.ask(t.Context(), p, "frail", false)
		latest := time.Now().Add(busy) // payg names the same wait to whoever asks it
		if s.status != http.StatusTooManyRequests {
			t.Errorf("no backend has room, and the answer is %v", s)
			continue
		}
		wait, err := strconv.ParseInt(s.header.Get("retry-after-ms"), 10, 64)
		whole, err2 := strconv.ParseInt(s.header.Get("Retry-After"), 10, 64)
		if err != nil || err2 != nil || whole*1000 < wait || whole*1000 >= wait+1000 {
			t.Errorf("told to wait %q s and %q ms", s.header.Get("Retry-After"), s.header.Get("retry-after-ms"))
		}
		promised := s.at.Add(time.Duration(wait) * time.Millisecond)
		if promised.Before(room.Add(-time.Second)) || promised.After(latest) {
			t.Errorf("room is promised for %s, and is there at %s", promised.UTC(), room.UTC())
		}
		last = promised
	}
	await.Until(t, last)
	for _, p := range f.instances {
		await.That(t, "there is room again after the time that clients were told", func() bool {
			return f.ask(t.Context(), p, "frail", false).good()
		})
	}
	t.Logf("%d requests, of which the backend has refused %d; no client has noticed", len(storm), refused)
}
