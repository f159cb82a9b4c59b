package azureopenai_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// ended are the accounts of requests that have ended, whoever tells of them.
type ended struct {
	mu  sync.Mutex
	all []azureopenai.Account // guarded by mu
}

func (e *ended) keep(o *azureopenai.Options) {
	o.Account = func(a azureopenai.Account) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if a.End != azureopenai.EventAccepted {
			e.all = append(e.all, a)
		}
	}
}

func (e *ended) list() []azureopenai.Account {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// A response in the background is queued, in progress and completed as its pace
// says; it has a usage when it is completed, and is accounted for then.
func TestBackgroundResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var accounts ended
		s := one(exactly(20), accounts.keep, func(o *azureopenai.Options) {
			o.Background = azureopenai.Pace{Queued: time.Second, Running: 2 * time.Second}
		})
		made := answer(t, s, "POST", responsesPath, askBackground)
		for _, want := range []string{"queued", "in_progress", "in_progress", "completed"} {
			got := answer(t, s, "GET", responseID(made["id"], ""), "")
			if done := want == "completed"; got["status"] != want || got["background"] != true || done != (got["usage"] != nil) || done != (len(accounts.list()) == 1) {
				t.Errorf("response %v with accounts %+v, want it %s", got, accounts.list(), want)
			}
			advance(t, time.Second)
		}
		if a := accounts.list()[0]; a.Completion != 20 || a.Prompt != 8 || a.End != azureopenai.EventFinished || s.Stats()["gpt-4o"].CompletionTokens != 20 {
			t.Errorf("account %+v, statistics %+v", a, s.Stats())
		}
		if status, problem := refused(t, s, "POST", responseID(made["id"], "/cancel"), ""); status != 400 || problem["message"] != "Cannot cancel a completed response." {
			t.Errorf("canceling it: status %d, %v", status, problem)
		}
	})
}

// Without a pace, a response in the background is done when it is asked for.
func TestBackgroundResponseAtOnce(t *testing.T) {
	s := one(exactly(20))
	made := answer(t, s, "POST", responsesPath, askBackground)
	if made["status"] != "queued" || made["usage"] != nil {
		t.Errorf("answered %v", made)
	}
	if got := answer(t, s, "GET", responseID(made["id"], ""), ""); got["status"] != "completed" {
		t.Errorf("retrieved %v", got)
	}
}

// The remote control takes a response on by hand; who cancels it ends it, as often
// as he likes, and what was generated until then is accounted for.
func TestCancelResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var accounts ended
		s := one(exactly(20), accounts.keep, func(o *azureopenai.Options) {
			o.Background = azureopenai.Pace{Running: 4 * time.Second, Manual: true}
		})
		made := answer(t, s, "POST", responsesPath, askBackground)
		id, _ := made["id"].(string)
		if state, ok := s.Advance(id); state != "in_progress" || !ok {
			t.Errorf("advanced to %q, %v, want %q, true", state, ok, "in_progress")
		}
		advance(t, time.Second)
		for range 2 {
			if got := answer(t, s, "POST", responseID(id, "/cancel"), "{}"); got["status"] != "cancelled" || got["id"] != id {
				t.Errorf("canceled %v", got)
			}
		}
		if all := accounts.list(); len(all) != 1 || all[0].End != azureopenai.EventCanceled || all[0].Completion != 5 {
			t.Errorf("accounts %+v, want one of a quarter of the 20 tokens", all)
		}
		if _, ok := s.Advance(id); ok {
			t.Error("it could be advanced after that")
		}
		whole := answer(t, s, "POST", responsesPath, ask)
		if status, problem := refused(t, s, "POST", responseID(whole["id"], "/cancel"), ""); status != 400 || problem["message"] != "Cannot cancel a synchronous response." {
			t.Errorf("canceling a synchronous one: status %d, %v", status, problem)
		}
	})
}

// The stream of a response in the background follows its states; a client that
// leaves does not end it, and one that comes later reads the rest.
func TestBackgroundStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := one(exactly(20), func(o *azureopenai.Options) {
			o.Background = azureopenai.Pace{Queued: time.Minute, Running: time.Minute}
		})
		start := time.Now()
		resp := send(t, s, responsesPath, strings.Replace(askBackground, "}", `,"stream":true}`, 1))
		buffer := make([]byte, 16<<10)
		n, err := resp.Body.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		_, data, _ := strings.Cut(strings.SplitN(string(buffer[:n]), "\n\n", 2)[0], "data: ")
		id := at(object(t, data), "response", "id")
		resp.Body.Close()
		all := typedEvents(t, call(t, s, "GET", responseID(id, "")+"&stream=true", "").Body)
		want := []string{"response.created", "response.queued", "response.in_progress"}
		if got := typesOf(all); !slices.Equal(got[:3], want) || got[len(got)-1] != "response.completed" {
			t.Errorf("events %q", got)
		}
		if took := time.Since(start); took != 2*time.Minute {
			t.Errorf("it took %v, want %v", took, 2*time.Minute)
		}
	})
}

// A response in the background can fail after its request was answered.
func TestBackgroundFails(t *testing.T) {
	var accounts ended
	s := one(exactly(5), accounts.keep)
	s.Inject(azureopenai.Fault{Kind: azureopenai.FaultResponseFailed, Match: azureopenai.Match{Operation: azureopenai.Responses}})
	made := answer(t, s, "POST", responsesPath, askBackground)
	got := answer(t, s, "GET", responseID(made["id"], ""), "")
	if made["status"] != "queued" || got["status"] != "failed" || at(got, "error", "code") != "server_error" {
		t.Errorf("answered %v, then %v", made, got)
	}
	types := typesOf(typedEvents(t, call(t, s, "GET", responseID(made["id"], "")+"&stream=true", "").Body))
	if all := accounts.list(); types[len(types)-1] != "response.failed" || len(all) != 1 || all[0].Completion != 0 || all[0].End != azureopenai.EventBroken {
		t.Errorf("events %q, accounts %+v", types, all)
	}
}
