package consumers

import (
	"errors"
	"fmt"
)

// The errors of changes and of reading single consumers. Test with errors.Is.
var (
	// ErrNotFound: the table has no consumer of that name.
	ErrNotFound = errors.New("there is no such consumer in the table")
	// ErrExists: Change.New was set, and there is a consumer of that name. Nothing
	// was changed.
	ErrExists = errors.New("a consumer of that name is in the table already")
	// ErrChanged: the consumer is not as it was when its ETag was read. Nothing was
	// changed; read again and decide again.
	ErrChanged = errors.New("the consumer was changed by somebody else meanwhile")
	// ErrInFile: the configuration file defines the consumer. Nothing was changed.
	ErrInFile = errors.New("the consumer is defined in the configuration file, which must be changed instead")
	// ErrUnavailable: the store could not be asked. Nothing was changed; the same
	// may be tried again.
	ErrUnavailable = errors.New("the table cannot be reached")
	// ErrUnknown: the store did not say whether the change was made, and it may
	// still come. Making the same change again is safe, and tells.
	ErrUnknown = errors.New("the table did not say whether the change was made; make it again")
	// ErrBusy: so many unknown credentials are looked up that this one was not.
	ErrBusy = errors.New("too many unknown credentials at once")
	// ErrFormat: a newer version of the gateway wrote the row. It is left alone.
	ErrFormat = errors.New("a newer version of the gateway wrote the row")
)

// TakenError says that a credential belongs to another consumer.
type TakenError struct {
	// Credential names it for people: a key by the beginning of its hash.
	Credential string
	// Consumer is whose it is.
	Consumer string
	// Made: the other consumer was given the credential at the same moment. The
	// change is made, except that the credential does not work. Otherwise nothing
	// was changed.
	Made bool
}

// Error implements error.
func (e *TakenError) Error() string {
	if e.Made {
		return fmt.Sprintf("the %s was given to consumer %s at the same moment and works there; the rest of the change is made", e.Credential, e.Consumer)
	}
	return fmt.Sprintf("the %s belongs to consumer %s", e.Credential, e.Consumer)
}

// InvalidError says what is wrong with a definition, all of it. Nothing was
// changed, and asking again gives the same answer.
type InvalidError struct{ Err error }

// Error implements error.
func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong, which may be config.Problems.
func (e *InvalidError) Unwrap() error { return e.Err }

var (
	_ error = (*TakenError)(nil)
	_ error = (*InvalidError)(nil)
)
