package figures_test

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"spillway/tests/bench/figures"
)

// failing is the variable that makes the measurement of this package fail.
const failing = "SPILLWAY_FIGURES_FAIL"

// TestMeasure is no test: TestFromTest runs it.
func TestMeasure(t *testing.T) {
	figures.Measure(t, func() any {
		fmt.Fprintln(os.Stderr, "one moment")
		if os.Getenv(failing) != "" {
			t.Fatal("nothing is right")
		}
		return []float64{1, 2.5}
	})
}

// What a test measures arrives, and what it says of its progress.
func TestFromTest(t *testing.T) {
	var got []float64
	var progress strings.Builder
	if err := figures.FromTest(t.Context(), "spillway/tests/bench/figures", &progress, &got); err != nil {
		t.Fatal(err)
	}
	if want := []float64{1, 2.5}; !slices.Equal(got, want) || progress.String() != "one moment\n" {
		t.Errorf("got %v after %q, want %v after one moment", got, &progress, want)
	}
}

// What cannot be built, fails or measures nothing gives an error that says why.
func TestFromTestThatDoesNotMeasure(t *testing.T) {
	t.Setenv(failing, "1")
	t.Setenv("SPILLWAY_SKIP_AZURITE", "1")
	for _, test := range []struct{ pkg, want string }{
		{"nowhere", "cannot be built"},
		{"figures", "nothing is right"},
		{"hotkey", "measured nothing"},
	} {
		var got any
		err := figures.FromTest(t.Context(), "spillway/tests/bench/"+test.pkg, io.Discard, &got)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v and %v, want %q", test.pkg, got, err, test.want)
		}
	}
}
