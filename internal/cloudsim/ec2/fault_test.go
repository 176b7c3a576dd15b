package ec2_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// bubble is the small region in a synctest bubble, with calls to write and read
// it.
type bubble struct {
	*testing.T

	sim    *ec2.Simulator
	client *sdk.Client
	writes []ec2.Write
}

func inBubble(t *testing.T, c ec2.Config, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t}
		c.Written = func(w ec2.Write) { b.writes = append(b.writes, w) }
		b.sim, b.client = direct(t, c)
		b.sim.Build(ec2.DefaultRegion, small)
		test(b)
	})
}

func (b *bubble) authorize(cidrs ...string) error {
	in := &sdk.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(webID)}
	for _, c := range cidrs {
		in.IpPermissions = append(in.IpPermissions, tcp(22, 22, c))
	}
	_, err := b.client.AuthorizeSecurityGroupIngress(b.Context(), in)
	return err
}

func (b *bubble) revoke(c string) error {
	_, err := b.client.RevokeSecurityGroupIngress(b.Context(), &sdk.RevokeSecurityGroupIngressInput{GroupId: aws.String(webID), IpPermissions: []types.IpPermission{tcp(22, 22, c)}})
	return err
}

// there counts the ingress rules that there are.
func (b *bubble) there() (n int) {
	for _, g := range b.sim.Groups(ec2.DefaultRegion) {
		for _, r := range g.Rules {
			if !r.Egress {
				n++
			}
		}
	}
	return n
}

// shown counts the ingress rules that a reader is shown.
func (b *bubble) shown() (n int) {
	got, err := b.client.DescribeSecurityGroupRules(b.Context(), &sdk.DescribeSecurityGroupRulesInput{Filters: []types.Filter{{Name: aws.String("group-id"), Values: []string{webID}}}})
	ok(b, err)
	for _, r := range got.SecurityGroupRules {
		if !*r.IsEgress {
			n++
		}
	}
	return n
}

func TestWriteFaults(t *testing.T) {
	const internal = "InternalError"
	for _, tt := range []struct {
		fault        ec2.Fault
		want         string
		now, later   int
		writes       int
		retryRefused string
	}{
		{ec2.Fault{Kind: ec2.Lost}, "cut", 0, 0, 0, ""},
		{ec2.Fault{Kind: ec2.Broken}, internal, 0, 0, 0, ""},
		{ec2.Fault{Kind: ec2.Throttled}, "RequestLimitExceeded", 0, 0, 0, ""},
		{ec2.Fault{Kind: ec2.Partial}, internal, 1, 1, 1, "InvalidPermission.Duplicate"},
		{ec2.Fault{Kind: ec2.Ambiguous}, "cut", 2, 2, 1, "InvalidPermission.Duplicate"},
		{ec2.Fault{Kind: ec2.Failed}, internal, 2, 2, 1, "InvalidPermission.Duplicate"},
		{ec2.Fault{Kind: ec2.Late, Delay: time.Hour}, internal, 0, 2, 1, "InvalidPermission.Duplicate"},
		{ec2.Fault{Kind: ec2.Late, Delay: time.Hour, Quiet: true}, "", 0, 2, 1, "InvalidPermission.Duplicate"},
		{ec2.Fault{Kind: ec2.Lying}, "", 0, 0, 0, ""},
		{ec2.Fault{Kind: ec2.Stale}, "", 2, 2, 1, "InvalidPermission.Duplicate"},
		{ec2.Fault{Kind: ec2.Slow, Delay: time.Minute}, "", 2, 2, 1, "InvalidPermission.Duplicate"},
	} {
		t.Run(string(tt.fault.Kind), func(t *testing.T) {
			inBubble(t, ec2.Config{}, func(b *bubble) {
				tt.fault.Action, tt.fault.Times = "Authorize*", 1
				b.sim.Fail(tt.fault)
				err := b.authorize("192.0.2.0/24", "198.51.100.0/24")
				if got := code(err); tt.want == "cut" != errors.Is(err, io.ErrUnexpectedEOF) || tt.want != "cut" && got != tt.want {
					b.Errorf("the answer: %v, want %s", err, tt.want)
				}
				if n := b.there(); n != tt.now {
					b.Errorf("%d rules at once, want %d", n, tt.now)
				}
				time.Sleep(2 * time.Hour)
				if n := b.there(); n != tt.later {
					b.Errorf("%d rules later, want %d", n, tt.later)
				}
				if len(b.writes) != tt.writes {
					b.Errorf("writes: %+v, want %d", b.writes, tt.writes)
				}
				wantCode(b.T, b.authorize("192.0.2.0/24", "198.51.100.0/24"), tt.retryRefused)
			})
		})
	}
}

