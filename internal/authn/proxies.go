package authn

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
)

// Proxies are the addresses that are believed about whom they forward for.
type Proxies []netip.Prefix

// Client returns the address that r comes from. If the TCP peer is a trusted
// proxy, every value of X-Forwarded-For is read as one list from right to left,
// and the first address that is no trusted proxy is the client. What stands left
// of it was said by the client and means nothing; no other header is read.
//
// An entry that a trusted proxy must have written and that is no address is an
// error of kind Invalid: a grant must not be opened for a guess.
func (p Proxies) Client(r *http.Request) (netip.Addr, error) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, errkind.Wrap(errkind.Internal, err, "read the peer's address")
	}
	addr := plain(peer.Addr())
	if !p.trust(addr) {
		return addr, nil
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		hop = strings.Trim(hop, " \t")
		if hop == "" && len(hops) == 1 {
			return addr, nil // the proxy itself is asking
		}
		next, err := netip.ParseAddr(hop)
		if err != nil || next.Zone() != "" {
			return netip.Addr{}, errkind.Bad("X-Forwarded-For", hop, "an address; the proxy in front of Sesame must send the client's address and nothing else")
		}
		if addr = plain(next); !p.trust(addr) {
			return addr, nil
		}
	}
	return addr, nil
}

func (p Proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(x netip.Prefix) bool { return x.Contains(a) })
}

// plain returns a as a firewall sees it: an IPv4 address as one, and no zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
