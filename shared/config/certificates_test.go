package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeFile creates a file and returns its path.
func writeFile(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// withCAFile is the minimal configuration with a file of certificates.
func withCAFile(file string) string {
	return strings.Replace(minimal, "deployments", `caFile: "`+file+`", deployments`, 1)
}

// readCA is the file of certificates of the example.
func readCA(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/contoso-ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A file of certificates is found beside the configuration file that names it;
// where the configuration is a text, in the working directory. An absolute path
// is what it says.
func TestCertificatesAreFound(t *testing.T) {
	folder := t.TempDir()
	file := writeFile(t, folder, "ca.pem", "# two of them\n"+readCA(t)+"\n"+readCA(t))
	config := writeFile(t, folder, "gateway.yaml", withCAFile("ca.pem"))
	loaded, err := Load(config, env)
	if err != nil || loaded.Backends[0].Roots == nil {
		t.Errorf("beside the file: got %v", err)
	}
	absolute := parse(t, withCAFile(file))
	if absolute.Backends[0].Roots == nil {
		t.Error("an absolute path: got no certificates")
	}
	if _, err := Parse("gateway.yaml", []byte(withCAFile("ca.pem")), env); err == nil {
		t.Error("elsewhere: got certificates, want a problem")
	}
	t.Chdir(folder)
	if parse(t, withCAFile("ca.pem")).Backends[0].Roots == nil {
		t.Error("in the working directory: got no certificates")
	}
}

// Backends of one file share its certificates, and with that their connections.
func TestCertificatesAreShared(t *testing.T) {
	file := writeFile(t, t.TempDir(), "ca.pem", readCA(t))
	const second = `{ name: two, endpoint: "https://two.contoso.com", deployments: [{ model: gpt-4o }], caFile: "`
	text := strings.Replace(withCAFile(file), "}] }]\npools", "}] }, "+second+file+`" }]`+"\npools", 1)
	c := parse(t, text)
	if len(c.Backends) != 2 || c.Backends[0].Roots != c.Backends[1].Roots {
		t.Errorf("got %+v, want two backends with the same certificates", c.Backends)
	}
}

// What is wrong with a file of certificates is told with its name as the
// configuration has it.
func TestCertificateProblems(t *testing.T) {
	folder := t.TempDir()
	ca := readCA(t)
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", `has no certificate in PEM; export it in PEM, which begins with "-----BEGIN CERTIFICATE-----"`},
		{"binary", "\x30\x82\x01", `has no certificate in PEM; export it in PEM, which begins with "-----BEGIN CERTIFICATE-----"`},
		{"a private key", ca + "-----BEGIN PRIVATE KEY-----\naHVzaA==\n-----END PRIVATE KEY-----\n",
			`has something other than certificates: block 2 is another one; leave only the certificates in it; a private key does not belong here`},
		{"no certificate in the block", "-----BEGIN CERTIFICATE-----\naHVzaA==\n-----END CERTIFICATE-----\n",
			`has a certificate that cannot be read: block 1; export it again, in PEM`},
		{"cut", ca + ca[:len(ca)/2], `has 2 blocks of PEM, of which 1 can be read; export it again, in PEM`},
		{"too large", strings.Repeat("#", maxCertificates+1), `is larger than 4 MiB; write the path of a file of certificates`},
	} {
		t.Run(c.name, func(t *testing.T) {
			writeFile(t, folder, "hush.pem", c.content)
			config, err := parseIn(folder, "gateway.yaml", []byte(withCAFile("${FILE}")), func(string) (string, bool) { return "hush.pem", true })
			checkRefusal(t, config, err)
			if want := `gateway.yaml:3: backends[0].caFile: "${FILE}" ` + c.want; err.Error() != want {
				t.Errorf("got\n%v\nwant\n%s", err, want)
			}
		})
	}
	for _, c := range []struct{ name, file, want string }{
		{"no file", "missing.pem", `"missing.pem" cannot be read: no such file or directory; write the path of a file that the gateway may read; it is relative to the configuration file`},
		{"a folder", ".", `"." is not a file; write the path of a file of certificates`},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := parseIn(folder, "gateway.yaml", []byte(withCAFile(c.file)), nil)
			checkRefusal(t, config, err)
			if want := "gateway.yaml:3: backends[0].caFile: " + c.want; err.Error() != want {
				t.Errorf("got\n%v\nwant\n%s", err, want)
			}
		})
	}
}

// Certificates are of use to https alone.
func TestCertificatesOfNoUse(t *testing.T) {
	file := writeFile(t, t.TempDir(), "ca.pem", readCA(t))
	_, err := Parse("gateway.yaml", []byte(strings.Replace(withCAFile(file), "https", "http", 1)), env)
	const want = "gateway.yaml:3: backends[0].caFile: is of no use: the endpoint is http, which has no certificates; write https in endpoint, or remove caFile"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
