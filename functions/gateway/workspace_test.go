package gateway_test

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"spillway/shared/usage"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// lasting is what of a record does not change from one run to the next.
func lasting(r usage.Record) usage.Record {
	r.Start, r.RequestID, r.BackendID = time.Time{}, "", ""
	r.Estimated = 0 // is learned
	return r
}

// A request leaves the same record, be it the first or one that follows others of which
// everything was noted that can be: requests are served in the same memory one after
// another.
func TestNothingOfARequestShowsInTheNext(t *testing.T) {
	plain := []rig.Call{
		{Path: "/v1/chat/completions", Body: chatBody(10, false)}, // of nobody
		callAs(teamKey, 10),
		{Method: "GET", Path: "/v1/models", Key: teamKey},
		{Path: "/nowhere", Key: teamKey},
	}
	run(t, limited("mayChooseBackend: true, tags: [project]"), func(s *site) {
		records := func() (all []string) {
			for _, call := range plain {
				s.Send(s.t.Context(), call)
				all = append(all, fmt.Sprintf("%+v", lasting(s.last())))
			}
			return all
		}
		want := records()
		s.start()
		for range 10 {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 429, Times: 1})
			s.servedBy(s.Send(s.t.Context(), asking("x-spillway-tags", "project=search", "x-spillway-deadline-ms", "60000",
				"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")), "payg", "throttled")
			s.wait(time.Minute) // the throttle ends
		}
		if got := records(); !reflect.DeepEqual(got, want) {
			t.Errorf("after other requests:\n%s\nalone:\n%s", got, want)
		}
	})
}

// A client's deadline is that of its own request, and ends none that follows.
func TestDeadlineEndsOneRequest(t *testing.T) {
	run(t, keyed, func(s *site) {
		for range 10 {
			s.servedBy(s.Send(s.t.Context(), asking("x-spillway-deadline-ms", "500")), "ptu", "")
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultDelay, Delay: 3 * time.Second, Times: 1})
			s.servedBy(s.Send(s.t.Context(), asking()), "ptu", "")
			s.wait(10 * time.Minute) // that it was slow is forgotten
		}
	})
}

// What a host has read of a request is not changed: neither where it goes to a backend as
// it is, nor where something has to be kept from the backend.
func TestRequestsHeaderIsNotChanged(t *testing.T) {
	run(t, keyed, func(s *site) {
		for name, header := range map[string]map[string]string{
			"nothing of its own":        nil,
			"a client's":                {"User-Agent": "app", "X-Stainless-Lang": "go", "X-Note": "n"},
			"a platform's":              {"X-Forwarded-For": "192.0.2.1", "X-Azure-Functions-Hostversion": "4"},
			"another credential":        {"X-Functions-Key": clientSecret, "Cookie": "session=" + clientSecret},
			"for the gateway":           {"X-Spillway-Deadline-Ms": "60000"},
			"of a trace that continues": {"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		} {
			call := callAs(teamKey, 10)
			call.Header = header
			r := call.Request(s.t.Context())
			before := maps.Clone(r.Header)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			s.servedBy(w, "ptu", "")
			if !reflect.DeepEqual(r.Header, before) {
				t.Errorf("%s: the header is now %v, and was %v", name, r.Header, before)
			}
		}
	})
}
