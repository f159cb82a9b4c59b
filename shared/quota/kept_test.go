package quota

import (
	"maps"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"spillway/shared/store"
)

var _ store.Placed = (*Kept)(nil)

// TestKeptIsTheRow: whatever a row counts is kept, up to the largest numbers that Decode
// lets in, and where it is kept changes nothing.
func TestKeptIsTheRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var row Row
		for _, c := range row.integers() {
			*c.value = rapid.OneOf(rapid.SampledFrom([]int64{c.low, c.top}), rapid.Int64Range(c.low, c.top)).Draw(t, c.name)
		}
		kept := row.Keep()
		*kept.Place() = ^uint32(0)
		if got := kept.Row(); got != row {
			t.Fatalf("%+v became %+v", row, got)
		}
		if got := kept.Columns(); !maps.Equal(got, row.Columns()) {
			t.Fatalf("columns %v, want %v", got, row.Columns())
		}
		if got, err := DecodeRecord(Minute, &kept); err != nil || got != row {
			t.Fatalf("decoded as %+v, %v", got, err)
		}
	})
}

// TestKeptIsOneLine of the processor's cache.
func TestKeptIsOneLine(t *testing.T) {
	if size := unsafe.Sizeof(Kept{}); size != 64 {
		t.Errorf("%d bytes, want 64", size)
	}
}
