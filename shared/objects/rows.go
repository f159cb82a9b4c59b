package objects

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"spillway/shared/store"
)

const (
	// format is the version of the rows' layout and meaning.
	format = int64(1)
	// parts is how many parts the partitions are spread over.
	parts = 256
	// maxName is the length of an ID and of a consumer's name in bytes.
	maxName = 256
	// maxText is the length of any other text in bytes.
	maxText = 1024

	columnFormat     = "Format"
	columnBackend    = "Backend"
	columnDeployment = "Deployment"
	columnModel      = "Model"
	columnPool       = "Pool"
	columnCreated    = "Created"
	columnExpires    = "Expires"
	columnPending    = "Pending"
	columnEstimated  = "Estimated"
	columnSpilled    = "Spilled"
	columnTags       = "Tags"
	columnDeleted    = "Deleted"
	columnNonce      = "Nonce" // Of the call that settled it.
)

// key names an object.
type key struct {
	kind         Kind
	consumer, id string
}

func keyOf(o Object) key { return key{o.Kind, o.Consumer, o.ID} }

// valid tells whether there can be an object of this key.
func (k key) valid() bool {
	return k.kind.valid() && k.consumer != "" && len(k.consumer) <= maxName && validText(k.consumer) && validID(k.id)
}

// row is the key of the object's row. Responses are spread by their ID, because a
// consumer may have a great many, and are never listed. Files and batches of a
// consumer are in one partition each, which is what List reads.
func (k key) row() store.Key {
	spread := k.consumer
	if k.kind == Response {
		spread = k.id
	}
	return store.Key{Partition: partPrefix(partOf(spread)) + string(k.kind) + "/" + k.consumer, Row: k.id}
}

// partPrefix is how the partitions of a part begin.
func partPrefix(part byte) string { return fmt.Sprintf("object/%02x/", part) }

// partOf is the part of a text. It is the same in all versions, or rows would not
// be found again.
func partOf(text string) byte {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(text)) // It never fails.
	return byte(hash.Sum32() % parts)
}

func (k Kind) valid() bool { return k == Response || k == File || k == Batch }

func validID(id string) bool {
	return id != "" && len(id) <= maxName && id != "." && id != ".." && !strings.ContainsFunc(id, func(r rune) bool {
		digit := '0' <= r && r <= '9'
		letter := 'a' <= r|0x20 && r|0x20 <= 'z'
		return r >= utf8.RuneSelf || !digit && !letter && !strings.ContainsRune("._-", r)
	})
}

func validText(text string) bool {
	return len(text) <= maxText && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// record is what a row says.
type record struct {
	Object
	deleted bool
	nonce   string // Empty until the object is settled.
}

// check tells what keeps a record from being one. Both what is written and what was
// read passes here, so that what was put is always found.
func (rec *record) check() error {
	if !keyOf(rec.Object).valid() {
		return errors.New("its kind, consumer or ID cannot be")
	}
	if rec.Backend == "" {
		return errors.New("it names no backend")
	}
	for _, text := range []string{rec.Backend, rec.Deployment, rec.Model, rec.Pool, rec.Tags, rec.nonce} {
		if !validText(text) {
			return errors.New("a text is too long or not printable")
		}
	}
	if rec.Estimated < 0 {
		return errors.New("its estimate is negative")
	}
	if rec.Created.IsZero() || rec.Expires.Before(rec.Created) {
		return errors.New("it expires before it is created")
	}
	return nil
}

// columns is the row of a new object.
func (rec *record) columns() store.Columns {
	return store.Columns{
		columnFormat: format, columnBackend: rec.Backend, columnDeployment: rec.Deployment,
		columnModel: rec.Model, columnPool: rec.Pool, columnCreated: rec.Created, columnExpires: rec.Expires,
		columnPending: rec.Pending, columnEstimated: rec.Estimated, columnSpilled: rec.Spilled, columnTags: rec.Tags,
	}
}

// decode reads the row of an object as foreign input.
func decode(k key, columns store.Columns) (*record, error) {
	if err := checkFormat(columns); err != nil {
		return nil, err
	}
	rec := &record{Object: Object{Kind: k.kind, ID: k.id, Consumer: k.consumer}}
	err := errors.Join(
		take(columns, columnBackend, &rec.Backend),
		take(columns, columnDeployment, &rec.Deployment),
		take(columns, columnModel, &rec.Model),
		take(columns, columnPool, &rec.Pool),
		take(columns, columnCreated, &rec.Created),
		take(columns, columnExpires, &rec.Expires),
		take(columns, columnPending, &rec.Pending),
		take(columns, columnEstimated, &rec.Estimated),
		take(columns, columnSpilled, &rec.Spilled),
		take(columns, columnTags, &rec.Tags),
		take(columns, columnDeleted, &rec.deleted),
		take(columns, columnNonce, &rec.nonce),
	)
	if err == nil {
		err = rec.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return rec, nil
}

// take reads a column, which may be missing. It is an error if it has another type.
func take[T any](columns store.Columns, name string, into *T) error {
	value, ok := columns[name]
	if !ok {
		return nil
	}
	if *into, ok = value.(T); !ok {
		return fmt.Errorf("column %s has another type", name)
	}
	return nil
}

// checkFormat tells whether this version understands a row.
func checkFormat(columns store.Columns) error {
	if version, ok := columns[columnFormat].(int64); !ok || version != format {
		return fmt.Errorf("%w: its format is not known", ErrBroken)
	}
	return nil
}

// settled is the row after the call with this nonce has settled the object.
func settled(columns store.Columns, nonce string) store.Columns {
	changed := maps.Clone(columns)
	changed[columnPending], changed[columnNonce] = false, nonce
	return changed
}

// deleted is the row after the client has deleted the object.
func deleted(columns store.Columns, rec *record, now time.Time) store.Columns {
	changed := maps.Clone(columns)
	changed[columnDeleted] = true
	if now.Before(rec.Created) { // By a clock that is behind.
		now = rec.Created
	}
	if now.Before(rec.Expires) {
		changed[columnExpires] = now
	}
	return changed
}
