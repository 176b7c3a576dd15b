package config_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

var values = cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}, netip.AddrPort{})

func full() config.Config {
	return config.Config{
		Listen:   []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[2001:db8::1]:8443")},
		Socket:   "/run/other/s.sock",
		StateDir: "/srv/sesame state",
		Hosts: []config.Host{
			{Name: "22", NetNS: "/run/netns/22"},
			{Name: "web-1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}, NetNS: "/run/netns/web-1"},
			{Name: "web-2"},
		},
		AWS: config.AWS{
			Accounts: []config.AWSAccount{
				{Name: "0", Regions: []string{"eu-central-1", "us-gov-west-1"}},
				{
					Name: "live", Reader: "arn:aws-us-gov:iam::123456789012:role/path/sesame-reader", Opener: "arn:aws:iam::123456789012:role/o",
					Closer: "arn:aws:iam::123456789012:role/c", Locker: "arn:aws:iam::123456789012:role/l", ExternalID: "between: us # two",
				},
			},
			Endpoint: "http://127.0.0.1:4566", CAFile: "/etc/sesame/aws.pem",
			Shared: config.Split, Keep: []firewall.Protocol{0, 47, 50}, RulesPerGroup: 200, GroupsPerInterface: 5, Resync: 45 * time.Second,
		},
		Azure: config.Azure{
			Subscriptions: []string{"00000000-0000-0000-0000-00000000000a"}, ManagementGroups: []string{"Root_(x)"}, Cloud: config.AzureChina,
			Endpoint: "https://127.0.0.1:4567", Audience: "https://a.example", Authority: "https://b.example", CAFile: "/a.pem",
			Tenant: "00000000-0000-0000-0000-000000000001", Reader: "00000000-0000-0000-0000-000000000002", Opener: "00000000-0000-0000-0000-000000000003",
			Closer: "00000000-0000-0000-0000-000000000004", Locker: "00000000-0000-0000-0000-000000000005",
			Grants: config.Priorities{First: 100, Last: 200}, Exempt: config.Priorities{First: 201, Last: 300}, Locks: config.Priorities{First: 301, Last: 4096},
			OnlyThere: true, MayOutrank: []string{"DenyAll"}, OwnGroups: true, Resync: time.Minute,
		},
		Resync:         90 * time.Second,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("2001:db8::/48"), netip.MustParsePrefix("2001:db8:1::7/128")},
		TLS:            config.TLS{Cert: "/etc/tls/a.crt", Key: "/etc/tls/a.key"},
		Identity: config.Identity{
			URL: "https://sesame.example.org:8443", Session: 8 * time.Hour, Idle: 30 * time.Minute, Fresh: 15 * time.Minute,
			Issuers: []config.Issuer{
				{
					Name: "corp", URL: "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000001/v2.0",
					Also:   []string{"https://sts.windows.net/00000000-0000-0000-0000-000000000001/"},
					Client: "c-1", SecretFile: "/etc/sesame/corp secret", Scopes: []string{"email", "profile"}, Subject: config.SubjectOID,
					Groups: "groups", Graph: "https://graph.microsoft.com/v1.0", Audiences: []string{"api://sesame"}, People: true, MFA: true,
				},
				{Name: "github", URL: "https://token.actions.githubusercontent.com", Subject: config.SubjectSub, Audiences: []string{"sesame"}},
			},
			Groups:          []config.Group{{Name: "nobody"}, {Name: "oncall", Members: []string{"https://a.example#1", "local#ana"}}},
			AcceptARMTokens: true,
		},
		Log:    config.Log{Level: config.LevelDebug, Format: config.FormatJSON},
		Limits: config.Limits{Body: 64 << 10, Header: 16 << 10, Connections: 100, Streams: 10, Rate: 60, Grants: 5, Waiting: 2, Asked: 3},
	}
}

func TestEmptyFileIsTheDefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "tls: {}\nlog: {}\nlimits: {}\n"} {
		got, err := config.Parse([]byte(text))
		if diff := cmp.Diff(config.Default(), got, values); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
	if err := config.Validate(config.Default()); err != nil {
		t.Error(err)
	}
	if !config.Default().TLS.Own() || full().TLS.Own() {
		t.Error("who makes the certificate is wrong")
	}
}

