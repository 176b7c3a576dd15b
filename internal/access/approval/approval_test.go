package approval_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

var noon = access.Reading{Wall: time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC), Boot: time.Hour, BootID: "b"}

func who(name string) access.Principal { return access.Principal{Issuer: "local", Subject: name} }

func request() access.Request {
	return access.Request{
		ID: "r-1", Principal: who("alice"), Doors: []firewall.Door{{VM: "host://web-1", Protocol: firewall.TCP, Port: 22}},
		Sources: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, Caller: netip.MustParseAddr("203.0.113.7"),
		Duration: time.Hour, Reason: "look", Ticket: "CHG-1", Asked: noon.Wall,
	}
}

func guarded() policy.Policy {
	return policy.Policy{
		Name: "ssh", Version: 3, Within: time.Hour,
		Approvals: []policy.Approval{{Stage: "lead", Count: 1}, {Stage: "security", Count: 2}},
	}
}

func waiting() approval.Case {
	req := request()
	return approval.Case{
		Request: req, Decision: access.Decision{Allow: true, NeedsApproval: true},
		Terms: approval.TermsOf(req, []policy.Policy{guarded()}, noon),
	}
}

func yes(c approval.Case, name string) approval.Vote {
	return approval.Vote{Choice: approval.Approve, Person: "p-" + name, By: who(name), Digest: c.Digest, At: noon.Wall}
}

// cast fails the test unless v may be cast.
func cast(t *testing.T, c approval.Case, v approval.Vote) approval.Case {
	t.Helper()
	next, _, err := c.Cast(v, "p-alice", noon)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// refused fails the test unless v is refused, and for the given reason.
func refused(t *testing.T, c approval.Case, v approval.Vote, now access.Reading, kind errkind.Kind, why string) {
	t.Helper()
	next, _, err := c.Cast(v, "p-alice", now)
	if errkind.Of(err) != kind || err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("%s by %s (%s): %v, want %s: %s", v.Choice, v.By, v.Person, err, kind, why)
	}
	if len(next.Votes) != len(c.Votes) {
		t.Errorf("%s by %s was refused, and counts", v.Choice, v.By)
	}
}

func TestStagesFollowEachOther(t *testing.T) {
	c := waiting()
	if s := c.StateAt(noon); s != approval.Pending || c.Why(noon) != "waits for 1 of lead, then 2 of security" {
		t.Fatalf("%s: %s", s, c.Why(noon))
	}
	c = cast(t, c, yes(c, "bob"))
	if c.Votes[0].Stage != "lead" || c.Why(noon) != "waits for 2 of security" {
		t.Fatalf("%+v: %s", c.Votes, c.Why(noon))
	}
	refused(t, c, yes(c, "bob"), noon, errkind.Conflict, "takes another person")
	c = cast(t, c, yes(c, "carol"))
	if c.StateAt(noon) != approval.Pending {
		t.Fatal("two of three are enough")
	}
	c = cast(t, c, yes(c, "dave"))
	if c.StateAt(noon) != approval.Approved || c.Why(noon) != "approved by bob (lead), carol (security), dave (security)" {
		t.Fatalf("%s: %s", c.StateAt(noon), c.Why(noon))
	}
	// What was granted stays granted, however late one looks.
	if s := c.StateAt(noon.Add(100 * time.Hour)); s != approval.Approved {
		t.Errorf("after days: %s", s)
	}
	refused(t, c, yes(c, "erin"), noon, errkind.Conflict, "approved already")
	no := yes(c, "erin")
	no.Choice = approval.Deny
	refused(t, c, no, noon, errkind.Conflict, "approved already")
}

// Z-04: nobody approves what they asked for, under any name.
func TestZ04NobodyApprovesTheirOwn(t *testing.T) {
	c := waiting()
	alias := yes(c, "alice-at-home")
	alias.Person = "p-alice"
	renamed := yes(c, "alice")
	renamed.Person = "p-somebody"
	renamed.By.Display = "Bob"
	program := yes(c, "ci")
	program.Person = ""
	for _, choice := range []approval.Choice{approval.Approve, approval.Deny} {
		for v, why := range map[*approval.Vote]string{&alias: "alice's own", &renamed: "alice's own", &program: "not known to be a person"} {
			v.Choice = choice
			refused(t, c, *v, noon, errkind.Denied, why)
		}
	}
	// One who got among the votes by another way counts for nothing.
	c.Votes = []approval.Vote{
		{Choice: approval.Approve, Stage: "lead", Person: "p-x", By: who("alice"), Digest: c.Digest},
		{Choice: approval.Approve, Stage: "lead", Person: "", By: who("ci"), Digest: c.Digest},
		{Choice: approval.Approve, Stage: "lead", Person: "p-bob", By: who("bob")},
	}
	if left := c.Left(); len(left) != 2 || left[0].Count != 1 {
		t.Errorf("votes that count for nothing leave %+v", left)
	}
}

