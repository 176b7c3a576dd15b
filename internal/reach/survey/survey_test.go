package survey_test

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/reach"
	"github.com/sesame-access/sesame/internal/reach/reachtest"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func drawPrefix(r *rand.Rand) netip.Prefix {
	a := netip.MustParseAddr(pick(r, "10.0.0.0", "10.0.0.2", "203.0.113.0", "2001:db8::", "::"))
	return netip.PrefixFrom(a, a.BitLen()-r.IntN(10)).Masked()
}

func drawRule(r *rand.Rand) firewall.LayerRule {
	x := firewall.LayerRule{
		Name: pick(r, "a", "b", "c"), Action: firewall.Action(r.IntN(4)), Maybe: r.IntN(6) == 0,
		VM: pick[firewall.VMID](r, "", "", "host://vm-1", "host://vm-2"), Protocol: pick(r, 0, firewall.TCP, firewall.UDP),
		First: pick[uint16](r, 0, 22), Last: pick[uint16](r, 22, 80, 65535),
	}
	for range r.IntN(3) {
		x.From = append(x.From, drawPrefix(r))
	}
	for range max(0, r.IntN(5)-2) {
		x.To = append(x.To, drawPrefix(r))
	}
	return x
}

func drawLayer(r *rand.Rand, id firewall.ID) firewall.Layer {
	l := firewall.Layer{Firewall: id, Kind: firewall.LayerKind(r.IntN(2)), Default: pick(r, firewall.Deny, firewall.Allow)}
	for range r.IntN(6) {
		l.Rules = append(l.Rules, drawRule(r))
	}
	return l
}

func drawVM(r *rand.Rand, n int) inventory.VM {
	v := inventory.VM{ID: firewall.VMID(fmt.Sprintf("host://vm-%d", n))}
	for range r.IntN(3) {
		p := inventory.Path{Name: pick(r, "eth0", "eth0", "eth1"), Unsure: r.IntN(8) == 0}
		switch r.IntN(4) {
		case 0:
			p.To = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})}
		case 1:
			p.To = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), netip.MustParseAddr("2001:db8::1")}
		}
		if r.IntN(5) == 0 {
			p.From = []netip.Prefix{drawPrefix(r)}
		}
		if r.IntN(10) == 0 {
			p.Protocol, p.Port = firewall.TCP, 22
		}
		for range r.IntN(3) {
			h := inventory.Hop{Firewall: pick[firewall.ID](r, "f1", "f2", "f3", "unread"), Always: r.IntN(8) == 0}
			if r.IntN(8) == 0 {
				h.Sees = drawPrefix(r)
			}
			if r.IntN(8) == 0 {
				h.To, h.Port = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, byte(n)})}, pick[uint16](r, 0, 80)
			}
			p.Hops = append(p.Hops, h)
		}
		v.Paths = append(v.Paths, p)
	}
	if r.IntN(8) == 0 {
		v.Missing = []string{"a network interface"}
	}
	return v
}

func ports() []survey.Port {
	return []survey.Port{{Protocol: firewall.TCP, Number: 22}, {Protocol: firewall.TCP, Number: 80}, {Protocol: firewall.UDP, Number: 22}}
}

