package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxCertificates is the size of the largest file of certificates, in bytes. The
// bundle of an operating system takes about 200 KiB.
const maxCertificates = 4 << 20

// readCertificates reads the files of certificates that backends name, each
// once. Paths are relative to folder.
func readCertificates(c *Config, r *report, folder string) {
	type result struct {
		roots   *x509.CertPool
		problem *fault
	}
	read := map[string]result{}
	for i := range c.Backends {
		b := &c.Backends[i]
		if b.CAFile == "" {
			continue
		}
		file := b.CAFile
		if !filepath.IsAbs(file) {
			file = filepath.Join(folder, file)
		}
		found, known := read[file]
		if !known {
			found.roots, found.problem = rootsOf(file)
			read[file] = found
		}
		if p := at("backends", i, "caFile"); found.problem != nil {
			v := validator{report: r}
			v.problem(p, v.text(p, "")+" "+found.problem.message, found.problem.mend)
		}
		b.Roots = found.roots
	}
}

// rootsOf reads a file of certificates.
func rootsOf(file string) (*x509.CertPool, *fault) {
	text, err := readRegular(file, maxCertificates)
	var failed *fs.PathError
	switch {
	case errors.As(err, &failed): // whose path may be the value of a variable
		return nil, &fault{"cannot be read: " + failed.Err.Error(), "write the path of a file that the gateway may read; it is relative to the configuration file"}
	case err != nil:
		return nil, &fault{err.Error(), "write the path of a file of certificates"}
	}
	return parseCertificates(text)
}

// readRegular reads a file of bounded size. What is no plain file is not opened:
// it might keep a reader waiting for ever.
func readRegular(file string, most int64) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a file")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		return nil, errors.New("is larger than " + bytesText(int(most)))
	}
	return text, err
}

// parseCertificates reads certificates in PEM, one at least. Text around the
// blocks is not looked at, as usual.
func parseCertificates(text []byte) (*x509.CertPool, *fault) {
	roots, blocks := x509.NewCertPool(), 0
	whole := bytes.Count(text, []byte("-----BEGIN "))
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		blocks++
		if block.Type != "CERTIFICATE" {
			return nil, &fault{fmt.Sprintf("has something other than certificates: block %d is another one", blocks), "leave only the certificates in it; a private key does not belong here"}
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &fault{fmt.Sprintf("has a certificate that cannot be read: block %d", blocks), "export it again, in PEM"}
		}
		roots.AddCert(certificate)
	}
	switch {
	case whole == 0:
		return nil, &fault{"has no certificate in PEM", `export it in PEM, which begins with "-----BEGIN CERTIFICATE-----"`}
	case blocks != whole:
		return nil, &fault{fmt.Sprintf("has %d blocks of PEM, of which %d can be read", whole, blocks), "export it again, in PEM"}
	}
	return roots, nil
}
