package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/store"
	"spillway/shared/store/aztable"
	"spillway/shared/store/memory"
	"spillway/shared/telemetry"
	"spillway/shared/upstream"
)

// errMemory says that a command cannot see what instances keep to themselves.
var errMemory = errors.New("state.store is memory: each instance keeps its state to itself, and nobody else can read it; write store: tables")

// OpenStore opens the shared state of a configuration for a command that works on it
// beside the gateway's instances, and the clock that its answers correct. It asks the
// service nothing. State that is in memory is an error.
func OpenStore(ctx context.Context, cfg *config.Config) (store.Store, *clock.Clock, error) {
	if cfg.State.Store == "memory" {
		return nil, nil, errMemory
	}
	o := Options{Clock: new(clock.Clock), Credential: azureCredential}
	opened, err := openStore(ctx, cfg.State, o)
	return opened, o.Clock, err
}

// openStore opens the store that the configuration names. It asks the service
// nothing, so an instance starts while its store is down; an error is one that
// no waiting mends, such as a connection string that cannot be read.
func openStore(ctx context.Context, s config.State, o Options) (store.Store, error) {
	if s.Store == "memory" {
		return memory.New(), nil
	}
	table := aztable.Options{
		Connection:     s.Connection.Reveal(),
		Table:          s.Table,
		OnServerDate:   o.Clock.Observe,
		OnTableCreated: events{o.Log, o.meter}.tableCreated,
	}
	if s.Endpoint != nil {
		credential, err := o.Credential("")
		if err != nil {
			return nil, fmt.Errorf("state.endpoint: %w", err)
		}
		table.Endpoint, table.Credential = s.Endpoint.String(), credential
	}
	opened, err := aztable.Open(ctx, table)
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// checkStore asks the store whether it can be used, and creates its table if it
// is missing. The error is one line that says what is wrong and what to do; it is
// for the log alone, because an instance also works, degraded, without its store.
func checkStore(ctx context.Context, s store.Store) error {
	table, ok := s.(*aztable.Store)
	if !ok {
		return nil // Memory, or what the host has brought.
	}
	return table.Check(ctx)
}

// tableCreated tells of a new table. One that was lost took all counts with it:
// every limit's present window starts anew.
func (e events) tableCreated(lost bool) {
	if lost {
		e.meter.Event("state_lost")
		e.log.Warn().
			Str(telemetry.KeyEvent, "state_lost").
			Msg("somebody deleted the table of the shared state while it was in use; it has been created again, and all counts start at zero")
		return
	}
	e.log.Info().
		Str(telemetry.KeyEvent, "state_created").
		Msg("the table of the shared state was missing and has been created")
}

// azureCredential is the source of tokens for the identity that the host gives us.
func azureCredential(clientID string) (azcore.TokenCredential, error) {
	return upstream.HostCredential(clientID, azcore.ClientOptions{})
}
