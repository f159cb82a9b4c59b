package lambda_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/azurite"
)

const paced = `
access: open
state: { store: tables, connection: "${STORAGE}", table: lambdafreeze, onUnavailable: deny }
backends:
  - { name: paced, endpoint: "${PACED}", deployments: [{ model: gpt, requestsPerMinute: 240, accounting: azure }] }
  - { name: payg, endpoint: "${PAYG}", deployments: [{ model: gpt }] }
pools:
  - { model: gpt, members: [{ backend: paced, priority: 1 }, { backend: payg, priority: 2 }] }
`

const (
	slice         = 10 * time.Second // in which Azure counts requests
	sliceRequests = 40
)

// An instance that was frozen for longer than a window, with units of it in hand, while
// another has used up the one that runs now, spends nothing of what it held. The
// backend, which counts for itself, never has to refuse.
func TestFreezeOverAWindow(t *testing.T) {
	if testing.Short() {
		t.Skip("a window is ten seconds long")
	}
	t.Parallel() // it mostly waits
	backend, url := newBackend(t, azureopenai.Options{Name: "paced", Deployments: []azureopenai.Deployment{{Name: "gpt", RequestsPerMinute: 6 * sliceRequests}}})
	_, payg := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt"}}})
	env := map[string]string{"STORAGE": azurite.Start(t), "PACED": url, "PAYG": payg}
	frozen, other := start(t, paced, env, patience), start(t, paced, env, patience)
	frozen.ask(t, "gpt") // It makes the table, which may take longer than a request waits.
	for range 3 {
		if freezeOver(t, backend, frozen, other) {
			return
		}
	}
	t.Fatal("void: on this machine a window was never over within its ten seconds, or the table never quick enough")
}

// freezeOver freezes an instance over a window's edge. It tells whether that held units of
// the window before, the other has used up the next one, and the frozen one gone on in it.
func freezeOver(t *testing.T, backend *azureopenai.Server, frozen, other *instance) bool {
	t.Helper()
	first := time.Now().Truncate(slice).Add(slice)
	await.Until(t, first.Add(300*time.Millisecond))
	for range 2 {
		a := frozen.ask(t, "gpt")
		if a.status != http.StatusOK {
			t.Fatalf("before the freeze: %+v, want status %v", a, http.StatusOK)
		}
		if a.served() != "paced" {
			return false // The table was slow: it holds nothing.
		}
	}
	held := time.Now()
	if err := frozen.Frozen(limited(t)); err != nil {
		t.Fatal(err)
	}
	now := first.Add(slice)
	await.Until(t, now.Add(2500*time.Millisecond)) // 12 s in all
	// That one answer spills is no proof: where the table is slow a request does not wait.
	for taken := 0; taken < sliceRequests && time.Now().Before(now.Add(slice)); {
		a := other.ask(t, "gpt")
		if a.status != http.StatusOK {
			t.Fatalf("the other instance: %+v, want status %v", a, http.StatusOK)
		}
		if a.served() == "paced" {
			taken++
		}
	}
	thawed := time.Now()
	spent := 0
	for range 10 {
		a := frozen.ask(t, "gpt")
		if a.status != http.StatusOK {
			t.Fatalf("after the freeze: %+v, want status %v", a, http.StatusOK)
		}
		if a.served() == "paced" {
			spent++
		}
	}
	if time.Now().After(now.Add(slice)) {
		return false
	}
	used := 0
	for _, r := range backend.Requests() {
		if r.Status != http.StatusOK {
			t.Errorf("the backend has answered %d, want %d", r.Status, http.StatusOK)
		}
		if r.Time.Truncate(slice).Equal(now) {
			used++
		}
	}
	t.Logf("frozen for %s; in the window in which it went on the backend has served %d of %d", thawed.Sub(held).Round(time.Millisecond), used, sliceRequests)
	if spent > 0 {
		t.Errorf("%d requests have spent what the instance held before the freeze, want none", spent)
	}
	if used != sliceRequests {
		t.Errorf("the backend has served %d requests in the window, want %d", used, sliceRequests)
	}
	return true
}

const pausing = `
access: keys
state: { store: tables, connection: "${STORAGE}", table: lambdapause, onUnavailable: deny }
breaker: { failures: 3, openFor: 300s, maxOpenFor: 300s }
backends:
  - { name: sick, endpoint: "${SICK}", deployments: [{ model: gpt }] }
  - { name: well, endpoint: "${WELL}", deployments: [{ model: gpt }] }
pools:
  - { model: gpt, members: [{ backend: sick, priority: 1 }, { backend: well, priority: 2 }] }
consumers:
  - { name: one, keys: ["caller-key-of-the-tests"], requestsPerMinute: 20 }
  - { name: two, keys: ["second-key-of-the-tests"] }
`