// Z-05: whatever is changed after an approval, it is not about that.
func TestZ05AnApprovalIsAboutOneRequest(t *testing.T) {
	policies := []policy.Policy{guarded()}
	was := approval.TermsOf(request(), policies, noon).Digest
	seen := map[[32]byte]string{was: "the request itself"}
	differ := func(name string, req access.Request, policies []policy.Policy) {
		d := approval.TermsOf(req, policies, noon).Digest
		if other, known := seen[d]; known {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
	for name, edit := range map[string]func(*access.Request){
		"id":        func(r *access.Request) { r.ID = "r-2" },
		"issuer":    func(r *access.Request) { r.Principal.Issuer = "https://idp" },
		"subject":   func(r *access.Request) { r.Principal.Subject = "bob" },
		"port":      func(r *access.Request) { r.Doors[0].Port = 3389 },
		"protocol":  func(r *access.Request) { r.Doors[0].Protocol = firewall.UDP },
		"VM":        func(r *access.Request) { r.Doors[0].VM = "host://web-10" },
		"more":      func(r *access.Request) { r.Doors = append(r.Doors, r.Doors[0]) },
		"source":    func(r *access.Request) { r.Sources[0] = netip.MustParsePrefix("203.0.113.0/24") },
		"caller":    func(r *access.Request) { r.Caller = netip.Addr{} },
		"start":     func(r *access.Request) { r.Start = noon.Wall },
		"duration":  func(r *access.Request) { r.Duration++; r.Duration += time.Second },
		"until":     func(r *access.Request) { r.Until = noon.Wall.Add(time.Hour) },
		"reason":    func(r *access.Request) { r.Reason = "look\"\nticket \"CHG-1" },
		"ticket":    func(r *access.Request) { r.Ticket = "CHG-2" },
		"emergency": func(r *access.Request) { r.Glass = true },
		"asked":     func(r *access.Request) { r.Asked = r.Asked.Add(time.Millisecond) },
	} {
		req := request()
		edit(&req)
		differ(name, req, policies)
	}
	later := guarded()
	later.Version++
	differ("another version", request(), []policy.Policy{later})
	fewer := guarded()
	fewer.Approvals = fewer.Approvals[:1]
	differ("fewer stages", request(), []policy.Policy{fewer})
	second := guarded()
	second.Name = "rdp"
	differ("another policy, too", request(), []policy.Policy{guarded(), second})

	c := waiting()
	v := yes(c, "bob")
	v.Digest[0] ^= 1
	refused(t, c, v, noon, errkind.Conflict, "look at it again")
}

// Z-06: what has ended takes no approval any more.
func TestZ06NothingIsApprovedTwice(t *testing.T) {
	for _, choice := range []approval.Choice{approval.Deny, approval.Cancel, approval.Lapse} {
		c := waiting()
		v := yes(c, "bob")
		v.Choice = choice
		now := noon
		if choice == approval.Cancel {
			v.By, v.Person = who("alice"), ""
			refused(t, c, approval.Vote{Choice: approval.Cancel, By: who("bob"), Person: "p-bob"}, noon, errkind.Denied, "who alone takes it back")
		}
		if choice == approval.Lapse {
			v.By, v.Person = access.System(), ""
			now = noon.Add(time.Hour)
		}
		next, _, err := c.Cast(v, "p-alice", now)
		if err != nil {
			t.Fatal(err)
		}
		want := map[approval.Choice]approval.State{approval.Deny: approval.Denied, approval.Cancel: approval.Cancelled, approval.Lapse: approval.Expired}[choice]
		if s := next.StateAt(noon); s != want {
			t.Errorf("after %s it is %s", choice, s)
		}
		refused(t, next, yes(c, "carol"), noon, errkind.Conflict, string(want)+" already")
	}
	c := waiting()
	refused(t, c, yes(c, "bob"), noon.Add(time.Hour), errkind.Conflict, "expired already")
	stepped := noon.Add(time.Hour)
	stepped.Wall = noon.Wall // somebody set the clock back; the boot clock runs on
	refused(t, c, yes(c, "bob"), stepped, errkind.Conflict, "expired already")
}

func TestTerms(t *testing.T) {
	if terms := approval.TermsOf(request(), []policy.Policy{{Name: "free"}}, noon); terms.Waits() || terms.Digest != [32]byte{} {
		t.Errorf("nobody has to agree, and it waits: %+v", terms)
	}
	quick := policy.Policy{Name: "rdp", Version: 1, Within: 10 * time.Minute, Approvals: []policy.Approval{{Stage: "security", Count: 1}, {Stage: "owner", Count: 1}}}
	terms := approval.TermsOf(request(), []policy.Policy{quick, guarded()}, noon)
	want := []policy.Approval{{Stage: "security", Count: 2}, {Stage: "owner", Count: 1}, {Stage: "lead", Count: 1}}
	if !slices.Equal(terms.Stages, want) || !terms.Lapses.Wall.Equal(noon.Wall.Add(10*time.Minute)) {
		t.Errorf("of two policies: %+v", terms)
	}
	req := request()
	req.Until = noon.Wall.Add(5 * time.Minute)
	if terms := approval.TermsOf(req, []policy.Policy{quick}, noon); !terms.Lapses.Wall.Equal(noon.Wall.Add(4 * time.Minute)) {
		t.Errorf("it waits until %v for a minute of access", terms.Lapses.Wall)
	}
}

// Whatever is cast in whatever order, a request is granted only by enough different
// people who are not its requester, and what has ended stays as it ended.
func TestVotesInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := waiting()
		now := noon
		people := []string{"alice", "bob", "carol", "dave", "erin"}
		last, agreed := approval.Pending, map[string]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "votes") {
			if rapid.IntRange(0, 5).Draw(t, "time") == 0 {
				now = now.Add(10 * time.Minute)
			}
			v := approval.Vote{
				Choice: rapid.SampledFrom([]approval.Choice{approval.Approve, approval.Approve, approval.Approve, approval.Deny, approval.Cancel}).Draw(t, "choice"),
				By:     who(rapid.SampledFrom(people).Draw(t, "name")),
				Person: "p-" + rapid.SampledFrom(people).Draw(t, "person"), Digest: c.Digest,
			}
			next, cast, err := c.Cast(v, "p-alice", now)
			if err == nil && c.StateAt(now) != approval.Pending {
				t.Fatalf("%s is %s and takes %+v", c.ID, c.StateAt(now), v)
			}
			if err == nil && cast.Choice == approval.Approve {
				agreed[v.Person] = true
				if v.Person == "p-alice" || v.By.Subject == "alice" {
					t.Fatalf("its requester approves: %+v", v)
				}
			}
			c = next
			state := c.StateAt(now)
			if last != approval.Pending && state != last {
				t.Fatalf("it was %s and is %s", last, state)
			}
			if (state == approval.Approved) != (len(agreed) == 3) && last == approval.Pending && state != approval.Denied && state != approval.Cancelled && state != approval.Expired {
				t.Fatalf("%s with %d people", state, len(agreed))
			}
			last = state
		}
	})
}

func TestParseDigest(t *testing.T) {
	d := waiting().Digest
	if got, err := approval.ParseDigest("digest", approval.FormatDigest(d)); err != nil || got != d {
		t.Errorf("%v, %v", got, err)
	}
	text := approval.FormatDigest(d)
	for _, s := range []string{"", text[:62], text + "00", strings.ToUpper(text), text[:63] + "g", " " + text} {
		if _, err := approval.ParseDigest("digest", s); err == nil || errkind.FieldOf(err).Name != "digest" {
			t.Errorf("%q is a digest: %v", s, err)
		}
	}
}

func TestReview(t *testing.T) {
	c := waiting()
	look := approval.Vote{Choice: approval.Review, By: who("bob"), Person: "p-bob"}
	refused(t, c, look, noon, errkind.Invalid, "broke no glass")
	c.Glass, c.Terms = true, approval.Terms{}
	own := look
	own.Person = "p-alice"
	refused(t, c, own, noon, errkind.Denied, "somebody else has to review it")
	c = cast(t, c, look)
	if !c.Reviewed() || c.StateAt(noon) != approval.Approved {
		t.Errorf("after the review: %s", c.StateAt(noon))
	}
	refused(t, c, look, noon, errkind.Conflict, "reviewed already")
}
