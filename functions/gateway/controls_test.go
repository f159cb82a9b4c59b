package gateway_test

import (
	"strings"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// asking is a plain chat of the team that asks something of the gateway.
func asking(header ...string) rig.Call {
	call := callAs(teamKey, 10)
	call.Header = make(map[string]string)
	for i := 0; i < len(header); i += 2 {
		call.Header[header[i]] = header[i+1]
	}
	return call
}

// A consumer that may, chooses the backend that serves a request, or those that may
// not.
func TestClientChoosesTheBackend(t *testing.T) {
	run(t, limited("mayChooseBackend: true"), func(s *site) {
		s.servedBy(s.Send(s.t.Context(), asking("x-spillway-backend", "payg")), "payg", "chosen")
		s.servedBy(s.Send(s.t.Context(), asking("x-spillway-backend", "ptu")), "ptu", "")
		s.servedBy(s.Send(s.t.Context(), asking("x-spillway-exclude", "nobody, ptu")), "payg", "chosen")

		for _, test := range []struct{ name, header, value, says string }{
			{"one that does not serve the model", "x-spillway-backend", "other", "there are payg, ptu"},
			{"none", "x-spillway-backend", "", "names no backend"},
			{"all excluded", "x-spillway-exclude", "ptu,payg", "excludes all backends that may serve gpt-4o: payg, ptu"},
		} {
			e := s.refused(s.Send(s.t.Context(), asking(test.header, test.value)), 400, "invalid_header")
			if !strings.Contains(e.Message, test.says) {
				t.Errorf("%s: the answer does not help: %s", test.name, e.Message)
			}
		}
	})
}

// A backend that was chosen is the only one that is asked, also when it has no room:
// the others are not what the client wants.
func TestChosenBackendIsFull(t *testing.T) {
	run(t, limited("mayChooseBackend: true"), func(s *site) {
		call := asking("x-spillway-backend", "ptu")
		call.Body = chatBody(9000, false)
		s.servedBy(s.Send(s.t.Context(), call), "ptu", "")
		s.refused(s.Send(s.t.Context(), call), 429, "rate_limit_exceeded")
		if n := s.asked("payg.test", "gpt-4o"); n != 0 {
			t.Errorf("payg was asked %d times, want 0", n)
		}
	})
}

// Who may not choose is told so, and so is who sends a header that nobody knows: a
// request that is not served as it asks is not served.
func TestHeadersThatAreNotServed(t *testing.T) {
	run(t, limited("tags: [project]"), func(s *site) {
		for _, test := range []struct {
			name, header, value string
			status              int
			code, says          string
		}{
			{"choosing", "x-spillway-backend", "ptu", 403, "header_not_allowed", "mayChooseBackend"},
			{"excluding", "x-spillway-exclude", "ptu", 403, "header_not_allowed", "mayChooseBackend"},
			{"a misspelt one", "x-spillway-backends", "ptu", 400, "", "There are x-spillway-backend, x-spillway-deadline-ms"},
			{"no truth value", "x-spillway-spillover", "perhaps", 400, "invalid_header", "true or false"},
			{"no number", "x-spillway-deadline-ms", "1s", 400, "invalid_header", "milliseconds from 1"},
			{"no time", "x-spillway-deadline-ms", "0", 400, "invalid_header", "milliseconds from 1"},
			{"too much time", "x-spillway-deadline-ms", "99999999999999999", 400, "invalid_header", "milliseconds from 1"},
			{"a tag of another name", "x-spillway-tags", "team=a", 400, "invalid_header", "project"},
		} {
			e := s.refused(s.Send(s.t.Context(), asking(test.header, test.value)), test.status, test.code)
			if !strings.Contains(e.Message, test.says) {
				t.Errorf("%s: the answer does not help: %s", test.name, e.Message)
			}
		}
		if n := len(s.ptu.Requests()) + len(s.payg.Requests()); n != 0 {
			t.Errorf("%d requests reached a backend, want 0", n)
		}
	})
}

// What is asked of the gateway is not a backend's business.
func TestControlsStayHere(t *testing.T) {
	run(t, limited("tags: [project]"), func(s *site) {
		s.servedBy(s.Send(s.t.Context(), asking("x-spillway-tags", "project=search", "x-spillway-deadline-ms", "5000")), "ptu", "")
		got, _ := s.ptu.LastRequest()
		for name := range got.Header {
			if strings.HasPrefix(name, "X-Spillway-") {
				t.Errorf("the backend got %s", name)
			}
		}
		if tags := s.last().Tags; tags != "project=search" {
			t.Errorf("recorded tags %q, want %q", tags, "project=search")
		}
	})
}

// A request that must not spill over is refused when the first priority is full, with
// the time to wait.
func TestClientWantsNoSpillover(t *testing.T) {
	run(t, keyed, func(s *site) {
		call := asking("x-spillway-spillover", "false")
		call.Body = chatBody(9000, false)
		s.servedBy(s.Send(s.t.Context(), call), "ptu", "")
		w := s.Send(s.t.Context(), call)
		s.refused(w, 429, "rate_limit_exceeded")
		call.Header = nil
		s.servedBy(s.Send(s.t.Context(), call), "payg", "quota")
	})
}

// A client's deadline ends a request that takes longer, and no attempt is begun at a
// deployment that has been too slow to meet it: the fast one serves, though it is of a
// lower priority.
func TestClientsDeadline(t *testing.T) {
	run(t, keyed, func(s *site) {
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultDelay, Delay: 3 * time.Second})
		began := time.Now()
		s.refused(s.Send(s.t.Context(), asking("x-spillway-deadline-ms", "500")), 504, "deadline")
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("the answer came after %v, want %v", took, 500*time.Millisecond)
		}
		s.servedBy(s.Send(s.t.Context(), asking()), "ptu", "") // that it takes 3 s is known now

		asked := s.asked("ptu.test", "gpt-4o-ptu")
		s.servedBy(s.Send(s.t.Context(), asking("x-spillway-deadline-ms", "500")), "payg", "late")
		if n := s.asked("ptu.test", "gpt-4o-ptu"); n != asked {
			t.Error("the slow deployment was asked all the same")
		}
		w := s.Send(s.t.Context(), asking("x-spillway-deadline-ms", "500", "x-spillway-spillover", "false"))
		s.refused(w, 504, "deadline")
		s.noRetry(w)
	})
}
