package memory

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Partitions are what a map of them is, and a prefix of any length finds all that it
// begins, whatever bytes they are of.
func TestPartitionsAreAMap(t *testing.T) {
	text := rapid.StringMatching("[ab\x00]{0,6}")
	rapid.Check(t, func(t *rapid.T) {
		got := make(partitions)
		want := make(map[string]partition)
		for version := uint64(1); version < 30; version++ {
			name := text.Draw(t, "name")
			if rapid.Bool().Draw(t, "set") {
				p := partition{name: "row", row: entry{version: version}}
				got.set(name, p)
				want[name] = p
			} else {
				got.remove(name)
				delete(want, name)
			}
			if got.get(name).row != want[name].row {
				t.Fatalf("%q is %v, want %v", name, got.get(name), want[name])
			}
			prefix := text.Draw(t, "prefix")
			found, all := make(map[string]entry), make(map[string]entry)
			got.each(prefix, func(name string, p partition) { found[name] = p.row })
			for name, p := range want {
				if strings.HasPrefix(name, prefix) {
					all[name] = p.row
				}
			}
			if !maps.Equal(found, all) {
				t.Fatalf("%q begins %v, want %v", prefix, found, all)
			}
		}
		if len(want) == 0 && len(got) > 0 {
			t.Fatalf("nothing is left, and %v", got)
		}
	})
}
