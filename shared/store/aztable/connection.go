package aztable

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// account is how a table service is reached: a connection string, taken apart,
// or an endpoint for a credential. Key and SAS are secrets; at most one of them
// is set.
type account struct {
	endpoint string // URL of the table service, without a query.
	name     string
	key      string
	sas      string // Without the question mark.
}

// connect makes the client and returns the account it talks to.
func connect(o Options, settings *aztables.ClientOptions) (*aztables.ServiceClient, account, error) {
	if o.Connection == "" {
		return connectIdentity(o, settings)
	}
	if o.Endpoint != "" || o.Credential != nil {
		return nil, account{}, errors.New("set either state.connection or state.endpoint, not both")
	}
	a, err := parseConnection(o.Connection)
	if err != nil {
		return nil, account{}, fmt.Errorf("state.connection: %w", err)
	}
	if a.key == "" {
		service, err := aztables.NewServiceClientWithNoCredential(a.endpoint+"/?"+a.sas, settings)
		if err != nil {
			return nil, account{}, errors.New("state.connection: SharedAccessSignature cannot be used")
		}
		return service, a, nil
	}
	credential, err := aztables.NewSharedKeyCredential(a.name, a.key)
	if err != nil {
		return nil, account{}, errors.New("state.connection: AccountKey cannot be used")
	}
	service, err := aztables.NewServiceClientWithSharedKey(a.endpoint, credential, settings)
	if err != nil {
		return nil, account{}, errors.New("state.connection: cannot be used")
	}
	return service, a, nil
}

func connectIdentity(o Options, settings *aztables.ClientOptions) (*aztables.ServiceClient, account, error) {
	if o.Endpoint == "" || o.Credential == nil {
		return nil, account{}, errors.New("neither state.connection, nor state.endpoint with a credential")
	}
	endpoint, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, account{}, fmt.Errorf("state.endpoint: %w", err)
	}
	if !strings.HasPrefix(endpoint, "https://") {
		return nil, account{}, errors.New("state.endpoint: a token is only sent over https")
	}
	a := account{endpoint: endpoint}
	// The audience of a token for Cosmos DB depends on the cloud.
	switch host := a.host(); {
	case a.cosmos() && strings.HasSuffix(host, ".cn"):
		settings.Cloud = cloud.AzureChina
	case a.cosmos() && strings.HasSuffix(host, ".us"):
		settings.Cloud = cloud.AzureGovernment
	}
	service, err := aztables.NewServiceClient(endpoint, tokens{o.Credential}, settings)
	if err != nil {
		return nil, account{}, errors.New("state.endpoint: cannot be used")
	}
	return service, a, nil
}

// host is the name of the host without the port.
func (a account) host() string {
	u, err := url.Parse(a.endpoint)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// cosmos tells whether this is Azure Cosmos DB for Table.
func (a account) cosmos() bool {
	host := a.host()
	return strings.Contains(host, ".table.cosmos.") || strings.Contains(host, ".table.cosmosdb.")
}

// setting is the setting that a user would mend.
func (a account) setting() string {
	if a.key == "" && a.sas == "" {
		return "state.endpoint"
	}
	return "state.connection"
}

// otherServices are parts of the hosts of services that are not the table's.
var otherServices = []string{".blob.", ".queue.", ".file.", ".dfs.", ".documents."}

// parseEndpoint checks a URL and takes the slash off its end. Its errors do not
// repeat the URL.
func parseEndpoint(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("not an http or https URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("the URL must have no user, query or fragment")
	}
	host := u.Hostname()
	for _, other := range otherServices {
		if strings.Contains(host, other) {
			return "", fmt.Errorf("the host is that of another service (%s), not of tables", strings.Trim(other, "."))
		}
	}
	if strings.Contains(host, ".table.") && strings.Trim(u.Path, "/") != "" {
		return "", errors.New("the URL must end after the host; the name of the table is a setting of its own (state.table)")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// tokens marks the errors of a credential, so that they are told from those of
// the table service.
type tokens struct {
	credential azcore.TokenCredential
}

// GetToken implements azcore.TokenCredential.
func (t tokens) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := t.credential.GetToken(ctx, o)
	if err != nil {
		return token, &credentialError{reason: firstLine(err.Error())}
	}
	return token, nil
}

// credentialError says why there is no token. Credential libraries keep secrets
// out of the first line of their errors; the rest may be a whole answer.
type credentialError struct {
	reason string
}

func (e *credentialError) Error() string { return e.reason }

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line[:min(len(line), 200)]
}
