package consumers

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"spillway/shared/config"
	"spillway/shared/store"
)

const (
	// format is the version of the rows' layout and meaning.
	format = int64(1)

	prefix       = "consumer!" // of the partitions of consumers
	row          = "c"         // the only row of a partition
	logPartition = "consumers!log"
	maxName      = 64 // bytes of a consumer's name

	columnFormat     = "Format"
	columnNonce      = "Nonce" // tells a write from all others
	columnDefinition = "Definition"
	columnRemoved    = "Removed" // nothing else is left of the consumer
	columnBy         = "By"
	columnAt         = "At"
	columnConsumer   = "Consumer"
	columnHeld       = "Held" // the claim is confirmed
	columnWhen       = "When"
	columnAction     = "Action"
	columnWhat       = "What"
	columnOutcome    = "Outcome"
)

// beginning is the row that says that there may be consumers in the table. It
// sorts after all rows of the log, and outside of what polls read.
var beginning = store.Key{Partition: logPartition, Row: "begun"}

// consumerKey is the row of a consumer.
func consumerKey(name string) store.Key { return store.Key{Partition: prefix + name, Row: row} }

// kind is a kind of credential.
type kind uint8

const (
	byKey kind = iota
	byApp
	byRole
)

// credential is what a caller shows to be a consumer.
type credential struct {
	kind kind
	id   string // the whole hash in hex digits, the application's id, the role
}

func keyCredential(hash config.KeyHash) credential {
	return credential{byKey, hex.EncodeToString(hash[:])}
}
func appCredential(id string) credential    { return credential{byApp, id} }
func roleCredential(role string) credential { return credential{byRole, role} }

// indexKey is the row that names the consumer of the credential.
func (c credential) indexKey() store.Key {
	partition := [...]string{"consumerkey!", "consumerapp!", "consumerrole!"}[c.kind]
	return store.Key{Partition: partition + c.id, Row: row}
}

// String names the credential for people: a key by the beginning of its hash.
func (c credential) String() string {
	switch c.kind {
	case byKey:
		return "key sha256:" + c.id[:min(len(c.id), 8)] + "…"
	case byApp:
		return "application " + c.id
	default:
		return "role " + c.id
	}
}

// credentials are those that find the consumer. The roles of one that lists
// applications only tell which of their tokens count.
func credentials(consumer *config.Consumer) []credential {
	var all []credential
	add := func(c credential) {
		if !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	for _, hash := range consumer.Keys {
		add(keyCredential(hash))
	}
	for _, id := range consumer.Entra.AppIDs {
		add(appCredential(id))
	}
	if len(consumer.Entra.AppIDs) == 0 {
		for _, role := range consumer.Entra.Roles {
			add(roleCredential(role))
		}
	}
	return all
}

// Entry is a consumer as the table has it.
type Entry struct {
	// Name is the consumer's name.
	Name string
	// Consumer is its definition, not to be changed; nil if it cannot be read.
	Consumer *config.Consumer
	// ETag changes with every change, see Change.
	ETag string
	// By is who made the last change, and At when.
	By string
	At time.Time
	// Problem says why the consumer is not in use, or does not fit into the
	// configuration. Empty: all is well.
	Problem string
}

// encodeConsumer is the row of a consumer.
func encodeConsumer(c *config.Consumer, nonce, by string, at time.Time) store.Columns {
	return store.Columns{
		columnFormat: format, columnDefinition: string(c.Encode()),
		columnNonce: nonce, columnBy: by, columnAt: at,
	}
}

// encodeRemoved is the row of a consumer that was removed.
func encodeRemoved(nonce, by string, at time.Time) store.Columns {
	return store.Columns{columnFormat: format, columnRemoved: true, columnNonce: nonce, columnBy: by, columnAt: at}
}

// errRemoved says that a consumer was removed.
var errRemoved = errors.New("the consumer was removed")

// decodeConsumer reads the row of a consumer as foreign input. Its error, which may
// be errRemoved, tells no key.
func decodeConsumer(name string, columns store.Columns) (*config.Consumer, error) {
	if err := checkFormat(columns); err != nil {
		return nil, err
	}
	if removed, _ := columns[columnRemoved].(bool); removed {
		return nil, errRemoved
	}
	text, ok := columns[columnDefinition].(string)
	if !ok {
		return nil, errors.New("the row has no definition")
	}
	consumer, err := config.ParseConsumer(name, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("the definition cannot be read: %w", err)
	}
	consumer.Since, _ = columns[columnAt].(time.Time)
	return &consumer, nil
}

// encodeIndex is the index row of a credential.
func encodeIndex(name, nonce string, held bool) store.Columns {
	return store.Columns{columnFormat: format, columnConsumer: name, columnNonce: nonce, columnHeld: held}
}

// decodeIndex reads an index row as foreign input: whose the credential is, if
// that consumer lists it, and whether the claim is confirmed.
func decodeIndex(columns store.Columns) (name string, held bool, err error) {
	if err := checkFormat(columns); err != nil {
		return "", false, err
	}
	name, ok := columns[columnConsumer].(string)
	if !ok || !validName(name) {
		return "", false, errors.New("the index row names no consumer")
	}
	held, _ = columns[columnHeld].(bool)
	return name, held, nil
}

// checkFormat tells whether this version understands a row.
func checkFormat(columns store.Columns) error {
	switch version, ok := columns[columnFormat].(int64); {
	case !ok || version < format:
		return errors.New("the row has no format that is known")
	case version > format:
		return ErrFormat
	}
	return nil
}

// validName tells whether a text can be the name of a consumer. What exactly a
// name may be is the configuration's to say.
func validName(name string) bool {
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~'
	})
}

// logKey is the key of a log row of that moment.
func logKey(at time.Time, nonce string) store.Key {
	return store.Key{Partition: logPartition, Row: logRow(at) + "-" + nonce}
}

// logRow is the beginning of the keys of log rows of that moment.
func logRow(at time.Time) string { return fmt.Sprintf("%020d", max(at.UnixNano(), 0)) }

// decodeLog reads a row of the log as foreign input: whose consumer is named
// there.
func decodeLog(columns store.Columns) (name string, ok bool) {
	name, _ = columns[columnConsumer].(string)
	return name, validName(name)
}
