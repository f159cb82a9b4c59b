package store

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// The limits of a row, the smallest of those of the services behind package
// aztable.
const (
	// MaxColumns is the number of columns a row may have.
	MaxColumns = 252
	// MaxColumnName is the length of a column's name in bytes.
	MaxColumnName = 255
	// MaxString is the length of a string value in UTF-16 code units.
	MaxString = 32 * 1024
	// MaxRow is the size of a row: two bytes for each UTF-16 code unit of the
	// names and strings, and eight bytes for any other value. A little of the
	// services' 1 MiB is left for the keys and the service's own properties.
	MaxRow = 1000 * 1024
	// TimeResolution is the step of a time value; Copy cuts off the rest.
	TimeResolution = 100 * time.Nanosecond
)

// The earliest and the last moment that an Edm.DateTime column of Azure Table
// Storage can hold.
var (
	minTime = time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(9999, 12, 31, 23, 59, 59, 999999900, time.UTC)
)

// Copy returns the columns as a store keeps them: a copy whose times are as KeptTime
// has them. It fails with ErrInvalid where Validate does.
func (c Columns) Copy() (Columns, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	kept := make(Columns, len(c))
	for name, value := range c {
		if t, ok := value.(time.Time); ok {
			value = KeptTime(t)
		}
		kept[name] = value
	}
	return kept, nil
}

// KeptTime is a time as a store keeps it: in UTC, cut to TimeResolution and without a
// monotonic reading.
func KeptTime(t time.Time) time.Time {
	return t.UTC().Truncate(TimeResolution)
}

// Validate is ErrInvalid if
//   - a name is not a letter followed by letters, digits and underscores, is
//     too long, or is reserved by a service (PartitionKey, RowKey, Timestamp, Id,
//     Rid, Etag, ResourceId in any case),
//   - a value is of another type than those of Columns, a string is not UTF-8
//     or too long, a float64 is not finite, or a time lies outside the years
//     1601 to 9999 (so the zero time is not a value: leave the column out),
//   - there are more than MaxColumns columns, or more than MaxRow bytes.
func (c Columns) Validate() error {
	if len(c) > MaxColumns {
		return fmt.Errorf("%w: %d columns, at most %d", ErrInvalid, len(c), MaxColumns)
	}
	size := 0
	for name, value := range c {
		if !validName(name) {
			return fmt.Errorf("%w: column name %.40q", ErrInvalid, name)
		}
		size += 2*len(name) + 8
		switch v := value.(type) {
		case string:
			units, ok := utf16Length(v)
			size += 2 * units
			if !ok || units > MaxString {
				return fmt.Errorf("%w: column %s: string too long or not UTF-8", ErrInvalid, name)
			}
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%w: column %s: not a finite number", ErrInvalid, name)
			}
		case time.Time:
			if t := KeptTime(v); t.Before(minTime) || t.After(maxTime) {
				return fmt.Errorf("%w: column %s: time out of range", ErrInvalid, name)
			}
		case int64, bool:
		default:
			return fmt.Errorf("%w: column %s: type %T", ErrInvalid, name, value)
		}
	}
	if size > MaxRow {
		return fmt.Errorf("%w: row of %d bytes, at most %d", ErrInvalid, size, MaxRow)
	}
	return nil
}

// reserved are the names that a service uses itself, in any case.
var reserved = [...]string{"partitionkey", "rowkey", "timestamp", "id", "rid", "etag", "resourceid"}

func validName(name string) bool {
	if name == "" || len(name) > MaxColumnName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || '9' < c)) {
			return false
		}
	}
	for _, r := range reserved {
		if len(r) == len(name) && strings.EqualFold(r, name) {
			return false
		}
	}
	return true
}

// utf16Length counts the code units of a string; it is false if the string is
// not UTF-8.
func utf16Length(s string) (units int, ok bool) {
	if !utf8.ValidString(s) {
		return 0, false
	}
	for _, r := range s {
		units++
		if r > 0xFFFF {
			units++ // A surrogate pair.
		}
	}
	return units, true
}

// ValidETag tells whether a write may be conditional on the ETag: the empty
// one and the wildcard would make it a blind write.
func ValidETag(etag string) bool {
	return etag != "" && etag != "*"
}
