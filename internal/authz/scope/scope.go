// Package scope names the places that a role or an access policy is for.
//
// Scopes form a tree, and what holds at a scope holds at everything below it:
//
//	/                                              everything
//	├ azure://                                     everything in Azure
//	│ └ /providers/microsoft.management/managementgroups/NAME
//	│   └ /subscriptions/GUID
//	│     └ /subscriptions/GUID/resourcegroups/NAME
//	│       └ /subscriptions/GUID/resourcegroups/NAME/providers/NAMESPACE/TYPE/NAME…
//	├ aws://                                       everything in AWS
//	│ └ aws://o-…  ⊃  aws://ou-…                   an organisation, its units
//	│   └ aws://ACCOUNT
//	│     └ aws://ACCOUNT/REGION
//	│       └ arn:PARTITION:ec2:REGION:ACCOUNT:instance/ID
//	├ host://                                      every Linux host
//	│ └ host://NAME
//	└ tag:KEY=VALUE                                every VM with a trusted tag
//
// The id of a VM is a scope: the narrowest. Which subscription is in which
// management group, and which account in which organisation, no id says; a Tree
// does. Below the same scope nothing is told apart by spelling: a Scope has one
// canonical form, Azure's is in lower case, and whatever else could be read in two
// ways (percent signs, dots alone, a slash at the end, a letter that only looks
// like another) is refused. Containment is never that of texts: a subscription
// does not contain what merely begins like it.
package scope

import (
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// A Scope is a place in its canonical form. The empty Scope is no place: nothing
// is below it, so that a scope that somebody forgot gives nothing.
type Scope string

// The scopes that need no name.
const (
	All   Scope = "/"
	Azure Scope = "azure://"
	AWS   Scope = "aws://"
	Hosts Scope = "host://"
)

const (
	managementGroups = "/providers/microsoft.management/managementgroups/"
	tagPrefix        = "tag:"
	want             = "a scope such as /, host://web-1, aws://123456789012, /subscriptions/GUID/resourceGroups/NAME or tag:env=prod"
)

// OfVM returns the scope that is one VM.
func OfVM(id firewall.VMID) Scope { return Scope(id) }

// OfTag returns the scope of every VM that has the tag.
func OfTag(key, value string) Scope { return Scope(tagPrefix + key + "=" + value) }

// VM returns the VM that s is, if it is one.
func (s Scope) VM() (firewall.VMID, bool) {
	id, err := firewall.ParseVMID(string(s))
	return id, err == nil && Scope(id) == s
}

// String returns s as people read it.
func (s Scope) String() string {
	switch s {
	case "":
		return "no scope"
	case All:
		return "all VMs"
	case Azure:
		return "all of Azure"
	case AWS:
		return "all of AWS"
	case Hosts:
		return "all hosts"
	}
	return string(s)
}

// Parse reads a scope. Of Azure's it takes every spelling of letters and returns
// the canonical one; of the others it accepts exactly the canonical form.
func Parse(text string) (Scope, error) {
	s := Scope(text)
	switch {
	case s == All, s == Azure, s == AWS, s == Hosts:
		return s, nil
	case strings.HasPrefix(text, "/"):
		if folded, ok := foldAzure(text); ok {
			return folded, nil
		}
	case strings.HasPrefix(text, string(AWS)):
		if validAWS(strings.TrimPrefix(text, string(AWS))) {
			return s, nil
		}
	case strings.HasPrefix(text, tagPrefix):
		if key, value, ok := s.tag(); ok && validTag(key) && validTag(value) {
			return s, nil
		}
	default:
		if id, err := firewall.ParseVMID(text); err == nil {
			return OfVM(id), nil
		}
	}
	return "", errkind.Bad("scope", text, want)
}

// tag takes a tag's scope apart. A key has no equals sign: where the value begins
// is never in doubt.
func (s Scope) tag() (key, value string, ok bool) {
	rest, ok := strings.CutPrefix(string(s), tagPrefix)
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, "=")
}

// mostTag is the longest key or value of a tag. (Azure allows 512 characters for a
// key and 256 for a value, AWS 128 and 256; 2026-11.)
const mostTag = 256

// validTag reports whether a key or a value can stand in a scope: printable ASCII
// without spaces around it. What looks like something else selects nothing.
func validTag(s string) bool {
	return s != "" && len(s) <= mostTag && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

const (
	digits       = "0123456789"
	alphanumeric = digits + "abcdefghijklmnopqrstuvwxyz"
)

// validAWS reads what follows aws://: an account, an account's region, an
// organisation or one of its units. (AWS Organizations API reference, patterns of
// the ids; 2026-11.)
func validAWS(s string) bool {
	account, region, regional := strings.Cut(s, "/")
	switch {
	case strings.HasPrefix(s, "ou-"):
		root, unit, ok := strings.Cut(strings.TrimPrefix(s, "ou-"), "-")
		return ok && isOf(root, alphanumeric, 4, 32) && isOf(unit, alphanumeric, 8, 32)
	case strings.HasPrefix(s, "o-"):
		return isOf(strings.TrimPrefix(s, "o-"), alphanumeric, 10, 32)
	case regional && !(strings.Contains(region, "-") && isOf(region, alphanumeric+"-", 5, 32)):
		return false
	}
	return isOf(account, digits, 12, 12)
}

// isOf reports whether s is made of the given characters and of a fitting length.
func isOf(s, of string, least, most int) bool {
	return len(s) >= least && len(s) <= most && strings.Trim(s, of) == ""
}

// foldAzure reads the id of a management group, a subscription, a resource group
// or a resource of Azure.
func foldAzure(text string) (Scope, bool) {
	if strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) {
		return "", false // only in ASCII everybody agrees on lower case
	}
	text = strings.ToLower(text)
	if name, ok := strings.CutPrefix(text, managementGroups); ok {
		return Scope(text), validSegment(name)
	}
	parts := strings.Split(text, "/")[1:]
	for _, p := range parts {
		if !validSegment(p) {
			return "", false
		}
	}
	switch n := len(parts); {
	case n < 2, parts[0] != "subscriptions", !validGUID(parts[1]):
		return "", false
	case n == 2:
		return Scope(text), true
	case n < 4, parts[2] != "resourcegroups":
		return "", false
	case n == 4:
		return Scope(text), true
	case n < 8, n%2 != 0, parts[4] != "providers":
		return "", false
	}
	return Scope(text), true
}

// validSegment reports whether s can stand between two slashes of an Azure id. It
// is lower case already. A dot at the end is refused as Azure refuses it: some
// readers drop it.
func validSegment(s string) bool {
	return isOf(s, alphanumeric+"-_.()", 1, 260) && !strings.HasSuffix(s, ".")
}

// validGUID reports whether s is a GUID in lower case.
func validGUID(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if !isOf(parts[i], digits+"abcdef", n, n) {
			return false
		}
	}
	return true
}