func TestFaultsChooseTheirVictims(t *testing.T) {
	inBubble(t, ec2.Config{}, func(b *bubble) {
		b.sim.Fail(ec2.Fault{Kind: ec2.Broken, Action: "Revoke*"})
		b.sim.Fail(ec2.Fault{Kind: ec2.Broken, Action: "Authorize*", Skip: 1, Times: 1})
		b.sim.Fail(ec2.Fault{Kind: ec2.Throttled, Action: "Authorize*", Until: time.Now().Add(time.Hour), Skip: 1})
		wantCode(t, b.authorize("192.0.2.1/32"), "")
		wantCode(t, b.authorize("192.0.2.2/32"), "InternalError")
		wantCode(t, b.authorize("192.0.2.2/32"), "RequestLimitExceeded")
		wantCode(t, b.revoke("192.0.2.1/32"), "InternalError")
		time.Sleep(2 * time.Hour)
		wantCode(t, b.authorize("192.0.2.2/32"), "")
		wantCode(t, b.revoke("192.0.2.1/32"), "InternalError")
		b.sim.Mend()
		wantCode(t, b.revoke("192.0.2.1/32"), "")

		b.sim.Fail(ec2.Fault{Kind: ec2.Broken, Chance: 0.5})
		hit := 0
		for i := range 40 {
			if b.authorize(fmt.Sprintf("192.0.2.%d/32", 100+i)) != nil {
				hit++
			}
		}
		if hit < 8 || hit > 32 {
			t.Errorf("%d of 40 calls were hit by a chance of a half", hit)
		}
	})
}

