package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/tests/await"
)

// Page is a tab of a browser. Its methods end the test where something fails; they
// are for the test's own goroutine.
type Page struct {
	t       testing.TB
	browser *Browser
	session string
	folder  string // of what is downloaded

	mu         sync.Mutex
	requests   []string                 // guarded by mu: addresses
	complaints []string                 // guarded by mu: errors of the console, and what was not caught
	saved      map[string]string        // guarded by mu: files by the guid of their download
	complete   []string                 // guarded by mu: paths
	rewrite    func(body []byte) []byte // guarded by mu: see Rewrite
}

// Open opens a tab that shows nothing yet, of so many pixels.
func (b *Browser) Open(t testing.TB, width, height int) *Page {
	t.Helper()
	p := &Page{t: t, browser: b, folder: t.TempDir(), saved: make(map[string]string)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var target struct{ TargetID string }
	err := b.call(ctx, "", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	if err == nil {
		err = b.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	}
	if err != nil {
		t.Fatalf("browser: %v", err)
	}
	p.session = attached.SessionID
	b.mu.Lock()
	b.pages[p.session] = p.happened
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(domain+".enable", nil, nil)
	}
	p.call("Browser.setDownloadBehavior", map[string]any{"behavior": "allowAndName", "downloadPath": p.folder, "eventsEnabled": true}, nil)
	p.Size(width, height)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the console of the page:\n%s", strings.Join(p.Complaints(), "\n"))
		}
	})
	return p
}

func (p *Page) call(method string, params, result any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.browser.call(ctx, p.session, method, params, result); err != nil {
		p.t.Fatalf("browser: %v", err)
	}
}

// happened notes an event.
func (p *Page) happened(m message) {
	var e struct {
		Request struct{ URL string }
		Type    string
		Args    []struct {
			Value       any
			Description string
		}
		Entry            struct{ Level, Text, URL string }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
		GUID, SuggestedFilename, State string
		RequestID                      string
	}
	_ = json.Unmarshal(m.Params, &e) // what has another form is no event that is looked at
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Method {
	case "Network.requestWillBeSent":
		p.requests = append(p.requests, e.Request.URL)
	case "Runtime.consoleAPICalled":
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			p.complaints = append(p.complaints, fmt.Sprintf("console.%s: %+v", e.Type, e.Args))
		}
	case "Runtime.exceptionThrown":
		p.complaints = append(p.complaints, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case "Log.entryAdded":
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			p.complaints = append(p.complaints, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	case "Page.downloadWillBegin", "Browser.downloadWillBegin":
		p.saved[e.GUID] = e.SuggestedFilename
	case "Page.downloadProgress", "Browser.downloadProgress":
		if e.State == "completed" && !slices.Contains(p.complete, e.GUID) {
			p.complete = append(p.complete, e.GUID)
		}
	case "Fetch.requestPaused":
		go p.fulfil(e.RequestID, p.rewrite) // it calls, and calls are answered by the caller of this
	}
}

// Navigate opens an address and waits until the page is loaded.
func (p *Page) Navigate(address string) {
	p.t.Helper()
	p.call("Page.navigate", map[string]any{"url": address}, nil)
	p.Await("document.readyState === 'complete' && location.href !== 'about:blank'")
}

// Size makes the tab so many pixels large.
func (p *Page) Size(width, height int) {
	p.t.Helper()
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
}

// Scheme sets the colours that the user's system prefers: light or dark.
func (p *Page) Scheme(name string) {
	p.t.Helper()
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": name}}}, nil)
}

// Evaluate reads the value of a JavaScript expression, which may be a promise, into
// result unless that is nil.
func (p *Page) Evaluate(expression string, result any) {
	p.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &answer)
	if e := answer.ExceptionDetails; e != nil {
		p.t.Fatalf("browser: %.200s: %s %s", expression, e.Text, e.Exception.Description)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(answer.Result.Value, result); err != nil {
		p.t.Fatalf("browser: %.200s is %s: %v", expression, answer.Result.Value, err)
	}
}

// Await waits until a JavaScript expression is true.
func (p *Page) Await(expression string) {
	p.t.Helper()
	poll := time.NewTicker(25 * time.Millisecond)
	defer poll.Stop()
	for began := time.Now(); ; <-poll.C {
		var done bool
		p.Evaluate("Boolean("+expression+")", &done)
		if done {
			return
		}
		if time.Since(began) > patience {
			var text string
			p.Evaluate("document.body.innerText", &text)
			p.t.Fatalf("browser: within %s it is never true that %s; the page shows:\n%s", patience, expression, text)
		}
	}
}

// Text is what an element shows.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	var text string
	p.Evaluate(fmt.Sprintf("document.querySelector(%q)?.textContent ?? ''", selector), &text)
	return text
}

