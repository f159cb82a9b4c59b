package config

import "sync/atomic"

// Definition is a consumer as it is in use: by its pointer, which is another one when the
// consumer has been changed. Those who find consumers by their credentials give all callers
// the same.
type Definition struct {
	*Consumer // not to be changed
	// Made is what the user of the definition has made of it: whoever finds the one has found
	// the other, without another search among a hundred thousand. Empty until it is stored;
	// nobody else looks at it.
	Made atomic.Value
}
