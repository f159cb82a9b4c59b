package aztable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"spillway/shared/store"
)

// service is a table service that does one thing to every request, and counts
// them.
type service struct {
	*httptest.Server
	requests atomic.Int64
}

func serve(t *testing.T, do http.HandlerFunc) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		do(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// openSAS opens a store whose every URL holds a secret.
func openSAS(t *testing.T, endpoint string, o Options) *Store {
	t.Helper()
	o.Connection = "TableEndpoint=" + endpoint + ";SharedAccessSignature=sv=2019-02-02&sig=" + secret
	o.Table = "spillway"
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var testKey = store.Key{Partition: "p", Row: "r"}

// attempts are the requests of a store.
var attempts = map[string]func(context.Context, *Store) error{
	"get": func(ctx context.Context, s *Store) error {
		_, err := s.Get(ctx, testKey)
		return err
	},
	"query": func(ctx context.Context, s *Store) error {
		for _, err := range s.Query(ctx, store.Filter{Partition: "p"}) {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"insert": func(ctx context.Context, s *Store) error {
		_, err := s.Insert(ctx, testKey, store.Columns{"A": int64(1)})
		return err
	},
	"replace": func(ctx context.Context, s *Store) error {
		_, err := s.Replace(ctx, testKey, store.Columns{"A": int64(1)}, `W/"1"`)
		return err
	},
	"delete": func(ctx context.Context, s *Store) error {
		return s.Delete(ctx, testKey, `W/"1"`)
	},
}

func isRead(operation string) bool { return operation == "get" || operation == "query" }

// check runs every operation and compares the kind of its error; for reads,
// wantRead.
func check(t *testing.T, s *Store, wantRead, wantWrite error) {
	t.Helper()
	for operation, attempt := range attempts {
		want := wantWrite
		if isRead(operation) {
			want = wantRead
		}
		wantKind(t, operation, attempt(context.Background(), s), want)
	}
}

func wantKind(t *testing.T, operation string, err, want error) {
	t.Helper()
	for _, kind := range []error{
		store.ErrNotFound, store.ErrConflict, store.ErrAmbiguous, store.ErrUnavailable, store.ErrInvalid,
	} {
		if is := errors.Is(err, kind); is != (kind == want) {
			t.Errorf("%s: got error %v, want %v alone", operation, err, want)
			return
		}
	}
	if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "sig=")) {
		t.Errorf("%s: the error shows the secret: %v", operation, err)
	}
}

func TestStatusCodes(t *testing.T) {
	tests := []struct {
		status      int
		code        string
		read, write error
	}{
		{404, "", store.ErrUnavailable, store.ErrUnavailable},
		{404, "OutOfRangeInput", store.ErrUnavailable, store.ErrUnavailable},
		{409, "EntityAlreadyExists", store.ErrUnavailable, store.ErrConflict},
		{409, "TableBeingDeleted", store.ErrUnavailable, store.ErrUnavailable},
		{409, "", store.ErrUnavailable, store.ErrUnavailable},
		{412, "UpdateConditionNotSatisfied", store.ErrUnavailable, store.ErrConflict},
		{412, "", store.ErrUnavailable, store.ErrConflict},
		{400, "InvalidInput", store.ErrUnavailable, store.ErrInvalid},
		{400, "AccountRequiresHttps", store.ErrUnavailable, store.ErrUnavailable},
		{413, "RequestBodyTooLarge", store.ErrUnavailable, store.ErrInvalid},
		{401, "NoAuthenticationInformation", store.ErrUnavailable, store.ErrUnavailable},
		{403, "AuthenticationFailed", store.ErrUnavailable, store.ErrUnavailable},
		{407, "", store.ErrUnavailable, store.ErrUnavailable},
		{408, "", store.ErrUnavailable, store.ErrAmbiguous},
		{410, "Gone", store.ErrUnavailable, store.ErrAmbiguous},
		{429, "TooManyRequests", store.ErrUnavailable, store.ErrUnavailable},
		{449, "RetryWith", store.ErrUnavailable, store.ErrUnavailable},
		{499, "", store.ErrUnavailable, store.ErrAmbiguous},
		{500, "InternalError", store.ErrUnavailable, store.ErrAmbiguous},
		{500, "OperationTimedOut", store.ErrUnavailable, store.ErrAmbiguous},
		{502, "", store.ErrUnavailable, store.ErrAmbiguous},
		{503, "ServerBusy", store.ErrUnavailable, store.ErrAmbiguous},
		{504, "", store.ErrUnavailable, store.ErrAmbiguous},
		{302, "", store.ErrUnavailable, store.ErrAmbiguous},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d %s", test.status, test.code), func(t *testing.T) {
			backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Location", "https://contoso.example/")
				if test.code != "" {
					w.Header().Set("x-ms-error-code", test.code)
				}
				w.WriteHeader(test.status)
				fmt.Fprintf(w, `{"odata.error":{"code":%q,"message":{"lang":"en-US","value":"%s"}}}`, test.code, r.URL)
			})
			check(t, openSAS(t, backend.URL, Options{}), test.read, test.write)
			if n := backend.requests.Load(); n != int64(len(attempts)) {
				t.Errorf("%d requests for %d operations: something retries", n, len(attempts))
			}
		})
	}
}

