package aztable

import (
	"context"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"pgregory.net/rapid"
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
			"AccountName=contoso;AccountKey=a2V5YQ==",
			account{endpoint: "https://contoso.table.core.windows.net", name: "contoso", key: "a2V5YQ=="},
		},
		{
			"accountname = contoso ;ACCOUNTKEY=a2V5; Comment=a part of another tool ;",
			account{endpoint: "https://contoso.table.core.windows.net", name: "contoso", key: "a2V5"},
		},
		{
			"AccountName=contoso;AccountKey=a2V5;SharedAccessSignature=sig=x",
			account{endpoint: "https://contoso.table.core.windows.net", name: "contoso", key: "a2V5"},
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
		"https://contoso.table.core.windows.net":        maxKey,
		"https://contoso.table.cosmos.azure.com:443":    maxCosmosRow,
		"https://contoso.table.cosmos.windows-ppe.net/": maxCosmosRow,
		"https://contoso.table.cosmosdb.azure.com":      maxCosmosRow,
	} {
		s, err := Open(context.Background(), Options{Endpoint: endpoint, Credential: tokenFunc(nil), Table: "spillway"})
		if err != nil || s.maxRow != want {
			t.Errorf("%s: %+v, want maxRow %v, %v", endpoint, s, want, err)
		}
	}
}

// A token is asked for what the service of its cloud expects.
func TestAudiences(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://contoso.table.core.windows.net":       "https://storage.azure.com/.default",
		"https://contoso.table.core.chinacloudapi.cn":  "https://storage.azure.com/.default",
		"https://contoso.table.cosmos.azure.com:443":   "https://cosmos.azure.com/.default",
		"https://contoso.table.cosmos.azure.cn:443":    "https://cosmos.azure.cn/.default",
		"https://contoso.table.cosmos.azure.us:443":    "https://cosmos.azure.us/.default",
		"https://contoso.privatelink.example/account1": "https://storage.azure.com/.default",
	} {
		credential := &scopes{}
		s, err := Open(context.Background(), Options{Endpoint: endpoint, Credential: credential, Table: "spillway", Transport: &script{}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(context.Background(), slashKey); err == nil {
			t.Error("an answer from nobody")
		}
		if len(credential.asked) != 1 || credential.asked[0] != want {
			t.Errorf("%s: asked for %v, want %s", endpoint, credential.asked, want)
		}
	}
}

// Each kind of slip gets an error that names the mend, and no part of the text.
func TestBrokenConnectionStrings(t *testing.T) {
	tests := []struct{ text, want string }{
		{"AccountName=contoso;AccountKye=KEY", "part 2 has an unknown name; did you mean AccountKey?"},
		{"AcountName=contoso;AccountKey=KEY", "part 1 has an unknown name; did you mean AccountName?"},
		{"AccountName=contoso;;Account Key=KEY", "part 3 has an unknown name; did you mean AccountKey?"},
		{"AccountName=contoso;AccountKey=KEY;EndpointSufix=core.chinacloudapi.cn", "did you mean EndpointSuffix?"},
		{"TableEndpoint=https://contoso.table.core.windows.net;SharedAccesSignature=sig=KEY", "did you mean SharedAccessSignature?"},
		{"DefaultEndpointProtocol=https;AccountName=contoso;AccountKey=KEY", "did you mean DefaultEndpointsProtocol?"},
		{"UseDevelopmentStorag=true", "did you mean UseDevelopmentStorage?"},
		{"UseDevelopmentStorage=yes", "UseDevelopmentStorage can only be true"},
		{"AccountName=contoso", "neither AccountKey nor SharedAccessSignature"},
		{"AccountName=contoso;Key=KEY", "neither AccountKey nor SharedAccessSignature; part 2 has a name that no connection string has"},
		{"AccountName=contoso;AccountKey=", "AccountKey is empty"},
		{"AccountName=contoso;AccountKey=KEY;AccountKey=KEY", "AccountKey is there twice"},
		{"AccountKey=KEY", "no AccountName"},
		{"SharedAccessSignature=sig=KEY", "neither AccountName nor TableEndpoint"},
		{"AccountName=contoso;KEY", "part 2 is not name=value"},
		{"AccountName=contoso,AccountKey=KEY", "neither AccountKey nor SharedAccessSignature"},
		{"KEY=", "is it the connection string of a storage account?; part 1 has a name that no connection string has"},
		{" ; ", "is it the connection string of a storage account?"},
		{"AccountName=contoso;AccountKey=KEY=", "AccountKey is not base64: is it cut off, or has it a character too many?"},
		{"AccountName=contoso;AccountKey=KEY-_", "AccountKey is not base64"},
		{"DefaultEndpointsProtocol=htps;AccountName=contoso;AccountKey=KEY", "DefaultEndpointsProtocol must be https or http"},
		{"AccountName=KEY/;AccountKey=KEY", "AccountName has 3 to 44 lower-case letters, digits and hyphens"},
		{"AccountName=Contoso;AccountKey=KEY", "AccountName has 3 to 44 lower-case letters, digits and hyphens"},
		{"AccountName=contoso;AccountKey=KEY;EndpointSuffix=https://core.windows.net", "EndpointSuffix: "},
		{"AccountName=contoso;AccountKey=KEY;TableEndpoint=contoso.table.core.windows.net", "TableEndpoint: not an http or https URL"},
		{"AccountName=contoso;AccountKey=KEY;TableEndpoint=htps://contoso.table.core.windows.net", "TableEndpoint: not an http or https URL"},
		{"AccountName=contoso;AccountKey=KEY;TableEndpoint=https://contoso.blob.core.windows.net", "TableEndpoint: the host is that of another service (blob), not of tables"},
		{"AccountName=contoso;AccountKey=KEY;TableEndpoint=https://contoso.table.core.windows.net/spillway", "(state.table)"},
		{"AccountEndpoint=https://contoso.documents.azure.com:443/;AccountKey=KEY;", "for Azure Cosmos DB for NoSQL: copy that of an account for Table"},
		{`"AccountName=contoso;AccountKey=KEY"`, "quotation mark"},
		{"@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/KEY)", "Key Vault reference that was not resolved"},
		{"https://contoso.table.core.windows.net/?sig=KEY", "a URL goes into state.endpoint"},
	}
	for _, test := range tests {
		_, err := Open(context.Background(), Options{Connection: strings.ReplaceAll(test.text, "KEY", secret), Table: "spillway"})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s:\n got %v\nwant %s", test.text, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: the error shows the secret or has several lines: %v", test.text, err)
		}
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "bac", 1},
		{"abc", "ab", 1}, {"abc", "xabc", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}, {strings.Repeat("a", 65), "a", 64},
	}
	for _, test := range tests {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
	// The known names are no slips of each other.
	for _, name := range knownNames {
		if known, near := knownName(strings.ToUpper(name)); known != name || near {
			t.Errorf("%s: %q, %v", name, known, near)
		}
	}
}