func text(t *testing.T, s reach.Set) string {
	t.Helper()
	b, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// hold fails unless s says of every door what asking about it alone says.
func hold(t *testing.T, s *survey.Survey, vms []inventory.VM, layers map[firewall.ID]firewall.Layer) {
	t.Helper()
	doors := 0
	for d, set := range s.All() {
		v := vms[slices.IndexFunc(vms, func(v inventory.VM) bool { return v.ID == d.VM })]
		if got, want := text(t, set), text(t, reach.VM(v, layers, d)); got != want {
			t.Fatalf("%s:\n%swant\n%s%+v\n%+v", d, got, want, v, layers)
		}
		doors++
	}
	if doors != len(vms)*len(ports()) {
		t.Fatalf("%d doors", doors)
	}
}

func TestSurveySaysWhatAskingEachSays(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		layers := map[firewall.ID]firewall.Layer{}
		for _, id := range []firewall.ID{"f1", "f2", "f3"} {
			layers[id] = drawLayer(r, id)
		}
		var vms []inventory.VM
		for n := range 12 {
			// Many are alike but for name and address, or for one thing more.
			v := drawVM(rand.New(rand.NewPCG(seed, uint64(2+n%3))), n)
			if i := len(v.Paths) - 1; i >= 0 && n > 8 {
				v.Paths[i].Unsure = !v.Paths[i].Unsure
			} else if i >= 0 && n > 5 {
				for h := range v.Paths[i].Hops {
					v.Paths[i].Hops[h].Always = !v.Paths[i].Hops[h].Always
				}
			}
			vms = append(vms, v)
		}
		s := survey.New(vms, reach.NewModel(layers), ports()...)
		hold(t, s, vms, layers)
		for range 4 {
			after := layers["f1"]
			after.Rules = slices.Clone(after.Rules)
			switch i := r.IntN(len(after.Rules) + 1); {
			case i == len(after.Rules):
				after.Rules = append(after.Rules, drawRule(r))
			case r.IntN(3) == 0:
				after.Rules = slices.Delete(after.Rules, i, i+1)
			case r.IntN(2) == 0:
				after.Rules[i].Name = "d"
			default:
				after.Rules[i] = drawRule(r)
			}
			was := map[firewall.Door]string{}
			for d, set := range s.All() {
				was[d] = verdicts(set)
			}
			shifts, _ := s.Replace(layers["f1"], after)
			layers["f1"] = after
			hold(t, s, vms, layers)
			for d, set := range s.All() {
				shifted := slices.ContainsFunc(shifts, func(x survey.Shift) bool { return x.Door == d && len(x.Change) > 0 })
				if (was[d] != verdicts(set)) != shifted {
					t.Fatalf("%s went from\n%sto\n%sand that is said to be a shift: %v", d, was[d], verdicts(set), shifted)
				}
			}
		}
	}
}

// verdicts writes only who gets in.
func verdicts(s reach.Set) string {
	return fmt.Sprint([]reach.Range(s.Sources(reach.Open)), []reach.Range(s.Sources(reach.Unknown)), "\n")
}

func TestReplaceAsksOnlyWhereAChangedRuleMayMatter(t *testing.T) {
	before := firewall.Layer{Firewall: "nsg", Default: firewall.Deny, Rules: []firewall.LayerRule{
		{Name: "web", Action: firewall.Allow, Protocol: firewall.TCP, First: 80, Last: 80},
	}}
	var vms []inventory.VM
	for n := range 10 {
		vms = append(vms, inventory.VM{ID: firewall.VMID(fmt.Sprint("host://vm-", n)), Paths: []inventory.Path{{
			To:   []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})},
			Hops: []inventory.Hop{{Firewall: "nsg"}},
		}}})
	}
	s := survey.New(vms, reach.NewModel(map[firewall.ID]firewall.Layer{"nsg": before}), ports()...)
	after := before
	after.Rules = append([]firewall.LayerRule{{
		Name: "grant", Action: firewall.Allow, Protocol: firewall.TCP, First: 22, Last: 22,
		From: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, To: []netip.Prefix{netip.MustParsePrefix("10.0.0.3/32")},
	}}, before.Rules...)
	shifts, asked := s.Replace(before, after)
	if asked != 1 || len(shifts) != 1 || shifts[0].Door.VM != "host://vm-3" || shifts[0].Change.To(reach.Open).Sources().String() != "203.0.113.7" {
		t.Errorf("asked %d times, %+v", asked, shifts)
	}
	for d := range survey.Ask(vms, nil, ports()...) {
		if d != (firewall.Door{VM: "host://vm-0", Protocol: firewall.TCP, Port: 22}) {
			t.Errorf("began with %s", d)
		}
		break
	}
	for range s.All() {
		break
	}
}

