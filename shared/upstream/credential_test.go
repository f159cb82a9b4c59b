package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"spillway/shared/openai"
	"spillway/shared/upstream/wire"
)

// tokenSource is a source of tokens that counts how often it is asked.
type tokenSource struct {
	fetches atomic.Int64
	get     func(ctx context.Context, n int64) (azcore.AccessToken, error)
}

func (s *tokenSource) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 || o.Scopes[0] != DefaultScope {
		return azcore.AccessToken{}, fmt.Errorf("scopes %q", o.Scopes)
	}
	return s.get(ctx, s.fetches.Add(1))
}

// issue gives out token-1, token-2, …, each for an hour, after a second.
func issue(ctx context.Context, n int64) (azcore.AccessToken, error) {
	select {
	case <-time.After(time.Second):
		return azcore.AccessToken{Token: fmt.Sprint("token-", n), ExpiresOn: time.Now().Add(time.Hour)}, nil
	case <-ctx.Done():
		return azcore.AccessToken{}, ctx.Err()
	}
}

func apply(t *testing.T, c Credential) string {
	t.Helper()
	field, err := c.Field(t.Context())
	if err != nil || field.Name != "Authorization" || len(field.Values) != 1 {
		t.Fatalf("got %v, %v", field, err)
	}
	return field.Values[0]
}

func TestKeyIsSentAsTheDialectWantsIt(t *testing.T) {
	tests := []struct {
		dialect openai.Dialect
		want    wire.Field
	}{
		{openai.Azure, wire.Field{Name: "Api-Key", Values: []string{"secret"}}},
		{openai.AzureV1, wire.Field{Name: "Api-Key", Values: []string{"secret"}}},
		{openai.OpenAI, wire.Field{Name: "Authorization", Values: []string{"Bearer secret"}}},
	}
	for _, test := range tests {
		if got, err := NewAPIKey("secret", test.dialect).Field(t.Context()); err != nil || fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%v: got %v, %v; want %v", test.dialect, got, err, test.want)
		}
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	backend := &Backend{Name: "b", Credential: NewAPIKey("secret", openai.Azure)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, value := range []any{backend, backend.Credential} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, "secret]") != strings.Contains(text, "secret") || strings.Contains(text, fmt.Sprintf("%x", "secret")) {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
}

// A key with a line break at its end, as files have one, cannot be sent. The
// error must not show it.
func TestUnsendableKeyIsNotShown(t *testing.T) {
	client, backend := serve(t, answer(200, "application/json", chatAnswer))
	backend.Credential = NewAPIKey("secret\n", openai.Azure)
	r := client.Do(t.Context(), backend, chat())
	defer r.Close()
	checkResult(t, r)
	if r.Outcome != Broken || r.Reason != ReasonCredential || strings.Contains(r.Err.Error(), "secret") {
		t.Errorf("got %v: %v", r.Outcome, r.Err)
	}
}

func TestOneFetchServesAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &tokenSource{get: issue}
		c := NewManagedIdentity(source, "")
		var waiting sync.WaitGroup
		for range 100 {
			waiting.Go(func() {
				if got := apply(t, c); got != "Bearer token-1" {
					t.Errorf("got %q, want %q", got, "Bearer token-1")
				}
			})
		}
		waiting.Wait()
		if n := source.fetches.Load(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}

func TestTokenIsReplacedAheadOfItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &tokenSource{get: issue}
		c := NewManagedIdentity(source, DefaultScope)
		steps := []struct {
			wait    time.Duration
			token   string
			blocks  bool
			fetches int64
		}{
			{0, "Bearer token-1", true, 1},
			{50 * time.Minute, "Bearer token-1", false, 1},
			{5 * time.Minute, "Bearer token-1", false, 2}, // replaced in the background
			{2 * time.Second, "Bearer token-2", false, 2},
			{2 * time.Hour, "Bearer token-3", true, 3}, // nobody asked while it was valid
		}
		for i, step := range steps {
			<-time.After(step.wait)
			start := time.Now()
			token := apply(t, c)
			blocked := time.Since(start) > 0
			synctest.Wait()
			if token != step.token || blocked != step.blocks || source.fetches.Load() != step.fetches {
				t.Errorf("step %d: %q, blocked %t, %d fetches, want %q, %t, %d", i, token, blocked, source.fetches.Load(), step.token, step.blocks, step.fetches)
			}
		}
	})
}

func TestRenewalFollowsTheIssuersAdvice(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	tests := []struct {
		name    string
		life    time.Duration
		refresh time.Duration // 0: no advice
		want    time.Duration
	}{
		{"advice", 24 * time.Hour, 12 * time.Hour, 12 * time.Hour},
		{"no advice", 24 * time.Hour, 0, 24*time.Hour - 5*time.Minute},
		{"advice that is past: the source keeps the token", 24 * time.Hour, -time.Hour, 5 * time.Minute},
		{"advice that is past, near the end", 4 * time.Minute, -time.Hour, 2 * time.Minute},
		{"advice for now", 24 * time.Hour, -1, 5 * time.Minute},
		{"advice beyond the end", time.Hour, 2 * time.Hour, 55 * time.Minute},
		{"short life", 4 * time.Minute, 0, 2 * time.Minute},
	}
	for _, test := range tests {
		token := azcore.AccessToken{ExpiresOn: now.Add(test.life)}
		if test.refresh != 0 {
			token.RefreshOn = now.Add(test.refresh)
		}
		if got := renewal(token, now).Sub(now); got != test.want {
			t.Errorf("%s: after %v, want %v", test.name, got, test.want)
		}
	}
}

