package gate

import (
	"slices"
	"strings"
	"time"
)

// A Rate is the size of a token bucket and how fast it fills again.
type Rate struct {
	Size   float64
	Refill float64 // tokens a second
}

// RateOf is the documented rate of an action. Some actions have a smaller bucket
// when they are neither filtered nor paginated. (EC2 developer guide, request
// throttling, 2025.)
func RateOf(action string, unbounded bool) Rate {
	small := []string{"DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups"}
	switch action {
	case "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress":
		return Rate{Size: 50, Refill: 5} // resource-intensive
	case "DescribeSecurityGroupReferences", "DescribeStaleSecurityGroups":
		return Rate{Size: 20, Refill: 5}
	case "CreateTags", "DeleteTags":
		return Rate{Size: 100, Refill: 10}
	case "ModifyNetworkInterfaceAttribute":
		return Rate{Size: 100, Refill: 5}
	}
	switch {
	case unbounded && slices.Contains(small, action):
		return Rate{Size: 50, Refill: 10}
	case strings.HasPrefix(action, "Describe"), strings.HasPrefix(action, "Get"):
		return Rate{Size: 100, Refill: 20}
	}
	return Rate{Size: 50, Refill: 5}
}

// Buckets are the token buckets of all accounts, by name.
type Buckets map[string]*bucket

type bucket struct {
	tokens float64
	at     time.Time
}

// Take takes a token, if there is one.
func (b Buckets) Take(now time.Time, name string, r Rate) bool {
	x := b[name]
	if x == nil {
		x = &bucket{tokens: r.Size, at: now}
		b[name] = x
	}
	x.tokens = min(r.Size, x.tokens+now.Sub(x.at).Seconds()*r.Refill)
	x.at = now
	if x.tokens < 1 {
		return false
	}
	x.tokens--
	return true
}