// Answers and layers that are alike in how many pieces they have are not alike in
// what they say: a hash of that number once took them for one.
func TestAsManyPiecesAreNotTheSame(t *testing.T) {
	layers := map[firewall.ID]firewall.Layer{}
	var vms []inventory.VM
	for n := range 6 {
		id := firewall.ID(fmt.Sprint("nsg-", n/2))
		layers[id] = firewall.Layer{Firewall: id, Default: firewall.Deny, Rules: []firewall.LayerRule{
			{Name: "only", Action: firewall.Allow, Last: 65535, From: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n / 2), 0, 0}), 16)}},
		}}
		vms = append(vms, inventory.VM{ID: firewall.VMID(fmt.Sprint("host://vm-", n)), Paths: []inventory.Path{{Hops: []inventory.Hop{{Firewall: id}}}}})
	}
	s := survey.New(vms, reach.NewModel(layers), ports()...)
	hold(t, s, vms, layers)
	after := layers["nsg-1"]
	after.Rules = slices.Clone(after.Rules)
	after.Rules[0].From = []netip.Prefix{netip.MustParsePrefix("10.7.0.0/16")}
	if shifts, asked := s.Replace(layers["nsg-1"], after); len(shifts) != 2*len(ports()) || asked != 2*len(ports()) {
		t.Errorf("%d shifts of %d asked", len(shifts), asked)
	}
	layers["nsg-1"] = after
	hold(t, s, vms, layers)
}

// One rule about port 22 changes in one of 200 layers that a fleet shares, in
// pairs: only that port of the VMs behind it is asked about again, and what the
// survey says then is what a new one says.
func TestOneRuleOfSharedLayers(t *testing.T) {
	vms, m := fleet(t, 2_000, 200, 50)
	hops := vms[1_000].Paths[0].Hops
	m.Put(firewall.Layer{Firewall: hops[0].Firewall, Default: firewall.Allow})
	before := reachtest.SecurityGroup(rand.New(rand.NewPCG(3, 3)), hops[1].Firewall, 50)
	before.Rules[49] = firewall.LayerRule{Name: "ssh", Action: firewall.Allow, Protocol: firewall.TCP, First: 22, Last: 22}
	m.Put(before)
	s := survey.New(vms, m, fourPorts()...)
	after := before
	after.Rules = slices.Insert(slices.Clone(before.Rules), 0, firewall.LayerRule{
		Name: "no", Action: firewall.Deny, Protocol: firewall.TCP, First: 22, Last: 22, From: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1")},
	})
	shifts, asked := s.Replace(before, after)
	if asked != 20 || len(shifts) != 20 {
		t.Errorf("asked %d times, %d shifts", asked, len(shifts))
	}
	for _, x := range shifts {
		if i := slices.IndexFunc(vms, func(v inventory.VM) bool { return v.ID == x.Door.VM }); x.Door.Port != 22 || i < 1_000 || i >= 1_020 || len(x.Change.Admits()) > 0 {
			t.Errorf("%s shifts", x.Door)
		}
	}
	next, stop := iter.Pull2(survey.Ask(vms, m.With(after), fourPorts()...))
	defer stop()
	for d, got := range s.All() {
		if fresh, want, _ := next(); fresh != d || text(t, got) != text(t, want) {
			t.Fatalf("%s:\n%swant, at %s,\n%s", d, text(t, got), fresh, text(t, want))
		}
	}
}

// The ways are alike but for who comes along them: anybody, nobody, and some.
func TestNobodyIsNotAnybody(t *testing.T) {
	layers := map[firewall.ID]firewall.Layer{"nsg": {Firewall: "nsg", Default: firewall.Allow}}
	var vms []inventory.VM
	here, there := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("11.0.0.0/8")
	for n, from := range [][]netip.Prefix{nil, {}, nil, {}, {here}, {there}, {here, there}, {here}, {there}} {
		vms = append(vms, inventory.VM{ID: firewall.VMID(fmt.Sprint("host://vm-", n)), Paths: []inventory.Path{{From: from, Hops: []inventory.Hop{{Firewall: "nsg"}}}}})
	}
	hold(t, survey.New(vms, reach.NewModel(layers), ports()...), vms, layers)
}

