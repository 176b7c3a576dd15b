package securitygroup_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
)

func from(cidr string) netip.Prefix { return netip.MustParsePrefix(cidr) }

func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		rule securitygroup.Rule
		want string // its content, or ! and what is wrong
	}{
		{securitygroup.Rule{Protocol: 6, First: 22, Last: 22, CIDR: from("203.0.113.7/24")}, "22/tcp from 203.0.113.0/24"},
		{securitygroup.Rule{Protocol: 17, First: 0, Last: 65535, CIDR: from("2001:db8::1/32")}, "0-65535/udp from 2001:db8::/32"},
		{securitygroup.Rule{Protocol: -1, First: 22, Last: 22, Group: "sg-1"}, "everything from sg-1"},
		{securitygroup.Rule{Protocol: 50, First: 0, Last: 0, Group: "sg-1", Owner: "111122223333"}, "protocol 50 from 111122223333/sg-1"},
		{securitygroup.Rule{Protocol: 1, First: 8, Last: -1, List: "pl-1"}, "icmp 8:-1 from pl-1"},
		{securitygroup.Rule{Protocol: 58, First: -1, Last: -1, CIDR: from("::/0")}, "icmpv6 from ::/0"},
		{securitygroup.Rule{Protocol: 6, First: 22, Last: 22}, "!one source"},
		{securitygroup.Rule{Protocol: 6, First: 22, Last: 22, Group: "sg-1", List: "pl-1"}, "!one source"},
		{securitygroup.Rule{Protocol: 6, First: 23, Last: 22, Group: "sg-1"}, "!no ports"},
		{securitygroup.Rule{Protocol: 6, First: -1, Last: -1, Group: "sg-1"}, "!no ports"},
		{securitygroup.Rule{Protocol: 1, First: -1, Last: 0, Group: "sg-1"}, "!no type"},
		{securitygroup.Rule{Protocol: 256, Group: "sg-1"}, "!no protocol"},
		{securitygroup.Rule{Protocol: 6, First: 22, Last: 22, CIDR: netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.1"), 128)}, "!neither"},
	} {
		got, err := c.rule.Canonical()
		if wrong, bad := strings.CutPrefix(c.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%+v: got %q, %v; want an error with %q", c.rule, got.Content(), err, wrong)
			}
			continue
		}
		if err != nil || got.Content() != c.want {
			t.Errorf("%+v: got %q, %v; want %q", c.rule, got.Content(), err, c.want)
		}
		var again securitygroup.Rule
		if err := json.Unmarshal([]byte(got.Text()), &again); err != nil || again.Text() != got.Text() || again.Content() != got.Content() {
			t.Errorf("%s is read back as %s, %v", got.Text(), again.Text(), err)
		}
	}
}

// What a rule is called is no part of what it says.
func TestContentIsIdentity(t *testing.T) {
	a := securitygroup.Rule{Protocol: 6, First: 22, Last: 22, CIDR: from("203.0.113.7/32")}
	b := a
	b.ID, b.Description, b.Tags = "sgr-1", "else", []securitygroup.Tag{{Key: "k", Value: "v"}}
	if a.Content() != b.Content() {
		t.Errorf("%q is not %q", a.Content(), b.Content())
	}
}

// The rest of a rule is what it lets in but for the ports, port by port.
func TestRestIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		port := rapid.SampledFrom([]int{0, 1, 21, 22, 23, 24, 3389, 65534, 65535})
		r := securitygroup.Rule{
			Protocol: rapid.SampledFrom([]int{-1, 6, 17, 1, 50}).Draw(t, "protocol"),
			CIDR:     from(rapid.SampledFrom([]string{"10.0.0.0/8", "2001:db8::/32"}).Draw(t, "source")),
		}
		r.First = port.Draw(t, "first")
		r.Last = max(r.First, port.Draw(t, "last"))
		if r.Protocol == 1 {
			r.First, r.Last = -1, -1
		}
		r, err := r.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		var cut []securitygroup.Port
		for range rapid.IntRange(0, 4).Draw(t, "cuts") {
			cut = append(cut, securitygroup.Port{
				Protocol: rapid.SampledFrom([]firewall.Protocol{firewall.TCP, firewall.UDP}).Draw(t, "cut protocol"),
				Number:   uint16(port.Draw(t, "cut")),
			})
		}
		keep := []firewall.Protocol{50}
		rest, lost := r.Rest(cut, keep)
		untouched := !slices.ContainsFunc(cut, func(p securitygroup.Port) bool { return r.Matches(p.Protocol, p.Number) })
		if (lost == "") != (untouched || r.Protocol != -1) {
			t.Fatalf("%s without %v loses %q", r.Content(), cut, lost)
		}
		for _, p := range []firewall.Protocol{firewall.TCP, firewall.UDP} {
			for n := range 65536 {
				want := r.Matches(p, uint16(n)) && !slices.Contains(cut, securitygroup.Port{Protocol: p, Number: uint16(n)})
				count := 0
				for _, x := range rest {
					if x.Matches(p, uint16(n)) {
						count++
					}
				}
				if want != (count > 0) || count > 1 {
					t.Fatalf("%s without %v: %d/%v is let in by %d rules of %v, want %v", r.Content(), cut, n, p, count, rest, want)
				}
			}
		}
		if r.Protocol != -1 || untouched {
			return
		}
		family := map[bool]int{true: 1, false: 58}[r.CIDR.Addr().Is4()]
		for _, p := range []int{family, 50} {
			if !slices.ContainsFunc(rest, func(x securitygroup.Rule) bool { return x.Protocol == p }) {
				t.Fatalf("protocol %d is not kept: %v", p, rest)
			}
		}
	})
}

