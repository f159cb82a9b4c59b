package config

import (
	"os"
	"strings"
	"testing"
)

// No text makes Parse panic; what it accepts keeps every promise, and what it
// refuses tells no value of the environment.
func FuzzParse(f *testing.F) {
	for _, file := range []string{example, "testdata/broken.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(base))
	f.Add([]byte(minimal))
	// A value that no fuzzer writes by itself.
	const hush = "aecb64ba-HUSH-0f53e0b8ae9d"
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("gateway.yaml", text, func(name string) (string, bool) {
			if name == "UNSET" {
				return "", false
			}
			return hush, true
		})
		if err != nil {
			checkRefusal(t, c, err)
			if strings.Contains(err.Error(), hush) {
				t.Errorf("the value of a variable is told: %v", err)
			}
			return
		}
		checkInvariants(t, c)
	})
}
