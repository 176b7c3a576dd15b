package firewall

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Mark is what every Allow of ours carries in itself, so that it can be
// recognised, explained and closed without any database.
type Mark struct {
	// Instance is the installation that wrote the rule. Two installations on one
	// subscription touch only their own rules.
	Instance string
	// Grant is the id of the grant that needs the rule, of several the one that
	// ends last; empty for an exempt source.
	Grant string
	// More counts the other grants that share the rule.
	More int
	// Until is the deadline, an Instant; zero for an exempt source.
	Until time.Time
}

// A Place is where a mark belongs: a mark that is copied to any other place does
// not verify.
type Place struct {
	Firewall ID
	Door     Door
	From     netip.Prefix
	// Detail is whatever else decides what the rule does there, in the
	// provider's own words: a priority, a set's name.
	Detail string
}

// MarkState is what a mark's verification found.
type MarkState uint8

// The states of a mark.
const (
	MarkAbsent  MarkState = iota // no mark of Sesame at all
	MarkGood                     // ours, and made for this place
	MarkBroken                   // claims to be ours, but was not made by us for this place
	MarkForeign                  // made by another installation
)

// String returns the state's name.
func (s MarkState) String() string {
	switch s {
	case MarkAbsent:
		return "absent"
	case MarkGood:
		return "good"
	case MarkBroken:
		return "broken"
	case MarkForeign:
		return "foreign"
	}
	return "mark state?"
}

// A MarkKey is a secret that marks are made with. Old keys stay in the ring
// until the last deadline that was marked with them has passed.
type MarkKey struct {
	ID     string // one to four lower-case letters or digits
	Secret []byte // at least 16 bytes
}

// A Keyring makes and verifies the marks of one installation.
type Keyring struct {
	Instance string    // lower-case letters and digits
	Keys     []MarkKey // the first one makes new marks; all verify
}

const (
	markPrefix  = "sesame1"
	markParts   = 6
	markMACSize = 16
)

// Seal returns the text of m at p. The text has no blanks and at most 110 bytes
// with instance, key and grant ids of the lengths that Sesame makes.
func (k Keyring) Seal(m Mark, p Place) string {
	if len(k.Keys) == 0 {
		return ""
	}
	m.Instance = k.Instance
	body := markBody(m, k.Keys[0].ID)
	return body + "." + base64.RawURLEncoding.EncodeToString(markMAC(k.Keys[0].Secret, body, p))
}

// Open reads the mark in text as found at p.
func (k Keyring) Open(text string, p Place) (Mark, MarkState) {
	m, keyID, mac, ok := parseMark(text)
	if !ok {
		if strings.HasPrefix(text, markPrefix) {
			return Mark{}, MarkBroken
		}
		return Mark{}, MarkAbsent
	}
	if m.Instance != k.Instance {
		return m, MarkForeign
	}
	i := slices.IndexFunc(k.Keys, func(key MarkKey) bool { return key.ID == keyID })
	if i < 0 {
		return m, MarkBroken
	}
	want := markMAC(k.Keys[i].Secret, markBody(m, keyID), p)
	if !hmac.Equal(mac, want) {
		return m, MarkBroken
	}
	return m, MarkGood
}

// markBody is everything of a mark's text but the MAC:
// sesame1.INSTANCE.KEY.UNTIL.GRANT, UNTIL in milliseconds of Unix time in base
// 36 and 0 for never, GRANT with +N behind it when N more share the rule and -
// for none.
func markBody(m Mark, keyID string) string {
	until := "0"
	if !m.Until.IsZero() {
		// 0 is taken: a deadline at or before the epoch has passed, and must not
		// read as never.
		until = strconv.FormatInt(max(m.Until.UnixMilli(), 1), 36)
	}
	grant := m.Grant
	if grant == "" {
		grant = "-"
	}
	if m.More > 0 {
		grant += "+" + strconv.Itoa(m.More)
	}
	return strings.Join([]string{markPrefix, m.Instance, keyID, until, grant}, ".")
}

// ParseMark reads what a mark claims, without asking whether it verifies: for those
// who know, and for those who have no key.
func ParseMark(text string) (Mark, bool) {
	m, _, _, ok := parseMark(text)
	return m, ok
}

func parseMark(text string) (m Mark, keyID string, mac []byte, ok bool) {
	part := strings.Split(text, ".")
	if len(part) != markParts || part[0] != markPrefix {
		return Mark{}, "", nil, false
	}
	ms, err := strconv.ParseInt(part[3], 36, 64)
	if err != nil || ms < 0 {
		return Mark{}, "", nil, false
	}
	grant, more, shared := strings.Cut(part[4], "+")
	m = Mark{Instance: part[1], Grant: grant, More: 0, Until: time.Time{}}
	if shared {
		if m.More, err = strconv.Atoi(more); err != nil || m.More <= 0 {
			return Mark{}, "", nil, false
		}
	}
	if grant == "-" {
		m.Grant = ""
	}
	if ms > 0 {
		m.Until = time.UnixMilli(ms).UTC()
	}
	mac, err = base64.RawURLEncoding.Strict().DecodeString(part[5])
	// The decoder skips line breaks, which are no part of a mark.
	if err != nil || len(mac) != markMACSize || strings.ContainsAny(part[5], "\r\n") {
		return Mark{}, "", nil, false
	}
	// Only the canonical text counts: no +, leading zeros or upper case.
	if markBody(m, part[2]) != strings.Join(part[:5], ".") {
		return Mark{}, "", nil, false
	}
	return m, part[2], mac, true
}

func markMAC(secret []byte, body string, p Place) []byte {
	h := hmac.New(sha256.New, secret)
	for _, s := range []string{body, string(p.Firewall), p.Door.String(), p.From.String(), p.Detail} {
		// The length in front keeps two places from reading the same.
		h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
	}
	return h.Sum(nil)[:markMACSize]
}