// After a failed renewal the source is left in peace for longer, the longer there
// still is a token.
func TestPauseAfterAFailedFetch(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{
		-1 << 62: tokenPause, 0: tokenPause, 30 * time.Second: tokenPause, 5 * time.Minute: 30 * time.Second, 12 * time.Hour: longestPause,
	} {
		if got := pause(left); got != want {
			t.Errorf("%v before the end: %v, want %v", left, got, want)
		}
	}
}

// livelyError changes whenever its text is asked for, as errors do that read the
// answer they hold.
type livelyError struct{ asked int }

func (e *livelyError) Error() string {
	e.asked++
	return fmt.Sprint("asked ", e.asked)
}

// Many requests get the error of one fetch: its text is made once, before any of
// them can ask for it.
func TestErrorOfAFetchIsShared(t *testing.T) {
	cause := new(livelyError)
	c := NewManagedIdentity(&tokenSource{get: func(context.Context, int64) (azcore.AccessToken, error) {
		return azcore.AccessToken{}, cause
	}}, "")
	for range 3 {
		if _, err := c.Field(t.Context()); err == nil || err.Error() != "fetching a token: asked 1" || !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
	}
}

// A client that leaves does not take the token away from the others.
func TestFetchOutlivesTheRequestThatBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &tokenSource{get: issue}
		c := NewManagedIdentity(source, "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Field(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if got := apply(t, c); got != "Bearer token-1" || source.fetches.Load() != 1 {
			t.Errorf("got %q after %d fetches, want %q, 1", got, source.fetches.Load(), "Bearer token-1")
		}
	})
}

func TestTokenThatCannotBeHad(t *testing.T) {
	refused := errors.New("identity not found")
	tests := []struct {
		name  string
		get   func(context.Context, int64) (azcore.AccessToken, error)
		after time.Duration
		cause error
	}{
		{"refused", func(context.Context, int64) (azcore.AccessToken, error) { return azcore.AccessToken{}, refused }, 0, refused},
		{"empty", func(context.Context, int64) (azcore.AccessToken, error) { return azcore.AccessToken{}, nil }, 0, errNoToken},
		{"ended already", func(context.Context, int64) (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: "token", ExpiresOn: time.Now()}, nil
		}, 0, errEndedToken},
		{"silence", func(ctx context.Context, _ int64) (azcore.AccessToken, error) {
			<-ctx.Done()
			return azcore.AccessToken{}, ctx.Err()
		}, tokenFetch, context.DeadlineExceeded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &tokenSource{get: test.get}
				client, backend, stop := servePipe(t, Options{}, func(http.ResponseWriter, *http.Request) { t.Error("sent") })
				defer stop()
				backend.Credential = NewManagedIdentity(source, "")
				for i := range 3 {
					start := time.Now()
					r := client.Do(t.Context(), backend, chat())
					checkResult(t, r)
					if r.Outcome != Broken || r.Reason != ReasonCredential || r.Sent || !r.CountsOnBreaker() || !errors.Is(r.Err, test.cause) {
						t.Errorf("got %v, %q, sent %t: %v", r.Outcome, r.Reason, r.Sent, r.Err)
					}
					r.Close()
					want := test.after
					if i > 0 {
						want = 0 // the failure is remembered for a while
					}
					if after := time.Since(start); after != want {
						t.Errorf("attempt %d took %v, want %v", i, after, want)
					}
				}
				if n := source.fetches.Load(); n != 1 {
					t.Errorf("%d fetches, want 1", n)
				}
				<-time.After(tokenPause)
				source.get = issue
				if got := apply(t, backend.Credential); got != "Bearer token-2" {
					t.Errorf("afterwards %q, want %q", got, "Bearer token-2")
				}
			})
		})
	}
}

func TestClientLeavesWhileTheTokenIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, stop := servePipe(t, Options{}, func(http.ResponseWriter, *http.Request) { t.Error("sent") })
		defer stop()
		backend.Credential = NewManagedIdentity(&tokenSource{get: issue}, "")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		r := client.Do(ctx, backend, chat())
		defer r.Close()
		checkResult(t, r)
		if r.Outcome != Canceled || r.Reason != ReasonCanceled {
			t.Errorf("got %v, %q, want %v, %q: %v", r.Outcome, r.Reason, Canceled, ReasonCanceled, r.Err)
		}
		<-time.After(2 * time.Second) // the fetch goes on, and ends
	})
}
