package functionshost

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait; it only turns a hang into a failure.
const patience = 20 * time.Second

// The tests' own binary is also the handler that they run.
func TestMain(m *testing.M) {
	if port := os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"); port != "" {
		handle(port, os.Args[1])
	}
	os.Exit(m.Run())
}

const goodAnswer = `{"Outputs":{},"Logs":["done"],"ReturnValue":null}`

// handle is a handler that behaves as a word says.
func handle(port, behaviour string) {
	fmt.Println("to stdout")
	fmt.Fprintln(os.Stderr, "to stderr, a warning")
	fmt.Fprintln(os.Stderr, "to stderr")
	switch behaviour {
	case "exit0":
		os.Exit(0)
	case "exit1":
		os.Exit(1)
	case "deaf":
		select {}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/api/echo/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(map[string]any{"path": r.URL.EscapedPath(), "query": r.URL.RawQuery, "host": r.Host, "header": r.Header, "body": string(body)})
	})
	more := make(chan bool) // the client asks for each line
	mux.HandleFunc("/api/echo/more", func(http.ResponseWriter, *http.Request) { more <- true })
	mux.HandleFunc("/api/echo/stream", func(w http.ResponseWriter, r *http.Request) {
		for n := 0; ; n++ {
			fmt.Fprintln(w, n)
			_ = http.NewResponseController(w).Flush() // the client may have left
			select {
			case <-more:
			case <-r.Context().Done():
				fmt.Println("the client has left")
				return
			}
		}
	})
	mux.HandleFunc("/api/echo/exit/{code}", func(_ http.ResponseWriter, r *http.Request) {
		if r.PathValue("code") == "200" {
			os.Exit(200)
		}
		os.Exit(1)
	})
	mux.HandleFunc("/api/echo/drop", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("POST /tick", func(w http.ResponseWriter, r *http.Request) { tick(w, r, behaviour) })
	if err := http.ListenAndServe("127.0.0.1:"+port, mux); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tick(w http.ResponseWriter, r *http.Request, behaviour string) {
	kind, status, answer := "application/json", 200, goodAnswer
	switch behaviour {
	case "text":
		kind = "text/plain; charset=utf-8"
	case "fails":
		status = 500
	case "empty":
		answer = ""
	case "null":
		answer = " null\n"
	case "other":
		answer = `{"logs":"done"}`
	case "outputs":
		answer = `{"Outputs":{"queue":1},"Logs":[],"ReturnValue":null}`
	case "echo":
		body, _ := io.ReadAll(r.Body)
		logs, _ := json.Marshal([]string{string(body), fmt.Sprint(r.Header, r.ContentLength)})
		answer = `{"Outputs":{},"Logs":` + string(logs) + `,"ReturnValue":null}`
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

// files are an app; a name with an empty text is left out.
type files map[string]string

func good(behaviour string) files {
	return files{
		"host.json":          `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler","arguments":["` + behaviour + `"]},"enableProxyingHttpRequest":true}}`,
		"echo/function.json": `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous","methods":["get","post"],"route":"echo/{*path}"},{"type":"http","direction":"out","name":"res"}]}`,
		"tick/function.json": `{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"%EVERY%"}]}`,
	}
}

func (f files) write(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(folder, "handler")); err != nil {
		t.Fatal(err)
	}
	for name, text := range f {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// By default a binary with the race detector sleeps for a second at its end.
var everySecond = map[string]string{"EVERY": "* * * * * *", "GORACE": "atexit_sleep_ms=0"}

func start(t *testing.T, f files, o Options) (*Host, error) {
	t.Helper()
	o.Folder = f.write(t)
	if o.Settings == nil {
		o.Settings = everySecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h, err := Start(ctx, o)
	if err == nil {
		t.Cleanup(h.Close)
	}
	return h, err
}

func mustStart(t *testing.T, behaviour string, o Options) *Host {
	t.Helper()
	h, err := start(t, good(behaviour), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func send(t *testing.T, h *Host, method, path, body string, header ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, h.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