// A rule is about the door as its firewall sees it: behind a translation about
// another port, and by another address.
func TestReplaceAsksAboutTranslatedDoors(t *testing.T) {
	rule := func(port uint16, to string) firewall.LayerRule {
		return firewall.LayerRule{Name: "grant", Action: firewall.Allow, Protocol: firewall.TCP, First: port, Last: port, To: []netip.Prefix{netip.MustParsePrefix(to)}}
	}
	vms := []inventory.VM{{ID: "host://vm-0", Paths: []inventory.Path{{
		To: []netip.Addr{netip.MustParseAddr("10.0.0.4")}, Protocol: firewall.TCP, Port: 22,
		Hops: []inventory.Hop{{Firewall: "edge", To: []netip.Addr{netip.MustParseAddr("203.0.113.1")}, Port: 50022}},
	}}}}
	for _, c := range []struct {
		rule  firewall.LayerRule
		asked int
	}{
		{rule(50022, "203.0.113.1/32"), 1}, {rule(22, "203.0.113.1/32"), 0}, {rule(50022, "10.0.0.4/32"), 0}, {rule(50023, "203.0.113.1/32"), 0},
	} {
		before := firewall.Layer{Firewall: "edge", Default: firewall.Deny}
		s := survey.New(vms, reach.NewModel(map[firewall.ID]firewall.Layer{"edge": before}), ports()...)
		after := before
		after.Rules = []firewall.LayerRule{c.rule}
		shifts, asked := s.Replace(before, after)
		if asked != c.asked || len(shifts) != c.asked {
			t.Errorf("%+v: asked %d times, %d shifts", c.rule, asked, len(shifts))
		}
		hold(t, s, vms, map[firewall.ID]firewall.Layer{"edge": after})
	}
}

// A rule that is renamed shifts nobody, and the survey says its new name.
func TestReplaceTellsNewNames(t *testing.T) {
	before := firewall.Layer{Firewall: "nsg", Default: firewall.Deny, Rules: []firewall.LayerRule{
		{Name: "old", Action: firewall.Allow, Protocol: firewall.TCP, First: 22, Last: 22}, {Name: "web", Action: firewall.Allow, Protocol: firewall.TCP, First: 80, Last: 80},
	}}
	vms := []inventory.VM{{ID: "host://vm-0", Paths: []inventory.Path{{Hops: []inventory.Hop{{Firewall: "nsg"}}}}}}
	s := survey.New(vms, reach.NewModel(map[firewall.ID]firewall.Layer{"nsg": before}), ports()...)
	after := before
	after.Rules = slices.Clone(before.Rules)
	after.Rules[0].Name = "new"
	if shifts, asked := s.Replace(before, after); len(shifts) != 0 || asked != 1 {
		t.Errorf("asked %d times, %d shifts", asked, len(shifts))
	}
	hold(t, s, vms, map[firewall.ID]firewall.Layer{"nsg": after})
}

