package functionshost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// app is what a folder with a host.json says.
type app struct {
	root       string
	executable string
	folder     string // that the handler runs in
	arguments  []string
	readyIn    time.Duration
	functions  []*function // by name
}

// function is one function of an app: either http or timer is set.
type function struct {
	name  string
	http  *route
	timer *timer
}

// route is where an HTTP function answers.
type route struct {
	segments []string // of literals, in lower case
	rest     bool     // any segments may follow
	methods  []string // in upper case; none: all
}

// timer is a function that the host calls.
type timer struct {
	binding  string
	schedule schedule
}

// hostFile is host.json, as far as this host knows it. What it does not know is
// an error: the real one would ignore a misspelt key.
type hostFile struct {
	Version         string          `json:"version"`
	Logging         json.RawMessage `json:"logging"`
	FunctionTimeout string          `json:"functionTimeout"`
	Extensions      struct {
		HTTP struct {
			RoutePrefix *string `json:"routePrefix"`
		} `json:"http"`
	} `json:"extensions"`
	CustomHandler struct {
		Description struct {
			DefaultExecutablePath string   `json:"defaultExecutablePath"`
			WorkingDirectory      string   `json:"workingDirectory"`
			Arguments             []string `json:"arguments"`
		} `json:"description"`
		EnableProxyingHTTPRequest bool   `json:"enableProxyingHttpRequest"`
		InitializationTimeout     string `json:"initializationTimeout"`
	} `json:"customHandler"`
}

