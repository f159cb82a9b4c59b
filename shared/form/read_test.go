package form

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFieldsOfAForm(t *testing.T) {
	long := strings.Repeat("x", maxField)
	tests := []struct {
		name string
		form string
		want map[string]string
	}{
		{"fields and a file", upload("sound"), map[string]string{"model": "whisper-1", "response_format": "json"}},
		{"the first of a name", formOf(field("n", "1"), field("n", "2")), map[string]string{"n": "1"}},
		{"an empty one", formOf(field("prompt", "")), map[string]string{"prompt": ""}},
		{"line ends and Unicode", formOf(field("prompt", "Grüße\r\n\r\n--\n")), map[string]string{"prompt": "Grüße\r\n\r\n--\n"}},
		{"64 KiB", formOf(field("prompt", long)), map[string]string{"prompt": long}},
		{"longer ones are passed on only", formOf(field("prompt", long+"x"), field("n", "1")), map[string]string{"n": "1"}},
		{"a file without a name", formOf(file("file", "", "x")), map[string]string{}},
		{"names of lists", formOf(field("include[]", "logprobs"), field("include[]", "x")), map[string]string{"include[]": "logprobs"}},
		{"a preamble and an epilogue", "hello\r\n" + upload("x") + "bye", map[string]string{"model": "whisper-1", "response_format": "json"}},
		{"no line end after the last boundary", strings.TrimSuffix(formOf(field("n", "1")), "\r\n"), map[string]string{"n": "1"}},
		{"a type of a field", formOf("--" + boundary + "\r\ncontent-disposition: form-data; name=model\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngpt\r\n"), map[string]string{"model": "gpt"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if f := read(t, test.form, Options{}); !maps.Equal(f.Fields(), test.want) {
				t.Errorf("got %q, want %q", f.Fields(), test.want)
			}
		})
	}
}

// withHeader is a part with a header of its own.
func withHeader(header, content string) string {
	return "--" + boundary + "\r\n" + header + "\r\n\r\n" + content + "\r\n"
}

func TestWhatIsRefused(t *testing.T) {
	many := func(n int) string { return strings.Repeat(field("a", ""), n) }
	tests := []struct {
		name string
		form string
		want error
	}{
		{"nothing", "", ErrCut},
		{"no form", `{"model":"whisper-1"}`, ErrCut},
		{"no parts", formOf(), ErrMalformed},
		{"another boundary", strings.ReplaceAll(upload("x"), boundary, "another"), ErrCut},
		{"no name", formOf(withHeader("Content-Disposition: form-data", "x")), ErrMalformed},
		{"an empty name", formOf(field("", "x")), ErrMalformed},
		{"no header", formOf(withHeader("X: y", "x")), ErrMalformed},
		{"an attachment", formOf(withHeader(`Content-Disposition: attachment; name="a"`, "x")), ErrMalformed},
		{"two names", formOf(withHeader(`Content-Disposition: form-data; name="a"; name="model"`, "x")), ErrMalformed},
		{"no header at all", formOf("--" + boundary + "\r\nx\r\n"), ErrMalformed},
		{"a long header", formOf(withHeader(`Content-Disposition: form-data; name="`+strings.Repeat("a", 2*maxHeader)+`"`, "x")), ErrMalformed},
		{"many headers", formOf(withHeader(`Content-Disposition: form-data; name="a"`+strings.Repeat("\r\nX: y", maxHeader/4), "x")), ErrMalformed},
		{"a long preamble", strings.Repeat("x\r\n", maxHeader) + upload("x"), ErrMalformed},
		{"a control character in a name", formOf(withHeader("Content-Disposition: form-data; name=\"a\rb\"", "x")), ErrMalformed},
		{"a line end in a name", formOf(withHeader(`Content-Disposition: form-data; name*=utf-8''a%0D%0AX%3A%20y`, "x")), ErrMalformed},
		{"an encoded field", formOf(withHeader("Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64", "eA==")), ErrMalformed},
		{"two models", formOf(field("model", "a"), field("model", "a")), ErrMalformed},
		{"two models, one in capitals", formOf(field("model", "a"), field("MODEL", "b")), ErrMalformed},
		{"a model in capitals", formOf(field("Model", "a")), ErrMalformed},
		{"a model that is a file", formOf(file("model", "m.txt", "a")), ErrMalformed},
		{"a long model", formOf(field("model", strings.Repeat("a", maxField+1))), ErrMalformed},
		{"1,001 parts", formOf(many(maxParts + 1)), ErrTooManyParts},
		{"long fields", formOf(longFields(17)...), ErrTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			f, err := Read(strings.NewReader(test.form), contentType, Options{Memory: 10, Folder: folder})
			if f != nil || !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			checkEmpty(t, folder)
		})
	}
	if f := read(t, formOf(many(maxParts)), Options{}); len(f.Fields()) != 1 {
		t.Errorf("1,000 parts: got the fields %q", f.Fields())
	}
	if f := read(t, formOf(longFields(15)...), Options{}); len(f.Fields()) != 15 {
		t.Errorf("15 fields of 64 KiB: got %d, want 15", len(f.Fields()))
	}
}