// An instance that was frozen for a minute and a half between two calls, with units of a
// minute in hand, finds the world as it is: with its first call, what others have used of
// the present minute counts, and a backend that failed them meanwhile is not asked.
func TestFreezeOverAMinute(t *testing.T) {
	if testing.Short() {
		t.Skip("it is frozen for a minute and a half")
	}
	t.Parallel() // it mostly waits
	const (
		frozenFor = 90 * time.Second
		requests  = 20
	)
	sick, sickURL := newBackend(t, azureopenai.Options{Name: "sick", Deployments: []azureopenai.Deployment{{Name: "gpt"}}})
	_, wellURL := newBackend(t, azureopenai.Options{Name: "well", Deployments: []azureopenai.Deployment{{Name: "gpt"}}})
	env := map[string]string{"STORAGE": azurite.Start(t), "SICK": sickURL, "WELL": wellURL}
	frozen, other := start(t, pausing, env, patience), start(t, pausing, env, patience)
	const body = `{"model":"gpt","max_tokens":40,"messages":[{"role":"user","content":"Hello."}]}`
	ask := func(i *instance) answer { return i.post(t, body, caller("application/json")) }
	// It ends well within a minute, of which the other instance has used all by then.
	const margin = 15 * time.Second
	thaw := time.Now().Add(frozenFor + 2*time.Second)
	if minute := thaw.Truncate(time.Minute); thaw.Before(minute.Add(margin)) {
		thaw = minute.Add(margin)
	} else if thaw.After(minute.Add(time.Minute - 5*time.Second)) {
		thaw = minute.Add(time.Minute + margin)
	}
	await.Until(t, thaw.Add(-frozenFor-time.Second))
	for range 3 {
		if a := ask(frozen); a.served() != "sick" {
			t.Fatalf("before the freeze: %+v", a)
		}
	}
	if err := frozen.Frozen(limited(t)); err != nil {
		t.Fatal(err)
	}
	held := time.Now()
	await.Until(t, thaw.Add(3*time.Second-margin))
	sick.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: http.StatusInternalServerError})
	used := 0
	for ; used <= requests; used++ {
		a := ask(other)
		if a.status == http.StatusTooManyRequests {
			break
		}
		if a.served() != "well" {
			t.Fatalf("the other instance: %+v", a)
		}
	}
	if used != requests {
		t.Fatalf("void: the other instance could use %d requests of the minute, want all %d", used, requests)
	}
	await.Until(t, thaw)
	asked := len(sick.Requests())
	if a := ask(frozen); a.status != http.StatusTooManyRequests {
		t.Errorf("the first call after the freeze spends what the instance held: %+v, want status %v", a, http.StatusTooManyRequests)
	}
	if over := time.Since(held); over < frozenFor-2*time.Second {
		t.Fatalf("void: it was frozen for %s only", over)
	}
	header := caller("application/json")
	header.Set("Api-Key", "second-key-of-the-tests")
	if a := frozen.post(t, body, header); a.served() != "well" {
		t.Errorf("a consumer without limits, after the freeze: %+v", a)
	}
	if n := len(sick.Requests()) - asked; n > 0 {
		t.Errorf("the sick backend was asked %d times after the freeze, want none", n)
	}
}

const quota = `
access: keys
state: { store: tables, connection: "${STORAGE}", table: "${TABLE}", onUnavailable: deny }
backends:
  - { name: only, endpoint: "${BACKEND}", deployments: [{ model: gpt }] }
pools:
  - { model: gpt, members: [{ backend: only }] }
consumers:
  - { name: one, keys: ["caller-key-of-the-tests"], quotas: [{ tokens: 4200, per: month }] }
`

// An instance that Lambda ends gives back what it holds: with a quota for a month, no
// other could use it for the rest of the month.
func TestShutdownGivesBack(t *testing.T) {
	t.Parallel()
	_, url := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt"}}, Output: azureopenai.Output{Fill: true}})
	storage := azurite.Start(t)
	spend := func(table string, end func(*instance)) int64 {
		env := map[string]string{"STORAGE": storage, "TABLE": table, "BACKEND": url}
		ending := start(t, quota, env, patience)
		var used int64
		for range 25 { // it comes to hold more than it needs at once
			used += tokens(t, ending)
		}
		end(ending)
		other := start(t, quota, env, patience)
		for range 1000 {
			n := tokens(t, other)
			if n == 0 {
				return used
			}
			used += n
		}
		t.Fatal("the quota has no end")
		return 0
	}
	// It has 400 ms for it, which on a busy machine may be too little: once in three
	// times will do.
	const request = 2 * 49 // an estimate, and what it may have been wrong by
	var given int64
	for n := 0; n < 3 && given < 4200-request; n++ {
		given = spend(fmt.Sprintf("lambdagiven%d", n), func(i *instance) {
			if !i.Shutdown() {
				t.Error("the instance had to be killed")
			}
			if code := i.ExitCode(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		})
	}
	lost := spend("lambdalost", func(i *instance) { i.Close() })
	t.Logf("of 4200 tokens %d could be used after a shutdown, %d after a crash", given, lost)
	if given < 4200-request || given > 4200 {
		t.Errorf("after a shutdown %d of 4200 tokens could be used", given)
	}
	if lost > 4200 {
		t.Errorf("after a crash %d of 4200 tokens could be used, want at most 4200", lost)
	}
}

// tokens sends a request and returns what it has used, 0 if it was refused.
func tokens(t *testing.T, i *instance) int64 {
	t.Helper()
	a := i.post(t, `{"model":"gpt","max_tokens":40,"messages":[{"role":"user","content":"Hello."}]}`, caller("application/json"))
	var body struct {
		Usage struct {
			Total int64 `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != http.StatusOK && a.status != http.StatusTooManyRequests {
		t.Fatalf("%+v", a)
	}
	return body.Usage.Total
}
