package posture

import (
	"math/big"
	"net/netip"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/reach"
)

// Who is the widest kind of people in a set of sources.
type Who uint8

// The kinds.
const (
	Nobody Who = iota
	// Network is whoever is in the private address space that leads there: the
	// virtual network, its peers, what is behind its gateways.
	Network
	// Partner is somebody on the Internet, and no more than a policy may list as one
	// source: an office, a provider, a range of a cloud.
	Partner
	// Internet is more than that.
	Internet
)

// String names them in a sentence.
func (w Who) String() string {
	switch w {
	case Network:
		return "the network"
	case Partner:
		return "a partner"
	case Internet:
		return "the Internet"
	case Nobody:
	}
	return "nobody"
}

// A census knows which addresses are people's.
type census struct {
	people   reach.Ranges // who can be on the other end of a connection
	internet reach.Ranges // of these, on the Internet
	most     [2]*big.Int  // by family, how many of the Internet are no more than a partner
}

func newCensus() census {
	var nobody, private []netip.Prefix
	for _, r := range firewall.SpecialRanges() {
		switch {
		case r.Nobody || platform(r.Prefix):
			nobody = append(nobody, r.Prefix)
		default:
			private = append(private, r.Prefix)
		}
	}
	for _, p := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"} { // RFC 1918, RFC 4193
		private = append(private, netip.MustParsePrefix(p))
	}
	people := reach.All().Minus(reach.Of(nobody...))
	size := func(bits int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(bits)) }
	routed := reach.Of(netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.MustParsePrefix("2000::/3")) // RFC 4291, global unicast
	return census{
		people: people, internet: people.Intersect(routed).Minus(reach.Of(private...)),
		most: [2]*big.Int{size(32 - policy.LeastBitsIPv4), size(128 - policy.LeastBitsIPv6)},
	}
}

// platform reports whether what comes from p is the cloud's own: probes and
// metadata, which answer nobody's keyboard. (Azure: "What is IP address
// 168.63.129.16"; RFC 3927, RFC 4291.)
func platform(p netip.Prefix) bool {
	switch p.String() {
	case "168.63.129.16/32", "169.254.0.0/16", "fe80::/10", "fd00:ec2::/32":
		return true
	}
	return false
}

// of returns the widest kind of people in r, and the lowest address of that kind.
func (c *census) of(r reach.Ranges) (Who, netip.Addr) {
	public := r.Intersect(c.internet)
	switch {
	case r.Empty():
		return Nobody, netip.Addr{}
	case public.Empty():
		return Network, r.Witness()
	}
	for family, all := range reach.All() {
		if public.Intersect(reach.Ranges{all}).Count().Cmp(c.most[family]) > 0 {
			return Internet, public.Witness()
		}
	}
	return Partner, public.Witness()
}

// everybody reports whether one request for prefixes of no less than these bits may
// be for more than a partner has.
func everybody(bits4, bits6 int) bool {
	return bits4 < policy.LeastBitsIPv4 || bits6 < policy.LeastBitsIPv6
}
