// Command lambda is the gateway behind an AWS Lambda Function URL in its
// response-streaming mode. Build it as bootstrap for a provided.al2023 function.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/lambdaurl"

	"spillway/functions/app"
	"spillway/shared/config"
	"spillway/shared/telemetry"
)

func main() {
	gateway, err := load()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lambdaurl.Start(recovered(gateway))
}

func load() (http.Handler, error) {
	source, err := config.Find("", os.LookupEnv)
	if err != nil {
		return nil, err
	}
	cfg, err := source.Load(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	return app.New(context.Background(), cfg, app.Options{Log: telemetry.NewLogger(os.Stdout)})
}

// recovered keeps the process alive: the runtime calls the handler on a bare
// goroutine. The handler has logged the fault and ended its answer.
func recovered(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		h.ServeHTTP(w, r)
	})
}
