package azurite

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// All tests of a process share one emulator, and the last one takes it down.
func TestOneEmulatorForAll(t *testing.T) {
	var address string
	t.Run("users", func(t *testing.T) {
		first := Start(t)
		address = tableAddress(t, first)
		t.Run("nested", func(t *testing.T) {
			if second := Start(t); second != first {
				t.Errorf("two emulators: %s and %s", first, second)
			}
		})
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("stopped while it is in use: %v", err)
		}
		connection.Close()
	})
	if address == "" {
		t.Skip("the emulator was not started")
	}
	if connection, err := net.Dial("tcp", address); err == nil {
		connection.Close()
		t.Error("still running after its last user")
	}
}

func tableAddress(t *testing.T, connection string) string {
	t.Helper()
	for part := range strings.SplitSeq(connection, ";") {
		if endpoint, ok := strings.CutPrefix(part, "TableEndpoint="); ok {
			u, err := url.Parse(endpoint)
			if err != nil {
				t.Fatal(err)
			}
			return u.Host
		}
	}
	t.Fatalf("no endpoint in %s", connection)
	return ""
}

// The lock file must install from whatever registry a machine is set up for.
func TestLockFileNamesNoRegistry(t *testing.T) {
	folder, err := folder()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`"resolved"|\.tgz`).Find(content); found != nil {
		t.Errorf("package-lock.json holds %s", found)
	}
	if !regexp.MustCompile(`"node_modules/azurite": \{\s+"version": "3\.35\.0"`).Match(content) {
		t.Error("package-lock.json does not pin azurite 3.35.0")
	}
}
