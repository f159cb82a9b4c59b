package meter

import (
	"context"
	"testing"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

func TestEveryOperationIsCounted(t *testing.T) {
	down, err := faultstore.New(memory.New(), faultstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	k := store.Key{Partition: "p", Row: "r"}
	s := New(down)
	var etag string
	steps := []struct {
		name string
		do   func()
		want Count
	}{
		{"a row that is not there", func() { _, _ = s.Get(ctx, k) }, Count{Reads: 1}},
		{"insert", func() { etag, _ = s.Insert(ctx, k, nil) }, Count{Writes: 1}},
		{"insert again", func() { _, _ = s.Insert(ctx, k, nil) }, Count{Writes: 1, Conflicts: 1}},
		{"replace", func() { _, _ = s.Replace(ctx, k, nil, etag) }, Count{Writes: 1}},
		{"replace what has changed", func() { _, _ = s.Replace(ctx, k, nil, etag) }, Count{Writes: 1, Conflicts: 1}},
		{"delete what has changed", func() { _ = s.Delete(ctx, k, etag) }, Count{Writes: 1, Conflicts: 1}},
		{"query", func() {
			for range s.Query(ctx, store.Filter{Partition: "p"}) {
			}
		}, Count{Reads: 1}},
		{"a write that fails", func() { down.SetOutage(true); _, _ = s.Insert(ctx, k, nil) }, Count{Writes: 1, Failures: 1}},
		{"a read that fails", func() { _, _ = s.Get(ctx, k) }, Count{Reads: 1, Failures: 1}},
		{"a query that fails", func() {
			for range s.Query(ctx, store.Filter{Partition: "p"}) {
			}
		}, Count{Reads: 1, Failures: 1}},
	}
	var sum Count
	for _, step := range steps {
		before := s.Count()
		step.do()
		if got := s.Count().Minus(before); got != step.want {
			t.Errorf("%s: counted %+v, want %+v", step.name, got, step.want)
		}
		sum = sum.Plus(step.want)
	}
	if got := s.Count(); got != sum || got.Operations() != int64(len(steps)) {
		t.Errorf("in all %+v, want %+v", got, sum)
	}
}
