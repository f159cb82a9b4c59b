package form

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The model is replaced where it stands, or put in front; all other parts stay as
// they are.
func TestBodyNamesTheModel(t *testing.T) {
	speech := part{"file", "speech.mp3", "audio/mpeg", "\xff\xfb\x90"}
	sent := file("file", "speech.mp3", "\xff\xfb\x90")
	tests := []struct {
		name  string
		form  string
		model string
		want  []part
	}{
		{"replaced", formOf(field("model", "whisper-1"), sent), "our-whisper", []part{{name: "model", content: "our-whisper"}, speech}},
		{"replaced behind the file", formOf(sent, field("model", "whisper-1")), "w", []part{speech, {name: "model", content: "w"}}},
		{"replaced where it is empty", formOf(field("model", ""), sent), "w", []part{{name: "model", content: "w"}, speech}},
		{"put in front", formOf(sent), "our-whisper", []part{{name: "model", content: "our-whisper"}, speech}},
		{"left as it is", formOf(field("model", "whisper-1"), sent), "", []part{{name: "model", content: "whisper-1"}, speech}},
		{"none", formOf(sent), "", []part{speech}},
	}
	for _, test := range tests {
		for _, memory := range []int64{1, 1 << 20} {
			f := read(t, test.form, Options{Memory: memory, Folder: t.TempDir()})
			if got := parts(t, f, f.Body(test.model)); !slices.Equal(got, test.want) {
				t.Errorf("%s, %d bytes in memory: got %q, want %q", test.name, memory, got, test.want)
			}
		}
	}
}

// A form that fits into memory makes no file; any other has its beginning there
// and the rest in a file, which is gone when the form is closed.
func TestWhereAFormIsKept(t *testing.T) {
	text := upload(strings.Repeat("x", 100_000))
	whole := read(t, text, Options{})
	size := whole.Body("").Size()
	for _, memory := range []int64{1, 100, size - 1, size, size + 1, 0} {
		folder := t.TempDir()
		f, err := Read(strings.NewReader(text), contentType, Options{Memory: memory, Folder: folder})
		if err != nil {
			t.Fatal(err)
		}
		if inFile, want := f.kept.file != nil, memory > 0 && memory < size; inFile != want {
			t.Errorf("%d bytes in memory: a file is made: %t, want %t", memory, inFile, want)
		}
		if kept := int64(len(f.kept.memory)); memory > 0 && kept > memory {
			t.Errorf("%d bytes are in memory, want %d at most", kept, memory)
		}
		if got, want := parts(t, f, f.Body("m")), parts(t, whole, whole.Body("m")); !slices.Equal(got, want) {
			t.Errorf("%d bytes in memory: got another form", memory)
		}
		if err := f.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		checkEmpty(t, folder)
	}
}

// checkEmpty asserts that the folder has no file, and that none is open that it had.
func checkEmpty(t *testing.T, folder string) {
	t.Helper()
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v (%v)", left, err)
	}
	open, _ := filepath.Glob("/proc/self/fd/*") // where there is such a thing
	for _, link := range open {
		if name, err := os.Readlink(link); err == nil && strings.HasPrefix(name, folder) {
			t.Errorf("still open: %s", name)
		}
	}
}

// A process that dies with a form open leaves no file, where the system lets a file be
// removed that is open.
func TestFileHasNoName(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be removed here")
	}
	folder := t.TempDir()
	f := read(t, upload("content"), Options{Memory: 1, Folder: folder})
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 || f.kept.file == nil {
		t.Errorf("in the folder: %v (%v)", left, err)
	}
}

// Any number of readers read at the same time, each the whole, and a form that is
// closed stays until the last of them is.
func TestReadersOutliveTheForm(t *testing.T) {
	folder := t.TempDir()
	f, err := Read(strings.NewReader(upload(strings.Repeat("x", 300_000))), contentType, Options{Memory: 1000, Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	bodies := []Body{f.Body(""), f.Body("a"), f.Body("another-deployment")}
	var readers []io.ReadCloser
	for range 4 {
		for _, b := range bodies {
			readers = append(readers, b.NewReader())
		}
	}
	if err := f.Close(); err != nil {
		t.Errorf("closing the form: %v", err)
	}
	var all sync.WaitGroup
	for i, r := range readers {
		all.Go(func() {
			n, err := io.Copy(io.Discard, r)
			if want := bodies[i%len(bodies)].Size(); n != want || err != nil {
				t.Errorf("reader %d: %d bytes, want %d: %v", i, n, want, err)
			}
		})
	}
	all.Wait()
	for i, r := range readers {
		if _, err := f.kept.file.Stat(); err != nil {
			t.Errorf("before reader %d is closed: %v", i, err)
		}
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Errorf("closing reader %d: %v", i, err)
		}
	}
	if _, err := f.kept.file.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file is still open: %v", err)
	}
	checkEmpty(t, folder)
}

func TestReadAfterClose(t *testing.T) {
	r := read(t, upload("x"), Options{}).Body("").NewReader()
	if err := r.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if n, err := r.Read(make([]byte, 10)); n != 0 || err != http.ErrBodyReadAfterClose {
		t.Errorf("got %d bytes and %v, want 0, %v", n, err, http.ErrBodyReadAfterClose)
	}
}

// The zero Body is an empty one.
func TestZeroBody(t *testing.T) {
	if text := textOf(t, Body{}); text != "" || (Body{}).Size() != 0 {
		t.Errorf("got %q of %d bytes, want %q, 0", text, (Body{}).Size(), "")
	}
}
