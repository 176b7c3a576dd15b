package main

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/fleet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/packet"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
	"github.com/sesame-access/sesame/internal/config"
)

// An estate is a simulated AWS in this process: after every single write each
// connection is tried that must never be cut.
type estate struct {
	*cloud

	sim  *ec2.Simulator
	ids  map[string]string // of instances and groups, by name
	kept []knock

	mu  sync.Mutex
	cut []string
}

// A knock is an attempt to connect.
type knock struct {
	from netip.Addr
	to   string // the instance's name
	port int
}

// Who knocks from outside.
const (
	asker    = "203.0.113.5"
	office   = "198.51.100.4"
	asker6   = "2001:db8:ffff::5"
	theirVPC = "10.0.0.0/16"
)

// newEstate builds instances whose groups are hard to lock: one that lets
// everything in, one that two wear, the default one, and one that names a list and
// another group.
func newEstate(t *testing.T) *estate {
	t.Helper()
	e := &estate{cloud: &cloud{t: t, dir: t.TempDir()}, ids: map[string]string{}}
	sim, err := ec2.New(ec2.Config{Seed: 5, Unthrottled: true, Written: func(w ec2.Write) { e.look(fmt.Sprint(w)) }})
	if err != nil {
		t.Fatal(err)
	}
	e.sim = sim
	sim.Build(ec2.DefaultRegion, e.build)
	front := httptest.NewServer(sim)
	t.Cleanup(front.Close)
	e.url = front.URL
	e.env = []string{
		"AWS_ENDPOINT_URL=" + front.URL, "AWS_ACCESS_KEY_ID=" + ec2.DefaultKey, "AWS_SECRET_ACCESS_KEY=" + ec2.DefaultSecret,
		"AWS_REGION=" + ec2.DefaultRegion,
	}
	return e
}

func (e *estate) build(w *world.World) {
	b := fleet.NewBuilder(w, ec2.DefaultAccount)
	v := b.VPC("net", theirVPC, "2001:db8:a::/56")
	gate := b.Gateway(v.ID)
	b.Routes(v.ID, true, theirVPC, "local", "2001:db8:a::/56", "local", "0.0.0.0/0", gate, "::/0", gate)
	s := b.Subnet(v.ID, "a", "10.0.0.0/20", "2001:db8:a:1::/64", true)
	list := world.PrefixList{
		Resource: world.Resource{ID: w.ID("pl"), Owner: ec2.DefaultAccount, Tags: nil}, Name: "offices", MaxEntries: 5, Version: 1,
		Entries: []world.ListEntry{{CIDR: netip.MustParsePrefix("198.51.100.0/25")}},
	}
	w.PrefixLists.Put(time.Time{}, list)
	e.ids["g-wide"] = b.Group(v.ID, "g-wide", "for a moment", "-1 0.0.0.0/0 # debugging", "-1 ::/0 # debugging")
	e.ids["g-shared"] = b.Group(v.ID, "g-shared", "two wear it", "tcp 20:25 0.0.0.0/0 # everybody", "tcp 22 198.51.100.0/24 # by Terraform")
	e.ids["g-mixed"] = b.Group(v.ID, "g-mixed", "lists and groups", "tcp 20:25 "+list.ID, "tcp 22 @g-wide", "tcp 80 0.0.0.0/0")
	e.ids["g-default"] = ""
	for g := range w.Groups.All(time.Time{}) {
		if g.Name == "default" {
			e.ids["g-default"] = g.ID
		}
	}
	for name, group := range map[string]string{
		"wide": "g-wide", "left": "g-shared", "right": "g-shared", "inner": "g-default", "peer": "g-default", "mixed": "g-mixed",
	} {
		leg := fleet.Leg{Subnet: s, Groups: []string{e.ids[group]}, Addresses: 1, IPv6: name == "wide", Public: true}
		e.ids[name] = b.Instance(name, world.Instance{}, leg).ID
	}
}

// passes reports whether a connection gets through.
func (e *estate) passes(k knock) bool {
	return e.sim.Connect(k.from, e.ids[k.to], k.port).Outcome == packet.Delivered
}

// look tries what must not be cut.
func (e *estate) look(after string) {
	for _, k := range e.kept {
		if !e.passes(k) {
			e.mu.Lock()
			e.cut = append(e.cut, fmt.Sprintf("%s:%d is cut for %s after %s", k.to, k.port, k.from, after))
			e.mu.Unlock()
		}
	}
}

// keep notes every connection that passes now, but for what was agreed to lose.
func (e *estate) keep() {
	from := []netip.Addr{netip.MustParseAddr(asker), netip.MustParseAddr(office), netip.MustParseAddr(asker6)}
	for _, n := range e.sim.Interfaces(ec2.DefaultRegion) {
		from = append(from, n.Private[0].Addr)
	}
	for name := range e.ids {
		for _, port := range []int{19, 20, 21, 23, 25, 80, 443, 3389} { // 22 is locked, or lost
			for _, a := range from {
				if k := (knock{a, name, port}); !strings.HasPrefix(name, "g-") && e.passes(k) {
					e.kept = append(e.kept, k)
				}
			}
		}
	}
}

