package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/shared/openai"
	"spillway/shared/usage"
)

// The headers by which a client asks something of the gateway. No backend gets them.
const (
	controlPrefix     = "X-Spillway-"
	controlBackend    = "X-Spillway-Backend"
	controlExclude    = "X-Spillway-Exclude"
	controlSpillover  = "X-Spillway-Spillover"
	controlDeadline   = "X-Spillway-Deadline-Ms"
	controlFreshRoute = "X-Spillway-Fresh-Route"
	controlTags       = "X-Spillway-Tags"
)

// controls are what a client asks of the gateway for one request.
type controls struct {
	backend     string   // the only one that may serve; empty: any
	exclude     []string // backends that may not
	noSpillover bool     // the first priority alone may serve
	deadline    time.Time
	freshRoute  bool   // rather than none, an answer that knows nothing of the previous response
	tags        string // for the ledger, as usage.ParseTags writes them
	withheld    bool   // beside them, the client's header has fields that no backend gets
}

// readControls reads the client's x-spillway-* headers. One that is unknown, that
// cannot be read, or that this consumer may not send is an error: a request that is
// not served as it asks must not be served. What else is in the header is looked at in the
// same pass.
func readControls(client http.Header, c *Consumer, arrived time.Time) (controls, *openai.Error) {
	var asked controls
	for name, values := range client {
		if !strings.HasPrefix(name, controlPrefix) {
			asked.withheld = asked.withheld || withheld(name)
			continue
		}
		if len(values) != 1 {
			return asked, badControl(name, "it must be given once")
		}
		if refused := asked.read(name, strings.TrimSpace(values[0]), c, arrived); refused != nil {
			return asked, refused
		}
	}
	return asked, nil
}

func (a *controls) read(name, value string, c *Consumer, arrived time.Time) *openai.Error {
	switch name {
	case controlBackend, controlExclude:
		if !c.MayChooseBackend {
			return forbiddenControl(name, "choosing backends has to be allowed by mayChooseBackend of the consumer")
		}
		if name == controlBackend {
			a.backend = value
		} else {
			a.exclude = list(value)
		}
		if value == "" {
			return badControl(name, "it names no backend")
		}
	case controlSpillover, controlFreshRoute:
		wanted, err := strconv.ParseBool(value)
		if err != nil {
			return badControl(name, "it must be true or false")
		}
		if name == controlSpillover {
			a.noSpillover = !wanted
		} else {
			a.freshRoute = wanted
		}
	case controlDeadline:
		ms, err := strconv.ParseInt(value, 10, 64)
		if err != nil || ms <= 0 || ms > maxDeadline.Milliseconds() {
			return badControl(name, fmt.Sprintf("it must be a number of milliseconds from 1 to %d", maxDeadline.Milliseconds()))
		}
		a.deadline = arrived.Add(time.Duration(ms) * time.Millisecond)
	case controlTags:
		if len(c.Tags) == 0 {
			return forbiddenControl(name, "the names of tags have to be listed in tags of the consumer")
		}
		tags, err := usage.ParseTags(value, c.Tags)
		if err != nil {
			return badControl(name, err.Error())
		}
		a.tags = tags
	default:
		known := []string{controlBackend, controlDeadline, controlExclude, controlFreshRoute, controlSpillover, controlTags}
		return openai.InvalidRequest("", fmt.Sprintf("Unknown header: '%s'. There are %s.", openai.Printable(strings.ToLower(name)), strings.ToLower(strings.Join(known, ", "))))
	}
	return nil
}

// maxDeadline is longer than any request may take.
const maxDeadline = 24 * time.Hour

// list reads a comma-separated list.
func list(value string) []string {
	var names []string
	for name := range strings.SplitSeq(value, ",") {
		names = append(names, strings.TrimSpace(name))
	}
	return names
}

func badControl(name, why string) *openai.Error {
	e := openai.InvalidRequest("", fmt.Sprintf("Invalid header '%s': %s.", strings.ToLower(name), why))
	e.Code = "invalid_header"
	return e
}

func forbiddenControl(name, why string) *openai.Error {
	e := openai.Forbidden(fmt.Sprintf("The header '%s' is not for you: %s.", strings.ToLower(name), why))
	e.Code = "header_not_allowed"
	return e
}

// permits tells whether a backend may serve the request at all.
func (r *request) permits(backend string) bool {
	return (r.only == "" || r.only == backend) && !slices.Contains(r.asked.exclude, backend)
}

// reachable tells why no member of any of the pools may serve the request, where its
// own headers, or the response that it follows, rule all of them out.
func (r *request) reachable(c *Consumer, first *Pool) *openai.Error {
	if r.only == "" && len(r.asked.exclude) == 0 {
		return nil
	}
	backends := make(map[string]bool)
	gather := func(p *Pool) {
		for i := range p.Members {
			if m := &p.Members[i]; m.Priority == p.first || !c.NoSpillover && !r.asked.noSpillover {
				backends[m.Backend.Name] = true
			}
		}
	}
	gather(first)
	for _, model := range first.Fallbacks {
		if p := c.Pools[model]; p != nil {
			gather(p)
		}
	}
	names := slices.Sorted(maps.Keys(backends))
	if slices.ContainsFunc(names, r.permits) {
		return nil
	}
	switch {
	case r.asked.backend != "":
		return badControl(controlBackend, fmt.Sprintf("no backend '%s' may serve %s; there are %s", openai.Printable(r.asked.backend), r.model, strings.Join(names, ", ")))
	case r.only != "":
		e := openai.InvalidRequest("previous_response_id", fmt.Sprintf("The previous response is kept by a backend that does not serve %s. With the header %s: true the request is served without it.", r.model, strings.ToLower(controlFreshRoute)))
		e.Code = "previous_response_unavailable"
		return e
	default:
		return badControl(controlExclude, fmt.Sprintf("it excludes all backends that may serve %s: %s", r.model, strings.Join(names, ", ")))
	}
}
