package store

import (
	"fmt"
	"strings"
)

// Validate is ErrInvalid unless exactly one of Partition and Prefix is set. A
// filter of neither would read the whole table.
func (f Filter) Validate() error {
	if (f.Partition == "") == (f.Prefix == "") {
		return fmt.Errorf("%w: a filter has a partition or a prefix", ErrInvalid)
	}
	return nil
}

// Selects tells whether the filter selects a row of this key.
func (f Filter) Selects(key Key) bool {
	inPartition := key.Partition == f.Partition
	if f.Prefix != "" {
		inPartition = strings.HasPrefix(key.Partition, f.Prefix)
	}
	return inPartition && key.Row >= f.RowFrom && (f.RowTo == "" || key.Row < f.RowTo)
}

// Partitions returns the range [from, to) of the names of the partitions that a
// filter by Prefix selects, in the order of bytes. An empty end means no upper
// bound.
func (f Filter) Partitions() (from, to string) {
	end := []byte(f.Prefix)
	for len(end) > 0 {
		last := len(end) - 1
		if end[last]++; end[last] != 0 {
			return f.Prefix, string(end)
		}
		end = end[:last] // It was 0xFF: nothing of this length sorts after it.
	}
	return f.Prefix, ""
}
