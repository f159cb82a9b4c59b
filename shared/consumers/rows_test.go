package consumers

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"spillway/shared/config"
	"spillway/shared/store"
)

// What is written is read back as it was.
func TestRows(t *testing.T) {
	want := define(t, "app", "one", "two")
	want.TokensPerMinute = 7
	got, err := decodeConsumer("app", encodeConsumer(&want, "nonce", "ops", time.Now()))
	if err != nil || string(got.Encode()) != string(want.Encode()) {
		t.Errorf("%v, error %v; want %v", got, err, want)
	}
	name, held, err := decodeIndex(encodeIndex("app", "nonce", true))
	if err != nil || name != "app" || !held {
		t.Errorf("%q, %v, want %q, true, %v", name, held, "app", err)
	}
	if _, err := decodeConsumer("app", encodeRemoved("nonce", "ops", time.Now())); err != errRemoved {
		t.Errorf("a removed consumer: error %v, want %v", err, errRemoved)
	}
}

// Whatever is in a row, reading it gives a consumer of that name with valid values, or
// an error that shows no key.
func FuzzDecodeConsumer(f *testing.F) {
	const key = "a plain key that nobody may see"
	f.Add("app", int64(1), `{"name":"app","keys":["`+key+`"]}`, false)
	f.Add("app", int64(1), "keys: ["+key+"]\ntokensPerMinute: 5", false)
	f.Add("app", int64(2), "", true)
	f.Add("a b", int64(1), "][", false)
	f.Add("app", int64(1), `{"keys":["${`+key+`}"],"`+key+`":1}`, false)
	f.Fuzz(func(t *testing.T, name string, version int64, definition string, removed bool) {
		columns := store.Columns{columnFormat: version, columnDefinition: definition, columnRemoved: removed}
		consumer, err := decodeConsumer(name, columns)
		switch {
		case err != nil && consumer != nil, err == nil && consumer == nil:
			t.Fatalf("%v and %v", consumer, err)
		case err != nil && strings.Contains(err.Error(), key):
			t.Errorf("the key is told: %v", err)
		case err != nil:
			return
		}
		if consumer.Name != name || !validName(name) || len(credentials(consumer)) == 0 {
			t.Errorf("consumer %q of the row of %q", consumer.Name, name)
		}
		again, err := config.ParseConsumer(name, consumer.Encode())
		if err != nil || string(again.Encode()) != string(consumer.Encode()) {
			t.Errorf("read again: %v, error %v", again, err)
		}
	})
}

// Whatever is in an index row or a row of the log, it names a consumer that could be,
// or nobody.
func FuzzDecodeNames(f *testing.F) {
	f.Add(int64(1), "app", true)
	f.Add(int64(1), "", false)
	f.Add(int64(9), strings.Repeat("x", 65), false)
	f.Fuzz(func(t *testing.T, version int64, name string, held bool) {
		columns := store.Columns{columnFormat: version, columnConsumer: name, columnHeld: held}
		if got, _, err := decodeIndex(columns); err == nil && (got != name || !validName(got)) {
			t.Errorf("an index row names %q", got)
		}
		if got, ok := decodeLog(columns); ok && (got != name || !validName(got)) {
			t.Errorf("a row of the log names %q", got)
		}
		columns[columnBy], columns[columnWhat] = name, strings.Repeat(name, 100)
		if l, ok := decodeLogged(columns); ok && (l.Consumer != name || !utf8.ValidString(l.What) || len(l.What) > maxLogged+len("…")) {
			t.Errorf("a row of the log is read as %+v", l)
		}
	})
}

// Whatever text a draft is made of, keys can be set in it, and what comes of it is a
// definition with these keys or an error.
func FuzzDraft(f *testing.F) {
	f.Add("tokensPerMinute: 5")
	f.Add(`{"keys":["0123456789abcdef"]}`)
	f.Add("a: &a [*a]")
	f.Add("<<: {keys: [x]}")
	f.Add("? [a]\n: b\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		draft, err := ParseDraft([]byte(text))
		if err != nil {
			return
		}
		if err := draft.SetKeys([]config.KeyHash{hashOf("key")}); err != nil {
			t.Fatal(err)
		}
		consumer, err := draft.Parse("app")
		if err == nil && (len(consumer.Keys) != 1 || consumer.Keys[0] != hashOf("key")) {
			t.Errorf("the keys are %v", consumer.Keys)
		}
	})
}

// A key is found by the beginning of its hash, as it is shown or as it is typed, if no
// other key begins so.
func TestWithoutKey(t *testing.T) {
	one, two := config.KeyHash{0xab, 0xcd, 0xef, 1}, config.KeyHash{0xab, 0xcd, 0x11, 2}
	keys := []config.KeyHash{one, two}
	for _, c := range []struct {
		beginning string
		left      int // -1: refused
	}{
		{one.String(), 1}, {one.Reveal(), 1}, {"abcdef01", 1}, {"ABCDEF", 1},
		{"abcd", -1}, {"ab", -1}, {"", -1}, {"sha256:", -1}, {"0000", -1},
	} {
		kept, err := WithoutKey(keys, c.beginning)
		if (err != nil) != (c.left < 0) || err == nil && (len(kept) != c.left || kept[0] != two) {
			t.Errorf("%q: %v, error %v", c.beginning, kept, err)
		}
	}
	if len(keys) != 2 || keys[0] != one {
		t.Error("the keys that were given have been changed")
	}
}
