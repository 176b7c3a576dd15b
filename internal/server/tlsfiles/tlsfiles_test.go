package tlsfiles

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// clock is a clock that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{at: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)} }

func reopen(t *testing.T, dir string, c *clock, names ...string) *Files {
	t.Helper()
	f, err := Open(dir, names, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// leaf returns the certificate that a handshake would get.
func leaf(t *testing.T, f *Files) *x509.Certificate {
	t.Helper()
	cert, err := f.Config().GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf
}

// authority returns the certificate that clients pin.
func authority(t *testing.T, f *Files) []byte {
	t.Helper()
	pem, err := os.ReadFile(f.CAPath())
	if err != nil {
		t.Fatal(err)
	}
	return pem
}

func check(t *testing.T, f *Files, c *clock, name string) error {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority(t, f)) {
		t.Fatal("the authority is no PEM")
	}
	_, err := leaf(t, f).Verify(x509.VerifyOptions{DNSName: name, Roots: pool, CurrentTime: c.at})
	return err
}

func TestFirstStart(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	f := reopen(t, dir, c, "localhost", "192.0.2.1", "::1", "localhost")
	for _, name := range []string{"localhost", "192.0.2.1", "::1"} {
		if err := check(t, f, c, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := check(t, f, c, "evil.example"); err == nil {
		t.Error("it is good for every name")
	}
	for name, mode := range map[string]os.FileMode{CAFile: 0o644, leafFile: 0o644, caKey: 0o600, leafKey: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 4 {
		t.Errorf("%d files", len(entries))
	}
	x := leaf(t, f)
	if _, ok := x.PublicKey.(*ecdsa.PublicKey); !ok || x.IsCA || x.NotAfter.Sub(c.at) != leafLife {
		t.Errorf("leaf: %+v", x)
	}
	if f.Config().MinVersion != tls.VersionTLS13 {
		t.Error("old TLS is spoken")
	}
}

func TestReopenKeepsWhatIsGood(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	f := reopen(t, dir, c, "a")
	first, pinned := leaf(t, f), authority(t, f)
	if again := leaf(t, reopen(t, dir, c, "a")); !again.Equal(first) {
		t.Error("a good certificate was made anew")
	}
	if other := leaf(t, reopen(t, dir, c, "a", "b")); other.Equal(first) {
		t.Error("new names, old certificate")
	}
	for name, spoil := range map[string]func() error{
		"no certificate": func() error { return os.Remove(filepath.Join(dir, leafFile)) },
		"no key":         func() error { return os.Remove(filepath.Join(dir, leafKey)) },
		"half a key":     func() error { return os.WriteFile(filepath.Join(dir, leafKey), []byte("-----BEGIN"), 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		g := reopen(t, dir, c, "a", "b")
		if err := check(t, g, c, "b"); err != nil || !bytes.Equal(authority(t, g), pinned) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRenewalWithoutRestart(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	f := reopen(t, dir, c, "a")
	first := leaf(t, f)
	c.at = first.NotAfter.Add(-renewAt - time.Second)
	if !leaf(t, f).Equal(first) {
		t.Error("renewed too early")
	}
	c.at = c.at.Add(2 * time.Second)
	second := leaf(t, f)
	if second.Equal(first) || check(t, f, c, "a") != nil {
		t.Error("not renewed")
	}
	// When the disk does not take it, the old one is used until its end, and
	// renewing is tried again.
	c.at = second.NotAfter.Add(-renewAt + time.Second)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if !leaf(t, f).Equal(second) {
		t.Error("renewed without a disk")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(tryAgain)
	if leaf(t, f).Equal(second) {
		t.Error("renewing was not tried again")
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(2 * leafLife)
	if _, err := f.Config().GetCertificate(&tls.ClientHelloInfo{}); err == nil {
		t.Error("a certificate that has run out is shown")
	}
}

func TestAuthorityIsNeverReplaced(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"no certificate": func(dir string) error { return os.Remove(filepath.Join(dir, CAFile)) },
		"no key":         func(dir string) error { return os.Remove(filepath.Join(dir, caKey)) },
		"spoilt":         func(dir string) error { return os.WriteFile(filepath.Join(dir, CAFile), []byte("x"), 0o644) },
		"another's key": func(dir string) error {
			return os.Rename(filepath.Join(dir, leafKey), filepath.Join(dir, caKey))
		},
	} {
		dir, c := t.TempDir(), newClock()
		reopen(t, dir, c, "a")
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, []string{"a"}, c.now); err == nil {
			t.Errorf("%s: a new authority was made", name)
		}
	}
	dir, c := t.TempDir(), newClock()
	reopen(t, dir, c, "a")
	c.at = c.at.Add(caLife + time.Hour)
	if _, err := Open(dir, []string{"a"}, c.now); err == nil {
		t.Error("an authority that has run out is used")
	}
}

// A crash between the two files of the very first start leaves a key alone.
func TestFirstStartAfterACrash(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	if err := os.WriteFile(filepath.Join(dir, caKey), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(t, reopen(t, dir, c, "a"), c, "a"); err != nil {
		t.Error(err)
	}
}
