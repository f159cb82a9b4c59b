package entra

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// hosts are the names of the authority for which programs may ask the proxy.
var hosts = []string{"login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net"}

// Listener is a Server behind sockets of the loopback interface.
type Listener struct {
	server    *Server
	plain     *http.Server
	secure    *http.Server
	endpoint  string // host:port without TLS
	authority string // host:port with TLS
	root      string // path of the certificate
}

// Listen serves on two free ports: one without TLS, for the endpoints of managed
// identities and as a proxy, and one with TLS for the authority. Its certificate
// is written to the folder. Close ends it.
func (s *Server) Listen(folder string) (*Listener, error) {
	certificate, root, err := selfSigned()
	if err != nil {
		return nil, err
	}
	l := &Listener{server: s, root: filepath.Join(folder, "entra-root.pem")}
	if err := os.WriteFile(l.root, root, 0o600); err != nil {
		return nil, err
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = plain.Close()
		return nil, err
	}
	quiet := log.New(io.Discard, "", 0) // it hears of clients that do not trust the certificate
	l.endpoint, l.authority = plain.Addr().String(), secure.Addr().String()
	l.plain = &http.Server{Handler: http.HandlerFunc(l.serve), ErrorLog: quiet}
	l.secure = &http.Server{Handler: s, ErrorLog: quiet, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
	go func() { _ = l.plain.Serve(plain) }()
	go func() { _ = l.secure.ServeTLS(secure, "", "") }()
	return l, nil
}

// Close ends the listener, and requests that are held back.
func (l *Listener) Close() error { return errors.Join(l.plain.Close(), l.secure.Close()) }

// AuthorityHost is the base URL of the authority with TLS, as
// AZURE_AUTHORITY_HOST takes it.
func (l *Listener) AuthorityHost() string { return "https://" + l.authority + "/" }

// Environment returns the variables by which a program finds its host's identity
// endpoint, as App Service, Functions and Container Apps set them.
func (l *Listener) Environment() map[string]string { return Environment("http://" + l.endpoint) }

// Network returns the variables that make a program take the Server for Microsoft
// Entra ID and for the instance metadata service: all it sends to other machines
// goes by a proxy, which lets nothing out, and it trusts the certificate.
func (l *Listener) Network() map[string]string {
	proxy := "http://" + l.endpoint
	return map[string]string{"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "SSL_CERT_FILE": l.root}
}

// Workload returns the variables that Azure's workload identity puts into a pod;
// the file of the assertion is the caller's.
func (l *Listener) Workload(clientID, assertionFile string) map[string]string {
	env := map[string]string{
		"AZURE_CLIENT_ID":            clientID,
		"AZURE_TENANT_ID":            l.server.options.Tenant,
		"AZURE_FEDERATED_TOKEN_FILE": assertionFile,
		"AZURE_AUTHORITY_HOST":       Authority + "/",
	}
	maps.Copy(env, l.Network())
	return env
}

// serve is the port without TLS: the services, and a proxy to that with TLS.
func (l *Listener) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		l.server.ServeHTTP(w, r)
		return
	}
	if host, port, err := net.SplitHostPort(r.Host); err != nil || port != "443" || !slices.Contains(hosts, strings.ToLower(host)) {
		http.Error(w, "nothing is let out", http.StatusForbidden)
		return
	}
	authority, err := net.Dial("tcp", l.authority)
	if err != nil {
		http.Error(w, "the authority has ended", http.StatusBadGateway)
		return
	}
	defer authority.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(authority, buffered) // ends when either side does
		_ = authority.Close()
	}()
	_, _ = io.Copy(client, authority)
}

// selfSigned returns a certificate for the names of the authority and for the
// loopback interface, and the same as PEM, to be trusted.
func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fake identity service"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