// Type types text where the focus is.
func (p *Page) Type(text string) {
	p.t.Helper()
	p.call("Input.insertText", map[string]any{"text": text}, nil)
}

// Press presses a key and lets it go: Enter, Tab or Space.
func (p *Page) Press(key string) {
	p.t.Helper()
	known := map[string]struct {
		code int
		text string
	}{"Enter": {13, "\r"}, "Tab": {9, ""}, "Space": {32, " "}}[key]
	down := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": known.code, "text": known.text}
	if key == "Space" {
		down["key"] = " "
	}
	p.call("Input.dispatchKeyEvent", down, nil)
	p.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": down["key"], "code": key, "windowsVirtualKeyCode": known.code}, nil)
}

// Click clicks into the middle of an element.
func (p *Page) Click(selector string) {
	p.t.Helper()
	var at struct{ X, Y float64 }
	p.Evaluate(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.scrollIntoView({block: "center"});
		const r = e.getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()`, selector), &at)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// Screenshot writes a picture of the whole page to a file.
func (p *Page) Screenshot(path string) {
	p.t.Helper()
	p.Evaluate("scrollTo(0, 0)", nil)
	var layout struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	p.call("Page.getLayoutMetrics", nil, &layout)
	clip := map[string]any{"x": 0, "y": 0, "width": layout.CSSContentSize.Width, "height": layout.CSSContentSize.Height, "scale": 1}
	var picture struct{ Data string }
	p.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true, "clip": clip}, &picture)
	content, err := base64.StdEncoding.DecodeString(picture.Data)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, content, 0o644)
	}
	if err != nil {
		p.t.Fatalf("browser: screenshot: %v", err)
	}
}

// Download waits for the next file that the page saves, and returns its name and
// content. The page must have begun to.
func (p *Page) Download() (name string, content []byte) {
	p.t.Helper()
	var guid string
	await.That(p.t, "the page has saved a file", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.complete) > 0 {
			guid, p.complete = p.complete[0], p.complete[1:]
			name = p.saved[guid]
		}
		return guid != ""
	})
	content, err := os.ReadFile(filepath.Join(p.folder, guid))
	if err != nil {
		p.t.Fatalf("browser: download: %v", err)
	}
	return name, content
}

// Requests are the addresses that the page has asked for.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// AwaitRequests waits until the page has asked for so many addresses.
func (p *Page) AwaitRequests(n int) {
	p.t.Helper()
	await.That(p.t, fmt.Sprintf("the page has asked for %d addresses", n), func() bool { return len(p.Requests()) >= n })
}

// Complaints are what the page's console shows of errors and warnings.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.complaints)
}

// Rewrite changes the answers to the requests whose addresses match a pattern with *.
func (p *Page) Rewrite(pattern string, rewrite func(body []byte) []byte) {
	p.t.Helper()
	p.mu.Lock()
	p.rewrite = rewrite
	p.mu.Unlock()
	p.call("Fetch.enable", map[string]any{"patterns": []map[string]string{{"urlPattern": pattern, "requestStage": "Response"}}}, nil)
}

func (p *Page) fulfil(request string, rewrite func([]byte) []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var answer struct {
		Body          string
		Base64Encoded bool
	}
	id := map[string]any{"requestId": request}
	if p.browser.call(ctx, p.session, "Fetch.getResponseBody", id, &answer) != nil {
		return // the page has gone on
	}
	body := []byte(answer.Body)
	if answer.Base64Encoded {
		body, _ = base64.StdEncoding.DecodeString(answer.Body)
	}
	_ = p.browser.call(ctx, p.session, "Fetch.fulfillRequest", map[string]any{
		"requestId": request, "responseCode": 200, "body": base64.StdEncoding.EncodeToString(rewrite(body)),
		"responseHeaders": []map[string]string{{"name": "Content-Type", "value": "application/json"}},
	}, nil)
}
