package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Diff says in one line each what is different in after from before, but for
// the version: "22/tcp max: 1h → 3h". None if nothing is.
func Diff(before, after Policy) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	members(say, "VM", before.VMs, after.VMs, firewall.VMID.Name)
	for _, x := range before.Ports {
		if !slices.ContainsFunc(after.Ports, x.same) {
			say("port out: %s", x.name())
		}
	}
	for _, x := range after.Ports {
		i := slices.IndexFunc(before.Ports, x.same)
		if i < 0 {
			say("port in: %s, max %s, sources %s, widest %s", x.name(), access.FormatDuration(x.Max), x.from(), x.widest())
			continue
		}
		old := before.Ports[i]
		for _, field := range []struct{ name, before, after string }{
			{"max", access.FormatDuration(old.Max), access.FormatDuration(x.Max)},
			{"sources", old.from(), x.from()},
			{"widest", old.widest(), x.widest()},
		} {
			if field.before != field.after {
				say("%s %s: %s → %s", x.name(), field.name, field.before, field.after)
			}
		}
	}
	members(say, "exempt", before.Exempt, after.Exempt, firewall.FormatSource)
	if before.Cut != after.Cut {
		say("cut: %t → %t", before.Cut, after.Cut)
	}
	if before.Proof != after.Proof {
		say("proof: %t → %t", before.Proof, after.Proof)
	}
	diffApprovals(say, before, after)
	if before.Azure.Policy != after.Azure.Policy {
		say("policy of the Azure face: %s → %s", cmp.Or(before.Azure.Policy, "none"), cmp.Or(after.Azure.Policy, "none"))
	}
	if before.Azure.Document != after.Azure.Document {
		say("spelled differently on the Azure face")
	}
	return out
}

// members says what is in only one of two lists.
func members[T comparable](say func(string, ...any), what string, before, after []T, text func(T) string) {
	for _, way := range []struct {
		name      string
		from, not []T
	}{{"out", before, after}, {"in", after, before}} {
		for _, x := range way.from {
			if !slices.Contains(way.not, x) {
				say("%s %s: %s", what, way.name, text(x))
			}
		}
	}
}

// same reports whether p and q are rules of the same port.
func (p Port) same(q Port) bool { return p.Port == q.Port && p.Protocol == q.Protocol }

func (p Port) name() string { return fmt.Sprintf("%d/%s", p.Port, p.Protocol) }

// from names the sources that a request may come from.
func (p Port) from() string {
	if len(p.Sources) == 0 {
		return "anywhere"
	}
	return strings.Join(texts(p.Sources), " ")
}

func (p Port) widest() string { return fmt.Sprintf("/%d and /%d", p.WidestIPv4, p.WidestIPv6) }

func texts(prefixes []netip.Prefix) []string {
	out := make([]string, len(prefixes))
	for i, p := range prefixes {
		out[i] = firewall.FormatSource(p)
	}
	return out
}
