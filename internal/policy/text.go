package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/document"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Parse reads one policy document, YAML or JSON, fills in what it leaves out
// and validates it. Its keys are
//
//	name: prod-ssh                    # required; see firewall.ValidName
//	version: 3                        # what the document was made from; not checked
//	vms: [host://web-1]               # required; 1 to MaxVMs ids
//	ports:                            # required; 1 to MaxPorts
//	  - port: 22                      # required
//	    protocol: tcp                 # or udp; DefaultProtocol
//	    max: 3h                       # 1m to 168h; DefaultMax
//	    sources: [198.51.100.0/24]    # 1 to MaxSources; anywhere but special ranges
//	    widest: {ipv4: 32, ipv6: 64}  # DefaultWidestIPv4, DefaultWidestIPv6
//	exempt: [198.51.100.4]            # up to MaxSources, see MaxExempt; none
//	cut: false
//	proof: false
//	approvals: [{stage: lead, count: 1}]  # up to MaxStages, in this order; none
//	approve_within: 1h                # 1m to 168h; DefaultWithin; only with approvals
//	reason: required                  # or optional, the default
//	ticket: 'CHG-[0-9]+'              # RE2, matched as a whole; any, or none
//	break_glass: {who: [local#dora], max: 30m}  # 1m to 4h; DefaultGlass; nobody
//	azure:                            # of what was put on the Azure face
//	  policy: /subscriptions/…/jitNetworkAccessPolicies/default
//	  document: '{"properties":…}'    # as it was put; on one part of it
//
// The error is of kind errkind.Invalid and names line, field, value and what
// would be right for every mistake; its Field is that of the first one.
func Parse(text []byte) (Policy, error) {
	p, err := document.Read(text, fromDocument)
	if err != nil {
		return Policy{}, err
	}
	if err := Validate(p); err != nil {
		return Policy{}, err
	}
	return p, nil
}

func fromDocument(root document.Value) Policy {
	m := root.Map("name", "version", "vms", "ports", "exempt", "cut", "proof", "approvals", "approve_within", "reason", "ticket", "break_glass", "azure")
	parseName := func(s string) (string, error) { return firewall.ParseName("name", s) }
	approvals := approvalsFromDocument(m.Get("approvals"))
	return Policy{
		Name:    document.Text(m.Get("name").Required(wantName), "", parseName),
		Version: document.Number(m.Get("version"), 0, parseVersion),
		VMs:     document.Texts(m.Get("vms").Required(wantVMs), 1, MaxVMs, firewall.ParseVMID, cmp.Compare),
		Ports:   document.Items(m.Get("ports").Required(wantPorts), 1, MaxPorts, portFromDocument, comparePorts),
		Exempt:  document.Texts(m.Get("exempt"), 0, MaxSources, parseExempt, netip.Prefix.Compare),
		Cut:     m.Get("cut").Bool(),
		Proof:   m.Get("proof").Bool(),

		Approvals: approvals,
		Within:    withinFromDocument(m.Get("approve_within"), len(approvals) > 0),
		Reason:    document.Text(m.Get("reason"), false, parseReason),
		Ticket:    document.Text(m.Get("ticket"), "", parseTicket),
		Glass:     glassFromDocument(m.Get("break_glass")),
		Azure:     azureFromDocument(m.Get("azure")),
	}
}

func azureFromDocument(v document.Value) Azure {
	m := v.Map("policy", "document")
	return Azure{
		Policy:   document.Text(m.Get("policy"), "", parseAzurePolicy),
		Document: document.Text(m.Get("document"), "", parseAzureDocument),
	}
}

func portFromDocument(v document.Value) Port {
	m := v.Map("port", "protocol", "max", "sources", "widest")
	widest := m.Get("widest").Map("ipv4", "ipv6")
	parseMax := func(s string) (time.Duration, error) { return access.ParseDuration("max", s) }
	return Port{
		Port:       document.Number(m.Get("port").Required("a port number from 1 to 65535"), 0, firewall.ParsePort),
		Protocol:   document.Text(m.Get("protocol"), DefaultProtocol, firewall.ParseProtocol),
		Max:        document.Text(m.Get("max"), DefaultMax, parseMax),
		Sources:    sourcesFromDocument(m.Get("sources")),
		WidestIPv4: document.Integer(widest.Get("ipv4"), DefaultWidestIPv4, LeastBitsIPv4, 32),
		WidestIPv6: document.Integer(widest.Get("ipv6"), DefaultWidestIPv6, LeastBitsIPv6, 128),
	}
}

