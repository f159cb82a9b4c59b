package quota

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrRow says that columns are not a quota row of this program.
var ErrRow = errors.New("quota: not a quota row")

const (
	// Format is the version of a row's layout and meaning, its column of the same
	// name. A program that changes what a column means must raise it: instances of
	// the version before then leave the row alone instead of counting it wrongly,
	// which matters while a new version is rolled out.
	Format = 1
	// MaxUnits bounds every count of units (and so every limit), so that sums cannot
	// overflow and no service rounds them.
	MaxUnits = 1 << 53
	// maxHolders bounds the counts of instances.
	maxHolders = 1 << 24
	// maxWindow is a second in the year 9999.
	maxWindow = 253402300799
	// maxSince is LimitSince of a limit set in the year 2255: a number that every
	// service keeps as it is.
	maxSince = MaxUnits
	// maxName bounds By, in bytes.
	maxName = 256
)

// column is one integer of a row: its name, where it lives and what it may be.
type column struct {
	name     string
	value    *int64
	low, top int64
}

// integers lists the integer columns of a row.
func (r *Row) integers() [12]column {
	return [...]column{
		{"Window", (*int64)(&r.Window), 0, maxWindow},
		{"Granted", &r.Granted, 0, MaxUnits},
		{"Holders", &r.Holders, 0, maxHolders},
		{"NextGranted", &r.NextGranted, 0, MaxUnits},
		{"NextHolders", &r.NextHolders, 0, maxHolders},
		{"PrevHolders", &r.PrevHolders, 0, maxHolders},
		{"Limit", &r.Limit, 0, MaxUnits},
		{"NextLimit", &r.NextLimit, 0, MaxUnits},
		{"LimitSince", &r.LimitSince, 0, maxSince},
		{"Shards", &r.Shards, 1, MaxShards},
		{"NextShards", &r.NextShards, 1, MaxShards},
		{"WantShards", &r.WantShards, 1, MaxShards},
	}
}

// Columns returns the row as the columns of a store: int64 and string values.
func (r Row) Columns() map[string]any {
	columns := make(map[string]any, 15)
	columns["Format"] = int64(Format)
	for _, c := range r.integers() {
		columns[c.name] = *c.value
	}
	columns["Nonce"] = r.Nonces // Of the last write, and of those before it.
	columns["By"] = r.By
	return columns
}

// Decode reads a row from the columns of a store, which it treats as foreign:
// another Format, a column that is missing, of another type or out of range, or a window that is
// none of the period, is an error that wraps ErrRow. Further columns are ignored.
func Decode(p Period, columns map[string]any) (Row, error) {
	var r Row
	if format, ok := columns["Format"].(int64); !ok || format != Format {
		return Row{}, fmt.Errorf("%w: Format is %s, this version knows %d", ErrRow, describe(columns["Format"]), Format)
	}
	for _, c := range r.integers() {
		value, ok := columns[c.name].(int64)
		if !ok {
			return Row{}, fmt.Errorf("%w: %s is %T, not an integer", ErrRow, c.name, columns[c.name])
		}
		if value < c.low || value > c.top {
			return Row{}, fmt.Errorf("%w: %s is %d, outside %d to %d", ErrRow, c.name, value, c.low, c.top)
		}
		*c.value = value
	}
	if !p.Valid(r.Window) {
		return Row{}, fmt.Errorf("%w: window %d is not a %s", ErrRow, r.Window, p)
	}
	var signed, named bool
	r.Nonces, signed = columns["Nonce"].(string)
	if !signed || len(r.Nonces) > maxNonces {
		return Row{}, fmt.Errorf("%w: Nonce is missing or too long", ErrRow)
	}
	r.By, named = columns["By"].(string)
	if !named || len(r.By) > maxName {
		return Row{}, fmt.Errorf("%w: By is missing or too long", ErrRow)
	}
	return r, nil
}

// DecodeRecord is Decode of the columns of a record. One that is a *Kept need not make
// them: it is returned as it was.
func DecodeRecord(p Period, record interface{ Columns() map[string]any }) (Row, error) {
	if k, ok := record.(*Kept); ok {
		return k.Row(), nil
	}
	return Decode(p, record.Columns())
}

// describe tells of a value of a column what may be told: a number, or its type.
func describe(value any) string {
	if n, ok := value.(int64); ok {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%T", value)
}
