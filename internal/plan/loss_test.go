package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/reach"
)

// losing is a case in which a lock of web takes out a rule of a group that db is
// in, too: any protocol, from 10.0.0.0/8. What is left of it is kept.
func losing(accepts ...firewall.Loss) plan.Case {
	group := func(rules ...firewall.LayerRule) firewall.Layer {
		return firewall.Layer{Firewall: "sg", Kind: firewall.Union, Rules: rules, Default: firewall.Deny}
	}
	from := sources("10.0.0.0/8")
	part := func(proto firewall.Protocol, first, last uint16) firewall.LayerRule {
		return firewall.LayerRule{Name: "rest", Action: firewall.Allow, Protocol: proto, First: first, Last: last, From: from, Owned: true}
	}
	w := locked(web)
	w.Accepts = accepts
	hop := inventory.Hop{Firewall: "sg"}
	return plan.Case{
		Plan: plan.Plan{
			Firewall: "sg",
			Changes:  []plan.Change{change(plan.Lock, web, firewall.Opening{}), change(plan.Displace, web, firewall.Opening{})},
			After:    group(part(firewall.TCP, 0, 21), part(firewall.TCP, 23, 65535), part(firewall.UDP, 0, 65535)),
		},
		Want: firewall.Wants{w},
		VMs:  []inventory.VM{behind(db.VM, hop), behind(web.VM, hop)},
		Observed: map[firewall.ID]firewall.Layer{"sg": group(firewall.LayerRule{
			Name: "everything", Action: firewall.Allow, Protocol: 0, First: 0, Last: 65535, From: from,
		})},
	}
}

