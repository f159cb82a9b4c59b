// Package azurite starts the real Azure Storage emulator for tests. The version
// is pinned by package.json and package-lock.json in this folder.
package azurite

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// SkipVariable is the environment variable that, set to 1, turns the tests that
// need the emulator off, for a machine without npm or without a network.
const SkipVariable = "SPILLWAY_SKIP_AZURITE"

// The emulator that the tests of this process share. Guarded by mu.
var (
	mu     sync.Mutex
	shared *process
	users  int
)

// Start returns a connection string for an empty-at-first table service, which
// all tests of the process share: use a table of your own. The emulator is
// installed if it is missing (npm ci into the user's cache folder, once per
// machine), keeps everything in memory, and is stopped when the last test that
// uses it ends.
//
// The test is skipped if SPILLWAY_SKIP_AZURITE is 1; without npm it fails.
func Start(t testing.TB) string {
	t.Helper()
	folder := require(t)
	mu.Lock()
	defer mu.Unlock()
	if shared == nil {
		p, err := startAnywhere(folder, "--inMemoryPersistence")
		if err != nil {
			t.Fatalf("azurite: %v", err)
		}
		shared = p
	}
	users++
	t.Cleanup(release)
	return tableConnection(shared.port)
}

func release() {
	mu.Lock()
	defer mu.Unlock()
	users--
	if users == 0 {
		shared.kill()
		shared = nil
	}
}

// Emulator is a table service of one test alone, which can be stopped and
// started again. Its methods are for one goroutine at a time.
type Emulator struct {
	t       testing.TB
	folder  string
	data    string
	port    int
	process *process // Nil while it is stopped.
}

// Run starts an emulator that keeps its rows in a temporary folder of the test,
// on a port that stays the same. It is skipped as Start is, and stopped when the
// test ends.
func Run(t testing.TB) *Emulator {
	t.Helper()
	e := &Emulator{t: t, folder: require(t), data: t.TempDir()}
	p, err := startAnywhere(e.folder, "--location", e.data)
	if err != nil {
		t.Fatalf("azurite: %v", err)
	}
	e.process, e.port = p, p.port
	t.Cleanup(func() {
		if e.process != nil {
			e.process.kill()
		}
	})
	return e
}

// Connection returns the connection string, which stays valid for good.
func (e *Emulator) Connection() string { return tableConnection(e.port) }

// Stop ends the emulator and returns when it is gone. Requests under way are
// still answered, and all rows are saved; from then on connections are refused.
func (e *Emulator) Stop() {
	e.t.Helper()
	if e.process == nil {
		e.t.Fatal("azurite: stopped twice")
	}
	p := e.process
	e.process = nil
	if err := p.stop(); err != nil {
		e.t.Fatalf("azurite: %v", err)
	}
}

// Start starts a stopped emulator again, on the same port and with the rows it
// had, and returns when it answers.
func (e *Emulator) Start() {
	e.t.Helper()
	if e.process != nil {
		e.t.Fatal("azurite: started twice")
	}
	p, err := start(e.folder, e.port, "--location", e.data)
	if err != nil {
		e.t.Fatalf("azurite: %v", err)
	}
	e.process = p
}

// require returns the folder of the installed emulator, or ends the test.
func require(t testing.TB) string {
	t.Helper()
	if os.Getenv(SkipVariable) == "1" {
		t.Skipf("azurite: %s=1", SkipVariable)
	}
	folder, err := install()
	if err != nil {
		t.Fatalf("azurite: %v; or set %s=1 to skip these tests", err, SkipVariable)
	}
	return folder
}

// tableConnection is for the emulator's well-known account.
func tableConnection(port int) string {
	return accountConnection + fmt.Sprintf("TableEndpoint=http://127.0.0.1:%d/devstoreaccount1;", port)
}

const accountConnection = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;" +
	"AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"

// DefaultPort is the first of the emulator's usual ports.
const DefaultPort = 10000

// Serve runs the services for blobs, queues and tables on port and the two after
// it, in memory, until the context ends. When they answer, it calls ready with
// their connection string.
func Serve(ctx context.Context, port int, ready func(connection string)) error {
	folder, err := install()
	if err != nil {
		return err
	}
	table := port + 2
	p, err := startProgram(folder, "azurite.js", table, "--inMemoryPersistence",
		"--blobPort", fmt.Sprint(port), "--queuePort", fmt.Sprint(port+1))
	if err != nil {
		return err
	}
	connection := "UseDevelopmentStorage=true"
	if port != DefaultPort {
		connection = tableConnection(table) + fmt.Sprintf("BlobEndpoint=http://127.0.0.1:%d/devstoreaccount1;"+
			"QueueEndpoint=http://127.0.0.1:%d/devstoreaccount1;", port, port+1)
	}
	ready(connection)
	select {
	case <-ctx.Done():
		p.kill() // Nothing is kept.
		return nil
	case <-p.done:
		return fmt.Errorf("the emulator has ended\n%s", p.output.Bytes())
	}
}
