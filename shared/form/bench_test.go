package form

import (
	"io"
	"strings"
	"testing"
)

// BenchmarkRead reads a form with a file of 25 MiB, the longest that transcriptions
// take, into memory and to disk, and then gives it out once.
func BenchmarkRead(b *testing.B) {
	text := upload(strings.Repeat("x", 25<<20))
	for name, memory := range map[string]int64{"disk": 1 << 20, "memory": 64 << 20} {
		b.Run(name, func(b *testing.B) {
			folder := b.TempDir()
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				f, err := Read(strings.NewReader(text), contentType, Options{Memory: memory, Folder: folder})
				if err != nil {
					b.Fatal(err)
				}
				r := f.Body("deployment").NewReader()
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				_ = r.Close()
				_ = f.Close()
			}
		})
	}
}
