package azureopenai

import (
	"encoding/json"
	"hash/crc64"
	"sync"
	"time"
)

// repeats counts how often the same has been asked.
type repeats struct {
	mu   sync.Mutex
	seen map[uint64]int64 // guarded by mu
}

var polynomial = crc64.MakeTable(crc64.ECMA)

// next is the number of this request among those that ask the same, from 1.
func (r *repeats) next(identity []byte) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[uint64]int64{}
	}
	key := crc64.Checksum(identity, polynomial)
	r.seen[key]++
	return r.seen[key]
}

// cast draws the dice of an answer: by the request's number or, with
// Options.Dated, by what it asks and how often that has been asked.
func (e *exchange) cast(in input) {
	e.identity = in.identity
	number := e.number
	if !e.server.options.Dated.IsZero() {
		e.identity = append([]byte(e.route.operation+"\n"), undirected(in)...)
		number = e.server.repeats.next(e.identity)
	}
	e.dice = newDice(e.server.options.Seed, e.identity, number)
}

// undirected is what a request asks apart from what names the deployment and
// asks for usage: a gateway may change these.
func undirected(in input) []byte {
	if in.fields == nil {
		return in.identity
	}
	rest := fields{}
	for name, value := range in.fields {
		var plain any
		if name == "model" || name == "stream_options" || json.Unmarshal(value, &plain) != nil {
			continue
		}
		rest[name] = mustJSON(plain) // with the names in order
	}
	return input{fields: rest, files: in.files}.content()
}

// today is the time that answers are dated with.
func (s *Server) today() time.Time {
	if s.options.Dated.IsZero() {
		return time.Now()
	}
	return s.options.Dated
}
