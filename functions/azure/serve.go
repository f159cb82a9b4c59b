package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/functions/process"
	"spillway/shared/config"
	"spillway/shared/server"
	"spillway/shared/telemetry"
	"spillway/shared/telemetry/export"
)

// drain is how long open requests may go on after the process was told to end.
const drain = 30 * time.Second

// warmAfter leaves the processor to the first requests before the tokenizers'
// vocabularies are built.
const warmAfter = 2 * time.Second

// serve runs the gateway until SIGINT or SIGTERM.
func serve(args []string, std streams) error {
	flags := newFlags("serve", "[--config gateway.yaml] [--listen 127.0.0.1:8080]", std)
	path := configFlag(flags)
	listen := flags.String("listen", "127.0.0.1:8080", "the address to listen on; FUNCTIONS_CUSTOMHANDLER_PORT, where set, wins")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	lines := telemetry.NewBatch(std.out)
	defer func() { _ = lines.Flush() }()
	log := telemetry.NewLogger(lines)
	listener, err := bind(*listen, std)
	if err != nil {
		_, more := loadConfig(*path, std) // so that all that is wrong is said at once
		return refuse(log, std, err, more)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	// A Functions host asks until it is answered, and sends nothing before.
	process.TuneCollector()
	door := app.NewDoor()
	s := newService(door, log)
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, listener) }()

	gateway, err := open(ctx, *path, std, log)
	if err != nil {
		s.Close()
		<-ended
		return refuse(log, std, err)
	}
	door.Open(gateway)
	log.Info().Str("address", listener.Addr().String()).Str("version", version()).Msg("listening")
	_ = lines.Flush() // whoever has started it waits for this line
	defer time.AfterFunc(warmAfter, gateway.Warm).Stop()
	var tending sync.WaitGroup
	tending.Go(func() { gateway.Tend(ctx) })
	tending.Go(func() { process.TuneProcessors(ctx) })
	err = <-ended
	stop()
	tending.Wait()
	giveBack, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	gateway.Close(giveBack)
	if err == nil && functionsHost(std) {
		return errStopped
	}
	return err
}

// open reads the configuration and builds the gateway.
func open(ctx context.Context, path string, std streams, log zerolog.Logger) (*app.App, error) {
	cfg, err := loadConfig(path, std)
	if err != nil {
		return nil, err
	}
	app.LogConfiguration(log, cfg)
	instance := app.InstanceName()
	return app.New(ctx, cfg, app.Options{
		Log: log, Version: version(), Instance: instance, Timer: functionsHost(std),
		Telemetry: export.FromEnvironment(ctx, export.Options{Log: log, Version: version(), Instance: instance}),
	})
}

// refuse says in one line of the log all that keeps the gateway from starting, and
// returns it as the command's error.
func refuse(log zerolog.Logger, std streams, errs ...error) error {
	err := errors.Join(errs...)
	problems := strings.Split(err.Error(), "\n")
	log.Error().Str(telemetry.KeyEvent, "start_refused").Strs("problems", problems).Msg("the gateway cannot start")
	if functionsHost(std) {
		return errSaid // the host would log each line of stderr as one more error
	}
	return fmt.Errorf("spillway serve: %w", err)
}

// service serves, and lets open requests finish when it is told to end.
type service struct {
	*server.Server
	open sync.WaitGroup
	log  zerolog.Logger
}

func newService(handler http.Handler, log zerolog.Logger) *service {
	s := &service{log: log}
	s.Server = server.New(&http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.open.Add(1)
			defer s.open.Done()
			handler.ServeHTTP(w, r)
		}),
		// It also ends connections that a client opened in advance and has not used
		// yet; a client that uses one at that moment sees it break.
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	})
	return s
}

// serve serves until ctx ends, then lets open requests finish.
func (s *service) serve(ctx context.Context, listener net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	last, told := signal.NotifyContext(last, syscall.SIGINT, syscall.SIGTERM) // told again, it waits no longer
	defer told()
	s.log.Info().Dur("within", drain).Msg("stopping: open requests may finish")
	if err := s.Shutdown(last); err != nil {
		s.Close()     // the requests that are open end with their connections,
		s.open.Wait() // and leave their records
		return errors.New("spillway serve: requests were still open and have been cut")
	}
	return nil
}

// bind listens where the host or the flag says.
func bind(flag string, std streams) (net.Listener, error) {
	address, err := listenAddress(flag, std)
	if err != nil {
		return nil, err
	}
	return net.Listen("tcp", address)
}

// functionsHost tells whether a Functions host runs this process.
func functionsHost(std streams) bool {
	port, err := hostPort(std)
	return port != "" && err == nil
}

// listenAddress is where to listen: a Functions host names the port, and calls
// from this machine only.
func listenAddress(flag string, std streams) (string, error) {
	port, err := hostPort(std)
	switch {
	case err != nil:
		return "", err
	case port == "":
		return flag, nil
	default:
		return net.JoinHostPort("127.0.0.1", port), nil
	}
}

// hostPort is the port that a Functions host wants to be served on, empty without
// such a host.
func hostPort(std streams) (string, error) {
	port, _ := std.env("FUNCTIONS_CUSTOMHANDLER_PORT")
	if port == "" {
		return "", nil
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("FUNCTIONS_CUSTOMHANDLER_PORT is not a port: %q", port)
	}
	return port, nil
}

// loadConfig finds, reads and checks the configuration.
func loadConfig(path string, std streams) (*config.Config, error) {
	source, err := config.Find(path, std.env)
	if err != nil {
		return nil, err
	}
	return source.Load(std.env)
}