func longFields(n int) (all []string) {
	for i := range n {
		all = append(all, field(fmt.Sprint(i), strings.Repeat("x", maxField)))
	}
	return all
}

func TestContentTypes(t *testing.T) {
	tests := map[string]bool{
		contentType: true,
		`Multipart/Form-Data; boundary="` + boundary + `"; charset=utf-8`: true,
		"multipart/form-data":                                                 false,
		"multipart/form-data; boundary=":                                      false,
		`multipart/form-data; boundary=""`:                                    false,
		"multipart/form-data; boundary=a; boundary=b":                         false,
		"multipart/form-data; boundary=" + strings.Repeat("a", maxBoundary+1): false,
		"multipart/mixed; boundary=" + boundary:                               false,
		"application/json":                                                    false,
		"application/x-www-form-urlencoded":                                   false,
		"":                                                                    false,
		";;":                                                                  false,
	}
	for value, good := range tests {
		f, err := Read(strings.NewReader(upload("x")), value, Options{})
		if good != (err == nil) || !good && err != ErrNotForm {
			t.Errorf("%q: got %v, good %t", value, err, good)
		}
		if f != nil {
			_ = f.Close()
		}
	}
}

// A form that is cut anywhere is not a shorter one, however its bytes come.
func TestEveryCutIsSeen(t *testing.T) {
	text := strings.TrimSuffix(upload("content"), "\r\n")
	for i := range text {
		for _, from := range []io.Reader{strings.NewReader(text[:i]), iotest.OneByteReader(strings.NewReader(text[:i])), iotest.DataErrReader(strings.NewReader(text[:i]))} {
			if _, err := Read(from, contentType, Options{}); !errors.Is(err, ErrCut) {
				t.Fatalf("cut behind %q: got %v", text[max(0, i-20):i], err)
			}
		}
	}
	read(t, text, Options{}) // the whole
}

// The errors of reading are the caller's to judge; a body that lacks a part of its
// stated length is cut.
func TestErrorsOfTheBody(t *testing.T) {
	lost := errors.New("connection reset")
	for _, test := range []struct{ sent, want error }{{lost, lost}, {os.ErrDeadlineExceeded, os.ErrDeadlineExceeded}, {io.ErrUnexpectedEOF, ErrCut}} {
		whole := upload("content") + "epilogue"
		for _, n := range []int{0, 10, 100, len(whole) - 10, len(whole)} {
			from := io.MultiReader(strings.NewReader(whole[:n]), iotest.ErrReader(test.sent))
			if _, err := Read(from, contentType, Options{}); !errors.Is(err, test.want) {
				t.Errorf("%v behind %d bytes: got %v", test.sent, n, err)
			}
		}
	}
}

func TestLongestBody(t *testing.T) {
	text := upload("content") + "epilogue"
	for size := range int64(len(text)) + 2 {
		f, err := Read(strings.NewReader(text), contentType, Options{Max: size})
		if fits := size == 0 || size >= int64(len(text)); fits != (err == nil) || !fits && !errors.Is(err, ErrTooLarge) {
			t.Fatalf("a form of %d bytes of which %d may be read: %v", len(text), size, err)
		}
		if f != nil {
			_ = f.Close()
		}
	}
}

