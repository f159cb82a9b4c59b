package aztable

import (
	"context"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

func TestParseConnection(t *testing.T) {
	development := account{
		endpoint: "http://127.0.0.1:10002/devstoreaccount1", name: emulatorAccount, key: emulatorKey,
	}
	elsewhere := development
	elsewhere.endpoint = "http://azurite:10002/devstoreaccount1"
	tests := []struct {
		text string
		want account
	}{
		{"UseDevelopmentStorage=true", development},
		{" usedevelopmentstorage = True ; ", development},
		{"UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite", elsewhere},
		{
			"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=a2V5;EndpointSuffix=core.windows.net",
			account{endpoint: "https://contoso.table.core.windows.net", name: "contoso", key: "a2V5"},
		},
		{
			"AccountName=contoso;AccountKey=a2V5==",
			account{endpoint: "https://contoso.table.core.windows.net", name: "contoso", key: "a2V5=="},
		},
		{
			"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=a2V5;TableEndpoint=https://contoso.table.cosmos.azure.com:443/;",
			account{endpoint: "https://contoso.table.cosmos.azure.com:443", name: "contoso", key: "a2V5"},
		},
		{
			"BlobEndpoint=https://b/;TableEndpoint=https://contoso.table.core.windows.net/;SharedAccessSignature=?sv=1&sig=a%2Bb%3D",
			account{endpoint: "https://contoso.table.core.windows.net", sas: "sv=1&sig=a%2Bb%3D"},
		},
		{
			"AccountName=contoso;EndpointSuffix=core.chinacloudapi.cn;SharedAccessSignature=sig=x",
			account{endpoint: "https://contoso.table.core.chinacloudapi.cn", name: "contoso", sas: "sig=x"},
		},
	}
	for _, test := range tests {
		got, err := parseConnection(test.text)
		if err != nil || got != test.want {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", test.text, got, err, test.want)
		}
	}
}

const secret = "c2VjcmV0"

// brokenOptions must all be refused at Open, and every refusal must be silent
// about the secret.
func TestOpenRefuses(t *testing.T) {
	credential := tokenFunc(nil)
	tests := map[string]Options{
		"nothing":                {},
		"no table":               {Connection: "UseDevelopmentStorage=true"},
		"table with a dash":      {Connection: "UseDevelopmentStorage=true", Table: "my-table"},
		"short table":            {Connection: "UseDevelopmentStorage=true", Table: "ab"},
		"negative timeout":       {Connection: "UseDevelopmentStorage=true", Table: "spillway", TryTimeout: -1},
		"no pair":                {Connection: secret, Table: "spillway"},
		"no key":                 {Connection: "AccountName=contoso;" + secret + "=", Table: "spillway"},
		"no account":             {Connection: "AccountKey=" + secret, Table: "spillway"},
		"key is not base64":      {Connection: "AccountName=contoso;AccountKey=" + secret + "!", Table: "spillway"},
		"endpoint is no URL":     {Connection: "AccountName=contoso;AccountKey=a2V5;TableEndpoint=:" + secret, Table: "spillway"},
		"endpoint with a user":   {Connection: "AccountName=contoso;AccountKey=a2V5;TableEndpoint=https://u:" + secret + "@h", Table: "spillway"},
		"endpoint with a SAS":    {Connection: "AccountName=contoso;AccountKey=a2V5;TableEndpoint=https://h/?sig=" + secret, Table: "spillway"},
		"name breaks the host":   {Connection: "AccountName=a b;AccountKey=" + secret, Table: "spillway"},
		"both ways":              {Connection: "UseDevelopmentStorage=true", Endpoint: "https://h", Credential: credential, Table: "spillway"},
		"endpoint alone":         {Endpoint: "https://h", Table: "spillway"},
		"credential alone":       {Credential: credential, Table: "spillway"},
		"token over http":        {Endpoint: "http://h", Credential: credential, Table: "spillway"},
		"endpoint with a query":  {Endpoint: "https://h/?sig=" + secret, Credential: credential, Table: "spillway"},
		"endpoint without host":  {Endpoint: "https:///" + secret, Credential: credential, Table: "spillway"},
		"emulator on a bad host": {Connection: "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=" + secret, Table: "spillway"},
	}
	for name, options := range tests {
		s, err := Open(context.Background(), options)
		if err == nil {
			t.Errorf("%s: opened %v", name, s)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}

func TestOpenCosmosLimitsRowKeys(t *testing.T) {
	for endpoint, want := range map[string]int{
		"https://contoso.table.core.windows.net":         maxKey,
		"https://contoso.table.cosmos.azure.com:443":     maxCosmosRow,
		"https://contoso.table.cosmos.windows-ppe.net/x": maxCosmosRow,
	} {
		s, err := Open(context.Background(), Options{Endpoint: endpoint, Credential: tokenFunc(nil), Table: "spillway"})
		if err != nil || s.maxRow != want {
			t.Errorf("%s: %+v, %v", endpoint, s, err)
		}
	}
}

// FuzzParseConnection feeds any text; what is taken is a usable account.
func FuzzParseConnection(f *testing.F) {
	f.Add("AccountName=contoso;AccountKey=" + secret)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseConnection(text)
		if err != nil {
			return
		}
		if a.key == "" && a.sas == "" {
			t.Fatalf("no secret in %+v", a)
		}
		if _, err := parseEndpoint(a.endpoint); err != nil {
			t.Fatalf("endpoint %q: %v", a.endpoint, err)
		}
	})
}

// tokenFunc is a credential.
type tokenFunc func() (azcore.AccessToken, error)

func (f tokenFunc) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return f()
}
