package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

const (
	wantName  = "a name of 1 to 63 lower-case letters, digits and inner hyphens"
	wantVMs   = "a list of at least one VM id, such as [host://web-1]"
	wantPorts = "a list of at least one port, such as [{port: 22}]"
)

// Validate reports the first thing that keeps p from being a policy, as an
// error of kind errkind.Invalid with its field. A valid policy is canonical.
// Parse returns only valid ones; Validate is for those that come another way.
func Validate(p Policy) error {
	if _, err := firewall.ParseName("name", p.Name); err != nil {
		return err
	}
	if err := list("vms", p.VMs, 1, MaxVMs, cmp.Compare); err != nil {
		return err
	}
	for i, vm := range p.VMs {
		place := fmt.Sprintf("vms[%d]", i)
		switch id, err := firewall.ParseVMID(string(vm)); {
		case err != nil:
			return errkind.At(place, err)
		case id != vm:
			return errkind.Bad(place, string(vm), "in the canonical form, "+string(id))
		}
	}
	if err := list("ports", p.Ports, 1, MaxPorts, comparePorts); err != nil {
		return err
	}
	for i, port := range p.Ports {
		if err := validatePort(port); err != nil {
			return errkind.In(fmt.Sprintf("ports[%d]", i), err)
		}
	}
	if err := validatePrefixes("exempt", p.Exempt, parseExempt); err != nil {
		return err
	}
	if err := validateExempt(p.Exempt); err != nil {
		return err
	}
	if err := validateApprovals(p); err != nil {
		return err
	}
	if p.Ticket != "" {
		if _, err := parseTicket(p.Ticket); err != nil {
			return err
		}
	}
	if err := validateGlass(p.Glass); err != nil {
		return err
	}
	return validateAzure(p.Azure)
}

// The limits of what is kept for the Azure face, in bytes.
const (
	MaxAzurePolicy   = 512
	MaxAzureDocument = 512 << 10
)

func validateAzure(a Azure) error {
	if a == (Azure{}) {
		return nil
	}
	if _, err := parseAzurePolicy(a.Policy); err != nil {
		return errkind.At("azure.policy", err)
	}
	if a.Document == "" {
		return nil
	}
	_, err := parseAzureDocument(a.Document)
	return errkind.At("azure.document", err)
}

// parseAzurePolicy reads the id of a policy of the Azure face, as far as it matters
// here: whoever shows it looks closer.
func parseAzurePolicy(s string) (string, error) {
	plain := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	if !strings.HasPrefix(strings.ToLower(s), "/subscriptions/") || len(s) > MaxAzurePolicy || strings.ContainsFunc(s, plain) {
		return "", errkind.Bad("policy", s, "the id of a policy of the Azure face, /subscriptions/…/jitNetworkAccessPolicies/NAME")
	}
	return s, nil
}

func parseAzureDocument(s string) (string, error) {
	control := func(r rune) bool { return r < ' ' || r == utf8.RuneError || r >= 0x7f && r < 0xa0 }
	if !strings.HasPrefix(s, "{") || len(s) > MaxAzureDocument || strings.ContainsFunc(s, control) {
		return "", errkind.Bad("document", s, "one line of JSON, as the Azure face writes it")
	}
	return s, nil
}

// validateExempt adds up who is let in without asking. What lies in another
// prefix counts again: it says nothing that the other does not.
func validateExempt(prefixes []netip.Prefix) error {
	const host4, host6 = 32, 64 // in IPv6 a network is one, as is an address in it
	var four, six uint64
	for _, p := range prefixes {
		if p.Addr().Is4() {
			four += 1 << (host4 - p.Bits())
		} else {
			six += 1 << max(0, host6-p.Bits())
		}
	}
	if four > MaxExempt<<(host4-LeastBitsIPv4) || six > MaxExempt<<(host6-LeastBitsIPv6) {
		return errkind.Wrong("exempt", strconv.Itoa(len(prefixes)), "fewer or narrower prefixes",
			"its %d prefixes are too wide together; the most is what %d prefixes of /%d have, or of /%d of IPv6", len(prefixes), MaxExempt, LeastBitsIPv4, LeastBitsIPv6)
	}
	return nil
}

func validatePort(p Port) error {
	number := strconv.Itoa(int(p.Port))
	if _, err := firewall.ParsePort(number); err != nil {
		return err
	}
	if _, err := firewall.ParseProtocol(p.Protocol.String()); err != nil {
		return err
	}
	// Whole seconds are what the text of a policy can say.
	if p.Max%time.Second != 0 {
		return errkind.Bad("max", p.Max.String(), "a duration in whole seconds")
	}
	if _, err := access.ParseDuration("max", access.FormatDuration(p.Max)); err != nil {
		return err
	}
	if p.WidestIPv4 < LeastBitsIPv4 || p.WidestIPv4 > 32 {
		return errkind.Bad("widest.ipv4", strconv.Itoa(p.WidestIPv4), fmt.Sprintf("a whole number from %d to 32", LeastBitsIPv4))
	}
	if p.WidestIPv6 < LeastBitsIPv6 || p.WidestIPv6 > 128 {
		return errkind.Bad("widest.ipv6", strconv.Itoa(p.WidestIPv6), fmt.Sprintf("a whole number from %d to 128", LeastBitsIPv6))
	}
	return validatePrefixes("sources", p.Sources, parsePrefix)
}

func validatePrefixes(field string, prefixes []netip.Prefix, parse func(string) (netip.Prefix, error)) error {
	if err := list(field, prefixes, 0, MaxSources, netip.Prefix.Compare); err != nil {
		return err
	}
	for i, p := range prefixes {
		if _, err := parse(p.String()); err != nil {
			return errkind.At(fmt.Sprintf("%s[%d]", field, i), err)
		}
	}
	return nil
}

// list reports whether the values are of the right number, sorted and all
// different.
func list[T any](field string, values []T, least, most int, compare func(a, b T) int) error {
	if n := len(values); n < least || n > most {
		want := fmt.Sprintf("a list of %d to %d", least, most)
		return errkind.Wrong(field, strconv.Itoa(n), want, "it has %d entries, and may have %d to %d", n, least, most)
	}
	for i := 1; i < len(values); i++ {
		if compare(values[i-1], values[i]) >= 0 {
			return errkind.Bad(fmt.Sprintf("%s[%d]", field, i), fmt.Sprint(values[i]), "behind the entry before it; the list must be sorted, without duplicates")
		}
	}
	return nil
}