// Machines that differ in one thing that matters do not share an answer, and those
// that do not differ do.
func TestWhatTellsMachinesApart(t *testing.T) {
	allow := func(port uint16, from string, to ...netip.Prefix) firewall.LayerRule {
		return firewall.LayerRule{Name: from, Action: firewall.Allow, Protocol: firewall.TCP, First: port, Last: port, From: []netip.Prefix{netip.MustParsePrefix(from)}, To: to}
	}
	layers := map[firewall.ID]firewall.Layer{
		"f1": {Firewall: "f1", Default: firewall.Deny, Rules: []firewall.LayerRule{
			allow(22, "203.0.113.0/24", netip.MustParsePrefix("10.0.0.4/32")), allow(80, "203.0.113.0/25"), allow(80, "10.9.0.0/24"),
		}},
		"f2": {Firewall: "f2", Kind: firewall.Union, Default: firewall.Deny, Rules: []firewall.LayerRule{{Name: "all", Action: firewall.Allow, Last: 65535}}},
	}
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for name, edit := range map[string]func(v *inventory.VM, p *inventory.Path, h *inventory.Hop){
		"nothing":                 func(*inventory.VM, *inventory.Path, *inventory.Hop) {},
		"something is missing":    func(v *inventory.VM, _ *inventory.Path, _ *inventory.Hop) { v.Missing = []string{"an interface"} },
		"something else is":       func(v *inventory.VM, _ *inventory.Path, _ *inventory.Hop) { v.Missing = []string{"a subnet"} },
		"no path":                 func(v *inventory.VM, _ *inventory.Path, _ *inventory.Hop) { v.Paths = nil },
		"a path for one protocol": func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) { p.Protocol = firewall.UDP },
		"a path to one port":      func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) { p.Port = 22 },
		"the name of the path":    func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) { p.Name = "eth1" },
		"another address":         func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) { p.To[0] = addr("10.0.0.5") },
		"no address":              func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) { p.To = nil },
		"an address that is none": func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) { p.To = []netip.Addr{{}} },
		"one of the other family": func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) { p.To[0] = addr("2001:db8::4") },
		"one of both":             func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) { p.To = append(p.To, addr("2001:db8::4")) },
		"who comes": func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) {
			p.From = []netip.Prefix{prefix("203.0.113.0/26")}
		},
		"who else comes": func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) {
			p.From = []netip.Prefix{prefix("203.0.113.0/27")}
		},
		"that is not known":         func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) { p.Unsure = true },
		"a translated address":      func(_ *inventory.VM, _ *inventory.Path, h *inventory.Hop) { h.To = []netip.Addr{addr("10.0.0.5")} },
		"one into the other family": func(_ *inventory.VM, _ *inventory.Path, h *inventory.Hop) { h.To = []netip.Addr{addr("2001:db8::5")} },
		"a translated port":         func(_ *inventory.VM, _ *inventory.Path, h *inventory.Hop) { h.Port = 80 },
		"a translated source":       func(_ *inventory.VM, _ *inventory.Path, h *inventory.Hop) { h.Sees = prefix("203.0.113.9/32") },
		"another translated source": func(_ *inventory.VM, _ *inventory.Path, h *inventory.Hop) { h.Sees = prefix("10.9.0.9/32") },
		"another firewall":          func(_ *inventory.VM, _ *inventory.Path, h *inventory.Hop) { h.Firewall = "f2" },
		"a firewall behind": func(_ *inventory.VM, p *inventory.Path, _ *inventory.Hop) {
			p.Hops = append(p.Hops, inventory.Hop{Firewall: "f2"})
		},
		"a firewall nobody has read": func(_ *inventory.VM, _ *inventory.Path, h *inventory.Hop) { h.Firewall = "f3" },
	} {
		var vms []inventory.VM
		for n := range 6 {
			v := inventory.VM{ID: firewall.VMID(fmt.Sprint("host://vm-", n)), Paths: []inventory.Path{{
				Name: "eth0", To: []netip.Addr{addr("10.0.0.4")}, Hops: []inventory.Hop{{Firewall: "f1"}},
			}}}
			if n >= 2 && n < 4 {
				edit(&v, &v.Paths[0], &v.Paths[0].Hops[0])
			}
			vms = append(vms, v)
		}
		t.Run(name, func(t *testing.T) { hold(t, survey.New(vms, reach.NewModel(layers), ports()...), vms, layers) })
	}
}

// Nobody comes to an address that is none, and anybody to one that is not known.
func TestDamagedAddressIsNotUnknown(t *testing.T) {
	layers := map[firewall.ID]firewall.Layer{"nsg": {Firewall: "nsg", Default: firewall.Allow}}
	var vms []inventory.VM
	for n, to := range [][]netip.Addr{nil, {{}}, nil, {{}}} {
		vms = append(vms, inventory.VM{ID: firewall.VMID(fmt.Sprint("host://vm-", n)), Paths: []inventory.Path{{To: to, Hops: []inventory.Hop{{Firewall: "nsg"}}}}})
	}
	hold(t, survey.New(vms, reach.NewModel(layers), ports()...), vms, layers)
}
