package server

import (
	"testing"
	"testing/synctest"
)

// Of whatever comes on a connection, the handler sees what net/http would show it,
// and the client gets what net/http would send.
func FuzzConnection(f *testing.F) {
	for _, text := range sent {
		if len(text) < 2000 {
			f.Add(text, uint16(20))
		}
	}
	f.Fuzz(func(t *testing.T, text string, cut uint16) {
		at := min(int(cut), len(text))
		synctest.Test(t, func(t *testing.T) { compare(t, text[:at], text[at:]) })
	})
}
