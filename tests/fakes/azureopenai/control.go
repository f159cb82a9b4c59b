package azureopenai

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"
)

// The remote control of a running program, for tests in other processes and
// languages. It asks for no credentials: listen on a loopback address.
//
//	POST   /_fake/faults     a fault, or a list of them, as JSON → {"ids":[…]}
//	GET    /_fake/faults     the active faults
//	DELETE /_fake/faults     takes all faults back; ?id=3 takes one back
//	GET    /_fake/stats      {"name":…,"deployments":{name:{counters, room}}}
//	GET    /_fake/requests   the latest requests: method, uri, header, body
//	GET    /_fake/events     the latest events
//	POST   /_fake/advance    ?id=… takes a background response or a batch one
//	                         step on → {"advanced":true,"state":"in_progress"}
//
// The members of a fault are those of Fault with a small first letter, joined
// as in Go ("retryAfter"), durations written like "150ms":
//
//	{"kind":"delay","delay":"2s","times":3,"match":{"deployment":"gpt-4o","stream":"true"}}
const controlPrefix = "/_fake/"

// wireFault is a Fault as JSON.
type wireFault struct {
	Kind        FaultKind         `json:"kind"`
	Match       *wireMatch        `json:"match,omitempty"`
	After       int64             `json:"after,omitempty"`
	Times       int64             `json:"times,omitempty"`
	Probability float64           `json:"probability,omitempty"`
	For         wireDuration      `json:"for,omitempty"`
	Delay       wireDuration      `json:"delay,omitempty"`
	Status      int               `json:"status,omitempty"`
	Body        string            `json:"body,omitempty"`
	Header      map[string]string `json:"header,omitempty"`
	Throttle    ThrottleKind      `json:"throttle,omitempty"`
	RetryAfter  wireDuration      `json:"retryAfter,omitempty"`
	Events      int64             `json:"events,omitempty"`
	Tokens      int64             `json:"tokens,omitempty"`
	Bytes       int64             `json:"bytes,omitempty"`
	Location    string            `json:"location,omitempty"`
	Limit       int64             `json:"limit,omitempty"`
	Uncharged   bool              `json:"uncharged,omitempty"`
}

type wireMatch struct {
	Deployment string            `json:"deployment,omitempty"`
	Operation  Operation         `json:"operation,omitempty"`
	Stream     string            `json:"stream,omitempty"`
	Header     map[string]string `json:"header,omitempty"`
}

type wireDuration time.Duration

func (d wireDuration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *wireDuration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = wireDuration(parsed)
	return err
}

var faultKinds = []FaultKind{FaultDelay, FaultRefuse, FaultReset, FaultStatus, FaultThrottle, FaultHangBeforeHeaders,
	FaultHangAfterHeaders, FaultCut, FaultStreamError, FaultResponseFailed, FaultMalformedSSE, FaultBadJSON, FaultContentType,
	FaultEmptyStream, FaultRedirect, FaultLowerLimit}

func (w wireFault) fault() (Fault, error) {
	f := Fault{Kind: w.Kind, After: w.After, Times: w.Times, Probability: w.Probability, For: time.Duration(w.For),
		Delay: time.Duration(w.Delay), Status: w.Status, Body: w.Body, Header: w.Header, Throttle: w.Throttle,
		RetryAfter: time.Duration(w.RetryAfter), Events: w.Events, Tokens: w.Tokens, Bytes: w.Bytes, Location: w.Location,
		Limit: w.Limit, Uncharged: w.Uncharged}
	if w.Match != nil {
		f.Match = Match(*w.Match)
	}
	return f, f.Validate()
}

func wireOf(f Fault) wireFault {
	m := wireMatch(f.Match)
	return wireFault{Kind: f.Kind, Match: &m, After: f.After, Times: f.Times, Probability: f.Probability, For: wireDuration(f.For),
		Delay: wireDuration(f.Delay), Status: f.Status, Body: f.Body, Header: f.Header, Throttle: f.Throttle,
		RetryAfter: wireDuration(f.RetryAfter), Events: f.Events, Tokens: f.Tokens, Bytes: f.Bytes, Location: f.Location,
		Limit: f.Limit, Uncharged: f.Uncharged}
}

