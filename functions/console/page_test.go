package console_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"spillway/functions/console"
	"spillway/shared/usage"
)

// pageFiles are the files that make the page, by their paths below /spillway/.
func pageFiles(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(os.DirFS("web"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || mimeOf[path.Ext(name)] == "" {
			return err
		}
		content, err := os.ReadFile(path.Join("web", name))
		if name == "index.html" {
			name = ""
		}
		all[name] = string(content)
		return err
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("the page has %d files, want at least 10: %v", len(all), err)
	}
	return all
}

var mimeOf = map[string]string{
	"": "text/html; charset=utf-8", ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func getPage(path, etag string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/spillway/"+path, nil)
	r.Header.Set("If-None-Match", etag)
	w := httptest.NewRecorder()
	console.New(console.Options{}).ServeHTTP(w, r)
	return w
}

// Each file comes whole, to anybody, of its type, with headers that let nothing else
// into the page, and once only for as long as it stays the same.
func TestPageIsServed(t *testing.T) {
	for name, content := range pageFiles(t) {
		w := getPage(name, "")
		if w.Code != 200 || w.Body.String() != content {
			t.Errorf("%q: status %d, %d bytes; want 200 and %d bytes", name, w.Code, w.Body.Len(), len(content))
		}
		for header, want := range map[string]string{
			"Content-Type": mimeOf[path.Ext(name)],
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-cache",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%q: %s is %q, want %q", name, header, got, want)
			}
		}
		etag := w.Header().Get("ETag")
		if again := getPage(name, etag); etag == "" || again.Code != 304 || again.Body.Len() != 0 {
			t.Errorf("%q: asked again with %s: status %d", name, etag, again.Code)
		}
		if changed := getPage(name, `"another"`); changed.Code != 200 {
			t.Errorf("%q: asked with another tag: status %d, want 200", name, changed.Code)
		}
	}
}

// What is no file of the page is not there, and files are only read.
func TestPageHasNothingElse(t *testing.T) {
	for _, name := range []string{"index.html", "lib", "lib/", "package.json", "package-lock.json", ".npmrc", "lib/uPlot.LICENSE", "../console.go", "%2e%2e/console.go", "main.js/", "MAIN.JS", "main.js%00"} {
		if w := getPage(name, ""); w.Code != 404 {
			t.Errorf("%q: status %d, want 404", name, w.Code)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		for _, path := range []string{"/spillway/", "/spillway", "/spillway/main.js"} {
			w := httptest.NewRecorder()
			console.New(console.Options{}).ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: status %d, Allow %q; want 405", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}

// /spillway leads to the page, also behind a proxy that adds a prefix.
func TestRedirectToThePage(t *testing.T) {
	w := httptest.NewRecorder()
	console.New(console.Options{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/spillway", nil))
	if got := w.Header().Get("Location"); w.Code != 307 || got != "spillway/" {
		t.Errorf("status %d to %q, want 307 to spillway/", w.Code, got)
	}
}

// The page is small, is made of files that are there, and does nothing that its policy
// would have to allow: no script or style within the markup, no markup out of text, no
// address of anybody else, nothing stored.
func TestPageKeepsItsPromises(t *testing.T) {
	all := pageFiles(t)
	index := all[""]
	loaded := regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(index, -1)
	for _, match := range append(loaded, regexp.MustCompile(`from "\./([^"]+)"`).FindAllStringSubmatch(strings.Join(values(all), "\n"), -1)...) {
		if _, ok := all[match[1]]; !ok {
			t.Errorf("the page loads %q, which is not there", match[1])
		}
	}
	if len(loaded) < 5 {
		t.Errorf("the page loads %d files, want at least 5", len(loaded))
	}
	if found := regexp.MustCompile(`(?i)<style|<script>|\son\w+=|\sstyle=|https?://|javascript:`).FindString(index); found != "" {
		t.Errorf("index.html has %q", found)
	}
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|localStorage|sessionStorage|document\.cookie|https?://|setAttribute\("(?:style|on)`)
	asked := regexp.MustCompile(`byId\("([^"]+)"\)`)
	weight := 0
	for name, content := range all {
		weight += len(content)
		if strings.HasPrefix(name, "lib/") || path.Ext(name) == ".svg" {
			continue
		}
		if found := never.FindString(content); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		for _, match := range asked.FindAllStringSubmatch(content, -1) {
			if !strings.Contains(index, `id="`+match[1]+`"`) {
				t.Errorf("%s asks for #%s, which index.html has not", name, match[1])
			}
		}
	}
	const most = 128 << 10
	if weight > most {
		t.Errorf("the page weighs %d bytes, want %d at most", weight, most)
	}
}

// What the page tells usage apart by, the ledger can tell apart.
func TestPageAsksForColumnsOfTheLedger(t *testing.T) {
	_, list, _ := strings.Cut(pageFiles(t)[""], `id="usage-by"`)
	list, _, _ = strings.Cut(list, "</select>")
	options := regexp.MustCompile(`<option value="([^"]+)"`).FindAllStringSubmatch(list, -1)
	if len(options) < 7 {
		t.Errorf("the page offers %d columns, want 7 or more", len(options))
	}
	for _, option := range options {
		if !slices.Contains(usage.Columns(), option[1]) {
			t.Errorf("the page offers %q, which is no column", option[1])
		}
	}
}

func values(all map[string]string) []string {
	var texts []string
	for _, text := range all {
		texts = append(texts, text)
	}
	return texts
}
