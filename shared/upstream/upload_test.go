package upstream

import (
	"io"
	"net/http"
	"runtime"
	"testing"
)

// noise is an endless file that is nowhere in memory.
type noise struct{}

func (noise) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

// An upload of 64 MiB is read, kept and sent without ever being in memory: all that is
// allocated on the way, by both sides, is a fraction of it.
func TestUploadsAreNotInMemory(t *testing.T) {
	const size, most = 64 << 20, 8 << 20
	got := int64(0)
	client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.Copy(io.Discard, r.Body)
		answer(200, json, `{"text":"Hi."}`)(w, r)
	})
	before := allocated()
	f := formOf(t, io.LimitReader(noise{}, size))
	r := client.Do(t.Context(), backend, upload(f))
	defer r.Close()
	checkResult(t, r)
	if want := f.Body("our-whisper").Size(); r.Outcome != OK || got != want || got < size {
		t.Errorf("the backend gets %d bytes of %d: %v", got, want, r.Err)
	}
	if used := allocated() - before; used > most {
		t.Errorf("%d KiB were allocated, want %d at most", used>>10, most>>10)
	}
}

// allocated is how much this process has ever allocated, in bytes.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
