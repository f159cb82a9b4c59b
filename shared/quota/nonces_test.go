package quota

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestHappened: a row tells what became of a write as long as it remembers it, or the
// write before.
func TestHappened(t *testing.T) {
	const happened, not, unknown = "happened", "did not happen", "unknown"
	before := New(minute, 100).Signed("before", "b")
	wrote := before.Signed("ours", "a")
	since := func(row Row, writes int) Row {
		for i := range writes {
			row = row.Signed(fmt.Sprintf("other-%d", i), "b")
		}
		return row
	}
	for _, c := range []struct {
		name        string
		before, now Row
		want        string
	}{
		{"ours is the last write", before, wrote, happened},
		{"another one came after ours", before, since(wrote, 1), happened},
		{"ours is the oldest that is remembered", before, since(wrote, remembered-1), happened},
		{"ours is forgotten", before, since(wrote, remembered), unknown},
		{"nobody has written", before, before, not},
		{"another one came instead of ours", before, since(before, 1), not},
		{"many came instead of ours", before, since(before, remembered-1), not},
		{"too many came to tell", before, since(before, remembered), unknown},
		{"the row was swept away and made anew", before, since(New(minute, 100), 1), unknown},
		{"a program that remembers nothing wrote after ours", before, Row{Nonces: "other"}, unknown},
		{"the row before had no nonce", New(minute, 100), since(New(minute, 100), 1), unknown},
		{"a nonce that begins like ours", before, before.Signed("ours-2", "b"), not},
	} {
		got := unknown
		switch did, known := Happened(c.before, wrote, c.now); {
		case did && known:
			got = happened
		case known:
			got = not
		case did:
			t.Errorf("%s: it happened, and that is not known", c.name)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s (the row remembers %q)", c.name, got, c.want, c.now.Nonces)
		}
	}
}

// TestSignedWithNothing: a write that nobody will ask about leaves no nonce, and does not
// make others forget theirs.
func TestSignedWithNothing(t *testing.T) {
	if got, want := sample.Signed("", "a"), sample.Nonces; got.Nonces != want || got.By != "a" {
		t.Errorf("nonces %q by %q, want %q by a", got.Nonces, got.By, want)
	}
}

// TestSignedFits: whatever a row held, it can be read again when it is signed, and
// remembers the write.
func TestSignedFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := sample
		row.Nonces = rapid.StringOfN(rapid.RuneFrom([]rune("ab ")), 0, maxNonces, -1).Draw(t, "nonces")
		for i := range rapid.IntRange(1, 40).Draw(t, "writes") {
			nonce := strings.Repeat("n", rapid.IntRange(1, 80).Draw(t, "length")) + fmt.Sprint(i)
			row = row.Signed(nonce, "a")
			got, err := Decode(Minute, row.Columns())
			if err != nil || got != row {
				t.Fatalf("%+v became %+v, %v", row, got, err)
			}
			if !row.remembers(Row{Nonces: nonce}) || row.LastNonce().Nonces != nonce || len(strings.Split(row.Nonces, " ")) > remembered {
				t.Fatalf("after %q the row remembers %q", nonce, row.Nonces)
			}
		}
	})
}
