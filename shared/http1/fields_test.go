package http1

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
)

// everything is content with any field.
func everything(_, _ []byte) bool { return true }

// parsed is the header that a text begins with and what follows it, if it is plain. It has
// to be what package textproto reads.
func parsed(t *testing.T, text string) (header http.Header, rest string, plain bool) {
	t.Helper()
	var f Fields
	lines := []byte(text)
	length, plain := f.Parse(lines, everything)
	if !plain {
		return nil, "", false
	}
	header = make(http.Header)
	f.Fill(header, string(lines[:length]), "")
	rest = text[length:]
	oracle := bufio.NewReader(strings.NewReader(text))
	want, err := textproto.NewReader(oracle).ReadMIMEHeader()
	wantRest, _ := io.ReadAll(oracle)
	if err != nil || !reflect.DeepEqual(header, http.Header(want)) || rest != string(wantRest) {
		t.Errorf("%q: got %q and then %q, want %q and then %q (%v)", text, header, rest, want, wantRest, err)
	}
	return header, rest, true
}

// What is usual in a header is plain, and is read to the empty line behind it.
func TestPlainFields(t *testing.T) {
	for text, want := range map[string]http.Header{
		"\r\n":                                 {},
		"A: b\r\n\r\n":                         {"A": {"b"}},
		"a-bC-d:\t b c \t\r\n\r\n":             {"A-Bc-D": {"b c"}},
		"A:\r\nB: :\r\n\r\n":                   {"A": {""}, "B": {":"}},
		"a: 1\r\nB: 2\r\nA: 3\r\nA: 4\r\n\r\n": {"A": {"1", "3", "4"}, "B": {"2"}},
		"A: \xe4\r\n\r\n":                      {"A": {"\xe4"}},
		strings.Repeat("A: b\r\n", maxFields) + "\r\n": {"A": strings.Fields(strings.Repeat("b ", maxFields))},
	} {
		header, rest, plain := parsed(t, text+"body\r\n\r\n")
		if !plain || !reflect.DeepEqual(header, want) || rest != "body\r\n\r\n" {
			t.Errorf("%q: plain %t, got %q and then %q, want %q", text, plain, header, rest, want)
		}
	}
}

// What is not whole, or may be taken for something else by others, is not plain.
func TestFieldsThatAreNotPlain(t *testing.T) {
	for _, text := range []string{
		"", "\r", "\n", "A: b", "A: b\r\n", "A: b\r\n\r", "A: b\n\r\n", "A: b\r\n\n", "A: b\r\n c\r\n\r\n", "A\r\n\r\n", ": b\r\n\r\n",
		"A : b\r\n\r\n", " A: b\r\n\r\n", "(A): b\r\n\r\n", "\xe4: b\r\n\r\n", "A: b\x00\r\n\r\n", "A: b\rc\r\n\r\n", "A: \x7f\r\n\r\n",
		strings.Repeat("A: b\r\n", maxFields+1) + "\r\n",
		"A: " + strings.Repeat("b", 1<<16) + "\r\n\r\n",
	} {
		if header, _, plain := parsed(t, text); plain {
			t.Errorf("%.80q: plain, %q", text, header)
		}
	}
}

// Each field is shown as it will be in the header, and one that is refused ends it all.
func TestHeed(t *testing.T) {
	var seen []string
	var f Fields
	_, plain := f.Parse([]byte("a-b:  1 \r\nC: 2\r\nD: 3\r\n\r\n"), func(name, value []byte) bool {
		seen = append(seen, fmt.Sprintf("%s=%s", name, value))
		return string(name) != "C"
	})
	if want := []string{"A-B=1", "C=2"}; plain || !reflect.DeepEqual(seen, want) {
		t.Errorf("plain %t, shown %q, want %q", plain, seen, want)
	}
}

// A field that is called apart does not get into the header.
func TestFieldApart(t *testing.T) {
	var f Fields
	lines := []byte("A: 1\r\nhost: contoso.test\r\nB: 2\r\n\r\n")
	length, _ := f.Parse(lines, everything)
	header := http.Header{}
	host := f.Fill(header, string(lines[:length]), "Host")
	if want := (http.Header{"A": {"1"}, "B": {"2"}}); host != "contoso.test" || !reflect.DeepEqual(header, want) {
		t.Errorf("got %q and apart %q, want %q", header, host, want)
	}
}

// Whatever is plain is read as by package textproto.
func FuzzFields(f *testing.F) {
	for _, text := range []string{
		"\r\n", "a-b: c\r\nA-B:\td \r\n\r\nrest", "A: b\r\n c\r\n\r\n", "A : b\r\n\r\n", "A: b\n\n", "A: \xe4\x80\r\n\r\n", "\r\r\n\r\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { parsed(t, text) })
}

// usual are the fields that an SDK sends.
const usual = "Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.99.1\r\nX-Stainless-Lang: python\r\n" +
	"X-Stainless-Package-Version: 1.99.1\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\n" +
	"X-Stainless-Runtime-Version: 3.12.4\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n" +
	"X-Stainless-Async: false\r\nX-Stainless-Retry-Count: 0\r\nX-Stainless-Read-Timeout: 600\r\nContent-Length: 1500\r\n" +
	"Host: contoso.test\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n"

// BenchmarkParse is to find a usual request's fields.
func BenchmarkParse(b *testing.B) {
	lines := []byte(usual)
	for b.Loop() {
		var f Fields
		if _, plain := f.Parse(lines, everything); !plain {
			b.Fatal("not plain")
		}
	}
}
