package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// files are the page and what it loads. They hold no secret, so anybody may read them.
//
//go:embed web/index.html web/*.css web/*.js web/icon.svg web/lib/uPlot.iife.min.js web/lib/uPlot.min.css
var files embed.FS

// asset is a file of the page as it is served.
type asset struct {
	content []byte
	mime    string
	etag    string
}

// mimes are the types of the files by their endings.
var mimes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// assets are the files by their paths below /spillway/.
var assets = sync.OnceValue(func() map[string]asset {
	all := make(map[string]asset)
	for _, folder := range []string{"web", "web/lib"} {
		entries, _ := files.ReadDir(folder) // it is embedded
		for _, entry := range entries {
			name := path.Join(folder, entry.Name())
			if entry.IsDir() {
				continue
			}
			content, _ := files.ReadFile(name)
			sum := sha256.Sum256(content)
			all[strings.TrimPrefix(name, "web/")] = asset{
				content: content,
				mime:    mimes[path.Ext(name)],
				etag:    fmt.Sprintf("%q", base64.RawURLEncoding.EncodeToString(sum[:12])),
			}
		}
	}
	all[""] = all["index.html"]
	delete(all, "index.html")
	return all
})

// contentPolicy lets the page load its own files and call its own gateway, and
// nothing else: whatever text comes into it cannot run.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page answers a request for a file of the page, and tells whether there is such a
// file.
func page(w http.ResponseWriter, r *http.Request) bool {
	name, below := strings.CutPrefix(r.URL.Path, "/spillway/")
	file, known := assets()[name]
	if !below || !known {
		return false
	}
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return true
	}
	header := w.Header()
	header.Set("Content-Type", file.mime)
	header.Set("ETag", file.etag)
	header.Set("Cache-Control", "no-cache") // kept, and asked about each time: a new binary shows at once
	header.Set("Content-Security-Policy", contentPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.content))
	return true
}

// redirect sends a browser from /spillway to the page. The address is relative, so
// that it holds behind a proxy that adds a prefix.
func redirect(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	w.Header().Set("Location", "spillway/")
	w.WriteHeader(http.StatusTemporaryRedirect)
}
