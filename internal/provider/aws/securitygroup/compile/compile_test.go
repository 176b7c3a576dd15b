package compile_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup"
	"github.com/sesame-access/sesame/internal/provider/aws/securitygroup/compile"
)

// small returns two instances that share a group.
func small(rules ...securitygroup.Rule) *journal {
	return &journal{r: securitygroup.Reading{
		Network: network, Keys: keys, Groups: []securitygroup.Group{{ID: "sg-1", Name: "web", Ingress: rules}},
		Interfaces: []securitygroup.Interface{
			{ID: "eni-1", VM: web1, Groups: []string{"sg-1"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
			{ID: "eni-2", VM: web2, Groups: []string{"sg-1"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
		},
	}}
}

func locked(doors ...firewall.Door) firewall.Wants {
	var out firewall.Wants
	for _, d := range doors {
		out = append(out, firewall.Want{Door: d, Locked: true})
	}
	out.Sort()
	return out
}

func (j *journal) plan(t *testing.T, want firewall.Wants) plan.Plan {
	t.Helper()
	p, err := compile.Plan(j.r, want, j.displaced)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (j *journal) show(t *testing.T, want firewall.Wants) plan.Plan {
	t.Helper()
	p := j.plan(t, want)
	if err := j.pass(want); err != nil {
		t.Fatal(err)
	}
	return p
}

func refuses(t *testing.T, p plan.Plan, text string) {
	t.Helper()
	if !slices.ContainsFunc(p.Refused, func(r plan.Refusal) bool { return strings.Contains(r.Why, text) }) {
		t.Errorf("nothing is refused because %q:\n%v", text, p)
	}
}

// contents prints the rules of the shared group.
func (j *journal) contents() string {
	var out []string
	for _, r := range j.r.Groups[j.r.Find("sg-1")].Ingress {
		out = append(out, r.Content())
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func TestOrder(t *testing.T) {
	j := small(ingress(6, 20, 30, "0.0.0.0/0"))
	want := locked(ssh)
	want[0].Open = []firewall.Opening{{From: netip.MustParsePrefix("203.0.113.7/32"), Until: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Grants: "g-1"}}
	var verbs []string
	for _, c := range j.show(t, want).Changes {
		w, _ := securitygroup.Decode(c.Native)
		verbs = append(verbs, fmt.Sprintf("%v:%s", c.Op, w.Do))
	}
	if got, want := strings.Join(slices.Compact(verbs), " "), "lock:make lock:strip lock:attach keep:authorize open:authorize keep:tag lock:tag displace:revoke"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := j.contents(), "20-21/tcp from 0.0.0.0/0; 23-30/tcp from 0.0.0.0/0"; got != want {
		t.Errorf("the group says %q, want %q", got, want)
	}
	verbs = nil
	for _, c := range j.show(t, nil).Changes {
		w, _ := securitygroup.Decode(c.Native)
		verbs = append(verbs, fmt.Sprintf("%v:%s", c.Op, w.Do))
	}
	// The source gets in by the rule that is back: its opening goes at the end.
	if got, want := strings.Join(slices.Compact(verbs), " "), "restore:authorize drop:untag drop:revoke drop:detach drop:delete"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What a lock takes from siblings is refused by who does not want to be asked,
// unless they are locked, too.
func TestSharedGroup(t *testing.T) {
	j := small(ingress(6, 22, 22, "0.0.0.0/0"))
	j.r.Shared = securitygroup.Refuse
	p := j.plan(t, locked(ssh))
	refuses(t, p, "i-2 wears the group too, and would lose 22/tcp")
	if !p.Empty() {
		t.Errorf("something is written:\n%v", p)
	}
	if p := j.show(t, locked(ssh, ssh2)); len(p.Refused) > 0 || j.contents() != "" {
		t.Errorf("both are locked, and:\n%v", p)
	}
	// One alone cannot be given back either.
	p = j.show(t, locked(ssh2))
	refuses(t, p, "is kept out by the lock of "+ssh2.String())
	if j.contents() != "" || len(j.r.Owned()) != 2 {
		t.Errorf("half is given back: %v", j.r.Owned())
	}
	if p := j.show(t, nil); len(p.Refused) > 0 || j.contents() != "22/tcp from 0.0.0.0/0" || len(j.r.Owned()) > 0 {
		t.Errorf("not given back: %s, %v", j.contents(), p)
	}
	j.r.Shared = securitygroup.Include
	if p := j.show(t, locked(ssh)); len(p.Refused) > 0 || j.contents() != "" {
		t.Errorf("the caller judges, and:\n%v", p)
	}
}

// What no list of rules can keep is named; who asked judges it.
func TestEveryOtherProtocolIsLost(t *testing.T) {
	j := small(ingress(-1, -1, -1, "10.0.0.0/8"))
	j.r.Keep = []firewall.Protocol{50}
	p := j.show(t, locked(ssh))
	if !slices.ContainsFunc(p.Changes, func(c plan.Change) bool {
		return c.Op == plan.Displace && strings.HasSuffix(c.Why, "lost: every protocol but icmp, tcp, udp, 50")
	}) {
		t.Errorf("the loss is not listed:\n%v", p)
	}
	if got, want := j.contents(), "0-21/tcp from 10.0.0.0/8; 0-65535/udp from 10.0.0.0/8; 23-65535/tcp from 10.0.0.0/8; icmp from 10.0.0.0/8; protocol 50 from 10.0.0.0/8"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
}

// A lock that spares takes nothing out, stays, and goes on opening; a new one waits.
// What another lock needs out goes all the same.
func TestSpares(t *testing.T) {
	spared := func(doors ...firewall.Door) firewall.Wants {
		want := locked(doors...)
		for i := range want {
			want[i].Spares = true
		}
		return want
	}
	j := small()
	j.show(t, locked(ssh))
	j.r = j.r.On(securitygroup.Write{Do: securitygroup.Authorize, Group: "sg-1", Rule: new(ingress(6, 22, 22, "10.0.0.0/8"))})
	want := spared(ssh)
	want[0].Open = []firewall.Opening{{From: netip.MustParsePrefix("203.0.113.7/32"), Until: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Grants: "g-1"}}
	p := j.show(t, want)
	if p.Has(plan.Displace) || !p.Has(plan.Open) || len(p.Refused) > 0 || len(j.r.Owned()) != 2 {
		t.Errorf("%v", p)
	}
	if p := j.show(t, append(want, spared(ssh2)...)); len(p.Refused) != 1 || p.Refused[0].Door != ssh2 || !p.Empty() {
		t.Errorf("a new lock that is exposed from the start:\n%v", p)
	}
	if p := j.show(t, append(want, locked(ssh2)...)); len(p.Refused) > 0 || j.contents() != "" {
		t.Errorf("another lock needs it out:\n%v", p)
	}
}

// A change names the rule as the layer does, whichever version it is about.
func TestChangesNameTheirRule(t *testing.T) {
	j := small(ingress(6, 22, 22, "10.0.0.0/8"))
	lines := j.r.Layer()
	for _, want := range []firewall.Wants{locked(ssh), nil} {
		for _, c := range j.show(t, want).Changes {
			foreign := c.Op == plan.Displace || c.Op == plan.Restore
			if named := c.Rule == lines.Rules[0].Name; named != foreign {
				t.Errorf("%v is about %q", c, c.Rule)
			}
			if foreign && strings.Contains(c.Undo, `"at"`) {
				t.Errorf("another attempt would store it again: %s", c.Undo)
			}
		}
	}
}

// Originals and what replaces them have to fit at once.
func TestQuotaIsCheckedFirst(t *testing.T) {
	for _, c := range []struct {
		quota int
		fits  bool
	}{{3, true}, {2, false}} {
		j := small(ingress(6, 20, 30, "10.0.0.0/8"))
		j.r.Quotas.Rules = c.quota
		p := j.plan(t, locked(ssh))
		if fits := len(p.Refused) == 0; fits != c.fits || p.Empty() == c.fits {
			t.Errorf("with room for %d:\n%v", c.quota, p)
		}
	}
	j := small(securitygroup.Rule{Protocol: 6, First: 20, Last: 30, List: "pl-1"})
	j.r.Lists = map[string]securitygroup.List{"pl-1": {Max: 25}}
	refuses(t, j.plan(t, locked(ssh)), "no room for the 2 rules") // 25 rules each
	j.r.Lists = nil
	refuses(t, j.plan(t, locked(ssh)), "no room for the 2 rules") // nobody knows how many
}

// What comes back for one lock counts what is kept for another that comes with it.
func TestRoomForWhatComesBack(t *testing.T) {
	j := small(ingress(6, 22, 22, "10.0.0.0/8"), ingress(6, 22, 22, "192.0.2.0/24"), ingress(6, 80, 90, "10.0.0.0/8"))
	j.r.Quotas.Rules = 3
	j.show(t, locked(ssh, ssh2))
	web := ssh
	web.Port = 85
	web2 := ssh2
	web2.Port = 85
	most := 0
	for _, c := range j.plan(t, locked(web, web2)).Changes {
		w, _ := securitygroup.Decode(c.Native)
		j.r = j.r.On(w)
		most = max(most, len(j.r.Groups[j.r.Find("sg-1")].Ingress))
	}
	if most > j.r.Quotas.Rules {
		t.Errorf("the group has %d rules on the way", most)
	}
}

func TestNoRoomOnTheInterface(t *testing.T) {
	j := small()
	j.r.Interfaces[0].Groups = []string{"sg-1", "sg-a", "sg-b", "sg-c", "sg-d"}
	p := j.plan(t, locked(ssh))
	refuses(t, p, "eni-1 wears 5 groups")
	if !p.Empty() {
		t.Errorf("something is written:\n%v", p)
	}
	refuses(t, j.plan(t, locked(firewall.Door{VM: network.VM("i-9"), Protocol: firewall.TCP, Port: 22})), "has no interface")
}

// An owned group holds so many openings of each family. Exempt sources go first,
// closings make room, and more is refused source by source.
func TestNoRoomForOpenings(t *testing.T) {
	j := small()
	j.r.Quotas.Rules = 3
	want := locked(ssh)
	open := func(text string, exempt bool) {
		o := firewall.Opening{From: netip.MustParsePrefix(text)}
		if !exempt {
			o.Until, o.Grants = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), "g-1"
		}
		want[0].Open = append(want[0].Open, o)
	}
	for i := range 4 {
		open(fmt.Sprintf("203.0.113.%d/32", i), false)
	}
	open("2001:db8::1/128", false)
	open("224.0.0.1/32", true)
	p := j.show(t, want)
	if len(p.Refused) != 2 || p.Refused[0].From != netip.MustParsePrefix("203.0.113.2/32") || p.Refused[1].From != netip.MustParsePrefix("203.0.113.3/32") {
		t.Errorf("two grants of one family have no room:\n%v", p)
	}
	want[0].Open = want[0].Open[2:]
	if p := j.show(t, want); len(p.Refused) > 0 {
		t.Errorf("closings make room:\n%v", p)
	}
}

// Without the list of what is displaced nobody is cut off.
func TestHalfAListCutsNobody(t *testing.T) {
	j := small(ingress(6, 20, 30, "10.0.0.0/8"), ingress(6, 22, 40, "192.168.0.0/16"))
	j.show(t, locked(ssh))
	kept, all := j.contents(), j.displaced
	for _, some := range [][]plan.Change{nil, all[:1], all[1:]} {
		j.displaced = some
		if p := j.show(t, locked(ssh)); j.contents() != kept {
			t.Errorf("with %d of 2 displaced rules:\n%v", len(some), p)
		}
	}
}

// A rule that comes back may say what the rest of another one says.
func TestRestBecomesTheOriginal(t *testing.T) {
	j := small(ingress(6, 20, 30, "10.0.0.0/8"), ingress(6, 23, 30, "10.0.0.0/8"))
	door := func(port uint16) firewall.Door { return firewall.Door{VM: web1, Protocol: firewall.TCP, Port: port} }
	j.show(t, locked(door(22), door(25)))
	j.show(t, locked(door(22)))
	if got, want := j.contents(), "20-21/tcp from 10.0.0.0/8; 23-30/tcp from 10.0.0.0/8"; got != want || len(j.displaced) != 1 {
		t.Errorf("%q, %d displaced, want %q", got, len(j.displaced), want)
	}
	j.show(t, nil)
	if got, want := document(j.r), document(small(ingress(6, 20, 30, "10.0.0.0/8"), ingress(6, 23, 30, "10.0.0.0/8")).r); got != want {
		t.Errorf("not what was:\n%swas\n%s", got, want)
	}
}

// What only exempt sources get through stays where it is.
func TestExemptSourcesKeepTheirRules(t *testing.T) {
	j := small(ingress(6, 22, 22, "10.0.0.0/24"))
	want := locked(ssh)
	want[0].Open = []firewall.Opening{{From: netip.MustParsePrefix("10.0.0.0/16")}}
	if p := j.show(t, want); p.Has(plan.Displace) || len(p.Refused) > 0 {
		t.Errorf("it is displaced:\n%v", p)
	}
}

// Terraform takes the owned group off and puts the displaced rule back.
func TestDriftIsRepaired(t *testing.T) {
	j := small(ingress(6, 22, 22, "0.0.0.0/0"))
	want := locked(ssh)
	j.show(t, want)
	back := ingress(6, 22, 22, "0.0.0.0/0")
	j.r = j.r.On(
		securitygroup.Write{Do: securitygroup.Detach, Group: j.r.OwnName(web1), Interface: "eni-1"},
		securitygroup.Write{Do: securitygroup.Authorize, Group: "sg-1", Rule: &back},
	)
	if o := j.r.Owned(); len(o) != 1 || !strings.Contains(o[0].Wrong, "eni-1 does not wear") {
		t.Errorf("the drift is not told: %v", o)
	}
	if p := j.show(t, want); j.contents() != "" || !p.Has(plan.Lock, plan.Displace) || !j.plan(t, want).Empty() {
		t.Errorf("not repaired:\n%v", p)
	}
}

// The verdict of package plan agrees, where no rule for every protocol is in
// the way.
func TestVerified(t *testing.T) {
	j := small(ingress(6, 20, 30, "0.0.0.0/0"), ingress(17, 0, 65535, "10.0.0.0/8"))
	path := []inventory.Path{{Hops: []inventory.Hop{{Firewall: vpc}}}}
	verdict := func(want firewall.Wants, unlocking ...firewall.Door) []plan.Refusal {
		return plan.Verify(plan.Case{
			Plan: j.plan(t, want), Want: want, VMs: []inventory.VM{{ID: web1, Paths: path}, {ID: web2, Paths: path}},
			Observed: map[firewall.ID]firewall.Layer{vpc: j.r.Layer()}, Unlocking: unlocking,
		})
	}
	both := locked(ssh, ssh2)
	if r := verdict(both); len(r) > 0 {
		t.Errorf("refused: %v", r)
	}
	j.show(t, both)
	if r := verdict(nil); len(r) == 0 {
		t.Error("giving back is not refused although nobody unlocks")
	}
	if r := verdict(nil, ssh, ssh2); len(r) > 0 {
		t.Errorf("refused: %v", r)
	}
	j.show(t, nil)
	if r := verdict(locked(ssh)); len(r) == 0 {
		t.Error("what a sibling loses is not refused")
	}
}

// The owner writes a displaced rule anew, with another description, and it is
// displaced again: that one comes back, and not the older one, however they sort.
func TestNewerVersionSupersedes(t *testing.T) {
	for _, words := range [][2]string{{"before", "now"}, {"now", "before"}} {
		j := small(ingress(6, 22, 22, "10.0.0.0/8"))
		j.r.At = time.Date(2026, 11, 1, 10, 20, 0, 0, time.UTC)
		j.r.Groups[0].Ingress[0].Description, j.r.Groups[0].Ingress[0].ID = words[0], "sgr-1"
		j.show(t, locked(ssh))
		again := ingress(6, 22, 22, "10.0.0.0/8")
		again.Description, again.ID = words[1], "sgr-2"
		g := j.r.Find("sg-1")
		j.r.Groups[g].Ingress = append(j.r.Groups[g].Ingress, again)
		j.r.At = j.r.At.Add(30 * time.Hour)
		j.show(t, locked(ssh))
		if len(j.displaced) != 2 {
			t.Fatalf("%d rules are displaced", len(j.displaced))
		}
		j.r.At = j.r.At.Add(8 * 24 * time.Hour)
		p := j.show(t, nil)
		back := slices.IndexFunc(p.Changes, func(c plan.Change) bool { return c.Op == plan.Restore })
		if back < 0 || !strings.Contains(p.Changes[back].Why, "out for 192h; it gets a new id instead of sgr-2") {
			t.Errorf("%v", p)
		}
		if got := j.r.Groups[j.r.Find("sg-1")].Ingress; len(got) != 1 || got[0].Description != words[1] {
			t.Errorf("what came back is %+v, want %s", got, words[1])
		}
	}
}

// With a copy of its own, an instance is locked and its siblings notice nothing.
func TestSplit(t *testing.T) {
	j := small(ingress(6, 20, 30, "0.0.0.0/0"), ingress(6, 443, 443, "10.0.0.0/8"))
	before := worn(j.r)
	j.r.Shared, j.r.Groups[0].Plain4 = securitygroup.Split, true
	client := netip.MustParseAddr("203.0.113.7")
	p := j.show(t, locked(ssh))
	if len(p.Refused) > 0 || admits(j.r, ssh, client) || !admits(j.r, ssh2, client) || len(j.displaced) > 0 {
		t.Fatalf("%v", p)
	}
	if got, want := j.contents(), "20-30/tcp from 0.0.0.0/0; 443/tcp from 10.0.0.0/8"; got != want {
		t.Errorf("the original says %q, want %q", got, want)
	}
	for _, d := range []firewall.Door{{VM: web1, Protocol: firewall.TCP, Port: 21}, {VM: web1, Protocol: firewall.TCP, Port: 23}} {
		if !admits(j.r, d, client) {
			t.Errorf("%s is shut, too", d)
		}
	}
	// The owner of the original changes it; the copy follows.
	g := j.r.Find("sg-1")
	j.r.Groups[g].Ingress = []securitygroup.Rule{ingress(6, 20, 30, "0.0.0.0/0"), ingress(6, 80, 80, "10.0.0.0/8")}
	j.show(t, locked(ssh))
	for port, want := range map[uint16]bool{22: false, 23: true, 80: true, 443: false} {
		if d := (firewall.Door{VM: web1, Protocol: firewall.TCP, Port: port}); admits(j.r, d, netip.MustParseAddr("10.0.0.9")) != want {
			t.Errorf("%s admits %v", d, !want)
		}
	}
	// So it does when somebody puts the original back on, or writes to the copy.
	copied := j.r.Find(j.r.CopyName(web1, "sg-1"))
	j.r.Groups[copied].Ingress = append(slices.Clone(j.r.Groups[copied].Ingress), ingress(6, 22, 22, "0.0.0.0/0"))
	j.r.Interfaces[0].Groups = append(slices.Clone(j.r.Interfaces[0].Groups), "sg-1")
	j.show(t, locked(ssh))
	if admits(j.r, ssh, client) {
		t.Error("it is open again")
	}
	if p := j.plan(t, locked(ssh)); !p.Empty() {
		t.Errorf("a second plan is not empty:\n%v", p)
	}
	j.show(t, nil)
	if worn(j.r) != before || len(j.r.Groups) != 1 {
		t.Errorf("the interfaces wear\n%s%d groups are left", worn(j.r), len(j.r.Groups))
	}
}

// A copy that is full cannot let a door in again whose lock has ended, as long as
// another lock needs it. That is said, and the door stays locked.
func TestFullCopyKeepsItsDoorShut(t *testing.T) {
	j := small(ingress(6, 20, 4000, "0.0.0.0/0"))
	j.r.Shared, j.r.Groups[0].Plain4 = securitygroup.Split, true
	j.r.Quotas.Rules = 3
	rdp := firewall.Door{VM: web1, Protocol: firewall.TCP, Port: 3389}
	client := netip.MustParseAddr("203.0.113.7")
	if p := j.show(t, locked(ssh, rdp)); len(p.Refused) > 0 || admits(j.r, rdp, client) {
		t.Fatalf("%v", p)
	}
	p := j.show(t, locked(ssh))
	refuses(t, p, "no room in the copy of sg-1 that i-1 wears")
	if admits(j.r, rdp, client) || len(j.r.Owned()) != 2 {
		t.Errorf("it is half unlocked: %v\n%v", j.r.Owned(), p)
	}
	j.r.Quotas.Rules = 4
	if p := j.show(t, locked(ssh)); len(p.Refused) > 0 || !admits(j.r, rdp, client) || admits(j.r, ssh, client) || len(j.r.Owned()) != 1 {
		t.Errorf("there is room: %v\n%v", j.r.Owned(), p)
	}
	j.r.Quotas.Rules = 3
	if p := j.show(t, nil); len(p.Refused) > 0 || !admits(j.r, ssh, client) || len(j.r.Owned()) > 0 {
		t.Errorf("no lock is left: %v\n%v", j.r.Owned(), p)
	}
}

// Two instances are locked alike, and one ends a lock: the other gets a copy, and
// what the group may say again is not said before the other has left it.
func TestNothingIsKeptBeforeACopyIsWorn(t *testing.T) {
	j := small(ingress(6, 0, 3389, "203.0.113.0/24"))
	j.r.Shared, j.r.Groups[0].Plain4 = securitygroup.Split, true
	rdp := func(vm firewall.VMID) firewall.Door {
		return firewall.Door{VM: vm, Protocol: firewall.TCP, Port: 3389}
	}
	client := netip.MustParseAddr("203.0.113.7")
	j.show(t, locked(ssh, ssh2, rdp(web1), rdp(web2)))
	p, now := j.plan(t, locked(ssh, ssh2, rdp(web1))), j.r
	for _, c := range p.Changes {
		w, _ := securitygroup.Decode(c.Native)
		if now = now.On(w); admits(now, ssh, client) || admits(now, ssh2, client) || admits(now, rdp(web1), client) {
			t.Fatalf("after %v a locked door is open:\n%v", c, p)
		}
	}
	if !admits(now, rdp(web2), client) {
		t.Errorf("%s does not get in:\n%v", client, p)
	}
}

// Who gives back a copy finds in the group what the copy said, although somebody who
// wore the group alone had a rule taken out of it meanwhile: theirs is a copy then.
func TestSplitTakesTurns(t *testing.T) {
	j := small(ingress(6, 22, 80, "0.0.0.0/0"))
	j.r.Shared, j.r.Groups[0].Plain4 = securitygroup.Split, true
	j.show(t, locked(ssh2))
	other := ssh
	other.Port = 80
	if p := j.show(t, locked(ssh2, other)); len(j.displaced) != 1 || len(p.Refused) > 0 {
		t.Fatalf("nobody else wears the group, so the rule goes, and no copy comes; but\n%v", p)
	}
	p := j.show(t, locked(other))
	if got, want := j.contents(), "22-80/tcp from 0.0.0.0/0"; got != want || len(j.displaced) > 0 {
		t.Errorf("the group says %q, want %q; displaced %v\n%v", got, want, j.displaced, p)
	}
	if again := j.plan(t, locked(other)); !again.Empty() {
		t.Errorf("a second plan is\n%v", again)
	}

	// Who never had the rule by a copy does not get it.
	j = small(ingress(6, 22, 80, "0.0.0.0/0"))
	j.r.Shared, j.r.Groups[0].Plain4 = securitygroup.Split, true
	j.r.Interfaces = j.r.Interfaces[:1]
	j.show(t, locked(other))
	j.r.Interfaces = append(j.r.Interfaces, securitygroup.Interface{ID: "eni-2", VM: web2, Groups: []string{"sg-1"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}})
	if p := j.show(t, locked(other)); strings.Contains(j.contents(), "22-80") {
		t.Errorf("somebody put the group on, and gets what is out:\n%v", p)
	}
}

// An instance wears its copy before anything is taken out of the group for others:
// a protocol that no rule can name would be lost to it meanwhile.
func TestCopyIsWornFirst(t *testing.T) {
	j := small(ingress(securitygroup.All, securitygroup.All, securitygroup.All, "10.0.0.0/24"), ingress(6, 3389, 3389, "203.0.113.0/24"))
	j.r.Shared, j.r.Groups[0].Plain4 = securitygroup.Split, true
	other := ssh
	other.Port = 3389
	want := locked(ssh, other, ssh2)
	for i, w := range want {
		if w.Door.VM == web1 {
			want[i].Open = []firewall.Opening{{From: netip.MustParsePrefix("10.0.0.0/24")}}
		}
	}
	swap, revoke := -1, -1
	p := j.show(t, want)
	for _, c := range p.Changes {
		if w, _ := securitygroup.Decode(c.Native); w.Do == securitygroup.Swap {
			swap = c.Step
		} else if w.Do == securitygroup.Revoke {
			revoke = c.Step
		}
	}
	if swap < 0 || revoke <= swap {
		t.Errorf("the copy is put on at %d, and the rule goes at %d:\n%v", swap, revoke, p)
	}
}

// A rule that is out names its source as much as one that is there.
func TestSplitIsRefusedForWhatIsOut(t *testing.T) {
	j := small(ingress(6, 22, 30, "0.0.0.0/0"), securitygroup.Rule{Protocol: 6, First: 3389, Last: 3389, Group: "sg-1"})
	j.r.Shared, j.r.Groups[0].Plain4 = securitygroup.Split, true
	both := []firewall.Door{{VM: web1, Protocol: firewall.TCP, Port: 3389}, {VM: web2, Protocol: firewall.TCP, Port: 3389}}
	if p := j.show(t, locked(both...)); len(j.displaced) != 1 {
		t.Fatalf("%d rules are out:\n%v", len(j.displaced), p)
	}
	refuses(t, j.plan(t, locked(append(both, ssh)...)), "3389/tcp from sg-1 in sg-1 names it as a source, once it is given back")
}

// A copy is no member of what the original is a member of.
func TestSplitIsRefused(t *testing.T) {
	for want, change := range map[string]func(*securitygroup.Reading){
		"443/tcp from sg-1 in sg-1 names it as a source": func(r *securitygroup.Reading) {
			r.Groups[0].Ingress = append(r.Groups[0].Ingress, securitygroup.Rule{Protocol: 6, First: 443, Last: 443, Group: "sg-1"})
		},
		"it does not let everything out": func(r *securitygroup.Reading) { r.Groups[0].Plain4 = false },
		"its copy would have 61 rules": func(r *securitygroup.Reading) {
			r.Groups[0].Ingress[0] = ingress(6, 20, 30, "0.0.0.0/0")
			for i := range 59 {
				r.Groups[0].Ingress = append(r.Groups[0].Ingress, ingress(6, 100+i, 100+i, "0.0.0.0/0"))
			}
			r.Quotas.Rules = 60
		},
	} {
		j := small(ingress(6, 22, 30, "0.0.0.0/0"))
		j.r.Shared, j.r.Groups[0].Plain4 = securitygroup.Split, true
		change(&j.r)
		p := j.show(t, locked(ssh))
		refuses(t, p, want)
		if !p.Empty() {
			t.Errorf("%s: %v", want, p)
		}
	}
}

// Of a lock that cannot be, no copy is left.
func TestNoCopyInVain(t *testing.T) {
	j := small(ingress(6, 22, 22, "0.0.0.0/0"))
	j.r.Shared, j.r.Groups[0].Plain4 = securitygroup.Split, true
	j.r.Groups = append(j.r.Groups, securitygroup.Group{ID: "sg-2", Name: "bound", Ingress: []securitygroup.Rule{ingress(6, 22, 22, "10.0.0.0/8")}})
	for i := range j.r.Interfaces {
		j.r.Interfaces[i].Groups = []string{"sg-1", "sg-2"}
	}
	p := j.plan(t, locked(ssh))
	refuses(t, p, "wears the group too")
	if !p.Empty() {
		t.Errorf("%v", p)
	}
}

// The owned group says what was taken out, and nobody can put words into its mouth.
func TestEvidence(t *testing.T) {
	j := small(ingress(6, 22, 22, "10.0.0.0/8"), ingress(6, 22, 22, "203.0.113.0/24"))
	j.show(t, locked(ssh))
	evidence := func() (out []string) {
		g := j.r.Groups[j.r.Find(j.r.OwnName(web1))]
		for _, x := range g.Tags {
			if group, content, ok := j.r.TakenOut(web1, x); ok {
				out = append(out, group+": "+content)
			}
			if _, _, ok := j.r.TakenOut(web2, x); ok {
				t.Errorf("%s is evidence about another machine", x.Key)
			}
			x.Key = strings.Replace(x.Key, "22/tcp", "23/tcp", 1)
			if _, _, ok := j.r.TakenOut(web1, x); ok {
				t.Errorf("%s was made up", x.Key)
			}
		}
		return out
	}
	if got, want := fmt.Sprint(evidence()), "[sg-1: 22/tcp from 10.0.0.0/8 sg-1: 22/tcp from 203.0.113.0/24]"; got != want {
		t.Errorf("it says %s, want %s", got, want)
	}
	lost := j.displaced
	j.displaced = nil
	j.show(t, locked(ssh))
	if got := evidence(); len(got) != 2 {
		t.Errorf("without a book it says %s", got)
	}
	j.displaced = lost
	// Two doors: the evidence about one goes when its rule is back.
	j.show(t, locked(ssh, rdp))
	j.show(t, locked(rdp))
	if got := evidence(); len(got) != 0 {
		t.Errorf("the rules are back, and it says %s", got)
	}
}