// in fails unless exactly these sources from outside reach port 22 of an instance.
func (e *estate) in(name string, sources ...string) {
	e.t.Helper()
	for _, from := range []string{asker, office, asker6} {
		if is := e.passes(knock{netip.MustParseAddr(from), name, 22}); is != slices.Contains(sources, from) {
			e.t.Errorf("%s:22 takes %s: %v", name, from, is)
		}
	}
}

// within reports whether one instance reaches another from inside.
func (e *estate) within(from, to string) bool {
	for _, n := range e.sim.Interfaces(ec2.DefaultRegion) {
		if n.Instance == e.ids[from] {
			return e.passes(knock{n.Private[0].Addr, to, 22})
		}
	}
	return false
}

// stops runs what has to fail, and returns what it says.
func (s *server) stops(args ...string) string {
	s.t.Helper()
	out, errs, code := s.run(nil, "", args...)
	if code == 0 {
		s.t.Errorf("sesame %s goes on: %s%s", strings.Join(args, " "), out, errs)
	}
	return out + errs
}

// door is how port 22 of a VM stands.
func (s *server) door(name string) api.DoorState {
	s.t.Helper()
	for _, d := range decode[api.VM](s.t, s.must(nil, "", "vms", name, "-o", "json")).Doors {
		if d.Port == 22 {
			return d
		}
	}
	return api.DoorState{}
}

// TestConsentAWS: what security groups cannot keep is shown, asked for and given
// back; who puts back what was taken out is met, and then reported.
func TestConsentAWS(t *testing.T) {
	if testing.Short() {
		t.Skip("a grant lasts a minute at least")
	}
	e := newEstate(t)
	s := e.installation("a", account)
	before := e.document()
	e.keep()
	if len(e.kept) < 40 {
		t.Fatalf("only %d connections are there to be kept", len(e.kept))
	}
	if shown := s.must(nil, "", "vms", "left"); !strings.Contains(shown, "Linux/UNIX, running") {
		t.Errorf("the machine is shown as\n%s", shown)
	}
	e.asks(s, before)
	grant := decode[api.Request](t, s.must(nil, "", "open", "left", "--from", asker, "--for", "1m", "-o", "json")).Grants[0]
	e.in("left", asker)
	e.in("right")
	e.fight(s)
	until(grant.Deadline.Time)
	s.closed(grant.ID)
	if e.passes(knock{netip.MustParseAddr(asker), "left", 22}) {
		t.Error("the grant is over, and its source still gets in")
	}
	e.givesBack(s)
	if diff := cmp.Diff(before, e.document()); diff != "" {
		t.Errorf("not what was:\n%s", diff)
	}
	e.in("left", asker, office)
	e.shares(s, before)
	for _, c := range e.cut {
		t.Error(c)
	}
}

// asks: nothing is written for a lock with losses until somebody agrees to them.
func (e *estate) asks(s *server, before string) {
	e.t.Helper()
	for _, x := range []struct{ name, lost string }{
		{"left", "right (" + e.ids["right"] + "):22/tcp is lost to "},
		{"wide", "every protocol of wide (" + e.ids["wide"] + ") but "},
		{"inner", "peer (" + e.ids["peer"] + "):22/tcp is lost to "},
	} {
		shown := s.must(nil, "", "enable", x.name, "--dry-run")
		said := s.stops("enable", x.name, "--yes")
		for what, text := range map[string]string{"--dry-run": shown, "--yes": said} {
			if !strings.Contains(text, x.lost) || !strings.Contains(text, "--accept-losses") {
				e.t.Errorf("enable %s %s does not say %q:\n%s", x.name, what, x.lost, text)
			}
		}
		if now := e.document(); now != before {
			e.t.Errorf("enable %s wrote before anybody agreed:\n%s", x.name, cmp.Diff(before, now))
		}
	}
	for _, name := range []string{"left", "wide", "inner"} {
		s.must(nil, "", "enable", name, "--yes", "--accept-losses")
	}
	s.must(nil, "", "enable", "mixed", "--yes") // a rest says all that is not locked
	for _, name := range []string{"left", "wide", "inner", "mixed", "right"} {
		e.in(name)
	}
	if e.within("peer", "inner") || e.within("wide", "mixed") {
		e.t.Error("a locked port is open to a group")
	}
	if n := len(s.records("left", audit.LossAccepted)); n != 1 {
		e.t.Errorf("%d records say what was agreed to", n)
	}
}

