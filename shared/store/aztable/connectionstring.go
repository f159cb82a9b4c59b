package aztable

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
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

// The settings of a connection string, see "Configure Azure Storage connection
// strings" in its documentation. Those that mean nothing to a table are known so
// that a misspelled name is told from them.
const (
	nameProtocol = "DefaultEndpointsProtocol"
	nameAccount  = "AccountName"
	nameKey      = "AccountKey"
	nameSuffix   = "EndpointSuffix"
	nameEndpoint = "TableEndpoint"
	nameSAS      = "SharedAccessSignature"
	nameEmulator = "UseDevelopmentStorage"
	nameProxy    = "DevelopmentStorageProxyUri"
)

var knownNames = []string{
	nameProtocol, nameAccount, nameKey, nameSuffix, nameEndpoint, nameSAS, nameEmulator, nameProxy,
	"BlobEndpoint", "QueueEndpoint", "FileEndpoint", "BlobSecondaryEndpoint", "QueueSecondaryEndpoint",
	"TableSecondaryEndpoint", "FileSecondaryEndpoint",
}

// accountName is what the host names of Table Storage (3 to 24) and Cosmos DB (3
// to 44) allow.
var accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{2,43}$`)

// parseConnection reads a connection string. Names of settings are compared
// without case, as the storage libraries do. An error says which part is wrong
// by its number and by the name it should have, never by its text: a part of
// unknown name may be a secret.
func parseConnection(text string) (account, error) {
	settings, unknown, err := splitConnection(text)
	if err != nil {
		return account{}, err
	}
	if value, ok := settings[nameEmulator]; ok {
		if !strings.EqualFold(value, "true") {
			return account{}, errors.New("UseDevelopmentStorage can only be true")
		}
		return emulator(settings[nameProxy])
	}
	a := account{
		endpoint: settings[nameEndpoint],
		name:     settings[nameAccount],
		key:      settings[nameKey],
		sas:      strings.TrimPrefix(settings[nameSAS], "?"),
	}
	if err := a.complete(); err != nil {
		if unknown != 0 {
			err = fmt.Errorf("%w; part %d has a name that no connection string has", err, unknown)
		}
		return account{}, err
	}
	if a.key != "" {
		a.sas = "" // The key has all rights anyway.
	}
	source := nameEndpoint
	if a.endpoint == "" {
		source = nameSuffix
		protocol := strings.ToLower(withDefault(settings[nameProtocol], "https"))
		if protocol != "https" && protocol != "http" {
			return account{}, errors.New("DefaultEndpointsProtocol must be https or http")
		}
		if !accountName.MatchString(a.name) {
			return account{}, errors.New("AccountName has 3 to 44 lower-case letters, digits and hyphens")
		}
		a.endpoint = protocol + "://" + a.name + ".table." + withDefault(settings[nameSuffix], "core.windows.net")
	}
	if a.endpoint, err = parseEndpoint(a.endpoint); err != nil {
		return account{}, fmt.Errorf("%s: %w", source, err)
	}
	return a, nil
}

// complete tells what an account lacks.
func (a account) complete() error {
	switch {
	case a.key == "" && a.sas == "" && a.name == "":
		return errors.New("neither AccountName with AccountKey, nor SharedAccessSignature; is it the connection string of a storage account?")
	case a.key == "" && a.sas == "":
		return errors.New("neither AccountKey nor SharedAccessSignature")
	case a.name == "" && a.key != "":
		return errors.New("no AccountName")
	case a.name == "" && a.endpoint == "":
		return errors.New("neither AccountName nor TableEndpoint")
	}
	if _, err := base64.StdEncoding.DecodeString(a.key); err != nil {
		return errors.New("AccountKey is not base64: is it cut off, or has it a character too many?")
	}
	return nil
}

// splitConnection returns the settings by the names of knownNames, and the number
// of the first part that has another name, or 0. A misspelled name is an error.
func splitConnection(text string) (settings map[string]string, unknown int, err error) {
	switch trimmed := strings.TrimSpace(text); {
	case strings.HasPrefix(trimmed, "@Microsoft."):
		return nil, 0, errors.New("this is a Key Vault reference that was not resolved: may the app's identity read the secret?")
	case strings.HasPrefix(trimmed, `"`), strings.HasPrefix(trimmed, "'"):
		return nil, 0, errors.New("it starts with a quotation mark, which does not belong to it")
	case strings.HasPrefix(trimmed, "http://"), strings.HasPrefix(trimmed, "https://"):
		return nil, 0, errors.New("this is a URL: a URL goes into state.endpoint, with an identity; a connection string reads AccountName=…;AccountKey=…")
	}
	settings = make(map[string]string)
	number := 0
	for part := range strings.SplitSeq(text, ";") {
		number++
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, 0, fmt.Errorf("part %d is not name=value", number)
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if strings.EqualFold(name, "AccountEndpoint") {
			return nil, 0, errors.New("this one is for Azure Cosmos DB for NoSQL: copy that of an account for Table")
		}
		known, near := knownName(name)
		switch {
		case near:
			return nil, 0, fmt.Errorf("part %d has an unknown name; did you mean %s?", number, known)
		case known == "" && unknown == 0:
			unknown = number
			continue
		case known == "":
			continue
		case value == "":
			return nil, 0, fmt.Errorf("%s is empty", known)
		}
		if _, twice := settings[known]; twice {
			return nil, 0, fmt.Errorf("%s is there twice", known)
		}
		settings[known] = value
	}
	return settings, unknown, nil
}

// knownName returns the name that is meant, "" if it is none. Near means that it
// is misspelled.
func knownName(name string) (known string, near bool) {
	lower := strings.ToLower(name)
	least := 4 // Fewer edits than this are a slip: a third of the shortest name.
	for _, candidate := range knownNames {
		if strings.EqualFold(name, candidate) {
			return candidate, false
		}
		if d := distance(lower, strings.ToLower(candidate)); d < least {
			known, near, least = candidate, true, d
		}
	}
	return known, near
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to make one word of the other (optimal string alignment). A word
// much longer than any name is far from each.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var rows [3][]int // The row before the last, the last, and the present one.
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		rows[2][0] = i
		for j := 1; j <= len(b); j++ {
			replaced := rows[1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[2][j] = min(replaced, rows[1][j]+1, rows[2][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[2][j] = min(rows[2][j], rows[0][j-2]+1)
			}
		}
		rows = [3][]int{rows[1], rows[2], rows[0]}
	}
	return rows[1][len(b)]
}

// emulator is the account behind UseDevelopmentStorage=true. The proxy is where
// the emulator is to be found if not on this machine.
func emulator(proxy string) (account, error) {
	host, err := parseEndpoint(withDefault(proxy, emulatorHost))
	if err != nil {
		return account{}, fmt.Errorf("DevelopmentStorageProxyUri: %w", err)
	}
	return account{
		endpoint: host + emulatorPort + "/" + emulatorAccount,
		name:     emulatorAccount,
		key:      emulatorKey,
	}, nil
}

func withDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