// A row or a table that is missing is an answer like any other.
func TestMissing(t *testing.T) {
	for _, code := range []string{"ResourceNotFound", "EntityNotFound", "EntityDoesNotExist", "TableNotFound"} {
		backend := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-ms-error-code", code)
			w.WriteHeader(http.StatusNotFound)
		})
		s := openSAS(t, backend.URL, Options{})
		for operation, want := range map[string]error{
			"get": store.ErrNotFound, "replace": store.ErrNotFound, "delete": store.ErrNotFound,
			"query":  nil,                  // A sequence without rows.
			"insert": store.ErrUnavailable, // This service has no table and makes none.
		} {
			wantKind(t, code+": "+operation, attempts[operation](context.Background(), s), want)
		}
	}
}

// Answers that do not come, or come in pieces: a write may have happened.
func TestLostAnswers(t *testing.T) {
	tests := map[string]http.HandlerFunc{
		"closed": func(w http.ResponseWriter, r *http.Request) { hijack(w, r).Close() },
		"reset": func(w http.ResponseWriter, r *http.Request) {
			connection := hijack(w, r).(*net.TCPConn)
			_ = connection.SetLinger(0)
			connection.Close()
		},
		"garbage": func(w http.ResponseWriter, r *http.Request) {
			connection := hijack(w, r)
			_, _ = io.WriteString(connection, "not HTTP\r\n\r\n")
			connection.Close()
		},
		"cut body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Header().Set("ETag", `W/"2"`)
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"value":[`)
		},
		"no answer": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
		"somebody else's page": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>welcome</html>")
		},
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			backend := serve(t, do)
			s := openSAS(t, backend.URL, Options{TryTimeout: 200 * time.Millisecond})
			for operation, attempt := range attempts {
				before := backend.requests.Load()
				err := attempt(context.Background(), s)
				want := store.ErrAmbiguous
				if isRead(operation) {
					want = store.ErrUnavailable
				}
				wantKind(t, operation, err, want)
				if name == "no answer" && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v is no timeout", operation, err)
				}
				if n := backend.requests.Load() - before; n != 1 && !isRead(operation) {
					t.Errorf("%s was sent %d times", operation, n)
				}
			}
		})
	}
}

// A connection that breaks when it is used again is the one case in which Go's
// own transport sends a request twice. It must not for a write.
func TestReusedConnectionBreaks(t *testing.T) {
	for operation, attempt := range attempts {
		if isRead(operation) {
			continue
		}
		var seen sync.Map
		backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if _, reused := seen.LoadOrStore(r.RemoteAddr, true); reused {
				hijack(w, r).Close()
				return
			}
			w.Header().Set("x-ms-error-code", "ResourceNotFound")
			w.WriteHeader(http.StatusNotFound)
		})
		s := openSAS(t, backend.URL, Options{})
		_, err := s.Get(context.Background(), testKey)
		wantKind(t, "get", err, store.ErrNotFound)
		wantKind(t, operation, attempt(context.Background(), s), store.ErrAmbiguous)
		if n := backend.requests.Load(); n != 2 {
			t.Errorf("%s: %d requests, want one besides the get", operation, n)
		}
	}
}

func hijack(w http.ResponseWriter, r *http.Request) net.Conn {
	_, _ = io.Copy(io.Discard, r.Body)
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return connection
}

// Requests that certainly never arrived: nothing was written.
func TestUnsentRequests(t *testing.T) {
	t.Run("nobody listens", func(t *testing.T) {
		backend := serve(t, nil)
		endpoint := backend.URL
		backend.Close()
		check(t, openSAS(t, endpoint, Options{}), store.ErrUnavailable, store.ErrUnavailable)
	})
	t.Run("nobody by that name", func(t *testing.T) {
		check(t, openSAS(t, "http://spillway.invalid", Options{}), store.ErrUnavailable, store.ErrUnavailable)
	})
	t.Run("a certificate nobody trusts", func(t *testing.T) {
		backend := httptest.NewUnstartedServer(http.NotFoundHandler())
		backend.Config.ErrorLog = log.New(io.Discard, "", 0)
		backend.StartTLS()
		defer backend.Close()
		check(t, openSAS(t, backend.URL, Options{}), store.ErrUnavailable, store.ErrUnavailable)
	})
	t.Run("a handshake that hangs", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close() // Connections are accepted by the kernel and never answered.
		s := openSAS(t, "https://"+listener.Addr().String(), Options{TryTimeout: 100 * time.Millisecond})
		check(t, s, store.ErrUnavailable, store.ErrUnavailable)
	})
	t.Run("no token", func(t *testing.T) {
		backend := serve(t, nil)
		s, err := Open(context.Background(), Options{
			Endpoint: strings.Replace(backend.URL, "http:", "https:", 1), Table: "spillway",
			Credential: tokenFunc(func() (azcore.AccessToken, error) {
				return azcore.AccessToken{}, errors.New("identity not found\n" + secret)
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		check(t, s, store.ErrUnavailable, store.ErrUnavailable)
		_, err = s.Get(context.Background(), testKey)
		if !strings.Contains(err.Error(), "identity not found") {
			t.Errorf("%v does not say why", err)
		}
	})
}

// A transport that tells nothing about connections proves nothing.
func TestOpaqueTransport(t *testing.T) {
	broken := transportFunc(func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("cannot reach %s", r.URL)
	})
	check(t, openSAS(t, "http://h", Options{Transport: broken}), store.ErrUnavailable, store.ErrAmbiguous)
}

func TestCanceledWhileWaiting(t *testing.T) {
	for operation, attempt := range attempts {
		ctx, cancel := context.WithCancel(context.Background())
		backend := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			cancel()
			<-r.Context().Done()
		})
		err := attempt(ctx, openSAS(t, backend.URL, Options{}))
		want := store.ErrAmbiguous
		if isRead(operation) {
			want = store.ErrUnavailable
		}
		wantKind(t, operation, err, want)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v does not say that it was canceled", operation, err)
		}
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzAnswers gives each operation any answer, which may repeat what was sent. An
// operation never panics and sends one request for each page; its error is of one
// kind and shows no secret.
func FuzzAnswers(f *testing.F) {
	f.Add(200, "", "Sat, 01 Aug 2026 12:00:00 GMT", `W/"1"`, `{"value":[{"PartitionKey":"p","RowKey":"r","odata.etag":"x"}]}`)
	f.Add(403, "AuthenticationFailed", "Sat, 01 Aug 2026 12:00:00 GMT", "", `{"odata.error":{"code":"AuthenticationFailed","message":{"value":"URL"}}}`)
	f.Add(409, "", "yesterday", "", `{"odata.error":{"code":"URL"}}`)
	f.Add(204, "SECRET", "", "*", "")
	f.Add(503, "ServerBusy", "", "", "<html>URL</html>")
	f.Fuzz(func(t *testing.T, status int, code, date, etag, body string) {
		if status < 100 || status > 999 {
			return
		}
		echo := func(text string, r *http.Request) string {
			text = strings.ReplaceAll(text, "SECRET", longSecret)
			return strings.ReplaceAll(text, "URL", r.URL.String())
		}
		requests := 0
		s, err := Open(context.Background(), Options{
			Connection: "TableEndpoint=https://h;SharedAccessSignature=sv=2019-02-02&sig=" + longSecret, Table: "spillway",
			Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
				requests++
				h := http.Header{"X-Ms-Error-Code": {echo(code, r)}, "Date": {date}, "Etag": {etag}}
				return (&script{answers: []answer{{status: status, header: h, body: echo(body, r)}}}).RoundTrip(r)
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		for operation, attempt := range attempts {
			requests = 0
			err := attempt(context.Background(), s)
			if most := map[string]int{"insert": 3}[operation]; requests > max(most, 1) {
				t.Errorf("%s: %d requests, want at most %d", operation, requests, max(most, 1))
			}
			if err == nil {
				continue
			}
			wantSilent(t, err, longSecret)
			var e *Error
			if !errors.As(err, &e) || e.Kind == nil {
				t.Errorf("%s: an error of no kind: %v", operation, err)
				continue
			}
			wantKind(t, operation, err, e.Kind)
		}
	})
}
