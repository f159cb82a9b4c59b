package aztable

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The clock's error that makes Azure refuse a request with a shared key is 15
// minutes, see "Authorize with Shared Key" in the REST documentation of Azure
// Storage. suspectSkew is where a refusal is worth a look at the clock.
const (
	maxSkew     = 15 * time.Minute
	suspectSkew = 5 * time.Minute
)

// dataRole is the role that allows to read and write rows and to create tables.
const dataRole = "Storage Table Data Contributor"

// hint says in half a sentence what a failure means that waiting does not mend,
// and names the setting to look at; "" for the others. It holds no secret: the
// only text from outside is the name of the host.
func (s *Store) hint(e *Error, progress *exchange) string {
	a := s.account
	switch {
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return s.refusal(e, progress)
	case e.Code == codeHTTPS:
		return "the account takes https alone: write DefaultEndpointsProtocol=https, or an https URL, into " + a.setting()
	case e.Code == "TableBeingDeleted":
		return "somebody deleted the table; it is made again when the service has finished, and all counts start anew"
	case strings.HasPrefix(e.Reason, reasonNoToken):
		return "give this app a managed identity (AZURE_CLIENT_ID names a user-assigned one), or on a developer's machine sign in with az login"
	case e.Reason == reasonNoHost:
		return fmt.Sprintf("check %s: there is no host %s", a.setting(), a.host())
	case e.Reason == reasonNoConnect && a.name == emulatorAccount:
		return "the storage emulator does not run (make azurite starts it)"
	case e.Reason == reasonNoConnect, e.Reason == reasonTimeout && progress.started.Load() && !e.sent:
		return fmt.Sprintf("check %s and whether a firewall stands before %s", a.setting(), a.host())
	case e.Reason == reasonCertificate:
		return fmt.Sprintf("check %s: the certificate of %s is not trusted, has expired or is for another name", a.setting(), a.host())
	case e.Reason == reasonMalformed, e.Status == http.StatusNotFound && !e.missing(),
		e.Status == http.StatusMethodNotAllowed, 0 < e.Status && e.Status < 400:
		return s.notTables()
	}
	return ""
}

// notTables is the hint for an answer that no table service gives.
func (s *Store) notTables() string {
	return fmt.Sprintf("check %s: %s does not answer like a table service", s.account.setting(), s.account.host())
}

// refusal is the hint for 401 and 403.
func (s *Store) refusal(e *Error, progress *exchange) string {
	a := s.account
	skew := time.Duration(0)
	if !progress.date.IsZero() {
		skew = progress.skew()
	}
	switch {
	case e.Code == "AuthenticationFailed" && a.key != "" && skew.Abs() >= maxSkew-time.Minute:
		return fmt.Sprintf("set this machine's clock: it is %s, and Azure refuses more than %s", describeSkew(skew), maxSkew)
	case e.Code == "KeyBasedAuthenticationNotPermitted":
		return "the account allows no keys: set state.endpoint instead of state.connection, and give this app's identity the role " + dataRole
	case e.Code == "AccountIsDisabled":
		return "the storage account is disabled"
	}
	var text string
	switch {
	case a.sas != "":
		text = sasRefusal(e, a.sas, progress)
	// The emulator says AuthorizationFailure of a wrong key, too.
	case a.key != "" && a.name != emulatorAccount && strings.HasPrefix(e.Code, "Authorization"):
		text = "the account's firewall (Networking) does not admit this machine"
	case a.key != "":
		text = fmt.Sprintf("the AccountKey in state.connection is not a key of the account %q: copy the connection string anew, the key may have been rotated", a.name)
	case a.cosmos():
		text = "give this app's identity the role Cosmos DB Built-in Data Contributor on the account of state.endpoint, and admit it in the account's firewall"
	case e.Status == http.StatusUnauthorized, e.Code == "AuthenticationFailed":
		text = "the token was not accepted: is the identity of the same tenant as the account of state.endpoint?"
	case e.Code == "AuthorizationFailure":
		text = "admit this machine in the account's firewall (Networking), and give this app's identity the role " + dataRole
	default:
		text = "give this app's identity the role " + dataRole + " on the account of state.endpoint (a new role takes up to 10 minutes)"
	}
	if skew.Abs() >= suspectSkew {
		text += "; also, this machine's clock is " + describeSkew(skew)
	}
	return text
}

// sasRefusal is the hint for a refused shared access signature, whose times are
// no secret.
func sasRefusal(e *Error, sas string, progress *exchange) string {
	values, err := url.ParseQuery(sas)
	now := progress.date
	if now.IsZero() {
		now = time.Now()
	}
	expiry, isTime := sasTime(values.Get("se"))
	start, hasStart := sasTime(values.Get("st"))
	switch {
	case err != nil, values.Get("sig") == "":
		return "the SharedAccessSignature in state.connection is not complete: copy it anew"
	case isTime && !expiry.After(now):
		return "the SharedAccessSignature in state.connection expired at " + expiry.UTC().Format(time.RFC3339)
	case hasStart && start.After(now):
		return "the SharedAccessSignature in state.connection is valid from " + start.UTC().Format(time.RFC3339)
	case e.Code == "AuthenticationFailed":
		return "the SharedAccessSignature in state.connection is wrong, or its key was rotated: make a new one"
	case e.Operation == "create table":
		return "the table is missing and the SharedAccessSignature may not create it: create it, or allow resource types c and o with permissions r, a, u, d, c"
	case e.Code == "AuthorizationSourceIPMismatch", e.Code == "AuthorizationFailure":
		return "the SharedAccessSignature or the account's firewall (Networking) does not admit this machine"
	}
	return "the SharedAccessSignature in state.connection needs the table service (ss=t), resource type o and the permissions r, a, u, d"
}

// sasTime reads the time formats of a shared access signature.
func sasTime(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func describeSkew(skew time.Duration) string {
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	return fmt.Sprintf("%v %s the service's", skew.Abs(), direction)
}
