package breaker

import (
	"context"
	"testing"

	"spillway/shared/store/memory"
)

// BenchmarkClosed is the way of nearly every request: a closed breaker admits
// it, and it succeeds. It must not allocate.
func BenchmarkClosed(b *testing.B) {
	board, err := New(Options{Store: memory.New(), Instance: "a"})
	if err != nil {
		b.Fatal(err)
	}
	d := board.Deployment("ptu/gpt-4o")
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		pass, ok := d.Admit(ctx)
		if !ok {
			b.Fatal("refused")
		}
		pass.Success()
	}
}

// BenchmarkRefreshFresh is what every request pays for the view of the store.
func BenchmarkRefreshFresh(b *testing.B) {
	board, err := New(Options{Store: memory.New(), Instance: "a"})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	if err := board.Sync(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		board.Refresh(ctx, board.clock.Now())
	}
}
