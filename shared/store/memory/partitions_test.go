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
		got := newPartitions()
		want := make(map[string]partition)
		for version := uint64(1); version < 30; version++ {
			name := text.Draw(t, "name")
			if rapid.Bool().Draw(t, "set") {
				p := partition{name: "row", row: entry{version: version}}
				if found := got.find(name); found != nil {
					*found = p
				} else {
					got.add(name, p)
				}
				want[name] = p
			} else {
				got.remove(name)
				delete(want, name)
			}
			if p, ok := want[name]; (got.find(name) != nil) != ok || ok && got.find(name).row != p.row {
				t.Fatalf("%q is %v, want %v", name, got.find(name), want[name])
			}
			prefix := text.Draw(t, "prefix")
			found, all := make(map[string]entry), make(map[string]entry)
			for _, a := range got.of(prefix) {
				a.each(0, func(name string, p *partition) {
					if strings.HasPrefix(name, prefix) {
						found[name] = p.row
					}
				})
			}
			for name, p := range want {
				if strings.HasPrefix(name, prefix) {
					all[name] = p.row
				}
			}
			if !maps.Equal(found, all) {
				t.Fatalf("%q begins %v, want %v", prefix, found, all)
			}
		}
		if len(want) == 0 && len(got.alike) > 0 {
			t.Fatalf("nothing is left, and %v", got)
		}
	})
}

// Names that share a hash are told apart, whichever of them goes first.
func TestNamesOfTheSameHash(t *testing.T) {
	names := []string{"a", "b", "cc", "dd", "ee"}
	hash := func(name string) uint64 { return uint64(len(name)) }
	rapid.Check(t, func(t *rapid.T) {
		got := newAlike()
		want := make(map[string]entry)
		for version := uint64(1); version < 30; version++ {
			name := rapid.SampledFrom(names).Draw(t, "name")
			if _, there := want[name]; there {
				got.remove(hash(name), name)
				delete(want, name)
			} else {
				want[name] = entry{version: version}
				got.add(hash(name), named{name, partition{row: want[name]}})
			}
			for _, name := range names {
				place, ok := got.find(hash(name), name)
				if e, there := want[name]; ok != there || ok && got.at(place).row != e {
					t.Fatalf("%q is found: %t, want %t and %v", name, ok, there, e)
				}
			}
			if got.number() != len(want) || int(got.used) > len(names) {
				t.Fatalf("%d partitions in %d places, want %d", got.number(), got.used, len(want))
			}
		}
	})
}
