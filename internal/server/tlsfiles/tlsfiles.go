// Package tlsfiles keeps the certificate that the server shows itself with, and
// the authority that it comes from, as files in the state directory.
//
// The authority is made at the first start and is good for ten years; its
// certificate is what clients pin. The server's own certificate is good for one
// year. It is made anew when less than a third of that is left, when the names
// that it must have change, and when a file is missing or unreadable, without a
// restart. TLS 1.3 is spoken and nothing older.
//
// Keys are ECDSA on P-256, in files that only their owner may read. Every file
// is written beside its place, flushed, and renamed into it, so that a crash
// leaves the old one or the new one.
package tlsfiles

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/errkind"
)

// The names of the files in the directory.
const (
	CAFile   = "ca.crt" // what clients pin
	caKey    = "ca.key"
	leafFile = "server.crt"
	leafKey  = "server.key"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
	// backdate makes a certificate good for clients whose clock is behind.
	backdate = time.Hour
	// renewAt is how much of a certificate's life is left when it is made anew.
	renewAt = leafLife / 3
	// tryAgain is how long a failed renewal waits.
	tryAgain = time.Minute
)

// Files are the certificates of one server. They are safe for concurrent use.
type Files struct {
	dir   string
	names []string // DNS names and addresses, sorted
	now   func() time.Time

	ca *x509.Certificate

	mu    sync.Mutex
	leaf  *tls.Certificate
	renew time.Time // when leaf is made anew
}

// Open reads the files in dir, which must exist, and makes those that are
// missing. Names are the DNS names and addresses that the server is reached
// under. An authority that is there and cannot be read is an error: to replace
// it would turn away every client that pinned it.
func Open(dir string, names []string, now func() time.Time) (*Files, error) {
	f := &Files{dir: dir, names: canonical(names), now: now, ca: nil, mu: sync.Mutex{}, leaf: nil, renew: time.Time{}}
	if err := f.openCA(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.current(); err != nil {
		return nil, err
	}
	return f, nil
}

// CAPath returns the path of the authority's certificate.
func (f *Files) CAPath() string { return filepath.Join(f.dir, CAFile) }

// Names returns the names that the certificate has, sorted.
func (f *Files) Names() []string { return slices.Clone(f.names) }

// Config returns the TLS configuration of a server.
func (f *Files) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.current()
		},
	}
}

// openCA reads the authority, or makes it when neither of its files is there.
func (f *Files) openCA() error {
	cert, err := f.read(CAFile, caKey)
	// A key alone is what a crash at the very first start leaves.
	if errors.Is(err, fs.ErrNotExist) && f.absent(CAFile) && f.absent(leafFile) {
		cert, err = f.makeCA()
	}
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err,
			"the certificate authority in %s cannot be used; put %s and %s back, or move both away to make a new one, which every client must then pin", f.dir, CAFile, caKey)
	}
	if !cert.Leaf.IsCA || f.now().After(cert.Leaf.NotAfter) {
		return errkind.New(errkind.Unavailable,
			"the certificate authority in %s has run out or is none; move %s and %s away to make a new one, which every client must then pin", f.dir, CAFile, caKey)
	}
	f.ca = cert.Leaf
	return nil
}

// current returns the server's certificate, made anew when it has to be. When
// that fails and the old one is still good, it stays, and is tried again.
func (f *Files) current() (*tls.Certificate, error) {
	if f.leaf == nil {
		if cert, err := f.read(leafFile, leafKey); err == nil && f.fits(cert.Leaf) {
			f.use(cert)
		}
	}
	now := f.now()
	if f.leaf != nil && now.Before(f.renew) {
		return f.leaf, nil
	}
	cert, err := f.makeLeaf()
	switch {
	case err == nil:
		f.use(cert)
	case f.leaf == nil || now.After(f.leaf.Leaf.NotAfter):
		return nil, fmt.Errorf("make the server's certificate: %w", err)
	default:
		f.renew = now.Add(tryAgain)
	}
	return f.leaf, nil
}

func (f *Files) use(cert *tls.Certificate) {
	f.leaf, f.renew = cert, cert.Leaf.NotAfter.Add(-renewAt)
}

// fits reports whether cert comes from our authority and has the right names.
func (f *Files) fits(cert *x509.Certificate) bool {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return cert.CheckSignatureFrom(f.ca) == nil && slices.Equal(canonical(names), f.names) &&
		!f.now().Before(cert.NotBefore)
}

// canonical returns names sorted, without duplicates, addresses in one spelling.
func canonical(names []string) []string {
	names = slices.Clone(names)
	for i, name := range names {
		if a, err := netip.ParseAddr(name); err == nil {
			names[i] = a.Unmap().String()
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// makeCA makes the authority.
func (f *Files) makeCA() (*tls.Certificate, error) {
	t, err := f.template("Sesame's own authority", caLife)
	if err != nil {
		return nil, err
	}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign
	return f.make(t, nil, CAFile, caKey)
}

// makeLeaf makes the server's certificate.
func (f *Files) makeLeaf() (*tls.Certificate, error) {
	authority, err := f.read(CAFile, caKey)
	if err != nil {
		return nil, err
	}
	t, err := f.template("Sesame", leafLife)
	if err != nil {
		return nil, err
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range f.names {
		if a, err := netip.ParseAddr(name); err == nil {
			t.IPAddresses = append(t.IPAddresses, net.IP(a.AsSlice()))
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	if authority.Leaf.NotAfter.Before(t.NotAfter) {
		t.NotAfter = authority.Leaf.NotAfter
	}
	return f.make(t, authority, leafFile, leafKey)
}

func (f *Files) template(name string, life time.Duration) (*x509.Certificate, error) {
	const serialBits = 127
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	now := f.now().UTC()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(life),
	}, nil
}

// make makes a key and a certificate for it from t, signed by the authority or,
// without one, by itself, and writes both. The key is written first: a
// certificate without its key is made anew, a key without its certificate too.
func (f *Files) make(t *x509.Certificate, authority *tls.Certificate, certName, keyName string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	parent, signer := t, any(key)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write the key: %w", err)
	}
	if err := f.write(keyName, encode("PRIVATE KEY", keyDER), 0o600); err != nil {
		return nil, err
	}
	if err := f.write(certName, encode("CERTIFICATE", der), 0o644); err != nil {
		return nil, err
	}
	return f.read(certName, keyName)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: nil, Bytes: der})
}

func (f *Files) read(certName, keyName string) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(f.dir, certName), filepath.Join(f.dir, keyName))
	if err != nil {
		return nil, fmt.Errorf("read %s and %s: %w", certName, keyName, err)
	}
	return &cert, nil
}

func (f *Files) absent(name string) bool {
	_, err := os.Lstat(filepath.Join(f.dir, name))
	return errors.Is(err, fs.ErrNotExist)
}

// write replaces a file as a whole.
func (f *Files) write(name string, content []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(f.dir, "."+name+".*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when all went well
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(f.dir, name))
	}
	if err == nil {
		err = syncDir(f.dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// syncDir makes a rename in dir last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
