package main

import (
	"context"
	"fmt"

	"spillway/functions/app"
	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/store"
)

// sharedState is a configuration with the table that it names, for a command that
// works on it beside the gateway's instances.
type sharedState struct {
	config *config.Config
	table  store.Store
	clock  *clock.Clock // which the table's answers correct
}

// openStore opens the table of a configuration. Tests open another one.
var openStore = app.OpenStore

// openState reads the configuration, and opens the table that it names without
// asking it anything.
func openState(ctx context.Context, path string, std streams) (sharedState, error) {
	cfg, err := loadConfig(path, std)
	if err != nil {
		return sharedState{}, err
	}
	table, c, err := openStore(ctx, cfg)
	if err != nil {
		return sharedState{}, fmt.Errorf("spillway: open the state: %w", err)
	}
	return sharedState{cfg, table, c}, nil
}
