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

// Copy returns the columns as a store keeps them: a copy whose times are in
// UTC, cut to TimeResolution and without a monotonic reading. It fails with
// ErrInvalid if
//   - a name is not a letter followed by letters, digits and underscores, is
//     too long, or is reserved by a service (PartitionKey, RowKey, Timestamp, Id,
//     Rid, Etag, ResourceId in any case),
//   - a value is of another type than those of Columns, a string is not UTF-8
//     or too long, a float64 is not finite, or a time lies outside the years
//     1601 to 9999 (so the zero time is not a value: leave the column out),
//   - there are more than MaxColumns columns, or more than MaxRow bytes.
func (c Columns) Copy() (Columns, error) {
	if len(c) > MaxColumns {
		return nil, fmt.Errorf("%w: %d columns, at most %d", ErrInvalid, len(c), MaxColumns)
	}
	kept := make(Columns, len(c))
	size := 0
	for name, value := range c {
		if !validName(name) {
			return nil, fmt.Errorf("%w: column name %.40q", ErrInvalid, name)
		}
		size += 2*len(name) + 8
		switch v := value.(type) {
		case string:
			units, ok := utf16Length(v)
			size += 2 * units
			if !ok || units > MaxString {
				return nil, fmt.Errorf("%w: column %s: string too long or not UTF-8", ErrInvalid, name)
			}
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("%w: column %s: not a finite number", ErrInvalid, name)
			}
		case time.Time:
			v = v.UTC().Truncate(TimeResolution)
			if v.Before(minTime) || v.After(maxTime) {
				return nil, fmt.Errorf("%w: column %s: time out of range", ErrInvalid, name)
			}
			value = v
		case int64, bool:
		default:
			return nil, fmt.Errorf("%w: column %s: type %T", ErrInvalid, name, value)
		}
		kept[name] = value
	}
	if size > MaxRow {
		return nil, fmt.Errorf("%w: row of %d bytes, at most %d", ErrInvalid, size, MaxRow)
	}
	return kept, nil
}

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
	switch strings.ToLower(name) {
	case "partitionkey", "rowkey", "timestamp", "id", "rid", "etag", "resourceid":
		return false
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
