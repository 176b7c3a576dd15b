package gate_test

import (
	"errors"
	"path"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

func TestMatchesAgainstThePathPackage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*?]{0,6}`).Draw(t, "pattern")
		text := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "text")
		want, err := path.Match(pattern, text)
		if got := gate.Matches(pattern, text); err != nil || got != want {
			t.Fatalf("Matches(%q, %q) is %v, want %v (%v)", pattern, text, got, want, err)
		}
	})
}

// A bucket gives its size at once, and after that what has flown in.
func TestBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := gate.Buckets{}
		rate := gate.Rate{Size: float64(rapid.IntRange(1, 20).Draw(t, "size")), Refill: float64(rapid.IntRange(1, 10).Draw(t, "refill"))}
		start := time.Unix(0, 0)
		now, taken := start, 0
		for range rapid.IntRange(0, 200).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
			if b.Take(now, "x", rate) {
				taken++
			} else if !b.Take(now, "another", gate.Rate{Size: 1000, Refill: 1}) {
				t.Fatal("a bucket is empty because of another")
			}
			if most := rate.Size + now.Sub(start).Seconds()*rate.Refill; float64(taken) > most+1e-6 {
				t.Fatalf("%d calls after %s, at most %.1f", taken, now.Sub(start), most)
			}
		}
		now = now.Add(time.Hour)
		n := 0
		for b.Take(now, "x", rate) {
			n++
		}
		if n != int(rate.Size) {
			t.Fatalf("a full bucket gives %d of %v", n, rate.Size)
		}
	})
}

func TestRates(t *testing.T) {
	for _, tt := range []struct {
		action       string
		unbounded    bool
		size, refill float64
	}{
		{"DescribeInstances", false, 100, 20},
		{"DescribeInstances", true, 50, 10},
		{"DescribeSecurityGroupRules", true, 100, 20},
		{"GetManagedPrefixListEntries", false, 100, 20},
		{"AuthorizeSecurityGroupIngress", false, 50, 5},
		{"ModifySecurityGroupRules", true, 50, 5},
		{"CreateTags", false, 100, 10},
		{"ModifyNetworkInterfaceAttribute", false, 100, 5},
		{"DescribeStaleSecurityGroups", false, 20, 5},
	} {
		if got := gate.RateOf(tt.action, tt.unbounded); got != (gate.Rate{Size: tt.size, Refill: tt.refill}) {
			t.Errorf("%s: %+v", tt.action, got)
		}
	}
}

func refusal(err error) string {
	if e, ok := errors.AsType[*world.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestSessions(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ann := gate.Principal{Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/ann"}
	bob := gate.Principal{Account: "444455556666", ARN: "arn:aws:iam::444455556666:user/bob"}
	role := func(trusts ...string) gate.Role {
		return gate.Role{ARN: "arn:aws:iam::777788889999:role/deep/closer", Trusts: trusts, MaxSession: 2 * time.Hour}
	}
	for _, tt := range []struct {
		who   gate.Principal
		role  gate.Role
		for_  time.Duration
		wants string
	}{
		{ann, role(ann.ARN), 0, ""},
		{ann, role("111122223333"), 2 * time.Hour, ""},
		{ann, role("arn:aws:iam::111122223333:root"), 15 * time.Minute, ""},
		{bob, role(ann.ARN, "111122223333"), 0, "AccessDenied"},
		{ann, role(), 0, "AccessDenied"},
		{ann, role(ann.ARN), 14 * time.Minute, "ValidationError"},
		{ann, role(ann.ARN), 3 * time.Hour, "ValidationError"},
	} {
		ids := gate.NewIdentities(nil, []gate.Role{tt.role})
		key, err := ids.Assume(tt.who, tt.role.ARN, "me", "", tt.for_, now)
		if refusal(err) != tt.wants {
			t.Errorf("%+v: %v", tt, err)
		}
		if err != nil {
			continue
		}
		length := tt.for_
		if length == 0 {
			length = time.Hour
		}
		if key.Principal.ARN != "arn:aws:sts::777788889999:assumed-role/closer/me" || !key.Ends.Equal(now.Add(length)) {
			t.Errorf("%+v: %+v", tt, key)
		}
		for _, ask := range []struct {
			token string
			at    time.Time
			wants string
		}{
			{key.Token, now, ""},
			{key.Token, key.Ends.Add(-1), ""},
			{key.Token, key.Ends, "ExpiredToken"},
			{"", now, "InvalidClientTokenId"},
		} {
			if _, err := ids.Key(key.ID, ask.token, ask.at); refusal(err) != ask.wants {
				t.Errorf("%+v: %v", ask, err)
			}
		}
		ids.Revoke(key.ID)
		if _, err := ids.Key(key.ID, key.Token, now); err == nil {
			t.Error("a revoked session lives on")
		}
	}
}

// Every resource of a call has to be allowed, and a denial wins.
func TestAllows(t *testing.T) {
	w := world.New("eu-central-1", world.Quotas{}, 1, 0)
	const account = "111122223333"
	ours := world.Resource{ID: "sg-00000001", Owner: account, Tags: world.Tags{"sesame": "x", "env": "test"}}
	theirs := world.Resource{ID: "sg-00000002", Owner: account}
	eni := world.Resource{ID: "eni-00000001", Owner: account}
	p := gate.Principal{May: []gate.Statement{
		{Actions: []string{"ec2:Describe*"}},
		{Actions: []string{"ec2:Modify*"}, Types: []string{"network-interface"}},
		{Actions: []string{"ec2:Modify*"}, Types: []string{"security-group"}, Tags: world.Tags{"sesame": "*"}},
		{Actions: []string{"ec2:Delete*"}, Tags: world.Tags{"env": "t?st"}},
		{Deny: true, Actions: []string{"ec2:DeleteTags"}},
	}}
	for _, tt := range []struct {
		action string
		about  []world.Resource
		want   bool
		denied string
	}{
		{"ec2:DescribeInstances", nil, true, ""},
		{"ec2:RunInstances", nil, false, "*"},
		{"ec2:ModifyNetworkInterfaceAttribute", []world.Resource{eni, ours}, true, ""},
		{"ec2:ModifyNetworkInterfaceAttribute", []world.Resource{eni, ours, theirs}, false, "arn:aws:ec2:eu-central-1:111122223333:security-group/sg-00000002"},
		{"ec2:ModifyNetworkInterfaceAttribute", nil, false, "*"},
		{"ec2:DeleteSecurityGroup", []world.Resource{ours}, true, ""},
		{"ec2:DeleteSecurityGroup", []world.Resource{theirs}, false, "arn:aws:ec2:eu-central-1:111122223333:security-group/sg-00000002"},
		{"ec2:DeleteSecurityGroup", nil, false, "*"},
		{"ec2:DeleteTags", []world.Resource{ours}, false, "arn:aws:ec2:eu-central-1:111122223333:security-group/sg-00000001"},
	} {
		if denied, ok := p.Allows(tt.action, w, tt.about...); ok != tt.want || denied != tt.denied {
			t.Errorf("%s on %v: %v %q", tt.action, tt.about, ok, denied)
		}
	}
}
