package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// NewKey returns a new key of 256 random bits, and its hash as the
// configuration takes it. The key is shown to its owner once and stored nowhere.
func NewKey() (key string, hash string) {
	var secret [32]byte
	rand.Read(secret[:]) // never fails; it ends the program if the system has no randomness
	key = "sw-" + base64.RawURLEncoding.EncodeToString(secret[:])
	sum := sha256.Sum256([]byte(key))
	return key, "sha256:" + hex.EncodeToString(sum[:])
}
