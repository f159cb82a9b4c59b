package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// No text makes Parse panic; what it accepts keeps every promise, and what it
// refuses tells no value of the environment.
func FuzzParse(f *testing.F) {
	for _, file := range []string{example, "testdata/broken.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(base))
	f.Add([]byte(minimal))
	f.Add([]byte(strings.Replace(minimal, "deployments", `headers: { x-team: "${TEAM}", X-Team: a, te: b }, caFile: "${FILE}", deployments`, 1)))
	// A value that no fuzzer writes by itself.
	const hush = "aecb64ba-HUSH-0f53e0b8ae9d"
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseIn("testdata", "gateway.yaml", text, func(name string) (string, bool) {
			if name == "UNSET" {
				return "", false
			}
			return hush, true
		})
		if err != nil {
			checkRefusal(t, c, err)
			if strings.Contains(err.Error(), hush) {
				t.Errorf("the value of a variable is told: %v", err)
			}
			return
		}
		checkInvariants(t, c)
	})
}

// No text makes ParseConsumer panic; what it accepts keeps every promise and is
// read back from what Encode writes, and what it refuses tells no key.
func FuzzParseConsumer(f *testing.F) {
	// A key that no fuzzer writes by itself.
	const hush = "aecb64ba-HUSH-0f53e0b8ae9d"
	for _, text := range []string{
		"keys: [" + hush + "]\nmodels: [gpt-4o]\nquotas: [{ tokens: 5, per: day }]\nspillover: { tokensPerMinute: 5 }\n",
		"{" + hush + ": 1, quotas: [{ per: " + hush + " }], spillover: " + hush + ", entra: { appIds: [" + hush + "] }, keys: " + hush + "}",
		`{"name":"team-a","keys":["` + hush + `"],"modelLimits":[{"model":"a","tokensPerMinute":1}],"tokenWeights":{"cachedInput":1e-7}}`,
		"entra: { roles: [\"" + hush + " \", \"" + hush + " \"] }\nname: " + hush,
		"name: &" + hush + " x\nkeys: [*" + hush + ", \"${" + hush + "}\", !" + hush + " x]\n<<: *" + hush,
		"keys: [" + hush + "]\nmayChooseBackend: true\ntags: [project, " + hush + ", \"\"]",
		"keys: [\"$${" + hush + "}\"]\n" + hush + ": 1\n" + hush + ": 1\nshadow: " + strings.Repeat("7", 20),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		consumer, err := ParseConsumer("team-a", text)
		if err != nil {
			checkRefusal(t, nil, err)
			if strings.Contains(err.Error(), hush) {
				t.Errorf("a key is told: %v", err)
			}
			return
		}
		checkOneConsumer(t, &consumer)
		if consumer.Name != "team-a" || len(consumer.Encode()) > MaxConsumerText {
			t.Errorf("got %.1000s", consumer.Encode())
		}
		again, err := ParseConsumer("", consumer.Encode())
		if err != nil || !reflect.DeepEqual(again, consumer) {
			t.Errorf("%s\nis read back as %+v, %v\nwant            %+v", consumer.Encode(), again, err, consumer)
		}
	})
}

// No text makes parseCertificates panic; it gives certificates or a problem that
// can be told, and nothing of the text is in it.
func FuzzParseCertificates(f *testing.F) {
	good, err := os.ReadFile("testdata/contoso-ca.pem")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append([]byte("# contoso\n"), append(good, good...)...))
	f.Add(good[:len(good)/2])
	f.Add([]byte("-----BEGIN HUSH KEY-----\nAAAA\n-----END HUSH KEY-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		roots, problem := parseCertificates(text)
		if (roots == nil) == (problem == nil) {
			t.Fatalf("got %v and %v, want one of them", roots, problem)
		}
		if problem != nil && (problem.message == "" || problem.mend == "" || strings.Contains(problem.message+problem.mend, "HUSH")) {
			t.Errorf("got %+v, want a message and a mend without the text", problem)
		}
	})
}