func TestFormatRoundTrip(t *testing.T) {
	own := full()
	own.TLS = config.TLS{Names: []string{"192.0.2.99", "no", "sesame.example.org"}}
	for _, c := range []config.Config{config.Default(), full(), own} {
		text := config.Format(c)
		got, err := config.Parse(text)
		if diff := cmp.Diff(c, got, values); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s\n%s", err, diff, text)
		}
		if err := config.Validate(c); err != nil {
			t.Error(err)
		}
	}
}

// TestExample keeps the example file that people read fresh.
func TestExample(t *testing.T) {
	const file = "sesame.example.yaml"
	want := config.Format(config.Default())
	got, err := os.ReadFile(filepath.Join("testdata", file))
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(filepath.Join("testdata", file), want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(got)); err != nil || diff != "" {
		t.Errorf("testdata/%s is not fresh; run with UPDATE=1: %v\n%s", file, err, diff)
	}
}

// TestGuides reads the configurations that the guides show.
func TestGuides(t *testing.T) {
	guides, err := filepath.Glob(filepath.Join("..", "..", "docs", "guide", "*.md"))
	if err != nil || len(guides) == 0 {
		t.Fatalf("there are no guides: %v", err)
	}
	shown := 0
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "```yaml\n")[1:] {
			part, _, _ = strings.Cut(part, "```")
			if _, err := config.Parse([]byte(part)); err != nil {
				t.Errorf("%s: %v in\n%s", guide, err, part)
			}
			shown++
		}
	}
	if shown == 0 {
		t.Error("no guide shows a configuration")
	}
}

func TestParse(t *testing.T) {
	text := `
listen: ["[2001:db8::1]:8443", "192.0.2.1:443"]
socket: /run/other/s.sock
state_dir: /srv/sesame state
hosts:
  - name: web-2
  - {name: web-1, addresses: ["2001:db8::10", 192.0.2.10], netns: /run/netns/web-1}
  - {name: "22", addresses: [], netns: /run/netns/22}
aws:
  endpoint: http://127.0.0.1:4566
  ca_file: /etc/sesame/aws.pem
  shared: split
  keep: [50, 0, 47]
  rules_per_group: 200
  groups_per_interface: 5
  resync: 45s
  accounts:
    - name: live
      reader: arn:aws-us-gov:iam::123456789012:role/path/sesame-reader
      opener: arn:aws:iam::123456789012:role/o
      closer: arn:aws:iam::123456789012:role/c
      locker: arn:aws:iam::123456789012:role/l
      external_id: "between: us # two"
    - {name: "0", regions: [us-gov-west-1, eu-central-1]}
azure:
  subscriptions: [00000000-0000-0000-0000-00000000000A]
  management_groups: ["Root_(x)"]
  cloud: china
  endpoint: https://127.0.0.1:4567
  audience: https://a.example
  authority: https://b.example
  ca_file: /a.pem
  tenant: 00000000-0000-0000-0000-000000000001
  reader: 00000000-0000-0000-0000-000000000002
  opener: 00000000-0000-0000-0000-000000000003
  closer: 00000000-0000-0000-0000-000000000004
  locker: 00000000-0000-0000-0000-000000000005
  windows: {grants: 100-200, exempt: 201-300, locks: 301-4096, only: true}
  may_outrank: [DenyAll]
  own_nsg: true
  resync: 1m
resync: 1m30s
trusted_proxies: ["2001:db8:1::7", 10.0.0.0/16, "2001:db8::/48"]
tls: {cert: /etc/tls/a.crt, key: /etc/tls/a.key}
identity:
  url: https://sesame.example.org:8443
  session: 8h
  idle: 30m
  fresh: 15m
  issuers:
    - {name: github, url: "https://token.actions.githubusercontent.com", audiences: [sesame]}
    - name: corp
      url: https://login.microsoftonline.com/00000000-0000-0000-0000-000000000001/v2.0
      also: [https://sts.windows.net/00000000-0000-0000-0000-000000000001/]
      client: c-1
      secret_file: /etc/sesame/corp secret
      scopes: [profile, email]
      subject: oid
      groups: groups
      graph: https://graph.microsoft.com/v1.0
      audiences: [api://sesame]
      people: true
      mfa: true
  groups: [{name: oncall, members: ["local#ana", "https://a.example#1"]}, {name: nobody}]
  accept_arm_tokens_that_open_the_whole_tenant: true
log: {level: debug, format: json}
limits: {body: 64KiB, header: 16KiB, connections: 100, streams: 10, rate: 60, grants: 5, waiting: 2, asked: 3}
`
	got, err := config.Parse([]byte(text))
	if diff := cmp.Diff(full(), got, values); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if id := got.Hosts[1].VM(); id != "host://web-1" {
		t.Errorf("the host is the VM %q", id)
	}
}

