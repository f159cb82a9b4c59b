package upstream

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// An answer has its own fields alone, also where the header of an earlier one is used again,
// and their values outlast it.
func TestFreshAnswerHeader(t *testing.T) {
	client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Of-"+r.Header.Get("X-Name"), r.Header.Get("X-Name"))
		answer(http.StatusOK, "application/json", chatAnswer)(w, r)
	})
	names := []string{"One", "Two", "One", "Three"}
	kept := make([][]string, len(names))
	for i, name := range names {
		call := chat()
		call.Header = http.Header{"Content-Type": {"application/json"}, "X-Name": {name}}
		r := client.Do(t.Context(), backend, call)
		for field, values := range r.Header {
			if other, ours := strings.CutPrefix(field, "X-Of-"); ours && other != name {
				t.Errorf("the answer for %s has %s: %v", name, field, values)
			}
		}
		kept[i] = r.Header["X-Of-"+name]
		r.Close()
		r.Close()
		if r.Header != nil {
			t.Errorf("a closed answer has the header %v", r.Header)
		}
	}
	for i, name := range names {
		if !slices.Equal(kept[i], []string{name}) {
			t.Errorf("answer %d had %q, want %q", i, kept[i], name)
		}
	}
}

// unchanging is a transport whose answers have one header, which it keeps.
type unchanging http.Header

// RoundTrip implements http.RoundTripper.
func (u unchanging) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header(u), Body: http.NoBody, Request: r}, nil
}

// The header of an answer of somebody else's transport is left to that.
func TestHeaderOfAnotherTransport(t *testing.T) {
	header := http.Header{"X-Kept": {"yes"}}
	backend := backendAt(t, "http://contoso.test")
	backend.Transport = unchanging(header)
	for range 2 {
		New(Options{}).Do(t.Context(), backend, chat()).Close()
		if fmt.Sprint(header["X-Kept"]) != "[yes]" {
			t.Errorf("the header is %v", header)
		}
	}
}