// A connection string with any one slip of the keyboard either is still the same
// account or gives an error; neither the error nor what the store says later
// about its account shows the secret.
func TestSlipsShowNoSecret(t *testing.T) {
	for _, whole := range []string{
		"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=" + longSecret + ";EndpointSuffix=core.windows.net",
		"TableEndpoint=https://contoso.table.core.windows.net/;SharedAccessSignature=sv=2019-02-02&sig=" + longSecret,
	} {
		rapid.Check(t, func(t *rapid.T) {
			at := rapid.IntRange(0, len(whole)-1).Draw(t, "at")
			end := rapid.IntRange(at, min(at+3, len(whole))).Draw(t, "end")
			text := whole[:at] + rapid.StringN(0, 3, -1).Draw(t, "typed") + whole[end:]
			s, err := Open(context.Background(), Options{Connection: text, Table: "spillway", Transport: &script{}})
			if err == nil {
				err = s.Check(context.Background())
			}
			wantSilent(t, err, longSecret)
		})
	}
}

// longSecret is 64 bytes in base64, as an account's key is.
const longSecret = "U2VjcmV0U2VjcmV0U2VjcmV0U2VjcmV0U2VjcmV0U2VjcmV0U2VjcmV0U2VjcmV0U2VjcmV0U2VjcmV0U2VjcmU="

// wantSilent demands an error of one line that holds no eight characters of the
// secret in a row.
func wantSilent(t interface{ Fatalf(string, ...any) }, err error, secret string) {
	if err == nil {
		t.Fatalf("no error")
	}
	text := err.Error()
	for at := 0; at+8 <= len(secret); at++ {
		if strings.Contains(text, secret[at:at+8]) {
			t.Fatalf("the error shows %s: %s", secret[at:at+8], text)
		}
	}
	if strings.ContainsAny(text, "\r\n") {
		t.Fatalf("several lines: %s", text)
	}
}

// FuzzParseConnection feeds any text; what is taken is a usable account, and what
// is refused is not repeated.
func FuzzParseConnection(f *testing.F) {
	f.Add("AccountName=contoso;AccountKey=" + secret)
	f.Add("AccountName=contoso;AccountKye=" + secret)
	f.Add("TableEndpoint=https://h;SharedAccessSignature=sig=" + secret)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseConnection(text)
		if err != nil {
			for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == '=' || r == ' ' }) {
				// What the errors say of themselves is no secret.
				if len(part) > 30 && strings.Contains(err.Error(), part) {
					t.Fatalf("%q is repeated: %v", part, err)
				}
			}
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
