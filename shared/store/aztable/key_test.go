package aztable

import (
	"cmp"
	"strings"
	"testing"
)

func TestEncodeKey(t *testing.T) {
	tests := []struct{ key, want string }{
		{"", "!"},
		{"gpt-4o", "gpt-4o"},
		{"Team_1:a|b;c<d@e`f{g}", "Team_1:a|b;c<d@e`f{g}"},
		{"ptu-eastus/gpt-4.1", "ptu-eastus.2Fgpt-4.2E1"},
		{"!", "!21"},
		{"a b", "a!20b"},
		{`a\b#c?d`, "a^5Cb!23c=3Fd"},
		{"100%", "100!25"},
		{"it's", "it!27s"},
		{"\x00\x1f\x7f\u0080", "!00!1F~7F~C2~80"},
		{"~=^.", "~7E=3D^5E.2E"},
		{"\xff", "~FF"},
	}
	for _, test := range tests {
		got := encodeKey(test.key)
		if got != test.want {
			t.Errorf("encodeKey(%q) = %q, want %q", test.key, got, test.want)
		}
		wantValidKey(t, test.key, got)
	}
}

// The order of keys must be the order of what they are encoded to, or a range
// of rows would not be a range in the table: for all pairs of short keys over
// the bytes where the encoding changes its mind.
func TestEncodeKeyKeepsOrder(t *testing.T) {
	var edges []byte
	for b := 1; b < 256; b++ {
		if marks[b] != marks[b-1] || marks[b] == byte(b) {
			edges = append(edges, byte(b-1), byte(b))
		}
	}
	edges = append(edges, 0, 255)
	keys := []string{""}
	for _, a := range edges {
		keys = append(keys, string([]byte{a}))
		for _, b := range edges {
			keys = append(keys, string([]byte{a, b}))
		}
	}
	for _, a := range keys {
		for _, b := range keys {
			wantSameOrder(t, a, b)
		}
	}
}

func TestDecodeKeyRejectsWhatIsNeverWritten(t *testing.T) {
	for _, text := range []string{
		"", "a/b", "a b", "a%2Fb", "!2", "a!", "!2G", "!2f", ".2f", ".41", "!41", "~41", "=2F", "\x00", "é", "ab!zz",
	} {
		if key, ok := decodeKey(text); ok {
			t.Errorf("decodeKey(%q) = %q, want none", text, key)
		}
	}
}

// wantValidKey demands what the services demand of a key, and the way back.
func wantValidKey(t *testing.T, key, encoded string) {
	t.Helper()
	for i := range len(encoded) {
		if c := encoded[i]; c <= ' ' || c > '~' || strings.IndexByte(`/\#?%'"+&`, c) >= 0 {
			t.Fatalf("encodeKey(%q) = %q holds %q", key, encoded, c)
		}
	}
	if encoded == "" {
		t.Fatalf("encodeKey(%q) is empty", key)
	}
	if back, ok := decodeKey(encoded); !ok || back != key {
		t.Fatalf("decodeKey(encodeKey(%q)) = %q, %v", key, back, ok)
	}
}

func wantSameOrder(t *testing.T, a, b string) {
	t.Helper()
	if got, want := cmp.Compare(encodeKey(a), encodeKey(b)), cmp.Compare(a, b); got != want {
		t.Fatalf("%q and %q compare as %d, encoded as %q and %q as %d", a, b, want, encodeKey(a), encodeKey(b), got)
	}
}

// FuzzKey checks the way there and back, and that order (and with it
// distinctness) is kept.
func FuzzKey(f *testing.F) {
	for _, seed := range []string{"", "a/b", "a.2Fb", "!", "é", "\x00", "gpt-4.1"} {
		f.Add(seed, "gpt-4.1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		wantValidKey(t, a, encodeKey(a))
		wantSameOrder(t, a, b)
		wantSameOrder(t, a, a+b)
		// A prefix stays a prefix, and nothing else becomes one.
		if a != "" && !strings.HasPrefix(encodeKey(a+b), encodeKey(a)) {
			t.Fatalf("%q starts with %q, but not encoded", a+b, a)
		}
		if a != "" && strings.HasPrefix(encodeKey(b), encodeKey(a)) != strings.HasPrefix(b, a) {
			t.Fatalf("%q starts with %q: not the same when encoded", b, a)
		}
		// Whatever can be decoded is the one encoding of its key.
		if key, ok := decodeKey(b); ok && encodeKey(key) != b {
			t.Fatalf("decodeKey(%q) = %q, which is encoded as %q", b, key, encodeKey(key))
		}
	})
}
