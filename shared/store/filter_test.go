package store

import (
	"errors"
	"strings"
	"testing"
)

func TestFilterValidate(t *testing.T) {
	for _, f := range []Filter{{}, {RowFrom: "a"}, {Partition: "p", Prefix: "p"}} {
		if err := f.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", f, err)
		}
	}
	for _, f := range []Filter{{Partition: "p"}, {Prefix: "p"}, {Prefix: "\x00", RowTo: "a"}} {
		if err := f.Validate(); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestFilterSelects(t *testing.T) {
	tests := []struct {
		filter         Filter
		partition, row string
		want           bool
	}{
		{Filter{Partition: "a"}, "a", "", true},
		{Filter{Partition: "a"}, "ab", "", false},
		{Filter{Prefix: "a"}, "a", "", true},
		{Filter{Prefix: "a"}, "ab", "r", true},
		{Filter{Prefix: "a"}, "b", "r", false},
		{Filter{Prefix: "ab"}, "a", "r", false},
		{Filter{Prefix: "a", RowFrom: "k"}, "ab", "j", false},
		{Filter{Prefix: "a", RowFrom: "k"}, "ab", "k", true},
		{Filter{Partition: "a", RowFrom: "k", RowTo: "m"}, "a", "l", true},
		{Filter{Partition: "a", RowFrom: "k", RowTo: "m"}, "a", "m", false},
	}
	for _, test := range tests {
		if got := test.filter.Selects(Key{test.partition, test.row}); got != test.want {
			t.Errorf("%+v selects %q %q: %v, want %v", test.filter, test.partition, test.row, got, test.want)
		}
	}
}

// FuzzFilterPartitions checks that the range holds the names that start with the
// prefix, and no others.
func FuzzFilterPartitions(f *testing.F) {
	f.Add("quota!", "quota!team")
	f.Add("a\xff", "a\xff\xff")
	f.Add("a\xff", "b")
	f.Add("\xff", "\xff\xff")
	f.Add("a\xfe", "a\xff")
	f.Add("a\ufffd", "a\xff")
	f.Fuzz(func(t *testing.T, prefix, name string) {
		if prefix == "" {
			return
		}
		from, to := Filter{Prefix: prefix}.Partitions()
		for _, name := range []string{name, prefix + name, to, to + name, prefix + "\xff"} {
			inRange := name >= from && (to == "" || name < to)
			if want := strings.HasPrefix(name, prefix); inRange != want {
				t.Errorf("prefix %q, name %q: in the range %v, want %v", prefix, name, inRange, want)
			}
		}
	})
}
