package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"spillway/functions/app"
	"spillway/functions/console"
	"spillway/shared/auth"
	"spillway/shared/config"
	"spillway/shared/telemetry"
	"spillway/tests/fakes/azureopenai"
)

// The token limits of the simulated deployments, per minute.
const (
	ptuTokens  = 10_000
	paygTokens = 1_000_000
)

const (
	model         = "gpt-4o"
	ptuDeployment = "gpt-4o-ptu"
)

// stage is all that runs: the backends, and the gateway before them.
type stage struct {
	endpoint string // base URL of the gateway
	key      string // of the consumer
	adminKey string
	folder   string       // holds the two files; removed by close
	failed   <-chan error // the gateway's server ended by itself
	client   *http.Client // reaches the gateway as any client does
	ptu      *azureopenai.Server
	payg     []*azureopenai.Server

	log     *os.File
	server  *http.Server
	serving sync.RWMutex // held for reading by each request of the server
	gateway *app.App
	sockets []*azureopenai.Listener
}

// configPath is the gateway's configuration, logPath its log.
func (s *stage) configPath() string { return filepath.Join(s.folder, "gateway.yaml") }
func (s *stage) logPath() string    { return filepath.Join(s.folder, "gateway.log") }

// openStage starts everything. The error leaves nothing behind.
func openStage(listen string) (s *stage, err error) {
	s = &stage{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxLoad}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.folder, err = os.MkdirTemp("", "spillway-demo-"); err != nil {
		return s, err
	}
	if s.log, err = os.Create(s.logPath()); err != nil {
		return s, err
	}
	text, err := s.openBackends()
	if err != nil {
		return s, err
	}
	if err := os.WriteFile(s.configPath(), []byte(text), 0o600); err != nil {
		return s, err
	}
	return s, s.openGateway(text, listen)
}

//go:embed gateway.yaml
var configuration string

// openBackends starts the three backends, and returns a configuration of the
// gateway that names them.
func (s *stage) openBackends() (string, error) {
	backendKey, _ := auth.NewKey()
	consumerKey, consumerHash := auth.NewKey()
	adminKey, adminHash := auth.NewKey()
	s.key, s.adminKey = consumerKey, adminKey

	s.ptu = newBackend("ptu", "East US", backendKey, ptuDeployment, ptuTokens)
	eastus := newBackend("payg-eastus", "East US", backendKey, model, paygTokens)
	sweden := newBackend("payg-sweden", "Sweden Central", backendKey, model, paygTokens)
	s.payg = []*azureopenai.Server{eastus, sweden}

	values := map[string]string{
		"BACKEND_KEY":   backendKey,
		"CONSUMER_HASH": consumerHash,
		"ADMIN_HASH":    adminHash,
		"PTU_TOKENS":    strconv.Itoa(ptuTokens),
		"PAYG_TOKENS":   strconv.Itoa(paygTokens),
	}
	for name, backend := range map[string]*azureopenai.Server{"PTU": s.ptu, "PAYG_EASTUS": eastus, "PAYG_SWEDEN": sweden} {
		socket, err := backend.Listen("127.0.0.1:0")
		if err != nil {
			return "", err
		}
		s.sockets = append(s.sockets, socket)
		values[name] = socket.URL
	}
	return os.Expand(configuration, func(name string) string { return values[name] }), nil
}

// newBackend is a resource with one deployment that counts tokens in fixed
// minutes, and answers about as fast as the service does.
func newBackend(name, region, key, deployment string, tokens int64) *azureopenai.Server {
	return azureopenai.New(azureopenai.Options{
		Name:           name,
		Region:         region,
		Key:            key,
		Seed:           uint64(time.Now().UnixNano()),
		RecordRequests: -1,
		Latency:        azureopenai.Latency{FirstByte: 300 * time.Millisecond, PerToken: 15 * time.Millisecond, Jitter: 0.3},
		Output:         azureopenai.Output{Mean: 60, Spread: 0.4},
		Deployments: []azureopenai.Deployment{{
			Name: deployment, Model: model, TokensPerMinute: tokens, Limiter: azureopenai.Fixed,
		}},
	})
}

// openGateway starts the gateway as the spillway binary does.
func (s *stage) openGateway(text, listen string) error {
	cfg, err := config.Parse(s.configPath(), []byte(text), nil)
	if err != nil {
		return err
	}
	s.gateway, err = app.New(context.Background(), cfg, app.Options{Log: telemetry.NewLogger(s.log), Version: "demo"})
	if err != nil {
		return err
	}
	s.gateway.Warm()
	listener, err := listenOn(listen)
	if err != nil {
		return err
	}
	s.endpoint = "http://" + reachable(listener.Addr())
	s.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.serving.RLock()
			defer s.serving.RUnlock()
			s.gateway.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	failed := make(chan error, 1)
	s.failed = failed
	go func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return nil
}

// The ports tried where none was asked for.
const (
	firstPort = 8080
	lastPort  = 8179
)

// listenOn listens on the address; "" is the first port that is free.
func listenOn(address string) (net.Listener, error) {
	if address != "" {
		return net.Listen("tcp", address)
	}
	for port := firstPort; ; port++ {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || port == lastPort {
			return listener, err
		}
	}
}

// reachable is the address at which this machine reaches a listener.
func reachable(address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// reading is the state at one moment. All counts are since the start.
type reading struct {
	window     time.Duration // since the minute began
	fill       float64       // share of the PTU's tokens that this minute has taken
	best       float64       // the same, of the fullest minute so far
	requests   int64         // ended
	spilled    int64
	throttled  int64 // 429 to clients
	backend429 int64 // 429 from backends
}

// read asks the gateway and the backends how they stand.
func (s *stage) read(ctx context.Context) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	status, err := s.status(ctx)
	if err != nil {
		return reading{}, fmt.Errorf("the gateway's status: %w", err)
	}
	now := time.Now()
	minute := now.Truncate(time.Minute)
	ptu := s.ptu.Stats()[ptuDeployment]
	r := reading{
		window:     now.Sub(minute),
		fill:       ptu.Fill(minute, ptuTokens),
		requests:   status.Totals.Requests,
		spilled:    status.Totals.Spilled,
		throttled:  status.Totals.RateLimited,
		backend429: ptu.Rejected429,
	}
	for begin := range ptu.TokensCharged {
		r.best = max(r.best, ptu.Fill(time.Unix(begin, 0), ptuTokens))
	}
	for _, backend := range s.payg {
		r.backend429 += backend.Stats()[model].Rejected429
	}
	return r, nil
}

// status asks for /spillway/status, as an operator does.
func (s *stage) status(ctx context.Context) (console.Status, error) {
	var status console.Status
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.endpoint+"/spillway/status", nil)
	if err != nil {
		return status, err
	}
	request.Header.Set("Api-Key", s.adminKey)
	response, err := s.client.Do(request)
	if err != nil {
		return status, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return status, errors.New(response.Status)
	}
	return status, json.NewDecoder(response.Body).Decode(&status)
}

// drain is how long open requests may go on. It is short: somebody waits for
// the prompt.
const drain = 2 * time.Second

// close ends everything that was started, and removes the files. Requests that
// are open beyond drain are cut.
func (s *stage) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	var errs []error
	if s.server != nil {
		err := s.server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.server.Close()
		}
		errs = append(errs, err)
		s.serving.Lock() // Close does not wait for the requests that it cuts
	}
	if s.gateway != nil {
		s.gateway.Close(ctx)
	}
	for _, socket := range s.sockets {
		errs = append(errs, socket.Close())
	}
	s.client.CloseIdleConnections()
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.folder))...)
}
