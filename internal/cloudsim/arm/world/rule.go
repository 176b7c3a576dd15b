package world

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/rawjson"
)

const (
	firstPriority   = 100
	lastPriority    = 4096
	mostDescription = 140
	mostASGsInRule  = 10 // on either side
)

// A securityRule is what is judged of a rule.
type securityRule struct {
	Description                          string
	Protocol, Access, Direction          string
	Priority                             *int
	SourcePortRange                      string
	SourcePortRanges                     []string
	DestinationPortRange                 string
	DestinationPortRanges                []string
	SourceAddressPrefix                  string
	SourceAddressPrefixes                []string
	DestinationAddressPrefix             string
	DestinationAddressPrefixes           []string
	SourceApplicationSecurityGroups      []struct{ ID string }
	DestinationApplicationSecurityGroups []struct{ ID string }
}

// serviceTags are those that a rule may name, without their regions. Azure has
// more; a rule that names another one is refused, as one with a spelling mistake
// is.
func serviceTags() []string {
	return []string{
		"virtualnetwork", "internet", "azureloadbalancer", "azurecloud", "actiongroup", "apimanagement", "appservice",
		"azureactivedirectory", "azureautomation", "azurebackup", "azurecontainerregistry", "azurefrontdoor", "azurekeyvault",
		"azuremonitor", "azureplatformdns", "azureplatformimds", "azureplatformlkm", "azureresourcemanager", "azuresiterecovery",
		"azuretrafficmanager", "batchnodemanagement", "eventhub", "gatewaymanager", "guestandhybridmanagement", "hindsight",
		"logicapps", "microsoftdefenderforendpoint", "servicebus", "sql", "storage", "windowsvirtualdesktop",
	}
}

// checkRule judges one rule by itself.
func (w *World) checkRule(id ID, properties rawjson.Object) *Problem {
	var r securityRule
	if err := json.Unmarshal(properties.Bytes(), &r); err != nil {
		return malformed("security rule %s: %s", id.Name(), err)
	}
	if r.Priority == nil || r.Protocol == "" || r.Access == "" || r.Direction == "" {
		return missing(id, "Protocol, Access, Priority and Direction")
	}
	if *r.Priority < firstPriority || *r.Priority > lastPriority {
		return Refuse(400, "SecurityRuleInvalidPriority",
			"Security rule has invalid Priority. Value provided: %d Allowed range %d-%d.", *r.Priority, firstPriority, lastPriority)
	}
	for _, e := range []struct {
		name, value string
		allowed     []string
	}{
		{"Protocol", r.Protocol, []string{"Tcp", "Udp", "Icmp", "Esp", "Ah", "*"}},
		{"Access", r.Access, []string{"Allow", "Deny"}},
		{"Direction", r.Direction, []string{"Inbound", "Outbound"}},
	} {
		if !slices.ContainsFunc(e.allowed, func(a string) bool { return strings.EqualFold(a, e.value) }) {
			return malformed("security rule %s: the %s %q is none of %s", id.Name(), e.name, e.value, strings.Join(e.allowed, ", "))
		}
	}
	if utf8.RuneCountInString(r.Description) > mostDescription {
		return malformed("security rule %s: the description has more than %d characters", id.Name(), mostDescription)
	}
	for _, p := range []*Problem{
		checkPorts(id, "SourcePortRange", r.SourcePortRange, r.SourcePortRanges),
		checkPorts(id, "DestinationPortRange", r.DestinationPortRange, r.DestinationPortRanges),
		checkEnd(id, "Source", r.Access, r.SourceAddressPrefix, r.SourceAddressPrefixes, len(r.SourceApplicationSecurityGroups)),
		checkEnd(id, "Destination", r.Access, r.DestinationAddressPrefix, r.DestinationAddressPrefixes, len(r.DestinationApplicationSecurityGroups)),
	} {
		if p != nil {
			return p
		}
	}
	return checkFamilies(id, slices.Concat([]string{r.SourceAddressPrefix, r.DestinationAddressPrefix}, r.SourceAddressPrefixes, r.DestinationAddressPrefixes))
}

