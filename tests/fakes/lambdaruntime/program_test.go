package lambdaruntime_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// The tests' binary is also the program that they run: a runtime written by hand.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		os.Exit(bootstrap())
	}
	os.Exit(m.Run())
}

// client is that runtime's side of the API.
type client struct {
	api  string
	gate string // asked between two parts of a stream
}

// bootstrap does what the events say, until one ends it.
func bootstrap() int {
	p := client{api: "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API"), gate: os.Getenv("GATE")}
	switch os.Getenv("START") {
	case "fails":
		p.post("/2018-06-01/runtime/init/error", "application/json", strings.NewReader(`{"errorType":"Start","errorMessage":"no"}`))
		return 7
	case "registers":
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGTERM)
		go func() {
			<-told
			fmt.Println("told")
			os.Exit(0)
		}()
		p.register()
	}
	for {
		response, err := http.Get(p.api + "/2018-06-01/runtime/invocation/next")
		if err != nil {
			return 1
		}
		event, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return 2
		}
		p.answer("/2018-06-01/runtime/invocation/"+response.Header.Get("Lambda-Runtime-Aws-Request-Id"), response.Header, event)
	}
}

func (p client) register() {
	request, _ := http.NewRequest(http.MethodPost, p.api+"/2020-01-01/extension/register", strings.NewReader(`{"events":[]}`))
	request.Header.Set("Lambda-Extension-Name", "within")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		os.Exit(4)
	}
	response.Body.Close()
	wait, _ := http.NewRequest(http.MethodGet, p.api+"/2020-01-01/extension/event/next", nil)
	wait.Header.Set("Lambda-Extension-Identifier", response.Header.Get("Lambda-Extension-Identifier"))
	go func() { _, _ = http.DefaultClient.Do(wait) }()
}

func (p client) answer(call string, header http.Header, event []byte) {
	const (
		streamType = "application/vnd.awslambda.http-integration-response"
		start      = `{"statusCode":201,"headers":{"x-part":"a"},"cookies":["c=1"]}` + "\x00\x00\x00\x00\x00\x00\x00\x00"
	)
	var what string
	if json.Unmarshal(event, &what) != nil {
		var request struct{ RawPath string }
		_ = json.Unmarshal(event, &request)
		what = strings.TrimPrefix(request.RawPath, "/do/")
	}
	switch what {
	case "header":
		text, _ := json.Marshal(header)
		p.post(call+"/response", "application/json", bytes.NewReader(text))
	case "fail":
		p.post(call+"/error", "application/json", strings.NewReader(`{"errorType":"T","errorMessage":"M"}`))
	case "twice":
		p.post(call+"/response", "application/json", strings.NewReader(`1`))
		p.post(call+"/response", "application/json", strings.NewReader(`2`))
	case "stranger":
		p.post("/2018-06-01/runtime/invocation/stranger/response", "application/json", strings.NewReader(`1`))
		p.post(call+"/response", "application/json", strings.NewReader(`1`))
	case "unanswered":
	case "nowhere":
		p.post("/2018-06-01/runtime/nowhere", "application/json", strings.NewReader(`1`))
		p.post(call+"/response", "application/json", strings.NewReader(`1`))
	case "hang":
		select {}
	case "exit":
		os.Exit(3)
	case "broken":
		p.stream(call, streamType, strings.NewReader(start+"half"), `{"errorType":"Cut","errorMessage":"in two"}`)
	case "formless":
		p.stream(call, streamType, strings.NewReader("no prelude"), "")
	case "/echo": // the event the event
		p.stream(call, streamType, io.MultiReader(strings.NewReader(start), bytes.NewReader(event)), "")
	case "whole": // of a known length, and ended later
		told := strings.Replace(start, `"x-part":"a"`, `"content-length":"3"`, 1)
		p.stream(call, streamType, io.MultiReader(strings.NewReader(told+"one"), &gated{url: p.gate, then: strings.NewReader("")}), "")
	case "parts":
		p.stream(call, streamType, io.MultiReader(strings.NewReader(start+"one"), &gated{url: p.gate, then: strings.NewReader("two")}), "")
	}
}

// gated reads on when its url has answered.
type gated struct {
	url  string
	then io.Reader
}

func (g *gated) Read(p []byte) (int, error) {
	if g.url != "" {
		response, err := http.Get(g.url)
		if err != nil {
			return 0, err
		}
		response.Body.Close()
		g.url = ""
	}
	return g.then.Read(p)
}

func (p client) post(path, contentType string, body io.Reader) {
	response, err := http.Post(p.api+path, contentType, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	response.Body.Close()
}

// stream answers in parts, with what went wrong in the trailers.
func (p client) stream(call, contentType string, body io.Reader, failure string) {
	request, _ := http.NewRequest(http.MethodPost, p.api+call+"/response", io.MultiReader(body)) // of unknown length: chunked
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	if failure != "" {
		request.Trailer = http.Header{
			"Lambda-Runtime-Function-Error-Type": {"Cut"},
			"Lambda-Runtime-Function-Error-Body": {base64.StdEncoding.EncodeToString([]byte(failure))},
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	response.Body.Close()
}
