package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/shared/config"
	"spillway/shared/telemetry"
)

// drain is how long open requests may go on after the process was told to end.
const drain = 30 * time.Second

// warmAfter leaves the processor to the first requests before the tokenizers'
// vocabularies are built.
const warmAfter = 2 * time.Second

// serve runs the gateway until SIGINT or SIGTERM.
func serve(args []string, std streams) error {
	flags := newFlags("serve", "[--config gateway.yaml] [--listen 127.0.0.1:8080]", std)
	path := flags.String("config", "", "the configuration; default: SPILLWAY_CONFIG, SPILLWAY_CONFIG_YAML (the text itself), gateway.yaml")
	listen := flags.String("listen", "127.0.0.1:8080", "the address to listen on; FUNCTIONS_CUSTOMHANDLER_PORT, where set, wins")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	cfg, err := loadConfig(*path, std)
	if err != nil {
		return err
	}
	address, err := listenAddress(*listen, std)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("spillway serve: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	log := telemetry.NewLogger(std.out)
	gateway, err := app.New(ctx, cfg, app.Options{Log: log, Version: version()})
	if err != nil {
		listener.Close()
		return fmt.Errorf("spillway serve: %w", err)
	}
	defer time.AfterFunc(warmAfter, gateway.Warm).Stop()
	var tending sync.WaitGroup
	tending.Go(func() { gateway.Tend(ctx) })
	defer func() {
		stop()
		tending.Wait()
	}()
	log.Info().Str("address", listener.Addr().String()).Str("version", version()).Msg("listening")
	return serveUntil(ctx, listener, gateway, log)
}

// serveUntil serves until ctx ends, then lets open requests finish.
func serveUntil(ctx context.Context, listener net.Listener, gateway *app.App, log zerolog.Logger) error {
	var open sync.WaitGroup
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			open.Add(1)
			defer open.Done()
			gateway.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	last, told := signal.NotifyContext(last, syscall.SIGINT, syscall.SIGTERM) // told again, it waits no longer
	defer told()
	log.Info().Dur("within", drain).Msg("stopping: open requests may finish")
	err := server.Shutdown(last)
	if err != nil {
		server.Close() // the requests that are open end with their connections,
		open.Wait()    // and leave their records
		err = errors.New("spillway serve: requests were still open and have been cut")
	}
	giveBack, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	gateway.Close(giveBack)
	return err
}

// listenAddress is where to listen: a Functions host names the port, and calls
// from this machine only.
func listenAddress(flag string, std streams) (string, error) {
	port, ok := std.env("FUNCTIONS_CUSTOMHANDLER_PORT")
	if !ok || port == "" {
		return flag, nil
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("spillway serve: FUNCTIONS_CUSTOMHANDLER_PORT is not a port: %q", port)
	}
	return net.JoinHostPort("127.0.0.1", port), nil
}

// loadConfig finds, reads and checks the configuration.
func loadConfig(path string, std streams) (*config.Config, error) {
	source, err := config.Find(path, std.env)
	if err != nil {
		return nil, err
	}
	return source.Load(std.env)
}