func missing(id ID, what string) *Problem {
	return Refuse(400, "SecurityRuleParametersMissing",
		"Required security rule parameters are missing for security rule with Id: %s. Security rule must specify %s.", id, what)
}

// checkPorts wants exactly one form, of numbers and ranges of them.
func checkPorts(id ID, name, singular string, plural []string) *Problem {
	switch {
	case singular == "" && len(plural) == 0:
		return missing(id, name+"s or "+name)
	case singular != "" && len(plural) > 0:
		return malformed("security rule %s has both %s and %ss", id.Name(), name, name)
	case singular == "*":
		return nil
	case singular != "":
		plural = []string{singular}
	}
	for _, text := range plural {
		first, last, isRange := strings.Cut(text, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from > to {
			return Refuse(400, "SecurityRuleInvalidPortRange",
				"Security rule has invalid Port range. Value provided: %s. Value should be an integer OR integer range with '-' delimiter. Valid range 0-65535.", text)
		}
	}
	return nil
}

// checkEnd wants exactly one form of source or destination.
func checkEnd(id ID, side, access, singular string, plural []string, asgs int) *Problem {
	forms := 0
	for _, has := range []bool{singular != "", len(plural) > 0, asgs > 0} {
		if has {
			forms++
		}
	}
	switch {
	case forms == 0:
		return missing(id, side+"AddressPrefixes, "+side+"AddressPrefix, or "+side+"ApplicationSecurityGroups")
	case forms > 1:
		return malformed("security rule %s has more than one of %sAddressPrefix, %sAddressPrefixes and %sApplicationSecurityGroups", id.Name(), side, side, side)
	case asgs > mostASGsInRule:
		return Refuse(400, "NumberOfApplicationSecurityGroupsReferencedInSecurityRuleLimitReached",
			"A security rule may have up to %d Application Security Group in the source or destination fields. The requested configuration has %d in the %sApplicationSecurityGroups field.", mostASGsInRule, asgs, side)
	}
	for _, text := range plural {
		if text == "*" || isTag(text) {
			return Refuse(400, "SecurityRuleParameterContainsUnsupportedValue",
				"Security rule parameter %sAddressPrefixes for rule with Id %s cannot specify existing VIRTUALNETWORK, INTERNET, AZURELOADBALANCER, '*' or system tags. Unsupported value used: %s.", side, id, text)
		}
	}
	if isTag(singular) {
		if strings.HasPrefix(strings.ToLower(singular), "azureplatform") && strings.EqualFold(access, "Allow") {
			return Refuse(400, "SecurityRuleInvalidAccessType",
				"Security rule %s has invalid Access type. Value provided: Allow. Service tag %s allows only: Deny.", id, singular)
		}
		return nil
	}
	for _, text := range append(slices.Clone(plural), singular) {
		if text == "" || text == "*" {
			continue
		}
		if _, ok := prefixOf(text); !ok {
			return Refuse(400, "SecurityRuleInvalidAddressPrefix",
				"Security rule %s has invalid Address prefix. Value provided: %s", id, text)
		}
	}
	return nil
}

// isTag reports whether text is a service tag, with or without a region.
func isTag(text string) bool {
	name, _, _ := strings.Cut(strings.ToLower(text), ".")
	return slices.Contains(serviceTags(), name)
}

// prefixOf reads an address or a prefix. Azure refuses one with bits behind its
// length.
func prefixOf(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	return p, err == nil && p == p.Masked() && !p.Addr().Is4In6()
}

// checkFamilies refuses IPv4 and IPv6 in one rule.
func checkFamilies(id ID, texts []string) *Problem {
	var four, six bool
	for _, text := range texts {
		if p, ok := prefixOf(text); ok {
			four, six = four || p.Addr().Is4(), six || p.Addr().Is6()
		}
	}
	if four && six {
		return Refuse(400, "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies",
			"Resource %s cannot contain address prefixes from different address families.", id)
	}
	return nil
}