// Somebody else can come between a read and a write, and between a write and its
// answer.
func TestHands(t *testing.T) {
	inBubble(t, ec2.Config{}, func(b *bubble) {
		strip := func(w *world.World, now time.Time) {
			g, _ := w.Groups.Get(now, webID)
			g.Rules = nil
			w.Groups.Put(now, g)
		}
		ok(t, b.authorize("192.0.2.0/24"))
		b.sim.Fail(ec2.Fault{Kind: ec2.Hand, Action: "Revoke*", Times: 1, Do: strip})
		wantCode(t, b.revoke("192.0.2.0/24"), "InvalidPermission.NotFound")
		b.sim.Fail(ec2.Fault{Kind: ec2.HandAfter, Action: "Authorize*", Times: 1, Do: strip})
		ok(t, b.authorize("192.0.2.0/24"))
		if n := b.there(); n != 0 {
			t.Errorf("%d rules are left", n)
		}
		want := []string{"AuthorizeSecurityGroupIngress", "Hand", "AuthorizeSecurityGroupIngress", "Hand"}
		var got []string
		for _, w := range b.writes {
			got = append(got, w.Action)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReadsLag(t *testing.T) {
	inBubble(t, ec2.Config{ReadLag: 10 * time.Second, Unthrottled: true}, func(b *bubble) {
		ok(t, b.authorize("192.0.2.0/24"))
		time.Sleep(5 * time.Second)
		seen := map[int]bool{}
		for range 50 {
			seen[b.shown()] = true
		}
		if !seen[0] || !seen[1] {
			t.Errorf("after half the lag, reads show both: %v", seen)
		}
		time.Sleep(6 * time.Second)
		for range 50 {
			if b.shown() != 1 {
				t.Fatal("a read lags more than it may")
			}
		}

		// What is not seen yet is not found by others either.
		notFound := 0
		for i := range 20 {
			made, err := b.client.CreateSecurityGroup(b.Context(), &sdk.CreateSecurityGroupInput{GroupName: aws.String(fmt.Sprint("g", i)), Description: aws.String("x"), VpcId: aws.String(vpcID)})
			ok(t, err)
			time.Sleep(5 * time.Second)
			_, err = b.client.DeleteSecurityGroup(b.Context(), &sdk.DeleteSecurityGroupInput{GroupId: made.GroupId})
			if c := code(err); c == "InvalidGroup.NotFound" {
				notFound++
			} else if c != "" {
				t.Error(err)
			}
		}
		if notFound == 0 || notFound == 20 {
			t.Errorf("%d of 20 new groups were not found", notFound)
		}
	})
}

func TestStaleReads(t *testing.T) {
	inBubble(t, ec2.Config{}, func(b *bubble) {
		ok(t, b.authorize("192.0.2.1/32"))
		time.Sleep(time.Second)
		b.sim.Fail(ec2.Fault{Kind: ec2.Stale})
		for i := range 5 {
			time.Sleep(time.Hour)
			ok(t, b.authorize(fmt.Sprintf("198.51.100.%d/32", i)))
		}
		if n := b.shown(); n != 1 {
			t.Errorf("a stale read shows %d rules", n)
		}
		b.sim.Mend()
		if n := b.shown(); n != 6 {
			t.Errorf("a read shows %d rules", n)
		}
	})
}

// Every action has its own bucket, of the documented size.
func TestBuckets(t *testing.T) {
	inBubble(t, ec2.Config{}, func(b *bubble) {
		full := func(what string, size int, refill time.Duration, call func(i int) error) {
			t.Helper()
			n := 0
			for ; n < 200; n++ {
				if c := code(call(n)); c == "RequestLimitExceeded" {
					break
				} else if c != "" && c != "InvalidPermission.NotFound" {
					t.Fatalf("%s: %s", what, c)
				}
			}
			if n != size {
				t.Errorf("%s: %d calls at once, want %d", what, n, size)
			}
			time.Sleep(refill)
			wantCode(t, ignore(call(n), "InvalidPermission.NotFound"), "")
			wantCode(t, ignore(call(n+1), "InvalidPermission.NotFound"), "RequestLimitExceeded")
		}
		full("authorize", 50, 200*time.Millisecond, func(i int) error { return b.authorize(fmt.Sprintf("192.0.2.%d/32", i)) })
		full("revoke", 50, 200*time.Millisecond, func(i int) error { return b.revoke(fmt.Sprintf("198.51.100.%d/32", i)) })
		full("describe, unfiltered", 50, 100*time.Millisecond, func(int) error {
			_, err := b.client.DescribeInstances(b.Context(), &sdk.DescribeInstancesInput{})
			return err
		})
		full("describe, in pages", 100, 50*time.Millisecond, func(int) error {
			_, err := b.client.DescribeInstances(b.Context(), &sdk.DescribeInstancesInput{MaxResults: aws.Int32(5)})
			return err
		})
		full("references", 20, 200*time.Millisecond, func(int) error {
			_, err := b.client.DescribeSecurityGroupReferences(b.Context(), &sdk.DescribeSecurityGroupReferencesInput{GroupId: []string{webID}})
			return err
		})
	})
}

func ignore(err error, which string) error {
	if code(err) == which {
		return nil
	}
	return err
}

// A revoke does not cut who is inside, unless everybody was let in.
func TestSessions(t *testing.T) {
	client := netip.MustParseAddr("203.0.113.7")
	for _, tt := range []struct {
		from    string
		tracked bool
	}{{"203.0.113.7/32", true}, {"0.0.0.0/0", false}} {
		inBubble(t, ec2.Config{}, func(b *bubble) {
			if b.sim.Dial(client, iID, 22) != nil {
				t.Fatal("the door is closed")
			}
			ok(t, b.authorize(tt.from))
			s := b.sim.Dial(client, iID, 22)
			if s == nil || s.Tracked() != tt.tracked || !s.Use() {
				t.Fatalf("a session from %s: %+v", tt.from, s)
			}
			ok(t, b.revoke(tt.from))
			if got := s.Use(); got != tt.tracked {
				t.Errorf("after the revoke, a session from %s lives: %v", tt.from, got)
			}
			if !tt.tracked {
				return
			}
			time.Sleep(4 * 24 * time.Hour)
			if !s.Use() {
				t.Error("it was not idle for five days")
			}
			idle := b.sim.Dial(client, iID, 22)
			if idle != nil {
				t.Fatal("the door is closed again")
			}
			ok(t, b.authorize(tt.from))
			idle = b.sim.Dial(client, iID, 22)
			ok(t, b.revoke(tt.from))
			_, err := b.client.ModifyNetworkInterfaceAttribute(b.Context(), &sdk.ModifyNetworkInterfaceAttributeInput{
				NetworkInterfaceId: aws.String(eniID), ConnectionTrackingSpecification: &types.ConnectionTrackingSpecificationRequest{TcpEstablishedTimeout: aws.Int32(60)},
			})
			ok(t, err)
			time.Sleep(30 * time.Second)
			if !s.Use() {
				t.Error("it was idle for half a minute only")
			}
			time.Sleep(31 * time.Second)
			if idle.Use() {
				t.Error("it was idle for more than a minute")
			}
			_, err = b.client.CreateNetworkAclEntry(b.Context(), &sdk.CreateNetworkAclEntryInput{
				NetworkAclId: aws.String(aclID), RuleNumber: aws.Int32(10), Egress: aws.Bool(false), RuleAction: types.RuleActionDeny,
				Protocol: aws.String("6"), PortRange: &types.PortRange{From: aws.Int32(22), To: aws.Int32(22)}, CidrBlock: aws.String("203.0.113.7/32"),
			})
			ok(t, err)
			if s.Use() {
				t.Error("the network ACL keeps every packet")
			}
			ok(t, deleteEntry(b))
			if s.Use() {
				t.Error("what was cut does not come back")
			}
		})
	}
}

func deleteEntry(b *bubble) error {
	_, err := b.client.DeleteNetworkAclEntry(b.Context(), &sdk.DeleteNetworkAclEntryInput{NetworkAclId: aws.String(aclID), RuleNumber: aws.Int32(10), Egress: aws.Bool(false)})
	return err
}

func TestWritesTakeTime(t *testing.T) {
	inBubble(t, ec2.Config{WriteTime: 3 * time.Second}, func(b *bubble) {
		begin := time.Now()
		ok(t, b.authorize("192.0.2.0/24"))
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// The same can be had over HTTP, by somebody who runs the simulator as a program.
func TestControl(t *testing.T) {
	sim, err := ec2.New(ec2.Config{})
	ok(t, err)
	sim.Build(ec2.DefaultRegion, small)
	server := httptest.NewServer(sim)
	defer server.Close()
	ask := func(method, what, kind, body string) string {
		t.Helper()
		in, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/_simulator/"+what, strings.NewReader(body))
		ok(t, err)
		in.Header.Set("Content-Type", kind)
		r, err := server.Client().Do(in)
		ok(t, err)
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		ok(t, err)
		return r.Status[:4] + strings.TrimSpace(string(text))
	}
	get := func(what string) string { return ask(http.MethodGet, what, "", "") }
	post := func(what, kind, body string) string { return ask(http.MethodPost, what, kind, body) }
	const connect = "connect?from=203.0.113.7&port=22&instance=" + iID
	hand := form("AuthorizeSecurityGroupIngress GroupId=" + webID + " IpProtocol=tcp FromPort=22 ToPort=22 CidrIp=203.0.113.0/24").Encode()
	const urlencoded, json = "application/x-www-form-urlencoded", "application/json"
	client := over(server.Client(), server.URL, defaultKey()).ec2()
	describe := func() error {
		_, err := client.DescribeRegions(t.Context(), &sdk.DescribeRegionsInput{})
		return err
	}
	for _, tt := range []struct{ what, got, want string }{
		{"closed", get(connect), "200 denied: routing: delivered"},
		{"by hand", post("hand", urlencoded, hand), "200 done"},
		{"by hand, again", post("hand", urlencoded, hand), "400 InvalidPermission.Duplicate"},
		{"open", get(connect), "200 delivered"},
		{"document", get("document"), "200 sg-00000000000000001 group sg-00000000000000001\negress -1 -1:-1 0.0.0.0/0\ningress tcp 22:22 203.0.113.0/24"},
		{"a bad fault", post("faults", json, `{"kind": "odd"}`), `400 there is no fault "odd"`},
		{"a bad field", post("faults", json, `{"kinds": "lost"}`), "400 read the fault"},
		{"a bad delay", post("faults", json, `{"kind": "late", "delay": "-1s"}`), "400 read the delay"},
		{"a fault", post("faults", json, `{"kind": "throttled", "action": "Describe*", "for": "1h"}`), "200 done"},
		{"under the fault", code(describe()), "RequestLimitExceeded"},
		{"calls", get("calls"), "200 {\n\t\"DescribeRegions\": 1\n}"},
		{"nothing", get("nothing"), "400 the simulator knows no GET nothing"},
	} {
		if !strings.HasPrefix(tt.got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.what, tt.got, tt.want)
		}
	}
	sim.Mend()
	ok(t, describe())
	if err := sim.HandCall(ec2.DefaultRegion, ec2.DefaultAccount, url.Values{"Action": {"Nothing"}}); err == nil {
		t.Error("there is no such action")
	}
}

// The SDK is told that its clock is wrong, and corrects itself; a session ends by
// the cloud's clock.
func TestClockSkew(t *testing.T) {
	inBubble(t, ec2.Config{}, func(b *bubble) {
		b.sim.Skew(-16 * time.Minute)
		wantCode(t, b.authorize("192.0.2.1/32"), "RequestExpired")
		ok(t, b.authorize("192.0.2.1/32"))
		b.sim.Skew(-30 * time.Minute)
		ok(t, b.authorize("192.0.2.2/32"))

		role := gate.Role{ARN: "arn:aws:iam::444455556666:role/x", Trusts: []string{ec2.DefaultAccount}}
		b.sim.Identities(func(ids *gate.Identities) {
			*ids = *gate.NewIdentities([]gate.Key{ec2.Admin(ec2.DefaultAccount, ec2.DefaultKey, ec2.DefaultSecret)}, []gate.Role{role})
		})
		client := over(b.sim.Client(), "http://aws.example", defaultKey()).sts()
		b.sim.Skew(0)
		session, err := client.AssumeRole(b.Context(), &sts.AssumeRoleInput{RoleArn: &role.ARN, RoleSessionName: aws.String("me")})
		ok(t, err)
		inside := over(b.sim.Client(), "http://aws.example", credentials.NewStaticCredentialsProvider(*session.Credentials.AccessKeyId, *session.Credentials.SecretAccessKey, *session.Credentials.SessionToken)).sts()
		_, err = inside.GetCallerIdentity(b.Context(), &sts.GetCallerIdentityInput{})
		ok(t, err)
		b.sim.Skew(time.Hour)
		_, err = inside.GetCallerIdentity(b.Context(), &sts.GetCallerIdentityInput{})
		wantCode(t, err, "ExpiredToken")
	})
}

// Many clients at once lose nothing and see no halves.
func TestManyAtOnce(t *testing.T) {
	sim, client := direct(t, ec2.Config{Unthrottled: true, ReadLag: time.Millisecond})
	sim.Build(ec2.DefaultRegion, small)
	const clients, rules = 8, 7
	ended := make(chan error, clients)
	for n := range clients {
		go func() {
			var err error
			for i := range rules {
				_, e := client.AuthorizeSecurityGroupIngress(t.Context(), &sdk.AuthorizeSecurityGroupIngressInput{
					GroupId: aws.String(webID), IpPermissions: []types.IpPermission{tcp(22, 22, fmt.Sprintf("192.0.2.%d/32", n*rules+i))},
				})
				_, d := client.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{MaxResults: aws.Int32(5)})
				sim.Connect(netip.MustParseAddr("192.0.2.1"), iID, 22)
				err = errors.Join(err, e, d)
			}
			ended <- err
		}()
	}
	for range clients {
		ok(t, <-ended)
	}
	if n := strings.Count(sim.Document(ec2.DefaultRegion), "ingress tcp 22:22 192.0.2."); n != clients*rules {
		t.Errorf("%d rules, want %d", n, clients*rules)
	}
}
