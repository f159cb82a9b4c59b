package upstream

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// HostCredential is the source of tokens for the identity that this process has on
// its host, as the environment tells. It asks nothing yet. The client id names one
// of several identities; where it is empty, AZURE_CLIENT_ID may. In this order it is
//
//   - what AZURE_TOKEN_CREDENTIALS names, if it does, as Azure's SDKs read it;
//   - an application, where its secret or certificate is in the environment, if no
//     other identity is named;
//   - workload identity, where AZURE_FEDERATED_TOKEN_FILE is set, as in Kubernetes;
//   - the managed identity of the host: App Service, Functions, Container Apps, or
//     a virtual machine;
//   - or, on a machine with Azure's command line that is no known host, whoever of
//     Azure's default chain answers: the developer, in the end.
//
// So no server waits for a command line, or takes on the identity of whoever has
// logged in there while its own cannot be had for a moment.
func HostCredential(clientID string, o azcore.ClientOptions) (azcore.TokenCredential, error) {
	if o.Retry.MaxRetries == 0 {
		o.Retry = tokenRetries
	}
	choice, ours := os.Getenv("AZURE_TOKEN_CREDENTIALS"), os.Getenv("AZURE_CLIENT_ID")
	switch {
	case strings.EqualFold(choice, "ManagedIdentityCredential"):
		return managedIdentity(clientID, o)
	case strings.EqualFold(choice, "WorkloadIdentityCredential"):
		return workloadIdentity(clientID, o)
	case choice != "" && choice != "prod":
		return defaultChain(o)
	case isSet("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH") && (clientID == "" || strings.EqualFold(clientID, ours)):
		return azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: o})
	case isSet("AZURE_FEDERATED_TOKEN_FILE"):
		return workloadIdentity(clientID, o)
	case choice == "" && clientID == "" && !isSet("IDENTITY_ENDPOINT", "MSI_ENDPOINT") && hasCommandLine():
		return defaultChain(o)
	}
	return managedIdentity(clientID, o)
}

// tokenRetries are few and quick, so that they end within one fetch: what fails for
// longer, or says that it will, is for whoever waits to know, and is tried again
// later. The SDK's own, for virtual machines above all, take minutes.
var tokenRetries = policy.RetryOptions{MaxRetries: 4, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 2 * time.Second}

// managedIdentity is the identity with that client id, else with AZURE_CLIENT_ID,
// else the system-assigned one.
func managedIdentity(clientID string, o azcore.ClientOptions) (azcore.TokenCredential, error) {
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: o}
	if clientID == "" {
		clientID = os.Getenv("AZURE_CLIENT_ID")
	}
	if clientID != "" {
		options.ID = azidentity.ClientID(clientID)
	}
	source, err := azidentity.NewManagedIdentityCredential(options)
	if err != nil {
		return nil, err
	}
	return uncached{source}, nil
}

func workloadIdentity(clientID string, o azcore.ClientOptions) (azcore.TokenCredential, error) {
	return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: o, ClientID: clientID})
}

func defaultChain(o azcore.ClientOptions) (azcore.TokenCredential, error) {
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: o})
}

// uncached gets a token of a managed identity from the host whenever it is asked.
// The SDK advises to renew such a token at half its life, but hands it out from its
// own cache until five minutes before its end: whoever follows the advice gets the
// same token. It looks past the cache where claims are asked for, which the
// endpoints of managed identities are not sent. Whoever uses a source keeps its
// tokens anyway.
type uncached struct {
	source azcore.TokenCredential
}

// GetToken gets a token from the host.
func (u uncached) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if o.Claims == "" {
		o.Claims = "{}"
	}
	return u.source.GetToken(ctx, o)
}

// isSet tells whether one of the variables has a value.
func isSet(names ...string) bool {
	for _, name := range names {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// hasCommandLine tells whether somebody may have logged in to Azure here.
func hasCommandLine() bool {
	for _, name := range []string{"az", "azd"} {
		if _, err := exec.LookPath(name); err == nil {
			return true
		}
	}
	return false
}

var _ azcore.TokenCredential = uncached{}
