package app

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"spillway/shared/config"
	"spillway/shared/store"
	"spillway/shared/store/aztable"
	"spillway/shared/store/memory"
)

// openStore opens the store that the configuration names.
func openStore(ctx context.Context, s config.State, o Options) (store.Store, error) {
	if s.Store == "memory" {
		return memory.New(), nil
	}
	table := aztable.Options{
		Connection:   s.Connection.Reveal(),
		Table:        s.Table,
		OnServerDate: o.Clock.Observe,
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
		return nil, fmt.Errorf("state: %w", err)
	}
	return opened, nil
}

// azureCredential is a user-assigned identity where its client id is given,
// else Azure's own chain: environment, workload identity, managed identity, and
// a developer's command line.
func azureCredential(clientID string) (azcore.TokenCredential, error) {
	if clientID != "" {
		return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
			ID: azidentity.ClientID(clientID),
		})
	}
	return azidentity.NewDefaultAzureCredential(nil)
}
