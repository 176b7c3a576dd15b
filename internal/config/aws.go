package config

import (
	"cmp"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/document"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// AWS says which EC2 instances the daemon protects, and how.
type AWS struct {
	// Accounts are those whose instances are protected; none by default.
	Accounts []AWSAccount
	// Endpoint is a URL to speak to instead of AWS's own, for a proxy or a
	// simulator; CAFile the absolute path of the authorities that its certificate
	// comes from. Both may be empty.
	Endpoint, CAFile string
	// Shared is what becomes of a group that instances wear, too, which are not
	// locked.
	Shared Sharing
	// Keep lists protocols that are kept of a rule for every protocol besides TCP,
	// UDP and ICMP.
	Keep []firewall.Protocol
	// RulesPerGroup and GroupsPerInterface are the quotas of the accounts; what an
	// account says of itself goes before the second.
	RulesPerGroup, GroupsPerInterface int
	// Resync is the daemon's for VPCs: reading one takes several calls.
	Resync time.Duration
}

// Sharing says what is done about a rule of a group that has to go for a lock, and
// that others need who wear the group.
type Sharing string

// The ways to share a group.
const (
	// Include lists what the others lose, which takes consent.
	Include Sharing = "include"
	// Split gives the instance a copy of its own of the group; where there can be
	// none the lock is refused.
	Split Sharing = "split"
	// Refuse refuses the lock.
	Refuse Sharing = "refuse"
)

// An AWSAccount says how to get into one account.
type AWSAccount struct {
	// Name is what the log and `sesame doctor` call the account.
	Name string
	// Reader, Opener, Closer and Locker are ARNs of roles: who looks, who adds a
	// rule to an owned group, who takes one out, who does everything else. One that
	// is empty is Reader's, and without that the SDK's default credentials.
	Reader, Opener, Closer, Locker string
	ExternalID                     string
	// Regions are those that are protected; nil for every one that is enabled.
	Regions []string
}

// defaultAWS is what a file comes to that says nothing. (Quotas: Amazon VPC user
// guide, "Amazon VPC quotas", 2026-11.)
func defaultAWS() AWS {
	return AWS{
		Accounts: nil, Endpoint: "", CAFile: "", Shared: Include, Keep: nil,
		RulesPerGroup: 60, GroupsPerInterface: 5, Resync: 2 * time.Minute,
	}
}

// The bounds of what a file may say about AWS.
const (
	MaxAccounts  = 256
	MaxRegions   = 64
	MaxProtocols = 64

	// MaxRules is how many rules all groups of an interface may hold together,
	// which no quota goes beyond.
	MaxRules           = 1000
	MaxGroups          = 16
	MaxExternalID      = 1224
	longestRoleName    = 512
	digitsOfAnAccount  = 12
	alwaysKeptICMP     = 1
	alwaysKeptICMPv6   = 58
	mostProtocolNumber = 255
)

// awsFrom reads what a file says about AWS.
func awsFrom(v document.Value) AWS {
	def := defaultAWS()
	m := v.Map("accounts", "endpoint", "ca_file", "shared", "keep", "rules_per_group", "groups_per_interface", "resync")
	out := AWS{
		Accounts: accountsFrom(m.Get("accounts")),
		Endpoint: document.Text(m.Get("endpoint"), def.Endpoint, parseEndpoint),
		CAFile:   document.Text(m.Get("ca_file"), def.CAFile, parsePath),
		Shared:   document.Text(m.Get("shared"), def.Shared, parseShared),
		Keep: document.Items(m.Get("keep"), 0, MaxProtocols, func(item document.Value) firewall.Protocol {
			return document.Number(item, 0, parseKept)
		}, cmp.Compare),
		RulesPerGroup:      document.Integer(m.Get("rules_per_group"), def.RulesPerGroup, 1, MaxRules),
		GroupsPerInterface: document.Integer(m.Get("groups_per_interface"), def.GroupsPerInterface, 1, MaxGroups),
		Resync:             document.Text(m.Get("resync"), def.Resync, parseResync),
	}
	if out.RulesPerGroup*out.GroupsPerInterface > MaxRules {
		v.Fail(errkind.New(errkind.Invalid, "rules_per_group times groups_per_interface is %d; AWS grants at most %d", out.RulesPerGroup*out.GroupsPerInterface, MaxRules))
	}
	return out
}

// accountsFrom reads the accounts. No two have the same reader: that would be the
// same account, and each firewall has one writer.
func accountsFrom(v document.Value) []AWSAccount {
	readers := map[string]string{}
	return document.Items(v, 0, MaxAccounts, func(item document.Value) AWSAccount {
		m := item.Map("name", "reader", "opener", "closer", "locker", "external_id", "regions")
		parseName := func(s string) (string, error) { return firewall.ParseName("name", s) }
		a := AWSAccount{
			Name:       document.Text(m.Get("name").Required("a name such as production"), "", parseName),
			Reader:     document.Text(m.Get("reader"), "", parseRole),
			Opener:     document.Text(m.Get("opener"), "", parseRole),
			Closer:     document.Text(m.Get("closer"), "", parseRole),
			Locker:     document.Text(m.Get("locker"), "", parseRole),
			ExternalID: document.Text(m.Get("external_id"), "", parseExternalID),
			Regions:    document.Texts(m.Get("regions"), 1, MaxRegions, parseRegion, cmp.Compare),
		}
		account := accountOf(a.Reader)
		if other, taken := readers[account]; taken && a.Name != "" {
			item.Fail(errkind.New(errkind.Invalid, "%s is in the same account already; give its other regions to that", other))
		}
		if a.Name != "" {
			readers[account] = a.Name
		}
		if a.ExternalID != "" && a.Reader == "" {
			m.Get("external_id").Fail(errkind.New(errkind.Invalid, "an external id is for a role; name the reader"))
		}
		return a
	}, func(a, b AWSAccount) int { return cmp.Compare(a.Name, b.Name) })
}

// accountOf returns the account of a role; empty for no role.
func accountOf(role string) string {
	if parts := strings.Split(role, ":"); len(parts) > 4 {
		return parts[4]
	}
	return ""
}

// parseRole reads the ARN of a role.
func parseRole(s string) (string, error) {
	parts := strings.Split(s, ":")
	ok := len(parts) == 6 && parts[0] == "arn" && firewall.ValidName(parts[1]) && parts[2] == "iam" && parts[3] == "" &&
		len(parts[4]) == digitsOfAnAccount && strings.Trim(parts[4], "0123456789") == ""
	if ok {
		name, role := strings.CutPrefix(parts[5], "role/")
		ok = role && name != "" && len(name) <= longestRoleName &&
			strings.Trim(name, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+=,.@_-/") == ""
	}
	if !ok {
		return "", errkind.Bad("role", s, "the ARN of a role, such as arn:aws:iam::123456789012:role/sesame-reader")
	}
	return s, nil
}

// parseExternalID reads an external id as STS takes it.
func parseExternalID(s string) (string, error) {
	ok := len(s) >= 2 && len(s) <= MaxExternalID
	for _, r := range s {
		ok = ok && r >= ' ' && r <= '~'
	}
	if !ok {
		return "", errkind.Bad("external_id", s, "text of 2 to "+strconv.Itoa(MaxExternalID)+" printable characters")
	}
	return s, nil
}

func parseRegion(s string) (string, error) {
	if !firewall.ValidName(s) || !strings.Contains(s, "-") {
		return "", errkind.Bad("region", s, "a region such as eu-central-1")
	}
	return s, nil
}

func parseShared(s string) (Sharing, error) {
	switch way := Sharing(s); way {
	case Include, Split, Refuse:
		return way, nil
	}
	return "", errkind.Bad("shared", s, `"include", "split" or "refuse"`)
}

// parseKept reads the number of a protocol that is not kept anyway.
func parseKept(s string) (firewall.Protocol, error) {
	n, err := strconv.Atoi(s)
	p := firewall.Protocol(n) //nolint:gosec // judged below
	if err != nil || s != strconv.Itoa(n) || n < 0 || n > mostProtocolNumber ||
		p == firewall.TCP || p == firewall.UDP || p == alwaysKeptICMP || p == alwaysKeptICMPv6 {
		return 0, errkind.Bad("protocol", s, "the number of an IP protocol that is not TCP, UDP or ICMP, such as 50 for ESP")
	}
	return p, nil
}

// parseEndpoint reads the address of an API. Without TLS whoever is in between
// could answer; on the loopback interface there is nobody.
func parseEndpoint(s string) (string, error) {
	u, err := url.Parse(s)
	bare := err == nil && u.Host != "" && u.User == nil && u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.String() == s
	if bare {
		host, err := netip.ParseAddr(u.Hostname())
		loopback := u.Hostname() == "localhost" || err == nil && host.IsLoopback()
		bare = u.Scheme == "https" || u.Scheme == "http" && loopback
	}
	if !bare {
		return "", errkind.Bad("endpoint", s, "a URL without a path, such as https://ec2.example.org; http:// is for the loopback interface only")
	}
	return s, nil
}

// aws writes what Sesame does in AWS.
func (w *writer) aws(a AWS) {
	const in = "  "
	w.comment("", "The EC2 instances whose security groups Sesame writes.")
	w.line("aws:")
	w.comment(in, "Accounts, each with roles to assume: one that looks, and those that open, close",
		"and lock. Roles that are not named are the reader's; without a reader the SDK's",
		"default credentials are used (environment, profile, instance role). Without",
		"regions, every enabled one is protected. Such as",
		"  - name: production",
		"    reader: arn:aws:iam::123456789012:role/sesame-reader",
		"    opener: arn:aws:iam::123456789012:role/sesame-opener",
		"    closer: arn:aws:iam::123456789012:role/sesame-closer",
		"    locker: arn:aws:iam::123456789012:role/sesame-locker",
		"    external_id: 0d2c7a4e",
		"    regions: [eu-central-1, eu-west-1]")
	if len(a.Accounts) == 0 {
		w.line("  accounts: []")
	} else {
		w.line("  accounts:")
	}
	for _, x := range a.Accounts {
		w.line("    - name: %s", document.Scalar(x.Name))
		for _, f := range []struct{ key, value string }{
			{"reader", x.Reader}, {"opener", x.Opener}, {"closer", x.Closer}, {"locker", x.Locker}, {"external_id", x.ExternalID},
		} {
			if f.value != "" {
				w.text("      ", f.key, f.value)
			}
		}
		if len(x.Regions) > 0 {
			list(w, "      ", "regions", x.Regions, func(s string) string { return s })
		}
	}
	w.comment(in, "Where the APIs are, instead of at AWS, and who vouches for them there.")
	for _, f := range []struct{ key, value, example string }{
		{"endpoint", a.Endpoint, "http://127.0.0.1:4566"}, {"ca_file", a.CAFile, "/etc/sesame/aws-ca.pem"},
	} {
		if f.value == "" {
			w.comment(in, f.key+": "+f.example)
		} else {
			w.text(in, f.key, f.value)
		}
	}
	w.comment(in, "A lock takes rules out of every group of its instance. Where other instances",
		"share the group and are not locked, they lose the port, too: include them in",
		"what `sesame enable` lists and asks for; split, which gives the instance a copy",
		"of its own of the group; or refuse the lock.")
	w.text(in, "shared", string(a.Shared))
	w.comment(in, "A rule for every protocol that a lock takes out is kept as TCP, UDP, ICMP and",
		"the protocols of keep, by number. No list of rules says \"every other protocol\":",
		"those are listed and asked for, too.")
	w.list(in, "keep", a.Keep)
	w.comment(in, "The quotas of the accounts. EC2 says how many groups an interface may wear, and",
		"what is said here counts where it does not; how many rules a group may hold it",
		"says to nobody before they are too many.")
	w.line("  rules_per_group: %d", a.RulesPerGroup)
	w.line("  groups_per_interface: %d", a.GroupsPerInterface)
	w.comment(in, "How long a VPC goes unread when nothing happens. Reading one takes about three",
		"calls and one more for every 200 groups; AWS refills about twenty a second for",
		"all of a region.")
	w.text(in, "resync", access.FormatDuration(a.Resync))
}

// list writes the numbers of protocols on one line.
func (w *writer) list(indent, key string, protocols []firewall.Protocol) {
	texts := make([]string, len(protocols))
	for i, p := range protocols {
		texts[i] = strconv.Itoa(int(p))
	}
	w.line("%s%s: [%s]", indent, key, strings.Join(texts, ", "))
}