// Validate reports the first setting that has no meaning.
func (f Fault) Validate() error {
	known := false
	for _, kind := range faultKinds {
		known = known || f.Kind == kind
	}
	switch {
	case !known:
		return fmt.Errorf("unknown fault %q; known: %q", f.Kind, faultKinds)
	case f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("probability %v is not in [0, 1]", f.Probability)
	case f.Match.Stream != "" && f.Match.Stream != "true" && f.Match.Stream != "false":
		return fmt.Errorf("stream %q is neither \"true\" nor \"false\"", f.Match.Stream)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d is not in [200, 599]", f.Status)
	case f.After < 0 || f.Times < 0 || f.Events < 0 || f.Tokens < 0 || f.Bytes < 0 || f.For < 0 || f.Delay < 0 || f.RetryAfter < 0:
		return fmt.Errorf("counts and durations must not be negative")
	case f.Kind == FaultLowerLimit && f.Limit <= 0:
		return fmt.Errorf("lower-limit needs a limit > 0")
	}
	return nil
}

func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST /_fake/faults":
		s.postFaults(w, r)
	case "GET /_fake/faults":
		s.getFaults(w)
	case "DELETE /_fake/faults":
		s.deleteFaults(w, r)
	case "GET /_fake/stats":
		s.getStats(w)
	case "GET /_fake/requests":
		s.getRequests(w)
	case "POST /_fake/advance":
		state, ok := s.Advance(r.URL.Query().Get("id"))
		writeJSON(w, http.StatusOK, map[string]any{"advanced": ok, "state": state})
	case "GET /_fake/events":
		writeJSON(w, http.StatusOK, s.Events())
	default:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "unknown control path"})
	}
}

// maxControlBody bounds what the remote control reads, in bytes.
const maxControlBody = 1 << 20

// parseFaults reads one fault or a list of faults.
func parseFaults(body []byte) ([]Fault, error) {
	var wires []wireFault
	if json.Unmarshal(body, &wires) != nil {
		var one wireFault
		if err := json.Unmarshal(body, &one); err != nil {
			return nil, err
		}
		wires = []wireFault{one}
	}
	faults := make([]Fault, 0, len(wires))
	for _, wire := range wires {
		f, err := wire.fault()
		if err != nil {
			return nil, err
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func (s *Server) postFaults(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControlBody))
	var faults []Fault
	if err == nil {
		faults, err = parseFaults(body)
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	ids := []int64{}
	for _, f := range faults {
		ids = append(ids, s.Inject(f))
	}
	writeJSON(w, http.StatusOK, map[string]any{"ids": ids})
}

func (s *Server) getFaults(w http.ResponseWriter) {
	type entry struct {
		ID    int64     `json:"id"`
		Fired int64     `json:"fired"`
		Fault wireFault `json:"fault"`
	}
	list := []entry{}
	for _, a := range s.Faults() {
		list = append(list, entry{a.ID, a.Fired, wireOf(a.Fault)})
	}
	writeJSON(w, http.StatusOK, list)
}

func (s *Server) deleteFaults(w http.ResponseWriter, r *http.Request) {
	text := r.URL.Query().Get("id")
	if text == "" {
		s.Clear()
		writeJSON(w, http.StatusOK, map[string]bool{"removed": true})
		return
	}
	id, err := strconv.ParseInt(text, 10, 64)
	writeJSON(w, http.StatusOK, map[string]bool{"removed": err == nil && s.Remove(id)})
}

// wireStats are the counters of a deployment as JSON; room is absent without
// a limit.
type wireStats struct {
	Stats
	Charged int64
	Room    *int64 `json:",omitempty"`
}

func (s *Server) getStats(w http.ResponseWriter) {
	now := time.Now()
	all := map[string]wireStats{}
	for name, stats := range s.Stats() {
		wire := wireStats{Stats: stats, Charged: stats.Charged()}
		if room := s.Room(name, now); name != "" && room != math.MaxInt64 {
			wire.Room = &room
		}
		all[name] = wire
	}
	writeJSON(w, http.StatusOK, map[string]any{"name": s.options.Name, "deployments": all})
}

func (s *Server) getRequests(w http.ResponseWriter) {
	type entry struct {
		Number     int64       `json:"number"`
		Time       time.Time   `json:"time"`
		Method     string      `json:"method"`
		URI        string      `json:"uri"`
		Header     http.Header `json:"header"`
		Body       string      `json:"body"`
		Deployment string      `json:"deployment"`
		Status     int         `json:"status"`
	}
	list := []entry{}
	for _, r := range s.Requests() {
		list = append(list, entry{r.Number, r.Time, r.Method, r.URI, r.Header, string(r.Body), r.Deployment, r.Status})
	}
	writeJSON(w, http.StatusOK, list)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"encoding failed"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // The client may be gone.
}
