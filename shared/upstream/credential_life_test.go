package upstream_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/upstream"
	"spillway/tests/fakes/entra"
)

// identityTest is a host and a backend that wants its tokens.
type identityTest struct {
	way
	service  *entra.Server
	identity *upstream.ManagedIdentity
	scope    string
}

// eachHost runs a test for each of the hosts, under the synthetic clock.
func eachHost(t *testing.T, test func(*testing.T, *identityTest)) {
	for _, w := range hosts {
		t.Run(w.name, func(t *testing.T) {
			service, source := w.start(t)
			scope := scopeOf(t)
			synctest.Test(t, func(t *testing.T) {
				test(t, &identityTest{w, service, upstream.NewManagedIdentity(source, scope), scope})
			})
		})
	}
}

// use sends a request's worth of the credential and returns the token's number. It
// fails the test if there is no token, or one that has ended.
func (i *identityTest) use(t *testing.T) (uti string) {
	field, err := i.identity.Field(t.Context())
	if err != nil {
		t.Errorf("no token: %v", err)
		return ""
	}
	payload := strings.Split(strings.Join(field.Values, ","), ".")
	if len(payload) != 3 || field.Name != "Authorization" {
		t.Errorf("%s is %q", field.Name, field.Values)
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(payload[1])
	var claims struct {
		Aud, UTI string
		Exp      int64
	}
	if err != nil || json.Unmarshal(text, &claims) != nil {
		t.Errorf("the token's claims are %q", text)
		return ""
	}
	if left := time.Until(time.Unix(claims.Exp, 0)); left <= 0 {
		t.Errorf("the token ended %s ago", -left)
	}
	if want := strings.TrimSuffix(i.scope, "/.default"); claims.Aud != want {
		t.Errorf("the token is for %q, want %q", claims.Aud, want)
	}
	return claims.UTI
}

// crowd uses the credential from many goroutines, each so often with a pause
// between two uses.
func (i *identityTest) crowd(t *testing.T, users, uses int, pause time.Duration) {
	var all sync.WaitGroup
	for range users {
		all.Go(func() {
			for range uses {
				i.use(t)
				<-time.After(pause)
			}
		})
	}
	all.Wait()
}

func (i *identityTest) checkFetches(t *testing.T, want int) {
	t.Helper()
	got := i.service.Requests(i.kind)
	if len(got) != want {
		t.Errorf("%d fetches, want %d", len(got), want)
	}
	resource := strings.TrimSuffix(i.scope, "/.default")
	for _, r := range got {
		if asked := strings.Fields(strings.ReplaceAll(r.Resource, "/.default", "")); len(asked) == 0 || asked[0] != resource || r.ClientID != i.client {
			t.Errorf("asked for %q as %q, want %q as %q", r.Resource, r.ClientID, resource, i.client)
		}
	}
}

func TestTenThousandRequestsShareOneFetch(t *testing.T) {
	eachHost(t, func(t *testing.T, i *identityTest) {
		i.crowd(t, 100, 100, time.Second)
		i.checkFetches(t, 1)
	})
}

// Many requests at the end of each token: none of them fails, none gets a token
// that has ended, and each token is fetched once.
func TestTokensEndUnderLoad(t *testing.T) {
	tests := []struct {
		life    time.Duration
		fetches int // in four lives
	}{
		{time.Minute, 8}, // at half its life, because that is less than five minutes
		{20 * time.Minute, 6},
		{time.Hour, 5}, // five minutes before its end
	}
	for _, tt := range tests {
		t.Run(tt.life.String(), func(t *testing.T) {
			eachHost(t, func(t *testing.T, i *identityTest) {
				i.service.SetPolicy(entra.Policy{Life: tt.life})
				i.crowd(t, 20, 200, tt.life/50)
				i.checkFetches(t, tt.fetches)
			})
		})
	}
}

// A token of a day is renewed at noon. While the service is down in the afternoon,
// in whichever way, all goes on with the token that is there, and the service is
// asked now and then. When it is up again there is a new token.
func TestIdentityServiceDownWhileATokenIsValid(t *testing.T) {
	faults := map[string]entra.Fault{
		"500":    {Status: http.StatusInternalServerError},
		"429":    {Status: http.StatusTooManyRequests, RetryAfter: 30 * time.Second},
		"broken": {},
		"silent": {Stall: make(chan struct{})},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			eachHost(t, func(t *testing.T, i *identityTest) {
				i.service.SetPolicy(entra.Policy{Life: 24 * time.Hour, RefreshIn: 12 * time.Hour})
				if fault.Stall != nil {
					fault.Stall = make(chan struct{}) // of this bubble
				}
				first := i.use(t)
				i.service.Fail(i.kind, fault)
				const downFor, pause = 23 * time.Hour, 5 * time.Minute
				i.crowd(t, 3, int(downFor/pause), pause)
				if asked := i.service.Count(i.kind); asked < 60 || asked > 1000 {
					t.Errorf("asked %d times in the eleven hours after noon", asked)
				}
				if got := i.use(t); got != first {
					t.Errorf("got the token %s, want that from before", got)
				}
				i.service.Recover(i.kind)
				i.crowd(t, 1, 3, pause)
				if got := i.use(t); got == first {
					t.Error("no new token after the service is up again")
				}
			})
		})
	}
}