// sourcesFromDocument reads where requests may come from. An empty list is not
// anywhere: it is what is left when a template has nothing to fill in.
func sourcesFromDocument(v document.Value) []netip.Prefix {
	out := document.Texts(v, 0, MaxSources, parsePrefix, netip.Prefix.Compare)
	if v.Empty() {
		v.Fail(errkind.New(errkind.Invalid, "the list is empty; name a source, or leave the key out to allow every address"))
	}
	return out
}

// parseVersion reads the version that a document was made from.
func parseVersion(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || s != strconv.FormatInt(n, 10) {
		return 0, errkind.Bad("version", s, "a whole number from 1, such as 3; leave it out to replace whatever is in force")
	}
	return n, nil
}

// parsePrefix reads a prefix that requests may come from.
func parsePrefix(s string) (netip.Prefix, error) {
	return parseNarrow(s, "; leave the sources of a port out to allow every address")
}

// parseExempt reads a prefix that is let in without asking.
func parseExempt(s string) (netip.Prefix, error) {
	p, err := parseNarrow(s, "; not everybody is exempt")
	if err != nil {
		return netip.Prefix{}, err
	}
	if r, nobody := firewall.Nobody(p); nobody {
		return netip.Prefix{}, errkind.Bad("source", s, "where packets come from; "+firewall.FormatSource(r.Prefix)+" is "+r.Name)
	}
	return p, nil
}

func parseNarrow(s, hint string) (netip.Prefix, error) {
	p, err := firewall.ParseSource(s)
	if least := leastBits(p); err == nil && p.Bits() < least {
		return netip.Prefix{}, errkind.Bad("source", s, "/"+strconv.Itoa(least)+" or narrower"+hint)
	}
	return p, err
}

func leastBits(p netip.Prefix) int {
	if p.Addr().Is4() {
		return LeastBitsIPv4
	}
	return LeastBitsIPv6
}

// Format returns p as canonical YAML: Parse(Format(p)) is p, and equal policies
// have equal texts. The defaults are written out, so that a text keeps its
// meaning when they change.
func Format(p Policy) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "name: %s\n", document.Scalar(p.Name))
	if p.Version > 0 {
		fmt.Fprintf(&b, "version: %d\n", p.Version)
	}
	formatList(&b, "", "vms", p.VMs, func(vm firewall.VMID) string { return string(vm) })
	b.WriteString("ports:\n")
	for _, x := range p.Ports {
		fmt.Fprintf(&b, "  - port: %d\n    protocol: %s\n    max: %s\n", x.Port, x.Protocol, access.FormatDuration(x.Max))
		formatList(&b, "    ", "sources", x.Sources, firewall.FormatSource)
		fmt.Fprintf(&b, "    widest: {ipv4: %d, ipv6: %d}\n", x.WidestIPv4, x.WidestIPv6)
	}
	formatList(&b, "", "exempt", p.Exempt, firewall.FormatSource)
	fmt.Fprintf(&b, "cut: %t\nproof: %t\n", p.Cut, p.Proof)
	formatApprovals(&b, p)
	if p.Azure.Policy != "" {
		fmt.Fprintf(&b, "azure:\n  policy: %s\n", document.Scalar(p.Azure.Policy))
		if p.Azure.Document != "" {
			fmt.Fprintf(&b, "  document: %s\n", document.Scalar(p.Azure.Document))
		}
	}
	return b.Bytes()
}

// formatList writes a list below key; nothing for an empty one.
func formatList[T any](b *bytes.Buffer, indent, key string, items []T, text func(T) string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(b, "%s%s:\n", indent, key)
	for _, item := range items {
		fmt.Fprintf(b, "%s  - %s\n", indent, document.Scalar(text(item)))
	}
}
