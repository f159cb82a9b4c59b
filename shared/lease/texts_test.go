package lease

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestTextsStay: what is kept is what was given, whatever is kept after it, also where a
// text is longer than a piece.
func TestTextsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var kept texts
		var got, want []string
		for i := range rapid.IntRange(1, 30).Draw(t, "texts") {
			text := strings.Repeat(string(rune('a'+i)), rapid.OneOf(rapid.IntRange(0, 2000), rapid.IntRange(0, 3*pieceLength)).Draw(t, "length"))
			got, want = append(got, kept.keep(text)), append(want, text)
		}
		if !slices.Equal(got, want) {
			t.Fatal("a text has changed")
		}
	})
}
