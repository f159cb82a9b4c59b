package app_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/functions/app"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// timerCall is a call of a Functions host's timer.
func timerCall(header ...string) rig.Call {
	c := rig.Call{
		Path:   "/maintenance",
		Header: map[string]string{"Content-Type": "application/json; charset=utf-8"},
		Body:   `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},"Metadata":{"sys":{"MethodName":"maintenance"}}}`,
	}
	for i := 0; i < len(header); i += 2 {
		c.Header[header[i]] = header[i+1]
	}
	return c
}

// The timer of a Functions host runs the maintenance. Of everybody else, and of a
// process without such a host, the path is unknown.
func TestTimerOfTheHost(t *testing.T) {
	tests := []struct {
		name   string
		timer  bool
		call   rig.Call
		status int
	}{
		{"the host's timer", true, timerCall(), 200},
		{"through the host's proxy", true, timerCall("X-Forwarded-For", "192.0.2.1"), 404},
		{"another method", true, rig.Call{Method: http.MethodGet, Path: "/maintenance"}, 404},
		{"another form", true, rig.Call{Path: "/maintenance", Body: "{}"}, 400},
		{"a process without a host", false, timerCall(), 404},
	}
	unknown := ""
	run(t, ordinary, app.Options{}, func(t *testing.T, r *rig.Rig, _, _ *azureopenai.Server) {
		unknown = r.Send(t.Context(), rig.Call{Path: "/nothing"}).Body.String()
	})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, ordinary, app.Options{Timer: test.timer}, func(t *testing.T, r *rig.Rig, ptu, _ *azureopenai.Server) {
				breakPTU(t, r, ptu)
				w := r.Send(t.Context(), test.call)
				if w.Code != test.status {
					t.Errorf("status %d, want %d: %s", w.Code, test.status, w.Body)
				}
				want := "open"
				if test.status == 200 {
					want = "closed"
				}
				if got := first(t, r).Breaker; got != want {
					t.Errorf("the breaker is %s, want %s", got, want)
				}
				if test.status == 404 && test.call.Method == "" {
					if said := strings.Replace(w.Body.String(), "/maintenance", "/nothing", 1); said != unknown {
						t.Errorf("it does not look unknown: %s, want %s", said, unknown)
					}
				}
			})
		})
	}
}

// Where the host calls for the maintenance, a process does not run it by itself.
func TestTendLeavesTheMaintenanceToTheHost(t *testing.T) {
	s := &counting{Store: memory.New()}
	run(t, ordinary, app.Options{Timer: true, Store: s}, func(t *testing.T, r *rig.Rig, _, _ *azureopenai.Server) {
		tend(t, 10*time.Minute, r)
		if runs := s.take(); len(runs) != 0 {
			t.Errorf("%d runs of its own, want 0", len(runs))
		}
		r.Send(t.Context(), timerCall())
		if runs := s.take(); len(runs) != 1 {
			t.Errorf("%d runs for one call of the host, want 1", len(runs))
		}
	})
}

// Who asks whether the process is ready makes it so: it is ready soon after, and
// stays so.
func TestReady(t *testing.T) {
	run(t, ordinary, app.Options{}, func(t *testing.T, r *rig.Rig, _, _ *azureopenai.Server) {
		ask := rig.Call{Method: http.MethodGet, Path: "/spillway/readyz"}
		if w := r.Send(t.Context(), ask); w.Code != http.StatusServiceUnavailable {
			t.Errorf("nothing is loaded, and the status is %d, want %d", w.Code, http.StatusServiceUnavailable)
		}
		synctest.Wait()
		for range 2 {
			if w := r.Send(t.Context(), ask); w.Code != http.StatusOK {
				t.Errorf("all is loaded, and the status is %d, want %d: %s", w.Code, http.StatusOK, w.Body)
			}
		}
	})
}
