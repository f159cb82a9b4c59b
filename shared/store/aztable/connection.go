package aztable

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// The account of the storage emulator. Name and key are public and the same
// everywhere, see "Use the Azurite emulator" in the documentation of Azure
// Storage.
const (
	emulatorAccount = "devstoreaccount1"
	emulatorKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	emulatorHost    = "http://127.0.0.1"
	emulatorPort    = ":10002"
)

// account is a connection string, taken apart. Key and SAS are secrets; one of
// them is set.
type account struct {
	endpoint string // URL of the table service, without a query.
	name     string
	key      string
	sas      string // Without the question mark.
}

// connect makes the client and returns the endpoint it talks to, which holds
// no secret.
func connect(o Options, settings *aztables.ClientOptions) (*aztables.ServiceClient, string, error) {
	if o.Connection == "" {
		return connectIdentity(o, settings)
	}
	if o.Endpoint != "" || o.Credential != nil {
		return nil, "", errors.New("set either a connection string or an endpoint, not both")
	}
	a, err := parseConnection(o.Connection)
	if err != nil {
		return nil, "", err
	}
	if a.key == "" {
		service, err := aztables.NewServiceClientWithNoCredential(a.endpoint+"/?"+a.sas, settings)
		if err != nil {
			return nil, "", errors.New("connection string: cannot be used")
		}
		return service, a.endpoint, nil
	}
	credential, err := aztables.NewSharedKeyCredential(a.name, a.key)
	if err != nil {
		return nil, "", errors.New("connection string: AccountKey is not base64")
	}
	service, err := aztables.NewServiceClientWithSharedKey(a.endpoint, credential, settings)
	if err != nil {
		return nil, "", errors.New("connection string: cannot be used")
	}
	return service, a.endpoint, nil
}

func connectIdentity(o Options, settings *aztables.ClientOptions) (*aztables.ServiceClient, string, error) {
	if o.Endpoint == "" || o.Credential == nil {
		return nil, "", errors.New("no connection string, and no endpoint with a credential")
	}
	endpoint, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, "", fmt.Errorf("endpoint: %w", err)
	}
	if !strings.HasPrefix(endpoint, "https://") {
		return nil, "", errors.New("endpoint: a token is only sent over https")
	}
	service, err := aztables.NewServiceClient(endpoint, tokens{o.Credential}, settings)
	if err != nil {
		return nil, "", errors.New("endpoint: cannot be used")
	}
	return service, endpoint, nil
}

// parseConnection reads a connection string. Names of settings are compared
// without case, as the storage libraries do.
func parseConnection(text string) (account, error) {
	settings := make(map[string]string)
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return account{}, errors.New("connection string: a part is not name=value")
		}
		settings[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	if strings.EqualFold(settings["usedevelopmentstorage"], "true") {
		return emulator(settings["developmentstorageproxyuri"])
	}
	a := account{
		endpoint: settings["tableendpoint"],
		name:     settings["accountname"],
		key:      settings["accountkey"],
		sas:      strings.TrimPrefix(settings["sharedaccesssignature"], "?"),
	}
	if a.key == "" && a.sas == "" {
		return account{}, errors.New("connection string: neither AccountKey nor SharedAccessSignature")
	}
	if a.name == "" && (a.key != "" || a.endpoint == "") {
		return account{}, errors.New("connection string: no AccountName")
	}
	if a.endpoint == "" {
		a.endpoint = withDefault(settings["defaultendpointsprotocol"], "https") + "://" + a.name +
			".table." + withDefault(settings["endpointsuffix"], "core.windows.net")
	}
	var err error
	if a.endpoint, err = parseEndpoint(a.endpoint); err != nil {
		return account{}, fmt.Errorf("connection string: endpoint: %w", err)
	}
	return a, nil
}

// emulator is the account behind UseDevelopmentStorage=true. The proxy is where
// the emulator is to be found if not on this machine.
func emulator(proxy string) (account, error) {
	host, err := parseEndpoint(withDefault(proxy, emulatorHost))
	if err != nil {
		return account{}, fmt.Errorf("connection string: DevelopmentStorageProxyUri: %w", err)
	}
	return account{
		endpoint: host + emulatorPort + "/" + emulatorAccount,
		name:     emulatorAccount,
		key:      emulatorKey,
	}, nil
}

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
	return strings.TrimRight(u.String(), "/"), nil
}

func withDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
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
