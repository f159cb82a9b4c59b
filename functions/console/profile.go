package console

import (
	"net/http"
	"net/http/pprof"
	"runtime"
	"strings"
	"sync"

	"spillway/shared/openai"
)

// profilePrefix is where go tool pprof finds the profiles of this process.
const profilePrefix = "/spillway/debug/pprof/"

const (
	// contentionRate is the share of waits for a lock that a contention profile
	// samples, one in so many, while it is taken.
	contentionRate = 10
	// contentionPause is the length of waits, in nanoseconds, of which a block profile
	// samples every one; shorter ones are sampled by their share of it.
	contentionPause = 100_000
)

var contention sync.Mutex // one contention profile at a time: the rate is the process's

// profile answers with a profile of this process: profile (processor time), heap,
// allocs, goroutine, mutex, block and trace, with the parameters of package
// net/http/pprof. They show names of functions and no data of requests; the command
// line, which may hold anything, is not served.
func profile(w http.ResponseWriter, r *http.Request) {
	switch name := strings.TrimPrefix(r.URL.Path, profilePrefix); name {
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	case "heap", "allocs", "goroutine":
		pprof.Handler(name).ServeHTTP(w, r)
	case "mutex", "block":
		contention.Lock()
		defer contention.Unlock()
		runtime.SetMutexProfileFraction(contentionRate)
		runtime.SetBlockProfileRate(contentionPause)
		defer runtime.SetMutexProfileFraction(0)
		defer runtime.SetBlockProfileRate(0)
		pprof.Handler(name).ServeHTTP(w, r)
	default:
		openai.UnknownURL(r.Method, r.URL.Path).Write(w)
	}
}
