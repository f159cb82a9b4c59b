// Package secrets finds secrets where they must never be seen: in what processes
// print, in log lines, in answers. Tests register the secrets that they make up,
// and show it all that anybody could read.
package secrets

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
)

// secret is a text to look for, and what a report calls it.
type secret struct {
	text []byte
	name string
}

var (
	known  atomic.Pointer[[]secret] // replaced, never changed
	change sync.Mutex               // held by who replaces it
)

// least is the length of the shortest text that is told from others, and of the
// part of a long secret that gives it away: who sees so much of it knows too much.
const least = 12

func init() {
	// What all tests have in common. Of a token the head is enough: no line of the
	// project has a reason to hold any.
	Register("the emulator's account key", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")
	Register("the header of the identity endpoint", "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a")
	Register("a signed token", "eyJhbGciOiJSUzI1NiIs")
	Register("a key of tests", "key-of-the-")
}

// Register makes texts secrets, until the process ends, under a name that reports
// use. They are found as they are, and as they are written in URLs and in base64;
// of long ones the beginning is enough. A text of less than 11 characters is a
// mistake of the test's, and panics: it could be anything.
func Register(name string, texts ...string) {
	change.Lock()
	defer change.Unlock()
	var all []secret
	if now := known.Load(); now != nil {
		all = append(all, *now...)
	}
	for _, text := range texts {
		if len(text) < least-1 {
			panic("secrets: a text too short to be told from others: " + name)
		}
		for _, form := range []string{text, url.QueryEscape(text), base64.StdEncoding.EncodeToString([]byte(text))} {
			s := secret{[]byte(form[:min(len(form), max(least, len(form)/2))]), name}
			if !slices.ContainsFunc(all, func(other secret) bool { return bytes.Equal(other.text, s.text) }) {
				all = append(all, s)
			}
		}
	}
	known.Store(&all)
}

// Find returns the name of a secret that the text holds, and the text around it.
func Find(text []byte) (name, around string, found bool) {
	for _, s := range *known.Load() {
		if at := bytes.Index(text, s.text); at >= 0 {
			const context = 60
			return s.name, string(text[max(0, at-context):min(len(text), at+len(s.text)+context)]), true
		}
	}
	return "", "", false
}
