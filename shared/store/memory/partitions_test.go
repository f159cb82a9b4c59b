package memory

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Partitions are what a map of them is, wherever they are looked for first, and a prefix of
// any length finds all that it begins, whatever bytes they are of.
func TestPartitionsAreAMap(t *testing.T) {
	text := rapid.StringMatching("[ab\x00]{0,6}")
	rapid.Check(t, func(t *rapid.T) {
		got := newPartitions()
		want := make(map[string]partition)
		for version := uint64(1); version < 30; version++ {
			name := text.Draw(t, "name")
			last := rapid.Uint32Range(0, 8).Draw(t, "last") // Most likely of another, or of none.
			if rapid.Bool().Draw(t, "set") {
				p := partition{name: "row", row: entry{version: version}}
				if found := got.find(name, last); found.partition != nil {
					*found.partition = p
				} else if place := got.add(name, p); place != got.find(name, 0).place {
					t.Fatalf("%q was put into place %d, and is found at %d", name, place, got.find(name, 0).place)
				}
				want[name] = p
			} else {
				got.remove(name)
				delete(want, name)
			}
			found := got.find(name, last)
			if p, ok := want[name]; (found.partition != nil) != ok || ok && found.row != p.row {
				t.Fatalf("%q is %v, want %v", name, found.partition, want[name])
			}
			if found != got.find(name, 0) {
				t.Fatalf("%q is found at %d by the place where it was last, else at %d", name, found.place, got.find(name, 0).place)
			}
			prefix := text.Draw(t, "prefix")
			begun, all := make(map[string]entry), make(map[string]entry)
			for _, a := range got.of(prefix) {
				a.each(0, func(name string, p *partition) {
					if strings.HasPrefix(name, prefix) {
						begun[name] = p.row
					}
				})
			}
			for name, p := range want {
				if strings.HasPrefix(name, prefix) {
					all[name] = p.row
				}
			}
			if !maps.Equal(begun, all) {
				t.Fatalf("%q begins %v, want %v", prefix, begun, all)
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