// A service that says no for a moment: the SDK asks again, and nobody sees it.
func TestIdentityServiceRecoversAtOnce(t *testing.T) {
	for name, fault := range map[string]entra.Fault{
		"500 twice":       {Status: http.StatusInternalServerError, Times: 2},
		"429 for 2 s":     {Status: http.StatusTooManyRequests, RetryAfter: 2 * time.Second, Times: 1},
		"breaks off once": {Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			eachHost(t, func(t *testing.T, i *identityTest) {
				i.service.Fail(i.kind, fault)
				i.crowd(t, 50, 1, 0)
				if got, want := i.service.Count(i.kind), fault.Times+1; got != want {
					t.Errorf("%d fetches, want %d", got, want)
				}
			})
		})
	}
}

// A service that is down from the start: all that wait get its answer, at the
// latest after ten seconds; those that come after get it at once. One that says
// how long it will be down is not waited for. Soon after it is up there is a token.
func TestIdentityServiceIsDownFromTheStart(t *testing.T) {
	for name, tt := range map[string]struct {
		fault entra.Fault
		wait  time.Duration // at most
		says  string
	}{
		"429 for a minute": {entra.Fault{Status: http.StatusTooManyRequests, RetryAfter: time.Minute}, 0, "429"},
		"500":              {entra.Fault{Status: http.StatusInternalServerError}, 9 * time.Second, "500"},
		"broken":           {entra.Fault{}, 9 * time.Second, "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			eachHost(t, func(t *testing.T, i *identityTest) {
				i.service.Fail(i.kind, tt.fault)
				start := time.Now()
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() {
						if _, err := i.identity.Field(t.Context()); err == nil || !strings.Contains(err.Error(), tt.says) {
							t.Errorf("got %v, want an error that says %s", err, tt.says)
						}
					})
				}
				all.Wait()
				if waited := time.Since(start); waited > tt.wait {
					t.Errorf("they waited for %s, want at most %s", waited, tt.wait)
				}
				start = time.Now()
				if _, err := i.identity.Field(t.Context()); err == nil || time.Since(start) > 0 {
					t.Errorf("the next one waited for %s: %v", time.Since(start), err)
				}
				i.service.Recover(i.kind)
				<-time.After(5 * time.Second)
				i.use(t)
			})
		})
	}
}

// A slow service: all wait for one fetch, and one that leaves leaves alone.
func TestSlowIdentityService(t *testing.T) {
	eachHost(t, func(t *testing.T, i *identityTest) {
		release := make(chan struct{})
		i.service.Fail(i.kind, entra.Fault{Stall: release})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { i.use(t) })
		}
		synctest.Wait()
		leaving, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := i.identity.Field(leaving)
			left <- err
		}()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who leaves gets %v, want %v", err, context.Canceled)
		}
		close(release)
		all.Wait()
		i.checkFetches(t, 1)
	})
}

// The endpoints of Azure hand the same token out for most of its life. Asking for a
// new one then is no use, and is not done in a loop.
func TestHostHandsTheSameTokenOut(t *testing.T) {
	for _, keep := range []time.Duration{10 * time.Minute, time.Minute, time.Second} {
		t.Run(keep.String(), func(t *testing.T) {
			eachHost(t, func(t *testing.T, i *identityTest) {
				if i.kind == entra.Token {
					t.Skip("the token endpoint issues a new one each time")
				}
				i.service.SetPolicy(entra.Policy{Life: 24 * time.Hour, Keep: keep})
				const pause = 20 * time.Second
				i.crowd(t, 2, int(25*time.Hour/pause), pause)
				i.checkFetches(t, i.service.Count(i.kind))
				if got := i.service.Count(i.kind); got > 20 {
					t.Errorf("%d fetches in a day, want at most 20", got)
				}
			})
		})
	}
}
