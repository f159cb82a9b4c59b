// Command lambda is the gateway as an AWS Lambda function: behind a Function URL
// that streams its answers, and called by a schedule for the maintenance. Build it
// as bootstrap for the runtime provided.al2023.
//
// Lambda freezes the process whenever no call runs, so nothing here counts on time
// between two calls: there is no ticker, no background work of its own, and what a
// call has begun ends with it.
package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/functions/process"
	"spillway/shared/config"
	"spillway/shared/telemetry"
	"spillway/shared/telemetry/export"
)

// giveBackTime is what an instance has for its last words. Lambda kills it 500 ms
// after SIGTERM.
const giveBackTime = 400 * time.Millisecond

func main() {
	process.TuneCollector()
	log := telemetry.NewLogger(os.Stdout) // each line at once: a frozen process writes none
	gateway, err := open(log)
	if err != nil {
		refuse(log, err)
		os.Exit(1)
	}
	log.Info().Str("version", lambdacontext.FunctionVersion).Msg("started")
	f := &function{
		handler: gateway,
		maintain: func(ctx context.Context) done {
			return doneBy(gateway.Maintain(ctx))
		},
		settle: gateway.Settle,
		log:    log,
	}
	// An instance is told of its end only if it has registered as an extension, which
	// this does. That costs one call to the runtime while the instance starts. Without
	// it the units an instance holds of a limit are lost until the limit's window ends:
	// a month, with a monthly quota.
	lambda.StartWithOptions(f.handle, lambda.WithEnableSIGTERM(func() {
		ctx, cancel := context.WithTimeout(context.Background(), giveBackTime)
		defer cancel()
		gateway.Close(ctx)
		os.Exit(0)
	}))
}

// open reads the configuration and builds the gateway.
func open(log zerolog.Logger) (*app.App, error) {
	source, err := config.Find("", os.LookupEnv)
	if err != nil {
		return nil, err
	}
	cfg, err := source.Load(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	app.LogConfiguration(log, cfg)
	ctx, instance := context.Background(), app.InstanceName()
	return app.New(ctx, cfg, app.Options{
		Log: log, Version: lambdacontext.FunctionVersion, Instance: instance,
		Telemetry: export.FromEnvironment(ctx, export.Options{Log: log, Version: lambdacontext.FunctionVersion, Instance: instance}),
	})
}

// refuse says in one line of the log all that keeps the gateway from starting.
func refuse(log zerolog.Logger, err error) {
	problems := strings.Split(err.Error(), "\n")
	log.Error().Str(telemetry.KeyEvent, "start_refused").Strs("problems", problems).Msg("the gateway cannot start")
}
