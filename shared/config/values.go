package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
)

// Secret is a text that is not to be seen. However it is printed or encoded,
// "[secret]" comes out; only Reveal gives the text.
type Secret string

const hidden = "[secret]"

// Reveal returns the text itself, to be sent to the service it is for.
func (s Secret) Reveal() string { return string(s) }

// String returns "[secret]".
func (s Secret) String() string { return hidden }

// GoString returns "[secret]".
func (s Secret) GoString() string { return hidden }

// Format writes "[secret]" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText returns "[secret]".
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON returns "[secret]" as a JSON text.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// KeyHash is the SHA-256 of a key. The key itself is forgotten when the
// configuration is read.
type KeyHash [sha256.Size]byte

// keyPrefix begins a key that is written as its hash.
const keyPrefix = "sha256:"

// minKeyLength is the length of the shortest plain key, in characters.
// Shorter ones can be found by trying.
const minKeyLength = 16

// maxKeyLength is the length of the longest plain key. Longer credentials are tokens.
const maxKeyLength = 256

// String returns the beginning of the hash: enough to tell keys apart.
func (k KeyHash) String() string {
	var b [32]byte // holds it: of all that is done for a request, this is to be little
	return string(append(hex.AppendEncode(append(b[:0], keyPrefix...), k[:4]), "…"...))
}

// Reveal returns the whole hash as a configuration has it, to be stored or
// looked up. Logs and messages show String.
func (k KeyHash) Reveal() string { return keyPrefix + hex.EncodeToString(k[:]) }

// MarshalText returns what String does, so that encoders show no more.
func (k KeyHash) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// StatusRange is a range of HTTP status codes, both ends included, within
// 400 to 599 and without 429.
type StatusRange struct{ From, To int }

// Contains reports whether status is in the range.
func (r StatusRange) Contains(status int) bool { return r.From <= status && status <= r.To }

// String formats the range as in the file: "503" or "500-599".
func (r StatusRange) String() string {
	if r.From == r.To {
		return strconv.Itoa(r.From)
	}
	return strconv.Itoa(r.From) + "-" + strconv.Itoa(r.To)
}

var (
	_ fmt.Formatter  = Secret("")
	_ fmt.GoStringer = Secret("")
	_ fmt.Stringer   = KeyHash{}
	_ fmt.Stringer   = StatusRange{}
)
