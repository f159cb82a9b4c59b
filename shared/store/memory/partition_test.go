package memory

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// A partition does what a map does, whichever row is kept beside the others.
func TestPartitionIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p partition
		want := make(map[string]entry)
		names := rapid.SampledFrom([]string{"", "a", "b", "c"})
		for version := uint64(1); version < 30; version++ {
			name := names.Draw(t, "name")
			if rapid.Bool().Draw(t, "write") {
				p, want[name] = p.with(name, entry{version: version}), entry{version: version}
			} else {
				var rows bool
				p, rows = p.without(name)
				if delete(want, name); rows != (len(want) > 0) {
					t.Fatalf("after a deletion it has rows: %v, want %v", rows, len(want))
				}
			}
			if got := maps.Collect(p.all); !maps.Equal(got, want) {
				t.Fatalf("rows %v, want %v", got, want)
			}
			for _, name := range []string{"", "a", "b", "c"} {
				got, ok := p.get(name)
				if other, has := want[name]; ok != has || got != other {
					t.Fatalf("row %q is %v, %v; want %v, %v", name, got, ok, other, has)
				}
			}
		}
	})
}