var (
	functionNames = regexp.MustCompile(`(?i)^[a-z][a-z0-9_\-]{0,127}$`)
	bindingNames  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9]{0,127}$`)
	settingRefs   = regexp.MustCompile(`%([^%\s]+)%`)
)

// readApp reads host.json and each function.json beside it.
func readApp(root string, settings map[string]string) (*app, error) {
	var host hostFile
	if err := readJSON(filepath.Join(root, "host.json"), &host); err != nil {
		return nil, err
	}
	a := &app{root: root, readyIn: 30 * time.Second}
	if host.Version != "2.0" {
		return nil, fmt.Errorf("host.json: version %q, want 2.0", host.Version)
	}
	if !host.CustomHandler.EnableProxyingHTTPRequest {
		return nil, errors.New("host.json: without enableProxyingHttpRequest answers are buffered whole, which this host does not do")
	}
	for key, text := range map[string]string{"functionTimeout": host.FunctionTimeout, "initializationTimeout": host.CustomHandler.InitializationTimeout} {
		if text == "" {
			continue
		}
		d, err := timespan(text)
		if err != nil {
			return nil, fmt.Errorf("host.json: %s: %w", key, err)
		}
		if key == "initializationTimeout" {
			a.readyIn = d
		}
	}
	if err := a.readHandler(host, settings); err != nil {
		return nil, err
	}
	prefix := "api"
	if p := host.Extensions.HTTP.RoutePrefix; p != nil {
		prefix = *p
	}
	return a, a.readFunctions(prefix, settings)
}

// readHandler finds the program: in the app's folder, with its bit to run.
func (a *app) readHandler(host hostFile, settings map[string]string) error {
	d := host.CustomHandler.Description
	if d.DefaultExecutablePath == "" {
		return errors.New("host.json: no defaultExecutablePath")
	}
	if strings.HasPrefix(d.DefaultExecutablePath, "./") {
		return errors.New("host.json: a defaultExecutablePath with ./ loses its bit to run when the folder is published")
	}
	a.executable = filepath.Join(a.root, d.DefaultExecutablePath)
	info, err := os.Stat(a.executable)
	if err != nil {
		return fmt.Errorf("the handler: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("the handler %s cannot be run", a.executable)
	}
	a.folder = filepath.Join(a.root, d.WorkingDirectory)
	for _, argument := range d.Arguments {
		expanded, err := expand(argument, settings)
		if err != nil {
			return fmt.Errorf("host.json: arguments: %w", err)
		}
		a.arguments = append(a.arguments, expanded)
	}
	return nil
}

func (a *app) readFunctions(prefix string, settings map[string]string) error {
	entries, err := os.ReadDir(a.root) // by name
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(a.root, entry.Name(), "function.json")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || !entry.IsDir() {
			continue
		}
		f, err := readFunction(path, entry.Name(), prefix, settings)
		if err != nil {
			return fmt.Errorf("the function %s: %w", entry.Name(), err)
		}
		a.functions = append(a.functions, f)
	}
	if len(a.functions) == 0 {
		return fmt.Errorf("no functions in %s", a.root)
	}
	return nil
}

// binding is one of a function's values.
type binding struct {
	Type      string   `json:"type"`
	Direction string   `json:"direction"`
	Name      string   `json:"name"`
	AuthLevel string   `json:"authLevel"`
	Methods   []string `json:"methods"`
	Route     *string  `json:"route"`
	Schedule  string   `json:"schedule"`
}

func readFunction(path, name, prefix string, settings map[string]string) (*function, error) {
	if !functionNames.MatchString(name) || strings.EqualFold(name, "host") {
		return nil, errors.New("that is no function's name")
	}
	var file struct {
		Bindings []binding `json:"bindings"`
	}
	if err := readJSON(path, &file); err != nil {
		return nil, err
	}
	f := &function{name: name}
	answers := false
	for _, b := range file.Bindings {
		if !bindingNames.MatchString(b.Name) {
			return nil, fmt.Errorf("%q is no binding's name", b.Name)
		}
		var err error
		switch b.Type + " " + b.Direction {
		case "httpTrigger in":
			f.http, err = httpRoute(b, name, prefix)
		case "http out":
			answers = true
		case "timerTrigger in":
			f.timer = &timer{binding: b.Name}
			var expression string
			if expression, err = expand(b.Schedule, settings); err == nil {
				f.timer.schedule, err = parseSchedule(expression)
			}
		default:
			err = fmt.Errorf("a binding %s %s, which this host does not have", b.Type, b.Direction)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case (f.http == nil) == (f.timer == nil):
		return nil, errors.New("it needs exactly one trigger")
	case f.http != nil && (!answers || len(file.Bindings) != 2):
		return nil, errors.New("with anything but one trigger and one http out, requests come in an envelope")
	}
	return f, nil
}

// httpRoute reads a route of literal segments, perhaps with {*path} at the end.
func httpRoute(b binding, name, prefix string) (*route, error) {
	if b.AuthLevel != "anonymous" {
		return nil, fmt.Errorf("authLevel %q: callers would need a key of the host", b.AuthLevel)
	}
	text := name
	if b.Route != nil && *b.Route != "" {
		text = *b.Route
	}
	for _, own := range []string{"admin", "runtime"} {
		if strings.HasPrefix(strings.ToLower(text), own) {
			return nil, fmt.Errorf("the route %q is the host's own", text)
		}
	}
	if prefix != "" {
		text = prefix + "/" + text
	}
	r := new(route)
	for _, method := range b.Methods {
		r.methods = append(r.methods, strings.ToUpper(method))
	}
	for segment := range strings.SplitSeq(text, "/") {
		switch {
		case r.rest, segment == "":
			return nil, fmt.Errorf("the route %q", text)
		case regexp.MustCompile(`^\{\*\w+\}$`).MatchString(segment):
			r.rest = true
		case strings.ContainsAny(segment, "{}"):
			return nil, fmt.Errorf("the route %q has parts that this host does not read", text)
		default:
			r.segments = append(r.segments, strings.ToLower(segment))
		}
	}
	return r, nil
}

// expand replaces %NAME% by settings. One that is not set is an error, which in the
// real host keeps the function from starting.
func expand(text string, settings map[string]string) (string, error) {
	var missing error
	expanded := settingRefs.ReplaceAllStringFunc(text, func(ref string) string {
		value, ok := settings[strings.Trim(ref, "%")]
		if !ok {
			missing = fmt.Errorf("the setting %s is not set", ref)
		}
		return value
	})
	return expanded, missing
}

// timespan reads hh:mm:ss.
func timespan(text string) (time.Duration, error) {
	at, err := time.Parse("15:04:05", text)
	if err != nil {
		return 0, fmt.Errorf("%q is not hh:mm:ss", text)
	}
	return at.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)), nil
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}