// fight: somebody puts a displaced rule back, as Terraform does. Three times it is
// taken out in all; then the door is exposed, says so, and goes on opening.
func (e *estate) fight(s *server) {
	e.t.Helper()
	form := url.Values{
		"Action": {"AuthorizeSecurityGroupIngress"}, "GroupId": {e.ids["g-shared"]}, "IpPermissions.1.IpProtocol": {"tcp"},
		"IpPermissions.1.FromPort": {"22"}, "IpPermissions.1.ToPort": {"22"},
		"IpPermissions.1.IpRanges.1.CidrIp": {"198.51.100.0/24"}, "IpPermissions.1.IpRanges.1.Description": {"by Terraform"},
	}
	for range 2 {
		e.control("hand", form)
		e.in("left", asker, office)
		begin := time.Now()
		eventually(e.t, "the rule is out again", func() bool { return !e.passes(knock{netip.MustParseAddr(office), "left", 22}) })
		if bound := 2*s.cfg.AWS.Resync + time.Second; time.Since(begin) > bound {
			e.t.Errorf("it took %v, more than %v", time.Since(begin), bound)
		}
		time.Sleep(s.cfg.AWS.Resync) // until it has read that back, and said so
	}
	e.control("hand", form)
	eventually(e.t, "the door is exposed", func() bool { return strings.Contains(s.door("left").Exposed, "198.51.100.0/24") })
	time.Sleep(2 * s.cfg.AWS.Resync)
	e.in("left", asker, office)
	if d := s.door("left"); !d.Locked || !strings.Contains(strings.Join(d.Obstacles, " "), "undone each time") {
		e.t.Errorf("the door says %+v", d)
	}
	repaired, exposed := s.records("left", audit.Repaired), s.records("left", audit.Exposed)
	if len(repaired) == 0 || len(exposed) == 0 || !strings.Contains(exposed[len(exposed)-1].Text, "undone each time") {
		e.t.Errorf("the log says %+v, %+v", repaired, exposed)
	}
	other := decode[api.Request](e.t, s.must(nil, "", "open", "left", "--from", "192.0.2.9", "--for", "1m", "-o", "json")).Grants[0]
	if !e.passes(knock{netip.MustParseAddr("192.0.2.9"), "left", 22}) {
		e.t.Error("nothing is opened while somebody fights")
	}
	s.must(nil, "", "close", other.ID)
}

// givesBack: what comes back is listed, and what is open to the Internet asked for.
func (e *estate) givesBack(s *server) {
	e.t.Helper()
	for name, rule := range map[string]string{
		"left": "20-25/tcp from 0.0.0.0/0", "wide": "from ::/0", "inner": "", "mixed": "",
	} {
		shown := s.must(nil, "", "disable", name, "--dry-run")
		if !strings.Contains(shown, "Displaced rules that come back:") || !strings.Contains(shown, "under a new id") {
			e.t.Errorf("disable %s does not list what comes back:\n%s", name, shown)
		}
		if rule == "" {
			s.must(nil, "", "disable", name, "--yes")
			continue
		}
		if said := s.stops("disable", name, "--yes"); !strings.Contains(said, rule) || !strings.Contains(said, "--restore-open") {
			e.t.Errorf("disable %s says %s", name, said)
		}
		if e.passes(knock{netip.MustParseAddr(asker), name, 22}) {
			e.t.Errorf("%s is given back without a word", name)
		}
		s.must(nil, "", "disable", name, "--yes", "--restore-open")
		eventually(e.t, "they are back", func() bool { return e.passes(knock{netip.MustParseAddr(asker), name, 22}) })
	}
	eventually(e.t, "everything of ours is gone", func() bool { return !strings.Contains(e.document(), "sesame") })
}

// shares: with split the other one notices nothing, with refuse there is no lock.
func (e *estate) shares(s *server, before string) {
	e.t.Helper()
	again := func(way config.Sharing) {
		s.end(syscall.SIGTERM)
		s.cfg.AWS.Shared = way
		if err := os.WriteFile(s.config, config.Format(s.cfg), 0o600); err != nil {
			e.t.Fatal(err)
		}
		s.start()
	}
	again(config.Refuse)
	if shown := s.must(nil, "", "enable", "left", "--dry-run"); !strings.Contains(shown, "cannot be had") || !strings.Contains(shown, "wears the group too") {
		e.t.Errorf("with refuse enable says\n%s", shown)
	}
	again(config.Split)
	for port := range 3 {
		e.kept = append(e.kept, knock{netip.MustParseAddr(asker), "right", 21 + port})
	}
	s.must(nil, "", "enable", "left", "--yes")
	e.in("left")
	e.in("right", asker, office)
	s.must(nil, "", "disable", "left", "--yes", "--port", strconv.Itoa(22))
	eventually(e.t, "the copy is gone", func() bool { return !strings.Contains(e.document(), "sesame") })
	if diff := cmp.Diff(before, e.document()); diff != "" {
		e.t.Errorf("not what was:\n%s", diff)
	}
}
