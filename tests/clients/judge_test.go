package clients_test

import (
	"strings"
	"testing"
)

// Whatever a client could notice is a fact: a change of it is seen, and where.
func TestFactsOfACall(t *testing.T) {
	call := func(status int, contentType string, result any, errorBody map[string]any) line {
		a := answer{Status: status, Header: map[string]string{"content-type": contentType, "x-request-id": "any"}}
		return line{Call: "chat", Answers: []answer{a}, Result: result, Error: errorBody}
	}
	usual := call(200, "application/json", map[string]any{"id": "a", "choices": []any{map[string]any{"text": "b"}}}, nil)
	retried := usual
	retried.Answers = append([]answer{{Status: 429}}, usual.Answers...)
	tests := []struct {
		name string
		got  line
		path string // of a fact that differs
	}{
		{"another status", call(201, "application/json", usual.Result, nil), "status of answer 1"},
		{"another content type", call(200, "text/plain", usual.Result, nil), "header content-type"},
		{"a retry", retried, "status of answer 2"},
		{"another text", call(200, "application/json", map[string]any{"id": "a", "choices": []any{map[string]any{"text": "c"}}}, nil), "result.choices[0].text"},
		{"an item more", call(200, "application/json", map[string]any{"id": "a", "choices": []any{map[string]any{"text": "b"}, nil}}, nil), "result.choices"},
		{"a member less", call(200, "application/json", map[string]any{"choices": []any{map[string]any{"text": "b"}}}, nil), "result.id"},
		{"null instead of nothing", call(200, "application/json", map[string]any{"id": "a", "x": nil, "choices": []any{map[string]any{"text": "b"}}}, nil), "result.x"},
		{"an empty array instead of one item", call(200, "application/json", map[string]any{"id": "a", "choices": []any{}}, nil), "result.choices[0].text"},
		{"an error", call(200, "application/json", nil, map[string]any{"class": "APIError"}), "error.class"},
	}
	want := facts(t, usual)
	for _, test := range tests {
		if got := facts(t, test.got); got[test.path] == want[test.path] {
			t.Errorf("%s: %s is %q in both", test.name, test.path, got[test.path])
		}
	}
	another := call(200, "application/json", usual.Result, nil)
	another.Answers[0].Header["x-request-id"] = "another"
	if path := "header x-request-id"; facts(t, another)[path] != want[path] {
		t.Errorf("the value of %s makes a difference", path)
	}
}

// The table lets pass what it names, and nothing that a client relies on.
func TestWhatTheTableAllows(t *testing.T) {
	for _, test := range []struct {
		call, path string
		allowed    bool
	}{
		{"chat", "header x-spillway-backend", true},
		{"chat", "header x-spillway-secret", false},
		{"chat", "header x-request-id", false},
		{"chat", "header content-type", false},
		{"chat", "status of answer 1", false},
		{"chat", "result.id", false},
		{"chat, streamed", "result[1].usage", false},
		{"unknown model", "error.message", true},
		{"unknown model", "error.class", false},
		{"unknown model", "error.status", false},
		{"unknown model", "status of answer 1", false},
		{"filtered prompt", "error.message", false},
	} {
		if got := new(rowsUsed).allows(test.call, test.path); got != test.allowed {
			t.Errorf("%s, %s: may differ: %t, want %t", test.call, test.path, got, test.allowed)
		}
	}
}

// What is pinned names no registry: each machine asks the one that it is set up for.
func TestPinsNameNoRegistry(t *testing.T) {
	lock, err := pinned.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		text, pin string
		hosts     []string
	}{
		"package-lock.json": {string(lock), `"integrity"`, []string{`"resolved"`, "registry"}},
		"requirements.txt":  {string(requirements), "--hash=sha256:", []string{"://", "index-url", " @ "}},
	} {
		for _, host := range test.hosts {
			if strings.Contains(test.text, host) {
				t.Errorf("%s holds %q", name, host)
			}
		}
		if !strings.Contains(test.text, test.pin) {
			t.Errorf("%s holds no %q: it pins nothing", name, test.pin)
		}
	}
}
