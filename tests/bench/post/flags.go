package post

import (
	"errors"
	"flag"
	"net/http"
	"os"
	"strings"
)

// Flags are what the flags of a command say about its request.
type Flags struct {
	target, body string
	header       http.Header
}

// Define adds the flags --url, --body and --header to those of a command.
func Define(flags *flag.FlagSet) *Flags {
	f := &Flags{header: http.Header{"Content-Type": {"application/json"}}}
	flags.StringVar(&f.target, "url", "", "where to")
	flags.StringVar(&f.body, "body", "", "the `file` of the request's body")
	flags.Func("header", "a header field, `Name: value`; any number of them", f.set)
	return f
}

// set reads one header field.
func (f *Flags) set(text string) error {
	name, value, ok := strings.Cut(text, ": ")
	if !ok {
		return errors.New("want Name: value")
	}
	f.header.Set(name, value)
	return nil
}

// Request is what the flags describe, once they are parsed. It reads the file of the
// body.
func (f *Flags) Request() (Request, error) {
	body, err := os.ReadFile(f.body)
	if err != nil {
		return Request{}, err
	}
	return New(f.target, f.header, body)
}

// Args are the arguments that describe a request by these flags; body is a file.
func Args(target, body string, header map[string]string) []string {
	args := []string{"--url", target, "--body", body}
	for name, value := range header {
		args = append(args, "--header", name+": "+value)
	}
	return args
}
