package rawconn

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// Where one processor runs Go code, whoever is ready goes on before the one who yields.
// Now and then Go's scheduler looks at its other queue first, and so it may take two.
func TestYieldLetsOthersGoOn(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	for range 100 {
		var gone atomic.Bool
		go gone.Store(true)
		for range 2 {
			Yield()
		}
		if !gone.Load() {
			t.Fatal("the other one still waits")
		}
	}
}
