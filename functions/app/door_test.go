package app_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"spillway/functions/app"
)

func through(door *app.Door, ctx context.Context, path string) int {
	w := httptest.NewRecorder()
	door.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
	return w.Code
}

// While nothing is loaded the process is alive and not ready, and says so at once.
// Requests of the API are not refused: they wait.
func TestDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := app.NewDoor()
		for path, want := range map[string]int{"/": 200, "/spillway/healthz": 200, "/spillway/readyz": 503} {
			if got := through(door, t.Context(), path); got != want {
				t.Errorf("shut, %s: status %d, want %d", path, got, want)
			}
		}
		waiting := make(chan int)
		for _, path := range []string{"/v1/chat/completions", "/spillway/status", "/maintenance"} {
			go func() { waiting <- through(door, t.Context(), path) }()
		}
		synctest.Wait()
		select {
		case got := <-waiting:
			t.Fatalf("shut, a request is answered: status %d", got)
		default:
		}
		left, leave := context.WithCancel(t.Context())
		go func() { waiting <- through(door, left, "/v1/models") }()
		leave()
		if got := <-waiting; got != http.StatusServiceUnavailable {
			t.Errorf("who leaves gets status %d, want %d", got, http.StatusServiceUnavailable)
		}

		teapot := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
		door.Open(http.HandlerFunc(teapot))
		door.Open(http.NotFoundHandler()) // too late
		for range 3 {
			if got := <-waiting; got != http.StatusTeapot {
				t.Errorf("who waited gets status %d, want %d", got, http.StatusTeapot)
			}
		}
		for _, path := range []string{"/", "/spillway/healthz", "/v1/models"} {
			if got := through(door, t.Context(), path); got != http.StatusTeapot {
				t.Errorf("open, %s: status %d, want %d", path, got, http.StatusTeapot)
			}
		}
	})
}