func TestLosses(t *testing.T) {
	from := sources("10.0.0.0/8")
	others := []firewall.Protocol{firewall.TCP, firewall.UDP}
	all := []firewall.Loss{
		{VM: db.VM, Protocol: 0, But: others, From: from},
		{VM: db.VM, Protocol: firewall.TCP, First: 22, Last: 22, From: from},
		{VM: web.VM, Protocol: 0, But: others, From: from},
	}
	var said []string
	var got []firewall.Loss
	for _, l := range plan.Losses(losing()) {
		if !slices.Equal(l.Locks, []firewall.Door{web}) || l.Accepted {
			t.Errorf("%v: for %v, accepted: %t", l, l.Locks, l.Accepted)
		}
		got, said = append(got, l.Loss), append(said, l.String())
	}
	if diff := cmp.Diff(all, got, prefixes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := "every protocol of db but tcp, udp is lost to 10.0.0.0/8 (by sg: default); db:22/tcp is lost to 10.0.0.0/8 (by sg: default); " +
		"every protocol of web but tcp, udp is lost to 10.0.0.0/8 (by sg: default)"; strings.Join(said, "; ") != want {
		t.Errorf("said %q", said)
	}
	edit := func(i int, f func(*firewall.Loss)) []firewall.Loss {
		out := slices.Clone(all)
		f(&out[i])
		return out
	}
	for name, c := range map[string]struct {
		accepts []firewall.Loss
		refused int
	}{
		"nothing was agreed to":         {nil, 3},
		"all was agreed to":             {all, 0},
		"more was agreed to":            {edit(1, func(l *firewall.Loss) { l.First, l.Last, l.From = 0, 80, sources("0.0.0.0/0") }), 0},
		"in parts":                      {append(edit(1, func(l *firewall.Loss) { l.From = sources("10.0.0.0/9") }), firewall.Loss{VM: db.VM, Protocol: 6, First: 0, Last: 22, From: sources("10.128.0.0/9")}), 0},
		"of fewer sources":              {edit(1, func(l *firewall.Loss) { l.From = sources("10.0.0.0/9") }), 1},
		"of another port":               {edit(1, func(l *firewall.Loss) { l.First, l.Last = 23, 23 }), 1},
		"of another VM":                 {edit(1, func(l *firewall.Loss) { l.VM = web.VM }), 1},
		"of another protocol":           {edit(1, func(l *firewall.Loss) { l.Protocol = firewall.UDP }), 1},
		"but more protocols":            {edit(0, func(l *firewall.Loss) { l.But = []firewall.Protocol{1, 6, 17} }), 1},
		"but fewer protocols":           {edit(0, func(l *firewall.Loss) { l.But = []firewall.Protocol{6} }), 0},
		"for the lock of somebody":      {nil, 3},
		"of every protocol but its own": {edit(1, func(l *firewall.Loss) { l.Protocol, l.But = 0, []firewall.Protocol{firewall.TCP} }), 1},
		"of every protocol of both":     {edit(1, func(l *firewall.Loss) { l.Protocol, l.But = 0, nil }), 0},
	} {
		t.Run(name, func(t *testing.T) {
			k := losing(c.accepts...)
			if name == "for the lock of somebody" {
				elsewhere := locked(firewall.Door{VM: web.VM, Protocol: firewall.UDP, Port: 9})
				elsewhere.Accepts, elsewhere.Locked = all, false
				k.Want = append(k.Want, elsewhere)
				k.Want.Sort()
			}
			got := plan.Verify(k)
			if len(got) != c.refused {
				t.Errorf("%d are refused, not %d: %v", len(got), c.refused, got)
			}
			for _, r := range got {
				if r.Door != web || !strings.Contains(r.Why, "not a just-in-time port") {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	// Whoever holds what is refused spares the rule.
	held := plan.Hold(losing().Want, firewall.Wants{locked(web)}, plan.Verify(losing())...)
	if w, _ := held.Of(web); !w.Spares || !w.Locked {
		t.Errorf("held as %+v", w)
	}
}

// TestLossesNameTheirLocks: a loss is for the locks that the rule is about which
// goes, and not for another that is made at the same time.
func TestLossesNameTheirLocks(t *testing.T) {
	dns := firewall.Door{VM: web.VM, Protocol: firewall.UDP, Port: 53}
	rdp := firewall.Door{VM: web.VM, Protocol: firewall.TCP, Port: 3389}
	c := losing()
	before := c.Observed["sg"]
	before.Rules = slices.Clone(before.Rules)
	before.Rules[0].Protocol = firewall.TCP
	c.Observed["sg"], c.Plan.After.Rules = before, nil
	for _, d := range []firewall.Door{dns, rdp} {
		c.Plan.Changes = append(c.Plan.Changes, change(plan.Lock, d, firewall.Opening{}))
		c.Want = append(c.Want, locked(d))
	}
	c.Want.Sort()
	losses := plan.Losses(c)
	if len(losses) != 4 { // db: all of TCP in one; web: 0-21, 23-3388, 3390-65535
		t.Errorf("%v are lost", losses)
	}
	for _, l := range losses {
		if !slices.Equal(l.Locks, []firewall.Door{web, rdp}) {
			t.Errorf("%v: for %v", l, l.Locks)
		}
	}
	if a, b := plan.AcceptedBy(web, losses), plan.AcceptedBy(dns, losses); len(a) != len(losses) || len(b) > 0 {
		t.Errorf("%v, %v", a, b)
	}
}

// TestNothingIsLostThatNobodyAgreedTo draws what locks could take from whom, and
// what somebody agreed to, and checks every verdict against single packets. Who
// agrees to exactly what is listed is not asked again.
func TestNothingIsLostThatNobodyAgreedTo(t *testing.T) {
	from := func(t *rapid.T, label string) []netip.Prefix {
		return rapid.SliceOfNDistinct(rapid.Custom(drawSource), 1, 2, rapid.ID).Draw(t, label)
	}
	protocols := []firewall.Protocol{0, 1, firewall.TCP, firewall.UDP}
	drawRule := rapid.Custom(func(t *rapid.T) firewall.LayerRule {
		r := firewall.LayerRule{
			Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"), Action: firewall.Allow,
			VM: rapid.SampledFrom([]firewall.VMID{"", web.VM, db.VM}).Draw(t, "vm"), Protocol: rapid.SampledFrom(protocols).Draw(t, "protocol"),
			First: rapid.SampledFrom([]uint16{0, 22, 80}).Draw(t, "first"), From: from(t, "from"), Owned: rapid.Bool().Draw(t, "owned"),
		}
		r.Last = max(r.First, rapid.SampledFrom([]uint16{22, 80, 65535}).Draw(t, "last"))
		return r
	})
	drawLoss := rapid.Custom(func(t *rapid.T) firewall.Loss {
		l := firewall.Loss{
			VM: rapid.SampledFrom([]firewall.VMID{web.VM, db.VM}).Draw(t, "vm"), Protocol: rapid.SampledFrom(protocols).Draw(t, "protocol"),
			First: rapid.SampledFrom([]uint16{0, 22, 23, 81}).Draw(t, "first"), From: from(t, "from"),
		}
		if l.Last = max(l.First, rapid.SampledFrom([]uint16{21, 80, 65535}).Draw(t, "last")); l.Protocol == 0 {
			l.But = rapid.SampledFrom([][]firewall.Protocol{{6, 17}, {1, 6, 17}, {17}}).Draw(t, "but")
		}
		return l
	})
	covers := func(l firewall.Loss, d firewall.Door, a netip.Addr) bool {
		proto := l.Protocol == d.Protocol
		if l.Protocol == 0 {
			proto = !slices.Contains(l.But, d.Protocol)
		}
		return l.VM == d.VM && proto && l.First <= d.Port && d.Port <= l.Last && slices.ContainsFunc(l.From, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	rules := rapid.SliceOfN(drawRule, 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		c := losing(rapid.SliceOfN(drawLoss, 0, 4).Draw(t, "agreed")...)
		before, after := c.Observed["sg"], c.Plan.After
		before.Rules = rules.Draw(t, "before")
		after.Rules = slices.DeleteFunc(slices.Clone(before.Rules), func(firewall.LayerRule) bool { return rapid.Bool().Draw(t, "goes") })
		c.Observed["sg"], c.Plan.After = before, after
		refused := plan.Verify(c)
		for _, vm := range []firewall.VMID{web.VM, db.VM} {
			for _, proto := range []firewall.Protocol{1, 6, 17, 47} {
				for _, port := range []uint16{0, 21, 22, 23, 80, 81, 65535} {
					d := firewall.Door{VM: vm, Protocol: proto, Port: port}
					if proto != firewall.TCP && proto != firewall.UDP && port != 0 || d == web {
						continue
					}
					was, is := reach.Layer(before, d), reach.Layer(after, d)
					for _, text := range []string{"203.0.113.7", "203.0.113.9", "10.1.1.1", "2001:db8::7", "2001:db9::"} {
						a := netip.MustParseAddr(text)
						agreed := slices.ContainsFunc(c.Want[0].Accepts, func(l firewall.Loss) bool { return covers(l, d, a) })
						if is.At(a).Verdict < was.At(a).Verdict && !agreed && len(refused) == 0 {
							t.Fatalf("%v loses %v, and nobody agreed", a, d)
						}
					}
				}
			}
		}
		losses := plan.Losses(c)
		if open := slices.ContainsFunc(losses, func(l plan.Loss) bool { return !l.Accepted }); open != (len(refused) > 0) {
			t.Fatalf("%v are lost, and %v are refused", losses, refused)
		}
		c.Want[0].Accepts = plan.AcceptedBy(web, losses)
		if again := plan.Verify(c); len(again) > 0 {
			t.Fatalf("asked again: %v", again)
		}
	})
}

// TestAgreementsEndWithTheirPorts: many ports are lost in one piece, and each of
// them needs somebody who agreed for all of its sources.
func TestAgreementsEndWithTheirPorts(t *testing.T) {
	from := sources("10.0.0.0/8")
	others := []firewall.Loss{
		{VM: db.VM, Protocol: 0, But: []firewall.Protocol{firewall.TCP, firewall.UDP}, From: from},
		{VM: web.VM, Protocol: 0, But: []firewall.Protocol{firewall.TCP, firewall.UDP}, From: from},
		{VM: web.VM, Protocol: firewall.TCP, First: 23, Last: 65535, From: from},
	}
	agree := func(first, last uint16, from ...string) firewall.Loss {
		return firewall.Loss{VM: db.VM, Protocol: firewall.TCP, First: first, Last: last, From: sources(from...)}
	}
	const all, low, high = "10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9"
	for name, c := range map[string]struct {
		agreed []firewall.Loss
		want   bool
	}{
		"one for all":                {[]firewall.Loss{agree(22, 65535, all)}, true},
		"one after another":          {[]firewall.Loss{agree(80, 65535, all), agree(0, 79, all)}, true},
		"a gap":                      {[]firewall.Loss{agree(22, 79, all), agree(81, 65535, all)}, false},
		"one port less":              {[]firewall.Loss{agree(22, 65534, all)}, false},
		"begins late":                {[]firewall.Loss{agree(23, 65535, all)}, false},
		"half of the sources end":    {[]firewall.Loss{agree(22, 65535, low), agree(22, 79, high)}, false},
		"half of them end, and more": {[]firewall.Loss{agree(22, 79, high), agree(22, 65535, low), agree(80, 65535, high)}, true},
	} {
		k := losing(append(c.agreed, others...)...)
		k.Plan.After.Rules = append(k.Plan.After.Rules[:1:1], k.Plan.After.Rules[2:]...) // TCP from 23 goes as well
		if refused := plan.Verify(k); (len(refused) == 0) != c.want {
			t.Errorf("%s: %v", name, refused)
		}
	}
}

// TestHoldSpares: where all that is refused is that a foreign rule goes, a lock
// that is shown spares it and goes on opening; one that is not is not made.
func TestHoldSpares(t *testing.T) {
	me := opening("203.0.113.7", 1, "g-1")
	want := firewall.Wants{locked(web, me)}
	r := plan.Refusal{Door: web, Why: "lost", Spare: true}
	got, _ := plan.Hold(want, firewall.Wants{locked(web)}, r).Of(web)
	if !got.Locked || !got.Spares || len(got.Open) != 1 {
		t.Errorf("shown: %+v", got)
	}
	if got := plan.Hold(want, nil, r); len(got) != 0 {
		t.Errorf("not shown: %+v", got)
	}
	if got, _ := plan.Hold(want, firewall.Wants{locked(web)}, r, plan.Refusal{Door: web, Why: "another reason"}).Of(web); !got.Spares || len(got.Open) != 0 {
		t.Errorf("held whole: %+v", got)
	}
}

// TestUnlockGivesBack: what a displaced rule gives back to doors that are not
// locked comes with the unlock that brings it, and with nothing else.
func TestUnlockGivesBack(t *testing.T) {
	for name, c := range map[string]struct {
		edit    func(*plan.Case)
		refused bool
	}{
		"an unlock":                  {func(*plan.Case) {}, false},
		"nobody unlocks":             {func(c *plan.Case) { c.Unlocking = nil }, true},
		"another rule comes with it": {func(c *plan.Case) { c.Plan.After.Rules[0].Name = "more" }, true},
		"nobody knows which":         {func(c *plan.Case) { c.Plan.Changes[1].Rule = "" }, true},
		"a rule without a name, and nobody knows which": {func(c *plan.Case) {
			c.Plan.Changes[1].Rule, c.Plan.After.Rules[0].Name = "", ""
		}, true},
		"into a door that is locked":  {func(c *plan.Case) { c.Want = firewall.Wants{locked(db)} }, true},
		"it is not restored but kept": {func(c *plan.Case) { c.Plan.Changes[1].Op = plan.Keep }, true},
	} {
		t.Run(name, func(t *testing.T) {
			k := losing()
			k.Want, k.Unlocking = nil, []firewall.Door{web}
			k.Observed["sg"], k.Plan.After = k.Plan.After, k.Observed["sg"]
			back := change(plan.Restore, web, firewall.Opening{})
			back.Rule = "everything"
			k.Plan.Changes = []plan.Change{change(plan.Drop, web, firewall.Opening{}), back}
			if c.edit(&k); (len(plan.Verify(k)) > 0) != c.refused {
				t.Errorf("refused: %v", plan.Verify(k))
			}
		})
	}
}