func TestParseMistakes(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":               {"listne: []\n", `line 1: there is no key "listne"; did you mean listen?`},
		"unknown key below":         {"log:\n  levels: info\n", `line 2: there is no key "log.levels"; did you mean level?`},
		"case":                      {"Socket: /x\n", `line 1: there is no key "Socket"; did you mean socket?`},
		"a hyphen":                  {"state-dir: /x\n", `line 1: there is no key "state-dir"; did you mean state_dir?`},
		"twice":                     {"socket: /x\nsocket: /y\n", `line 2: the key "socket" is there twice, first in line 1`},
		"a tab":                     {"log:\n\tlevel: info\n", "line 2: this is not YAML"},
		"bomb":                      {"hosts: &a []\nlisten: *a\n", "line 1: an anchor (&a)"},
		"null":                      {"socket:\n", "line 1: socket: says nothing, and must be text; leave the key out for the default"},
		"nobody comes from here":    {"identity: {issuers: [{name: a, url: 'https://a.example'}]}\n", "nobody can come from here"},
		"the issuer that is us":     {"identity: {issuers: [{name: local, url: 'https://a.example', client: c}]}\n", "the issuer of this server's own tokens"},
		"one issuer twice":          {"identity:\n  issuers:\n    - {name: a, url: 'https://a.example', client: c}\n    - {name: b, url: 'https://b.example', also: ['https://a.example'], client: c}\n", "is an issuer already"},
		"an issuer in the clear":    {"identity: {issuers: [{name: a, url: 'http://a.example', client: c}]}\n", "the URL of one issuer"},
		"every tenant of Entra":     {"identity: {issuers: [{name: a, url: 'https://login.microsoftonline.com/common/v2.0', client: c}]}\n", "that of one tenant"},
		"e-mail for a subject":      {"identity: {issuers: [{name: a, url: 'https://a.example', client: c, subject: email}]}\n", `"sub" or, for Entra, "oid"`},
		"a member without issuer":   {"identity: {groups: [{name: a, members: [ana]}]}\n", "ISSUER#SUBJECT"},
		"no listener":               {"listen: []\n", "line 1: listen: the list has 0 entries; it must have 1 to 16"},
		"one listener bare":         {"listen: 127.0.0.1:8443\n", `line 1: listen: "127.0.0.1:8443" is text, and must be a list`},
		"every address":             {"listen: [':8443']\n", `line 1: listen[0]: ":8443" is not an address and a port, such as 127.0.0.1:8443, 0.0.0.0:8443 or [::]:8443`},
		"a name to listen on":       {"listen: ['localhost:8443']\n", `listen[0]: "localhost:8443" is not an address and a port`},
		"no port":                   {"listen: [127.0.0.1]\n", `listen[0]: "127.0.0.1" is not an address and a port`},
		"port 0":                    {"listen: ['127.0.0.1:0']\n", `listen[0]: "127.0.0.1:0" is not an address and a port`},
		"port 08443":                {"listen: ['127.0.0.1:08443']\n", `listen[0]: "127.0.0.1:08443" is not an address and a port`},
		"a named port":              {"listen: ['127.0.0.1:https']\n", `listen[0]: "127.0.0.1:https" is not an address and a port`},
		"IPv6 without brackets":     {"listen: ['::1:8443']\n", `listen[0]: "::1:8443" is not an address and a port`},
		"IPv4 in brackets":          {"listen: ['[127.0.0.1]:8443']\n", `listen[0]: "[127.0.0.1]:8443" is not an address and a port`},
		"4-in-6":                    {"listen: ['[::ffff:127.0.0.1]:8443']\n", `listen[0]: "[::ffff:127.0.0.1]:8443" is not an address and a port`},
		"a zone":                    {"listen: ['[fe80::1%eth0]:8443']\n", `listen[0]: "[fe80::1%eth0]:8443" is not an address and a port`},
		"a prefix to listen on":     {"listen: ['127.0.0.1/32:8443']\n", `listen[0]: "127.0.0.1/32:8443" is not an address and a port`},
		"twice the same":            {"listen: ['127.0.0.1:1', '127.0.0.1:1']\n", "listen[1]: the same as listen[0]; list it once"},
		"a relative path":           {"socket: run/x\n", `line 1: socket: "run/x" is not an absolute path, without .., doubled or trailing slashes`},
		"a path up":                 {"state_dir: /var/lib/../../etc\n", `state_dir: "/var/lib/../../etc" is not an absolute path`},
		"a trailing slash":          {"state_dir: /var/lib/sesame/\n", `state_dir: "/var/lib/sesame/" is not an absolute path`},
		"the root":                  {"state_dir: /\n", `state_dir: "/" is not an absolute path`},
		"a control character":       {"state_dir: \"/a\\nb\"\n", `state_dir: "/a\nb" is not an absolute path`},
		"a long path":               {"state_dir: /" + strings.Repeat("a", 4096) + "\n", "is not an absolute path"},
		"a long socket":             {"socket: /" + strings.Repeat("a", 107) + "\n", "is not a path of at most 107 bytes"},
		"a host without a name":     {"hosts:\n- addresses: [192.0.2.1]\n", "line 2: hosts[0].name is missing; it must be a name such as web-1"},
		"a host by its id":          {"hosts: [{name: host://web-1}]\n", `hosts[0].name: "host://web-1" is not a name`},
		"a host twice":              {"hosts:\n- {name: a, netns: /run/netns/a}\n- {name: a, netns: /run/netns/b}\n", "line 3: hosts[1]: the same as hosts[0]; list it once"},
		"two hosts in one netns":    {"hosts:\n- {name: a, netns: /run/netns/a}\n- {name: b, netns: /run/netns/a}\n", `line 3: hosts[1]: the host a has the netns "/run/netns/a" already; each firewall has one writer`},
		"two of this machine":       {"hosts:\n- name: a\n- name: b\n", "line 3: hosts[1]: the host a is this machine already; give this one its netns"},
		"a host's network":          {"hosts: [{name: a, addresses: [192.0.2.0/24]}]\n", `hosts[0].addresses[0]: "192.0.2.0/24" is not the address of one host`},
		"no address":                {"hosts: [{name: a, addresses: [0.0.0.0]}]\n", `hosts[0].addresses[0]: "0.0.0.0" is not the address of one host`},
		"a group's address":         {"hosts: [{name: a, addresses: ['ff02::1']}]\n", `hosts[0].addresses[0]: "ff02::1" is not the address of one host`},
		"an account without a name": {"aws: {accounts: [{regions: [eu-west-1]}]}\n", "aws.accounts[0].name is missing; it must be a name such as production"},
		"an account twice":          {"aws: {accounts: [{name: a}, {name: b}]}\n", "aws.accounts[1]: a is in the same account already; give its other regions to that"},
		"a role twice":              {"aws: {accounts: [{name: a, reader: 'arn:aws:iam::123456789012:role/a'}, {name: b, reader: 'arn:aws:iam::123456789012:role/b'}]}\n", "aws.accounts[1]: a is in the same account already"},
		"a user for a role":         {"aws: {accounts: [{name: a, reader: 'arn:aws:iam::123456789012:user/a'}]}\n", `aws.accounts[0].reader: "arn:aws:iam::123456789012:user/a" is not the ARN of a role`},
		"a role of nobody":          {"aws: {accounts: [{name: a, closer: 'arn:aws:iam::12345678901:role/a'}]}\n", `aws.accounts[0].closer: "arn:aws:iam::12345678901:role/a" is not the ARN of a role`},
		"an external id for nobody": {"aws: {accounts: [{name: a, external_id: xyz}]}\n", "aws.accounts[0].external_id: an external id is for a role; name the reader"},
		"no region":                 {"aws: {accounts: [{name: a, regions: []}]}\n", "aws.accounts[0].regions: the list has 0 entries; it must have 1 to 64"},
		"a region by name":          {"aws: {accounts: [{name: a, regions: [Frankfurt]}]}\n", `aws.accounts[0].regions[0]: "Frankfurt" is not a region such as eu-central-1`},
		"an open endpoint":          {"aws: {endpoint: 'http://ec2.example.org'}\n", `aws.endpoint: "http://ec2.example.org" is not a URL without a path`},
		"an endpoint's path":        {"aws: {endpoint: 'https://ec2.example.org/x'}\n", `aws.endpoint: "https://ec2.example.org/x" is not a URL without a path`},
		"shared maybe":              {"aws: {shared: maybe}\n", `aws.shared: "maybe" is not "include", "split" or "refuse"`},
		"keep TCP":                  {"aws: {keep: [6]}\n", `aws.keep[0]: "6" is not the number of an IP protocol that is not TCP, UDP or ICMP`},
		"keep 256":                  {"aws: {keep: [256]}\n", `aws.keep[0]: "256" is not the number of an IP protocol`},
		"quotas beyond AWS":         {"aws: {rules_per_group: 500, groups_per_interface: 3}\n", "aws: rules_per_group times groups_per_interface is 1500; AWS grants at most 1000"},
		"an Azure cloud":            {"azure: {cloud: azure}\n", `azure.cloud: "azure" is not "public", "usgovernment" or "china"`},
		"a subscription by name":    {"azure: {subscriptions: [production]}\n", `azure.subscriptions[0]: "production" is not a GUID`},
		"a subscription twice":      {"azure: {subscriptions: [00000000-0000-0000-0000-00000000000a, 00000000-0000-0000-0000-00000000000A]}\n", "azure.subscriptions[1]: the same as azure.subscriptions[0]; list it once"},
		"locks above grants":        {"azure: {windows: {grants: 300-400, exempt: 401-500, locks: 100-200}}\n", "azure.windows: grants 300-400, exempt 401-500 and locks 100-200 must follow each other"},
		"priorities below 100":      {"azure: {windows: {grants: 99-400}}\n", `azure.windows.grants: "99-400" is not two numbers from 100 to 4096`},
		"resync 0":                  {"resync: 0s\n", `line 1: resync: "0s" is not a duration from 1s to 10m`},
		"resync 11m":                {"resync: 11m\n", `resync: "11m" is not a duration from 1s to 10m`},
		"resync as a number":        {"resync: 30\n", `resync: "30" is not a duration from 1s to 10m`},
		"trust everybody":           {"trusted_proxies: [0.0.0.0/0]\n", `line 1: trusted_proxies[0]: "0.0.0.0/0" is not /16 or narrower; whoever is trusted here can claim any address as his own`},
		"trust a /15":               {"trusted_proxies: [10.0.0.0/15]\n", `trusted_proxies[0]: "10.0.0.0/15" is not /16 or narrower`},
		"trust every IPv6":          {"trusted_proxies: ['::/0']\n", `trusted_proxies[0]: "::/0" is not /48 or narrower`},
		"trust a /47":               {"trusted_proxies: ['2001:db8::/47']\n", `trusted_proxies[0]: "2001:db8::/47" is not /48 or narrower`},
		"trust by name":             {"trusted_proxies: [private]\n", `trusted_proxies[0]: "private" is not an IPv4 or IPv6 address or prefix`},
		"cert without key":          {"tls:\n  cert: /a\n", "line 2: tls: cert and key belong together; give both, or neither to use Sesame's own authority"},
		"key without cert":          {"tls: {key: /a}\n", "line 1: tls: cert and key belong together"},
		"names and cert":            {"tls: {cert: /a, key: /b, names: [x.org]}\n", "line 1: tls.names: the certificate in cert has its own names; leave names out"},
		"a wildcard name":           {"tls: {names: ['*.example.org']}\n", `tls.names[0]: "*.example.org" is not a DNS name in lower case or an address`},
		"a name in capitals":        {"tls: {names: [X.org]}\n", `tls.names[0]: "X.org" is not a DNS name`},
		"a trailing dot":            {"tls: {names: [x.org.]}\n", `tls.names[0]: "x.org." is not a DNS name`},
		"almost an address":         {"tls: {names: [192.0.2.300]}\n", `tls.names[0]: "192.0.2.300" is not a DNS name`},
		"a long name":               {"tls: {names: [" + strings.TrimSuffix(strings.Repeat("abcdefg.", 32), ".") + "]}\n", "is not a DNS name"},
		"level loud":                {"log: {level: loud}\n", `line 1: log.level: "loud" is not "debug", "info", "warn" or "error"`},
		"level INFO":                {"log: {level: INFO}\n", `log.level: "INFO" is not`},
		"format xml":                {"log: {format: xml}\n", `log.format: "xml" is not "text" or "json"`},
		"body as a number":          {"limits: {body: 1048576}\n", `limits.body: "1048576" is not a size from 16KiB`},
		"body in bytes":             {"limits: {body: '1048576'}\n", `limits.body: "1048576" is not a size from 16KiB to 16MiB, such as 64KiB or 1MiB`},
		"body too small":            {"limits: {body: 15KiB}\n", `limits.body: "15KiB" is not a size`},
		"body too big":              {"limits: {body: 17MiB}\n", `limits.body: "17MiB" is not a size`},
		"body overflows":            {"limits: {body: 17592186044417MiB}\n", `limits.body: "17592186044417MiB" is not a size`},
		"body negative":             {"limits: {body: -64KiB}\n", `limits.body: "-64KiB" is not a size`},
		"body 064KiB":               {"limits: {body: 064KiB}\n", `limits.body: "064KiB" is not a size`},
		"body 1GiB":                 {"limits: {body: 1GiB}\n", `limits.body: "1GiB" is not a size`},
		"no connections":            {"limits: {connections: 0}\n", `limits.connections: "0" is not a whole number from 16 to 1000000`},
		"unlimited":                 {"limits: {rate: -1}\n", `limits.rate: "-1" is not a whole number from 10 to 1000000`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := config.Parse([]byte(c.text))
			if err == nil {
				t.Fatalf("read as %+v", got)
			}
			if !strings.Contains(errkind.Public(err), c.want) || errkind.Of(err) != errkind.Invalid {
				t.Errorf("got\n%s\nwant\n%s", errkind.Public(err), c.want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*config.Config)
		want string
	}{
		"a relative socket":  {func(c *config.Config) { c.Socket = "s.sock" }, `socket: "s.sock" is not an absolute path`},
		"no socket":          {func(c *config.Config) { c.Socket = "" }, `socket: "" is not an absolute path`},
		"nothing to listen":  {func(c *config.Config) { c.Listen = nil }, "listen"},
		"no address at all":  {func(c *config.Config) { c.Listen = []netip.AddrPort{{}} }, "listen[0]"},
		"trust everybody":    {func(c *config.Config) { c.TrustedProxies[0] = netip.MustParsePrefix("0.0.0.0/0") }, `trusted_proxies[0]: "0.0.0.0/0" is not /16 or narrower`},
		"a hostile name":     {func(c *config.Config) { c.Hosts[0].Name = "a\nlog: {level: debug}" }, `hosts[0].name`},
		"a hostile path":     {func(c *config.Config) { c.StateDir = "/x\nlog: {level: debug}" }, "state_dir"},
		"hosts unsorted":     {func(c *config.Config) { c.Hosts[0], c.Hosts[1] = c.Hosts[1], c.Hosts[0] }, "canonical form"},
		"half a second":      {func(c *config.Config) { c.Resync += time.Second / 2 }, "canonical form"},
		"half a KiB":         {func(c *config.Config) { c.Limits.Body += 512 }, "canonical form"},
		"empty for nil":      {func(c *config.Config) { c.TLS.Names = []string{} }, "canonical form"},
		"cert without a key": {func(c *config.Config) { c.TLS.Key = "" }, "cert and key belong together"},
	} {
		conf := full()
		c.edit(&conf)
		err := config.Validate(conf)
		if err == nil || !strings.Contains(errkind.Public(err), c.want) || errkind.Of(err) != errkind.Invalid {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestConfigRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := config.Default()
		c.Socket = "/" + rapid.StringMatching(`[ -.0-~]{1,20}`).Filter(func(s string) bool { return s != "." && s != ".." }).Draw(t, "socket")
		c.StateDir = "/" + rapid.StringMatching(`[^/\x00-\x1f\x7f]{1,20}`).Filter(func(s string) bool { return s != "." && s != ".." }).Draw(t, "state")
		for i := range rapid.IntRange(0, 3).Draw(t, "hosts") {
			c.Hosts = append(c.Hosts, config.Host{Name: fmt.Sprint(i), NetNS: "/" + fmt.Sprint(i)})
		}
		c.Resync = time.Duration(rapid.IntRange(1, 600).Draw(t, "resync")) * time.Second
		c.Limits.Body = rapid.IntRange(16, 16<<10).Draw(t, "body") << 10
		if got, err := config.Parse(config.Format(c)); err != nil || !cmp.Equal(c, got, values) {
			t.Fatalf("%v\n%s", err, cmp.Diff(c, got, values))
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(string(config.Format(config.Default())))
	f.Add(string(config.Format(full())))
	f.Add("listen: [':8443']\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse([]byte(text))
		if err != nil {
			return
		}
		if err := config.Validate(c); err != nil {
			t.Fatalf("%q is parsed and not valid: %v", text, err)
		}
	})
}

// The configurations in the guide to Azure are ones.
func TestGuideToAzure(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide", "azure.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, after := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(after, "```")
		cfg, err := config.Parse([]byte(text))
		if err != nil || !cfg.Azure.Any() {
			t.Errorf("%v:\n%s", err, text)
		}
		seen++
	}
	if seen < 2 {
		t.Errorf("it shows %d configurations", seen)
	}
}
