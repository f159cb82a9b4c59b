package process

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"

	"spillway/tests/await"
)

// Little that is alive lets 32 MiB of garbage pile up; much lets pile up as much as is
// alive, as Go does by itself, or four times what of it is looked through for pointers,
// within a quarter of the memory.
func TestCollectorsPercent(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, test := range []struct {
		live, scanned, memory uint64
		want                  int
	}{
		{0, 0, gib, 1000},
		{mib, mib, gib, 1000},
		{8 * mib, 8 * mib, gib, 400},
		{16 * mib, mib, gib, 200},
		{32 * mib, mib, gib, 100},
		{gib, 0, 64 * gib, 100},
		{200 * mib, 100 * mib, 4 * gib, 200},
		{200 * mib, 200 * mib, 4 * gib, 400},
		{200 * mib, 200 * mib, 2 * gib, 156},
		{200 * mib, 200 * mib, gib, 100},
		{200 * mib, 200 * mib, 512 * mib, 100},
		{200 * mib, 200 * mib, 0, 100},
	} {
		if got := percentFor(test.live, test.scanned, test.memory); got != test.want {
			t.Errorf("percentFor(%d, %d, %d) is %d, want %d", test.live, test.scanned, test.memory, got, test.want)
		}
	}
}

// The memory is that of the machine, or of the control group if that is less. What
// cannot be read, or says that there is no limit, tells nothing.
func TestUsableMemory(t *testing.T) {
	const machine, second, first = "/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
	for name, test := range map[string]struct {
		files map[string]string
		want  uint64
	}{
		"a machine":                      {map[string]string{machine: "MemTotal:       2048 kB\nMemFree:         1 kB\n"}, 2 << 20},
		"a container":                    {map[string]string{machine: "MemTotal: 2048 kB\n", second: "1048576\n"}, 1 << 20},
		"a container of version 1":       {map[string]string{machine: "MemTotal: 2048 kB\n", first: "1048576\n"}, 1 << 20},
		"a container without a limit":    {map[string]string{machine: "MemTotal: 2048 kB\n", second: "max\n"}, 2 << 20},
		"one of version 1 without":       {map[string]string{machine: "MemTotal: 2048 kB\n", first: "9223372036854771712\n"}, 2 << 20},
		"a limit beyond the machine":     {map[string]string{machine: "MemTotal: 2048 kB\n", second: "4194304\n"}, 2 << 20},
		"nonsense":                       {map[string]string{machine: "MemTotal:", second: "", first: "-5"}, 0},
		"more than any machine can have": {map[string]string{machine: "MemTotal: 99999999999999999999 kB"}, 0},
		"no Linux":                       {nil, 0},
	} {
		got := usable(func(file string) ([]byte, error) {
			text, ok := test.files[file]
			if !ok {
				return nil, os.ErrNotExist
			}
			return []byte(text), nil
		})
		if got != test.want {
			t.Errorf("%s: %d bytes, want %d", name, got, test.want)
		}
	}
}

// The next collection sets it, and what a user has set stays.
func TestCollectorIsTuned(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "50")
	TuneCollector()
	runtime.GC()
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	TuneCollector()
	await.That(t, "a collection has set GOGC", func() bool {
		runtime.GC()
		set := debug.SetGCPercent(100)
		debug.SetGCPercent(set)
		return set != 100
	})
}