func TestWithin(t *testing.T) {
	wide := securitygroup.Rule{Protocol: 6, First: 20, Last: 30, CIDR: from("10.0.0.0/8")}
	narrow := securitygroup.Rule{Protocol: 6, First: 22, Last: 22, CIDR: from("10.1.0.0/16")}
	all, group := narrow, narrow
	all.Protocol, all.First, all.Last = -1, -1, -1
	group.CIDR, group.Group = netip.Prefix{}, "sg-1"
	for _, c := range []struct {
		inner, outer securitygroup.Rule
		want         bool
	}{
		{narrow, wide, true}, {wide, narrow, false}, {narrow, all, true}, {all, narrow, false}, {narrow, group, false}, {group, wide, false}, {group, group, true},
	} {
		if got := c.inner.Within(c.outer); got != c.want {
			t.Errorf("%s within %s: %v, want %v", c.inner.Content(), c.outer.Content(), got, c.want)
		}
	}
}

// Openings whose time has come are not written, and what was to be shortened
// goes.
func TestAtItsTime(t *testing.T) {
	rule := securitygroup.Rule{Protocol: 6, First: 22, Last: 22, CIDR: from("203.0.113.7/32")}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		op    plan.Op
		do    securitygroup.Verb
		until time.Time
		want  securitygroup.Verb // empty for nothing
	}{
		{plan.Open, securitygroup.Authorize, time.Time{}, securitygroup.Authorize},
		{plan.Open, securitygroup.Authorize, now.Add(time.Second), securitygroup.Authorize},
		{plan.Open, securitygroup.Authorize, now, ""},
		{plan.Open, securitygroup.Describe, now, ""},
		{plan.Close, securitygroup.Describe, now, securitygroup.Revoke},
		{plan.Close, securitygroup.Describe, now.Add(time.Second), securitygroup.Describe},
		{plan.Close, securitygroup.Revoke, now, securitygroup.Revoke},
	} {
		x := plan.Change{Op: c.op, Opening: firewall.Opening{Until: c.until}, Native: securitygroup.Write{Do: c.do, Group: "sg-1", Rule: &rule}.Text()}
		w, due, err := securitygroup.At(x, now)
		if err != nil || due != (c.want != "") || due && w.Do != c.want {
			t.Errorf("%v %s until %v: got %q, %v, %v; want %q", c.op, c.do, c.until, w.Do, due, err, c.want)
		}
	}
}

func TestWritesOfAStepAreFewCalls(t *testing.T) {
	write := func(do securitygroup.Verb, group string, port int, tags ...securitygroup.Tag) securitygroup.Write {
		return securitygroup.Write{Do: do, Group: group, Rule: &securitygroup.Rule{Protocol: 6, First: port, Last: port, Group: "sg-0", Tags: tags}}
	}
	blue := securitygroup.Tag{Key: "team", Value: "blue"}
	calls := securitygroup.Calls([]securitygroup.Write{
		write(securitygroup.Authorize, "sg-1", 1), write(securitygroup.Authorize, "sg-2", 1), write(securitygroup.Authorize, "sg-1", 2),
		write(securitygroup.Authorize, "sg-1", 3, blue), write(securitygroup.Revoke, "sg-1", 4), write(securitygroup.Revoke, "sg-1", 5, blue),
		{Do: securitygroup.Strip, Group: "sg-1"},
		{Do: securitygroup.Strip, Group: "sg-1"},
	})
	var got []int
	for _, c := range calls {
		got = append(got, len(c.Writes))
	}
	if diff := cmp.Diff([]int{2, 1, 1, 2, 1, 1}, got); diff != "" {
		t.Errorf("writes per call (-want +got):\n%s", diff)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	for _, text := range []string{"", "{}", `{"do":"authorize","group":"sg-1"}`, `{"do":"make","group":"g"}`, `{"do":"attach","group":"g"}`, `{"do":"tag","group":"g"}`, `{"do":"dance","group":"g"}`, `{"do":"strip"}`} {
		if w, err := securitygroup.Decode(text); err == nil {
			t.Errorf("%s is read as %+v", text, w)
		}
	}
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		do   securitygroup.Verb
		code string
		want securitygroup.Outcome
	}{
		{securitygroup.Authorize, "InvalidPermission.Duplicate", securitygroup.Present},
		{securitygroup.Revoke, "InvalidPermission.NotFound", securitygroup.Missing},
		{securitygroup.Describe, "InvalidPermission.NotFound", securitygroup.Changed},
		{securitygroup.Revoke, "InvalidGroup.NotFound", securitygroup.Done},
		{securitygroup.Authorize, "InvalidGroup.NotFound", securitygroup.Changed},
		{securitygroup.Delete, "InvalidGroup.NotFound", securitygroup.Done},
		{securitygroup.Delete, "DependencyViolation", securitygroup.Busy},
		{securitygroup.Authorize, "RulesPerSecurityGroupLimitExceeded", securitygroup.Refused},
		{securitygroup.Authorize, "InvalidParameterValue", securitygroup.Refused},
		{securitygroup.Authorize, "UnauthorizedOperation", securitygroup.Refused},
		{securitygroup.Authorize, "RequestLimitExceeded", securitygroup.Busy},
		{securitygroup.Authorize, "InternalError", securitygroup.Unknown},
		{securitygroup.Authorize, "SomethingNew", securitygroup.Unknown},
	} {
		if got := securitygroup.OutcomeOf(c.do, c.code); got != c.want {
			t.Errorf("%s: %s is %d, want %d", c.do, c.code, got, c.want)
		}
	}
}