func TestNoRoom(t *testing.T) {
	folder := t.TempDir()
	_, err := Read(strings.NewReader(upload(strings.Repeat("x", 1000))), contentType, Options{Memory: 100, Folder: filepath.Join(folder, "missing")})
	if !errors.Is(err, ErrDisk) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A disk may be full only after the file has been made.
func TestDiskThatFills(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this system has no full device")
	}
	defer full.Close()
	kept := &spool{limit: 1, folder: t.TempDir()}
	if _, err := kept.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	kept.out.Reset(full)
	for range 2 * fileBuffer / copySize {
		if _, err = kept.Write(make([]byte, copySize)); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrDisk) || !errors.Is(kept.failed, ErrDisk) {
		t.Errorf("got %v, and %v for ever", err, kept.failed)
	}
	if _, err := kept.Write([]byte("a")); !errors.Is(err, ErrDisk) {
		t.Errorf("the next write: %v", err)
	}
	_ = kept.remove()
}

// Parsers differ in what they take for a boundary. Under a boundary that the client
// does not know, its content is content to all of them.
func TestContentCannotEndAPart(t *testing.T) {
	smuggled := "\n--" + boundary + "x\nContent-Disposition: form-data; name=\"model\"\n\ngpt-5\n--" + boundary + "--x"
	f := read(t, upload(smuggled), Options{})
	body := f.Body("ours")
	if got := parts(t, f, body); len(got) != 3 || got[2].content != smuggled {
		t.Errorf("got the parts %q", got)
	}
	if f.boundary == boundary || strings.Contains(smuggled, f.boundary) {
		t.Errorf("the boundary is %q", f.boundary)
	}
	if again := read(t, upload("x"), Options{}); again.boundary == f.boundary {
		t.Error("two forms have the same boundary")
	}
}

// Of a part's header the standard's fields are passed on, and nothing else.
func TestHeaderOfAPart(t *testing.T) {
	header := "X-Other: 1\r\ncontent-type: audio/wav\r\nContent-Length: 7\r\nContent-Transfer-Encoding: base64\r\n" +
		`Content-Disposition: Form-Data; size=7; filename*=UTF-8''na%C3%AFve.wav; name="fi\"le"`
	f := read(t, formOf(withHeader(header, "eA==")), Options{})
	want := "--" + f.boundary + "\r\nContent-Disposition: form-data; name=\"fi\\\"le\"; filename=\"naïve.wav\"\r\n" +
		"Content-Transfer-Encoding: base64\r\nContent-Type: audio/wav\r\n\r\neA==\r\n--" + f.boundary + "--\r\n"
	if got := textOf(t, f.Body("")); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Whatever comes: what is taken is read by a backend as it was read here, with the
// model that was asked for, and no two ways to keep it differ.
func FuzzRead(f *testing.F) {
	f.Add([]byte(upload("content")), "m")
	f.Add([]byte(formOf(file("file", `a\b"c`, "x"), field("n", "1"))), "deployment")
	f.Add([]byte("pre\r\n"+formOf(field("model", "\r\n"))+"post"), "")
	f.Add([]byte(strings.ReplaceAll(upload("x"), "\r\n", "\n")), "m")
	f.Add([]byte(formOf(withHeader("Content-Disposition: form-data; name*0=mo; name*1=del", "x"))), "m")
	f.Fuzz(func(t *testing.T, text []byte, model string) {
		form, err := Read(strings.NewReader(string(text)), contentType, Options{Memory: 1, Folder: t.TempDir()})
		if err != nil {
			if form != nil {
				t.Errorf("a form and the error %v", err)
			}
			return
		}
		defer form.Close()
		model = strings.Map(func(c rune) rune {
			if c == '\r' || c == '\n' {
				return '-'
			}
			return c
		}, model)
		text2 := textOf(t, form.Body(model))
		second, err := Read(strings.NewReader(text2), form.ContentType(), Options{})
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%q", err, text2)
		}
		defer second.Close()
		want := maps.Clone(form.Fields())
		if model != "" {
			want[modelField] = model
		}
		if !maps.Equal(second.Fields(), want) {
			t.Errorf("got %q, want %q", second.Fields(), want)
		}
		if before, after := parts(t, form, form.Body(model)), parts(t, second, second.Body("")); !slices.Equal(before, after) {
			t.Errorf("got %q, want %q", after, before)
		}
	})
}
