package clients_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"testing"
)

// difference is a fact of answers that need not be equal with and without the gateway.
type difference struct {
	call, path *regexp.Regexp
	why        string
	sometimes  bool // it need not occur
}

// documented are all the differences that there may be. One that does not occur fails
// the test, unless that is a matter of time.
var documented = []difference{
	{
		call: anyCall, path: whole(`header x-spillway-(backend|deployment|attempts|tokens-consumed)`),
		why: "they tell who answered",
	},
	{
		call: byGateway, path: whole(`header (strict-transport-security|x-content-type-options|apim-request-id|x-ms-region|openai-version)`),
		why: "no backend was asked",
	},
	{
		call: whole(`models|model`), path: whole(`result(\[\d+\])?\.(created|created_at|updated_at|owned_by|status|lifecycle_status|capabilities.*)`),
		why: "the gateway tells what may be asked for, not who has made it and when",
	},
	{
		call: whole(`unknown model|bad key`), path: whole(`error\.(message|code|type|param|body\..*)`),
		why: "the gateway tells in its own words what is wrong",
	},
	{
		call: whole(`bad key`), path: whole(`header www-authenticate`),
		why: "the gateway keeps to the rule that a 401 has it, the service does not",
	},
	{
		call: whole(`speech`), path: whole(`header (content-length|transfer-encoding)`), sometimes: true,
		why: "sound that the gateway has got as a whole is sent with its length",
	},
}

var (
	anyCall = regexp.MustCompile(``)
	// byGateway are the calls that the gateway answers without a backend.
	byGateway = whole(`models|model|unknown model|bad key|response, retrieved in vain`)
)

// whole matches nothing but the whole of a text.
func whole(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)$`) }

// rowsUsed are the documented differences that have occurred. It is safe for
// concurrent use.
type rowsUsed struct {
	mu   sync.Mutex
	rows map[int]bool // guarded by mu
}

// allows tells whether a fact of a call may differ, and notes that it does.
func (u *rowsUsed) allows(call, path string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, d := range documented {
		if d.call.MatchString(call) && d.path.MatchString(path) {
			if u.rows == nil {
				u.rows = make(map[int]bool)
			}
			u.rows[i] = true
			return true
		}
	}
	return false
}

// check fails a test in which a documented difference did not occur.
func (u *rowsUsed) check(t *testing.T) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, d := range documented {
		if !u.rows[i] && !d.sometimes {
			t.Errorf("no answer differs in %s (%s): take it out of the table", d.path, d.why)
		}
	}
}

// facts are all that can be compared of a call: the status of each answer, the names
// of its headers, its content type, and every value of the client's result or error,
// by its path.
func facts(t testing.TB, l line) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for i, a := range l.Answers {
		all[fmt.Sprintf("status of answer %d", i+1)] = strconv.Itoa(a.Status)
		for name, value := range a.Header {
			if name != "content-type" {
				value = "there" // most values are of the one request, or of the one moment
			}
			all["header "+name] = value
		}
	}
	if l.Error != nil {
		flatten(t, all, came(l), l.Error)
	} else {
		flatten(t, all, came(l), l.Result)
	}
	return all
}

// came is how the paths of what came of a call begin.
func came(l line) string {
	if l.Error != nil {
		return "error"
	}
	return "result"
}

// flatten adds the values below a path.
func flatten(t testing.TB, all map[string]string, path string, value any) {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		all[path] = "an object"
		for name, member := range v {
			flatten(t, all, path+"."+name, member)
		}
	case []any:
		all[path] = fmt.Sprintf("an array of %d", len(v))
		for i, item := range v {
			flatten(t, all, fmt.Sprintf("%s[%d]", path, i), item)
		}
	default:
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
}

// shown is a fact as a failure tells it.
func shown(fact string) string {
	const enough = 300
	switch {
	case fact == "":
		return "absent"
	case len(fact) > enough:
		return fact[:enough] + "…"
	}
	return fact
}
