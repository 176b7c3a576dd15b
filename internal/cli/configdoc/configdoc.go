// Package configdoc is the configuration of the daemon as JSON, for programs: the
// keys and the texts are those of the file, and nothing is left out because it is
// the default.
package configdoc

import (
	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/config"
)

// A Document is a configuration as JSON.
type Document struct {
	Listen         []string         `json:"listen"`
	Socket         string           `json:"socket"`
	StateDir       string           `json:"state_dir"`
	Hosts          []hostDocument   `json:"hosts"`
	AWS            awsDocument      `json:"aws"`
	Azure          azureDocument    `json:"azure"`
	Resync         string           `json:"resync"`
	TrustedProxies []string         `json:"trusted_proxies"`
	TLS            tlsDocument      `json:"tls"`
	Identity       identityDocument `json:"identity"`
	Log            logDocument      `json:"log"`
	Limits         limitsDocument   `json:"limits"`
}

type hostDocument struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	NetNS     string   `json:"netns,omitzero"`
}

type awsDocument struct {
	Accounts           []accountDocument `json:"accounts"`
	Endpoint           string            `json:"endpoint,omitzero"`
	CAFile             string            `json:"ca_file,omitzero"`
	Shared             string            `json:"shared"`
	Keep               []int             `json:"keep"`
	RulesPerGroup      int               `json:"rules_per_group"`
	GroupsPerInterface int               `json:"groups_per_interface"`
	Resync             string            `json:"resync"`
}

type accountDocument struct {
	Name       string   `json:"name"`
	Reader     string   `json:"reader,omitzero"`
	Opener     string   `json:"opener,omitzero"`
	Closer     string   `json:"closer,omitzero"`
	Locker     string   `json:"locker,omitzero"`
	ExternalID string   `json:"external_id,omitzero"`
	Regions    []string `json:"regions,omitempty"`
}

type tlsDocument struct {
	Cert  string   `json:"cert,omitzero"`
	Key   string   `json:"key,omitzero"`
	Names []string `json:"names"`
}

type identityDocument struct {
	URL             string           `json:"url,omitzero"`
	Session         string           `json:"session"`
	Idle            string           `json:"idle"`
	Fresh           string           `json:"fresh,omitzero"`
	Issuers         []issuerDocument `json:"issuers"`
	Groups          []groupDocument  `json:"groups"`
	AcceptARMTokens bool             `json:"accept_arm_tokens_that_open_the_whole_tenant"`
}

type issuerDocument struct {
	Name       string   `json:"name"`
	URL        string   `json:"url"`
	Also       []string `json:"also,omitempty"`
	Client     string   `json:"client,omitzero"`
	SecretFile string   `json:"secret_file,omitzero"`
	Scopes     []string `json:"scopes,omitempty"`
	Subject    string   `json:"subject"`
	Groups     string   `json:"groups,omitzero"`
	Graph      string   `json:"graph,omitzero"`
	Audiences  []string `json:"audiences,omitempty"`
	People     bool     `json:"people"`
	MFA        bool     `json:"mfa"`
}

type groupDocument struct {
	Name    string   `json:"name"`
	Members []string `json:"members"`
}

type logDocument struct {
	Level  string `json:"level"`
	Format string `json:"format"`
}

type limitsDocument struct {
	Body        int `json:"body"`
	Header      int `json:"header"`
	Connections int `json:"connections"`
	Streams     int `json:"streams"`
	Rate        int `json:"rate"`
	Grants      int `json:"grants"`
	Waiting     int `json:"waiting"`
	Asked       int `json:"asked"`
}

// Of returns c as it is written.
func Of(c config.Config) Document {
	out := Document{
		Listen: texts(c.Listen), Socket: c.Socket, StateDir: c.StateDir, Hosts: nil, AWS: awsDocumentOf(c.AWS), Azure: azureDocumentOf(c.Azure),
		Resync: access.FormatDuration(c.Resync), TrustedProxies: texts(c.TrustedProxies),
		TLS: tlsDocument(c.TLS), Identity: identityDocumentOf(c.Identity), Log: logDocument(c.Log), Limits: limitsDocument(c.Limits),
	}
	for _, h := range c.Hosts {
		out.Hosts = append(out.Hosts, hostDocument{Name: h.Name, Addresses: texts(h.Addresses), NetNS: h.NetNS})
	}
	return out
}

func identityDocumentOf(x config.Identity) identityDocument {
	out := identityDocument{
		URL: x.URL, Session: access.FormatDuration(x.Session), Idle: access.FormatDuration(x.Idle), Fresh: "",
		Issuers: nil, Groups: nil, AcceptARMTokens: x.AcceptARMTokens,
	}
	if x.Fresh > 0 {
		out.Fresh = access.FormatDuration(x.Fresh)
	}
	for _, i := range x.Issuers {
		out.Issuers = append(out.Issuers, issuerDocument(i))
	}
	for _, g := range x.Groups {
		out.Groups = append(out.Groups, groupDocument(g))
	}
	return out
}

func awsDocumentOf(a config.AWS) awsDocument {
	out := awsDocument{
		Accounts: nil, Endpoint: a.Endpoint, CAFile: a.CAFile, Shared: string(a.Shared), Keep: nil,
		RulesPerGroup: a.RulesPerGroup, GroupsPerInterface: a.GroupsPerInterface, Resync: access.FormatDuration(a.Resync),
	}
	for _, p := range a.Keep {
		out.Keep = append(out.Keep, int(p))
	}
	for _, x := range a.Accounts {
		out.Accounts = append(out.Accounts, accountDocument(x))
	}
	return out
}

type azureDocument struct {
	Subscriptions    []string       `json:"subscriptions"`
	ManagementGroups []string       `json:"management_groups"`
	Cloud            string         `json:"cloud"`
	Endpoint         string         `json:"endpoint,omitzero"`
	Audience         string         `json:"audience,omitzero"`
	Authority        string         `json:"authority,omitzero"`
	CAFile           string         `json:"ca_file,omitzero"`
	Tenant           string         `json:"tenant,omitzero"`
	Reader           string         `json:"reader,omitzero"`
	Opener           string         `json:"opener,omitzero"`
	Closer           string         `json:"closer,omitzero"`
	Locker           string         `json:"locker,omitzero"`
	Windows          windowDocument `json:"windows"`
	MayOutrank       []string       `json:"may_outrank"`
	OwnGroups        bool           `json:"own_nsg"`
	Resync           string         `json:"resync"`
}

type windowDocument struct {
	Grants string `json:"grants"`
	Exempt string `json:"exempt"`
	Locks  string `json:"locks"`
	Only   bool   `json:"only"`
}

func azureDocumentOf(a config.Azure) azureDocument {
	return azureDocument{
		Subscriptions: a.Subscriptions, ManagementGroups: a.ManagementGroups, Cloud: a.Cloud,
		Endpoint: a.Endpoint, Audience: a.Audience, Authority: a.Authority, CAFile: a.CAFile,
		Tenant: a.Tenant, Reader: a.Reader, Opener: a.Opener, Closer: a.Closer, Locker: a.Locker,
		Windows:    windowDocument{Grants: a.Grants.String(), Exempt: a.Exempt.String(), Locks: a.Locks.String(), Only: a.OnlyThere},
		MayOutrank: a.MayOutrank, OwnGroups: a.OwnGroups, Resync: access.FormatDuration(a.Resync),
	}
}

func texts[T interface{ String() string }](list []T) []string {
	var out []string
	for _, x := range list {
		out = append(out, x.String())
	}
	return out
}
