package memory

import (
	"maps"
	"math"
	"testing"
	"time"

	"spillway/shared/store"
)

// FuzzPacked checks that what is unpacked is what was packed, as a store keeps it.
func FuzzPacked(f *testing.F) {
	f.Add("A", "text", int64(1), 0.5, true, int64(1_700_000_000), int64(123456789))
	f.Add("b_2", "", int64(-1<<63), math.Copysign(0, -1), false, int64(-11644473600), int64(99))
	f.Add("C", "grüße\x00", int64(1<<63-1), 5e-324, true, int64(253402300799), int64(999999999))
	f.Fuzz(func(t *testing.T, name, text string, integer int64, float float64, boolean bool, seconds, nanoseconds int64) {
		columns := store.Columns{
			name: text, name + "i": integer, name + "f": float, name + "b": boolean,
			name + "t": time.Unix(seconds, nanoseconds).In(time.FixedZone("", 3600)),
		}
		want, err := columns.Copy()
		if err != nil {
			return
		}
		if got := pack(columns).Columns(); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
