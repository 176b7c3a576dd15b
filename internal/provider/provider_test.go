package provider_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
)

// TestShown: rules of ours that let one source in twice show one opening, the last
// to end; what does not verify shows nothing.
func TestShown(t *testing.T) {
	door := firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}
	noon := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	opening := func(from string, until time.Time) firewall.Opening {
		return firewall.Opening{From: netip.MustParsePrefix(from), Until: until, Grants: ""}
	}
	var s provider.Snapshot
	add := func(kind provider.OwnedKind, mark firewall.MarkState, o firewall.Opening) {
		s.Owned = append(s.Owned, provider.Owned{Kind: kind, Door: door, Mark: mark, Opening: o})
	}
	a, b, c := "192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"
	add(provider.OwnedLock, firewall.MarkAbsent, opening(a, noon))
	add(provider.OwnedOpening, firewall.MarkGood, opening(a, noon.Add(time.Hour)))
	add(provider.OwnedOpening, firewall.MarkGood, opening(b, noon))
	add(provider.OwnedOpening, firewall.MarkGood, opening(a, noon))
	add(provider.OwnedOpening, firewall.MarkGood, opening(b, time.Time{}))
	add(provider.OwnedOpening, firewall.MarkGood, opening(b, noon.Add(time.Hour)))
	add(provider.OwnedOpening, firewall.MarkBroken, opening(c, noon))
	add(provider.OwnedRest, firewall.MarkGood, opening(c, noon))
	got := s.Shown()
	if len(got) != 1 || !got[0].Locked || !slices.Equal(got[0].Open, []firewall.Opening{opening(a, noon.Add(time.Hour)), opening(b, time.Time{})}) {
		t.Errorf("shown is %v", got)
	}
}
