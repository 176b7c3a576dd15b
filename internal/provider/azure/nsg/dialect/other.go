package dialect

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// Others returns the locks and openings of other installations that are about somebody
// behind the group, by their names and, of openings, what their marks claim: whether
// these verify only their own installation knows. Wrong says whose they are.
func (r Reading) Others() []provider.Owned {
	var out []provider.Owned
	spots := r.Spots()
	for _, x := range r.Group.Rules {
		whose, kind, ok := otherOf(x.Name)
		if !ok || r.Ours(x) || x.Direction != resource.Inbound {
			continue
		}
		for _, s := range spots {
			if !slices.ContainsFunc(x.Destination.Prefixes, func(p netip.Prefix) bool { return slices.ContainsFunc(s.To, p.Overlaps) }) {
				continue
			}
			o := provider.Owned{Kind: kind, Door: doorOf(x), Mark: firewall.MarkAbsent, Native: x.Text}
			o.Door.VM = s.VM
			o.Wrong = fmt.Sprintf("installation %s has locked it (rule %s)", whose, x.Name)
			if kind == provider.OwnedOpening {
				o.Opening, o.Mark = r.claimed(x), firewall.MarkForeign
				o.Wrong = fmt.Sprintf("installation %s lets in %s %s (rule %s)", whose, firewall.FormatSource(o.Opening.From), lasts(o.Opening), x.Name)
			}
			out = append(out, o)
		}
	}
	slices.SortFunc(out, provider.CompareOwned)
	return out
}

// otherOf takes the name of a rule of some installation apart. Names of installations
// have no hyphen in front of the words that follow them.
func otherOf(name string) (whose string, kind provider.OwnedKind, ok bool) {
	rest, ok := strings.CutPrefix(strings.ToLower(name), product)
	if !ok {
		return "", 0, false
	}
	if whose, _, ok = strings.Cut(rest, "-"+lockWord+"-"); ok {
		return whose, provider.OwnedLock, true
	}
	whose, _, ok = strings.Cut(rest, "-"+openWord+"-")
	return whose, provider.OwnedOpening, ok
}

// claimed is what an opening of another installation says of itself.
func (r Reading) claimed(x resource.Rule) firewall.Opening {
	var o firewall.Opening
	if len(x.Source.Prefixes) == 1 {
		o.From = x.Source.Prefixes[0]
	}
	if m, ok := firewall.ParseMark(markText(x.Description)); ok {
		o.Until = m.Until
		if m.Grant != "" {
			o.Grants = firewall.HoldersOf(m.Grant)
		}
	}
	return o
}

// lasts says for how long and for whom an opening claims to be.
func lasts(o firewall.Opening) string {
	if o.Exempt() {
		return "for good"
	}
	return "until " + o.Until.UTC().Format("2006-01-02 15:04:05Z") + " for " + string(o.Grants)
}
