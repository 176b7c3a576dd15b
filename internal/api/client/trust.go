package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
)

// untrusted says of an error that is about the server's certificate what the
// server showed, whom it would have to come from, and what to do; nil of any
// other. It is errkind.Unavailable, since the server that was meant was not
// reached, and trying again does not help: see hopeless.
func (c *Client) untrusted(err error) error {
	bad, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok {
		return nil
	}
	shown := "no certificate"
	if len(bad.UnverifiedCertificates) > 0 {
		leaf := bad.UnverifiedCertificates[0]
		shown = "a certificate for " + certified(leaf) + " from " + authority(leaf.Issuer.CommonName, leaf.AuthorityKeyId)
	}
	return errkind.Wrap(errkind.Unavailable, err,
		"the server at %s is not the one that is trusted (%s): it shows %s; trusted here is only what comes from %s. "+
			"If the address is right, copy ca.crt from the server's state directory and name it with --ca or SESAME_CA",
		c.base, cause(err), shown, c.trusted())
}

// trusted names the authorities that are trusted.
func (c *Client) trusted() string {
	if len(c.cfg.CA) == 0 {
		return "the authorities of this system"
	}
	var names []string
	for rest := c.cfg.CA; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if x, err := x509.ParseCertificate(block.Bytes); err == nil {
			names = append(names, authority(x.Subject.CommonName, x.SubjectKeyId))
		}
	}
	return strings.Join(names, ", ")
}

// authority names one with its key's id, since two servers' own authorities
// may be called the same.
func authority(name string, key []byte) string {
	const enough = 8
	return errkind.Quote(name) + " (key " + hex.EncodeToString(key[:min(len(key), enough)]) + ")"
}

// certified returns what a certificate is for, the first few.
func certified(x *x509.Certificate) string {
	const most = 4
	names := slices.Clone(x.DNSNames)
	for _, a := range x.IPAddresses {
		names = append(names, a.String())
	}
	if len(names) == 0 {
		return "nothing"
	}
	more := ""
	if len(names) > most {
		names, more = names[:most], ", …"
	}
	for i := range names {
		names[i] = errkind.Shorten(names[i])
	}
	return strings.Join(names, ", ") + more
}

// hopeless reports whether a call that ended with err ends so again: the
// certificate is judged by what is trusted here, and that stays.
func hopeless(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok || errkind.Of(err) != errkind.Unavailable
}
